# SPDX-License-Identifier: MIT
"""Makes exponentials.json from the reference alone: numbers to functions of them, bits in hex.

python tests/data/make_exponentials.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import reference as ref  # noqa: E402
from reference_exponentials import FUNCTIONS, sign_and_tail  # noqa: E402

ENDS = [0.0, np.inf, 2.0**-1074, 2.0**-149, 1e-300, 1e300, 3e38]
STEPS = {
    "exp": [709.0, 709.78, 709.79, 745.0, 745.13, 745.14, 88.72, 88.73, 103.9, 104.0, 1000.0],
    "expm1": [41.5, 41.6, 41.9, 42.0, 709.78, 709.79, 88.73, 1000.0, 0.34, 0.35, 0.3466],
    "cos_turns": [0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 2.0**51 + 0.25, 2.0**53, 0.124999, 0.125001],
    "sin_turns": [0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 2.0**51 + 0.25, 2.0**53, 0.124999, 0.125001],
    "arctan": [0.4142135, 0.4142136, 1.0, 1.0000001, 2.41421, 2.41422, 1e17],
}
"""Where a result overflows or vanishes, and where a piece begins."""

WORDS = [0, 1, 2, 2**23, 2**24 - 1, 2**24 + 1, 2**30, 2**31 - 1]


def hexadecimal(values: ref.Array) -> str:
    width = 2 * values.itemsize
    return " ".join(f"{int(v):0{width}x}" for v in values.view(f"u{values.itemsize}"))


def numbers(function: str, dtype: str) -> ref.Array:
    """Some numbers and their negatives, and one zero, which is positive.

    Python's own powers: NumPy's have other last bits with AVX-512.
    """
    grid = [10.0**k * m for k in range(-6, 3) for m in (1.0, 1.7, 2.3, 3.1, 5.9, 8.2)]
    found = np.array([*ENDS, *STEPS[function], *grid])
    with np.errstate(over="ignore"):
        return np.unique(np.concatenate([found, -found]).astype(dtype) + 0)


def words(dtype: str) -> ref.Array:
    kind, top = (np.uint64, 32) if dtype == "float64" else (np.uint32, 0)
    found = [w << shift for w in WORDS for shift in {0, top}]
    found += [w | 1 << (31 + top) for w in found]
    most = np.iinfo(kind).max
    return np.unique(np.array([*found, most, most >> 1], kind))


def files() -> dict[str, str]:
    rows = []
    for dtype in ("float32", "float64"):
        for name, function in FUNCTIONS.items():
            x = numbers(name, dtype)
            found = function(x)
            bits = [hexadecimal(x), hexadecimal(found)]
            rows.append({"function": name, "dtype": dtype, "numbers": bits[0], "values": bits[1]})
        w = words(dtype)
        for part, found in zip(("sign", "tail"), sign_and_tail(w), strict=True):
            bits = [hexadecimal(w), hexadecimal(found)]
            rows.append({"function": part, "dtype": dtype, "numbers": bits[0], "values": bits[1]})
    body = ",\n".join("  " + json.dumps(row) for row in rows)
    return {"exponentials.json": f'{{\n "stream_version": 1,\n "rows": [\n{body}\n ]\n}}\n'}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="ascii")
