# SPDX-License-Identifier: MIT
"""How fast a device draws, against memset and torch in the same run.

Times of large tensors are of the device, between two events on its stream; a memset keeps it busy
until the call has returned, so that it does not wait for the host.  For small tensors and models
the clock of the host counts, from the call until the device has finished.  Whether the bits are
right is in device_bits.py.
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from bench_torch import STACKS
from device_bits import DTYPES, GUARD
from torch import nn

import fastinit as fi
import fastinit.torch as ft
from fastinit.torch.devices import Batch
from fastinit.torch.memory import fill_with

KINDS = {
    "uniform": "uniform(-0.05, 0.05)",
    "uniform, inside": "uniform(0, 1)",
    "normal": "normal(0.02)",
    "clipped": "clipped_normal(0.02)",
    "truncated, symmetric": "truncated_normal(0.02)",
    "truncated, any bounds": "truncated_normal(0.02, low=-1, high=3)",
    "constant": "constant(0.375)",
}
"""A uniform is inside if no value needs to be clamped to its bounds."""

TARGETS = {
    ("uniform", "float32"): ("of memset", 0.97),
    ("uniform, inside", "float32"): ("of memset", 0.97),
    ("normal", "float32"): ("of memset", 0.93),
    ("truncated, symmetric", "float32"): ("of memset", 0.80),
    ("normal", "bfloat16"): ("of torch", 1.7),
}
"""What an H100 is to reach at 2**30 elements."""

TORCH_DRAWS = ("float32", "bfloat16", "float16", "float64")
"""The dtypes that torch draws."""

Memset = Callable[[torch.Tensor, int], object]
"""Sets every byte of a tensor of bytes, on the current stream."""

CONSTANTS = ("zeros", "ones", "constant")

WIDTHS = (16_384, 4_096, 1_024, 128)
"""Elements of a row of a shard."""

SIZES = (1, 1_000, 2**16, 2**20)
"""Elements of small tensors."""

MODELS = {"gpt2-xl": "gpt2-xl", "llama-3-8b": "8b", "toy": "toy"}
"""By name of a preset: the module of bench_torch.py that is as large."""


def torch_call(kind: str, out: torch.Tensor) -> Callable[[], object] | None:
    """Torch's own way to draw values of a kind."""
    if str(out.dtype).removeprefix("torch.") not in TORCH_DRAWS:
        return None
    if kind.startswith("uniform"):
        return lambda: out.uniform_(-0.05, 0.05)
    if kind == "normal":
        return lambda: out.normal_(0, 0.02)
    if kind.startswith("truncated") and out.dtype != torch.float64:
        return lambda: nn.init.trunc_normal_(out, std=0.02, a=-0.04, b=0.04)
    return None


def best(
    calls: Mapping[str, Callable[[], object]], rounds: int, busy: Callable[[], object]
) -> dict[str, float]:
    """The least seconds of each call on the device; they take turns, after one round each.

    Args:
        busy: gives the device as much to do as it takes the host to make a call.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            busy()
            begin.record()
            call()
            end.record()
            end.synchronize()
            if turn:
                seconds[name].append(begin.elapsed_time(end) / 1000)
    return {name: max(min(found), 1e-9) for name, found in seconds.items()}


def waited(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The least seconds of each call by the host's clock, until the device has finished."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            gc.collect()
            torch.cuda.synchronize()
            begin = time.perf_counter()
            made = call()
            torch.cuda.synchronize()
            passed = time.perf_counter() - begin
            del made
            if turn:
                seconds[name].append(passed)
    return {name: min(found) for name, found in seconds.items()}


def fills(device: torch.device, count: int, rounds: int, memset: Memset) -> list[dict[str, Any]]:
    """Every kind and dtype: billions of values a second, the share of memset, and torch's."""
    room = torch.empty(8 * count, dtype=torch.uint8, device=device)
    rows = []
    for dtype in DTYPES:
        kind_of = getattr(torch, dtype)
        memory = room[: count * kind_of.itemsize]
        out = memory.view(kind_of)
        for kind, scheme in KINDS.items():
            calls = {
                "memset": lambda memory=memory: memset(memory, GUARD),
                "fastinit": lambda out=out, scheme=scheme: fi.fill(out, scheme, seed=0, name="w"),
            }
            if peer := torch_call(kind, out):
                calls["torch"] = peer
            found = best(calls, rounds, lambda: memset(room, GUARD))
            row = {"kind": kind, "dtype": dtype, "count": count, "seconds": found}
            row["of memset"] = found["memset"] / found["fastinit"]
            if "torch" in found:
                row["of torch"] = found["torch"] / found["fastinit"]
            rows.append(row)
    return rows


def layouts(device: torch.device, count: int, rounds: int, memset: Memset) -> list[dict[str, Any]]:
    """Normals in float32: the columns of a matrix that a shard holds, and a transposed matrix."""
    side = math.isqrt(count)
    room = torch.empty(side * side, device=device)
    memory = room.view(torch.uint8)
    rows = []
    for name, width in {f"rows of {width:,}": width for width in WIDTHS if width <= side}.items():
        part = room[: side * width].view(side, width)
        whole = {"shape": (side, 4 * side), "region": (slice(None), slice(width, 2 * width))}
        rows.append((name, part, whole))
    rows.append(("transposed", room.view(side, side).T, {}))
    found = []
    for name, out, whole in rows:
        calls = {
            "fastinit": lambda out=out, whole=whole: fi.fill(
                out, "normal(0.02)", seed=0, name="w", **whole
            ),
            "torch": lambda out=out: out.normal_(0, 0.02),
        }
        seconds = best(calls, rounds, lambda: memset(memory, GUARD))
        found.append({"layout": name, "count": out.numel(), "seconds": seconds})
    return found


def small(device: torch.device, most: int, times: int) -> list[dict[str, Any]]:
    """One call for a small tensor, in microseconds: the average of many in a row."""
    rows = []
    for count in (size for size in SIZES if size <= most):
        out = torch.empty(count, device=device)

        def ours(out: torch.Tensor = out) -> None:
            for _ in range(times):
                fi.fill(out, "normal(0.02)", seed=0, name="w")

        def torchs(out: torch.Tensor = out) -> None:
            for _ in range(times):
                out.normal_(0, 0.02)

        found = waited({"fastinit": ours, "torch": torchs}, 5)
        rows.append({"count": count, **{n: 1e6 * s / times for n, s in found.items()}})
    return rows


def model(device: torch.device, name: str, rounds: int) -> list[dict[str, Any]]:
    """Seconds for all weights of a model: into memory that is there, and as a module."""
    make, dtype = STACKS[MODELS[name]]
    if name in fi.presets():
        plan = fi.plan(name)
    else:
        with ft.deferred():
            module = make()
        plan = ft.plan(module)
    rows = [{"model": name, "way": "values", **values(device, plan, dtype, rounds)}]
    for way, calls in module_calls(device, make, dtype).items():
        rows.append({"model": name, "way": way, **waited(calls, rounds)})
        _release()
    return rows


def values(
    device: torch.device, plan: fi.Plan, dtype: torch.dtype, rounds: int
) -> dict[str, float]:
    """The tensors of a plan, which have memory already; torch draws normals, or fills."""
    tensors = [(t, torch.empty(t.shape, dtype=dtype, device=device)) for t in plan]

    def ours() -> None:
        with Batch() as batch:
            for tensor, memory in tensors:
                fill_with(batch, memory, tensor.scheme, seed=0, name=tensor.name)

    def torchs() -> None:
        for tensor, memory in tensors:
            if tensor.scheme.name in CONSTANTS:
                memory.fill_(1)
            else:
                memory.normal_(0, 0.02)

    found = waited({"fastinit": ours, "torch": torchs}, rounds)
    tensors.clear()
    _release()
    return found


def module_calls(
    device: torch.device, make: Callable[[], nn.Module], dtype: torch.dtype
) -> dict[str, dict[str, Callable[[], object]]]:
    """A module of torch's layers: made with its weights, or initialised anew."""

    def built_by_torch() -> nn.Module:
        with torch.device(device), _default(dtype):
            return make()

    def built() -> nn.Module:
        with _default(dtype), ft.deferred():
            module = make()
        return ft.materialize(module, seed=0, device=device)

    kept: list[nn.Module] = []

    def module() -> nn.Module:
        if not kept:
            kept.append(built())
        return kept[0]

    def resets() -> None:
        for part in module().modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

    return {
        "built": {"fastinit": built, "torch": built_by_torch},
        "in place": {"fastinit": lambda: ft.initialize_(module(), seed=0), "torch": resets},
    }


@contextlib.contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    """Another default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _release() -> None:
    """Give memory that nothing uses back to the device."""
    gc.collect()
    torch.cuda.empty_cache()
