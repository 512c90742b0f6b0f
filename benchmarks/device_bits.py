# SPDX-License-Identifier: MIT
"""Whether a device draws the bits of the CPU, in every layout; how fast is in device_speed.py.

Each check fills two buffers of guard bytes by the same call, one on the CPU and one on the device,
and compares all of their bytes: the values, the gaps between them, and what lies around.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import fastinit as fi
import fastinit.torch as ft

GUARD = 0xA5
"""The byte of memory that must stay as it is."""

MARGIN = 64
"""Guard bytes before and after the elements."""

SEED = 7

DTYPES = ("float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "float64")

SCHEMES = (
    "uniform(-0.05, 0.05)",
    "uniform(0, 1)",
    "uniform(-1, 0)",
    "uniform(-1, 0.3333)",
    "normal(0.02)",
    "normal(1.5, mean=-3.25)",
    "normal(1e-7)",
    "clipped_normal(0.02)",
    "clipped_normal(0.02, low=0, high=2)",
    "truncated_normal(0.02)",
    "truncated_normal(1, low=-6, high=6)",
    "truncated_normal(0.02, low=-1, high=3)",
    "truncated_normal(0.02, low=0, high=inf)",
    "truncated_normal(1, low=12.5, high=14)",
    "truncated_normal(1, low=-inf, high=-5)",
    "constant(0.375)",
)
"""Every kernel, and the ends of what each can be asked for."""


@dataclass(frozen=True)
class Layout:
    """Where elements lie: a region of a whole tensor, and the memory that it is drawn to.

    Attributes:
        whole: the shape of the whole tensor.
        region: which part of it is drawn.
        shape, strides: of the part in memory, in elements.
        offset: elements before it, so that its address is no multiple of 16.
    """

    whole: tuple[int, ...]
    region: Any
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def extent(self) -> int:
        """Elements from the first to the last in memory."""
        steps = zip(self.shape, self.strides, strict=True)
        return 1 + sum((count - 1) * stride for count, stride in steps)


def run_of(start: int, count: int, offset: int = 0) -> Layout:
    """Consecutive elements of a very long tensor."""
    return Layout((2**40,), range(start, start + count), (count,), (1,), offset)


LAYOUTS = {
    "one": run_of(7, 1),
    "from an odd start": run_of(5, 4_097, 1),
    "long": run_of(0, 2**20 + 13, 3),
    "up to 2**34": run_of(2**34 - 2_051, 2_051),
    "over 2**34": run_of(2**34 - 1_001, 5_003, 2),
    "past 2**34": run_of(2**34 + 3, 2_051, 1),
    "past 2**36": run_of(2**36 + 2**33 + 1, 300_007),
    "every third": Layout((2**40,), range(2**34 - 900, 2**34 + 900, 3), (600,), (1,)),
    "rows": Layout((64, 4_096), np.s_[3:61, 5:3_000], (58, 2_995), (3_001, 1), 1),
    "short rows": Layout((9_000, 48), np.s_[1:, 3:20], (8_999, 17), (17, 1)),
    "very short rows": Layout((9_000, 48), np.s_[:, 3:5], (9_000, 2), (3, 1), 1),
    "transposed": Layout((1_031, 257), None, (1_031, 257), (1, 1_031)),
    "permuted": Layout((7, 6, 5, 40), None, (7, 6, 5, 40), (1, 7, 42, 210), 2),
    "every other": Layout((600, 90), None, (600, 90), (181, 2)),
    "backwards": Layout((600, 90), np.s_[::-1, ::-2], (600, 45), (45, 1)),
    "six axes": Layout((3, 4, 5, 2, 3, 7), None, (3, 4, 5, 2, 3, 7), (2, 6, 24, 2_520, 840, 120)),
    "seven axes": Layout((2,) * 7, None, (2,) * 7, (3, 1_000, 6, 400, 25, 2_001, 150)),
}

BATCH = tuple((index * 37) % 500 + 1 for index in range(300))
"""Lengths of tensors that one call draws."""


def checks() -> Iterator[tuple[str, str, str]]:
    """Every scheme, dtype and layout; "batch" is many tensors at once."""
    for scheme in SCHEMES:
        for dtype in DTYPES:
            yield from ((scheme, dtype, name) for name in (*LAYOUTS, "batch"))


def run(device: torch.device, threads: int, only: int | None = None) -> dict[str, Any]:
    """All checks, or each `only`-th; how many there were, and which found another bit."""
    chosen = list(checks())[:: only or 1]
    with ThreadPoolExecutor(threads) as pool:  # some draw on the CPU while one compiles a kernel
        same = list(pool.map(lambda check: is_same(*check, device), chosen))
    wrong = [", ".join(check) for check, found in zip(chosen, same, strict=True) if not found]
    return {"checks": len(chosen), "wrong": wrong}


def is_same(scheme: str, dtype: str, name: str, device: torch.device) -> bool:
    """Whether the device writes what the CPU does, and nothing else."""
    if name == "batch":
        here, there = (_batch(scheme, dtype, place) for place in (torch.device("cpu"), device))
    else:
        layout = LAYOUTS[name]
        here, there = (
            _filled(scheme, dtype, layout, place) for place in (torch.device("cpu"), device)
        )
    return torch.equal(here, there.cpu())


def _guarded(size: int, device: torch.device) -> torch.Tensor:
    return torch.empty(size + 2 * MARGIN, dtype=torch.uint8, device=device).fill_(GUARD)


def _filled(scheme: str, dtype: str, layout: Layout, device: torch.device) -> torch.Tensor:
    """The bytes around and in a tensor of this layout after it was filled."""
    kind = getattr(torch, dtype)
    buffer = _guarded((layout.offset + layout.extent) * kind.itemsize, device)
    first = MARGIN // kind.itemsize + layout.offset
    tensor = _typed(buffer, kind).as_strided(layout.shape, layout.strides, first)
    fi.fill(
        tensor, scheme, seed=SEED, name="w", shape=layout.whole, region=layout.region, threads=1
    )
    return buffer


def _typed(buffer: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """The buffer as elements, of which the last may not be whole."""
    return buffer[: len(buffer) // kind.itemsize * kind.itemsize].view(kind)


def _batch(scheme: str, dtype: str, device: torch.device) -> torch.Tensor:
    """The bytes around and in many tensors that were filled as the parameters of one module."""
    kind = getattr(torch, dtype)
    buffer = _guarded(sum(BATCH) * kind.itemsize, device)
    pieces = _typed(buffer, kind)[MARGIN // kind.itemsize :].split(
        [*BATCH, MARGIN // kind.itemsize]
    )
    module = torch.nn.ParameterList(
        torch.nn.Parameter(piece, requires_grad=False) for piece in pieces[:-1]
    )
    ft.initialize_(module, seed=SEED, rules={"*": scheme}, threads=1)
    return buffer
