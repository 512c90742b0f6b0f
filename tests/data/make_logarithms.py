# SPDX-License-Identifier: MIT
"""Makes logarithms.json from the reference alone: numbers to their minus_log, bits in hex.

python tests/data/make_logarithms.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import reference as ref  # noqa: E402
from reference_logarithms import minus_log  # noqa: E402

FRACTIONS = [0.0, 2.0**-23, 0.3, 0.41421354, 0.41421366, 0.5, 0.875, 1.0 - 2.0**-23]
EXPONENTS = {
    "float32": [*range(-149, -120, 4), *range(-27, 4), 63, 127],
    "float64": [-1074, -1050, -1023, -1022, -500, *range(-66, 4), 512, 1023],
}


def hexadecimal(values: ref.Array) -> str:
    width = 2 * values.itemsize
    return " ".join(f"{int(v):0{width}x}" for v in values.view(f"u{values.itemsize}"))


def numbers(dtype: str) -> ref.Array:
    """Both zeros, the ends of the range, and numbers near those where a step of the map begins."""
    real = np.dtype(dtype)
    grid = [np.ldexp(1.0 + part, power) for power in EXPONENTS[dtype] for part in FRACTIONS]
    ends = [0.0, -0.0, np.inf, float(np.finfo(real).max), float(np.finfo(real).tiny)]
    found = np.array([*ends, *grid]).astype(real).view(f"u{real.itemsize}")
    return np.unique(found).view(real)


def files() -> dict[str, str]:
    rows = []
    for dtype in EXPONENTS:
        x = numbers(dtype)
        row = {"dtype": dtype, "numbers": hexadecimal(x), "values": hexadecimal(minus_log(x))}
        rows.append("  " + json.dumps(row))
    body = ",\n".join(rows)
    return {"logarithms.json": f'{{\n "stream_version": 1,\n "minus_log": [\n{body}\n ]\n}}\n'}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="ascii")
