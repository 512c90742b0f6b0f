# SPDX-License-Identifier: MIT
"""Plans and small tools that the tests of checkpoints share.  Holds no test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastinit.checkpoints import open_checkpoint, write
from fastinit.errors import CheckpointError
from fastinit.plans import Plan, Tensor
from fastinit.schemes import scheme


def plan_of(*rows: tuple[Any, ...], **options: Any) -> Plan:
    """A plan of rows (name, shape, scheme text[, dtype])."""
    return Plan([Tensor(row[0], row[1], scheme(row[2]), *row[3:]) for row in rows], **options)


def mixed_plan() -> Plan:
    """Every kind of tensor that has gone wrong somewhere: empty, scalar, odd sizes, each dtype."""
    return plan_of(
        ("wte.weight", (300, 129), "normal(std=0.02)"),
        ("empty", (0, 7), "zeros()"),
        ("half", (1001,), "normal(std=0.02)", "float16"),
        ("brain", (33, 1001), "normal(std=0.02)", "bfloat16"),
        ("e4m3", (777,), "normal(std=0.02)", "float8_e4m3fn"),
        ("e5m2", (3, 5, 7), "normal(std=0.02)", "float8_e5m2"),
        ("double", (1000, 3), "normal(std=0.02)", "float64"),
        ("scalar", (), "ones()"),
        ("h.0.größe", (513,), "zeros()"),
        name="mixed",
        config={"model_type": "mixed", "hidden_size": 129},
    )


def arrays_plan() -> Plan:
    """What NumPy's files can hold: empty, scalar, a name beyond ASCII, a whole matrix."""
    return plan_of(
        ("wte.weight", (300, 129), "normal(std=0.02)"),
        ("empty", (0, 7), "zeros()"),
        ("half", (1001,), "normal(std=0.02)", "float16"),
        ("double", (1000, 3), "uniform(low=-1, high=1)", "float64"),
        ("scalar", (), "ones()"),
        ("h.0.größe", (513,), "zeros()"),
        ("square", (32, 32), "orthogonal()"),
        name="arrays",
        config={"model_type": "arrays"},
    )


def large_plan(count: int = 8, size: int = 2**21) -> Plan:
    """`count` float32 tensors of `size` elements, so 8 MiB each at first."""
    rows = ((f"layer.{i}.weight", (size // 1024, 1024), "normal(std=0.02)") for i in range(count))
    return plan_of(*rows, name="large", config={"model_type": "large"})


def contents(folder: Path) -> dict[str, bytes]:
    """File name -> bytes of everything in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def temporaries(folder: Path) -> list[str]:
    """What unfinished writes left behind."""
    return [path.name for path in folder.iterdir() if path.name.endswith(".fastinit")]


def safetensors_file(
    tensors: Any, data: bytes = b"", *, pad: bytes = b"", length: int | None = None
) -> bytes:
    """A file from a header that may be wrong in any way."""
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    text += pad
    size = len(text) if length is None else length
    return size.to_bytes(8, "little") + text + data


def tensors_of(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Tensor name -> (dtype, shape, bytes), through our own reader."""
    return {
        name: (str(array.dtype), array.shape, array.tobytes())
        for name, array in open_checkpoint(folder).items()
    }


def failure(folder: Path, options: dict[str, Any]) -> str:
    """What a write says when it fails, else nothing."""
    try:
        write(mixed_plan(), folder, **options)
    except CheckpointError as error:
        return str(error)
    return ""
