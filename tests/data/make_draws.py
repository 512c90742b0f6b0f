# SPDX-License-Identifier: MIT
"""Makes draws.json from the reference alone: draws and values of custom distributions, in hex.

python tests/data/make_draws.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import reference as ref  # noqa: E402
import reference_draws as theirs  # noqa: E402

SEED, NAME = 2**63 + 7, "h.0.attn.weight"
STARTS = (0, 2**34 - 5)
COUNT = 9
LAWS = {
    "laplace": [0.02],
    "ternary": [0.1],
    "exponential": [2.0],
    "student": [],
    "signs": [0.5],
    "scaled": [0.1],
    "moved": [],
}


def hexadecimal(values: ref.Array) -> str:
    width = 2 * values.itemsize
    return " ".join(f"{int(v):0{width}x}" for v in values.view(f"u{values.itemsize}"))


def draws() -> list[dict[str, object]]:
    """Each kind in three places, from both widths."""
    return [
        {
            "kind": kind,
            "draw": draw,
            "dtype": "float64" if wide else "float32",
            "start": start,
            "bits": hexadecimal(found),
        }
        for kind in "zsuw"
        for draw in (0, 1, 2)
        for wide in (False, True)
        for start in STARTS
        for found in [theirs.drawn(kind, SEED, NAME, draw, start, COUNT, wide)]
    ]


def values() -> list[dict[str, object]]:
    """Each function as each dtype."""
    return [
        {
            "function": function,
            "numbers": numbers,
            "dtype": dtype,
            "start": start,
            "bits": hexadecimal(theirs.values(function, numbers, SEED, NAME, start, COUNT, dtype)),
        }
        for function, numbers in LAWS.items()
        for dtype in ref.DTYPES
        for start in STARTS
    ]


def files() -> dict[str, str]:
    head = {"stream_version": 1, "seed": SEED, "name": NAME}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, rows in {"draws": draws(), "values": values()}.items():
        body = ",\n".join(f"  {json.dumps(row)}" for row in rows)
        lines.append(f' "{key}": [\n{body}\n ]')
    return {"draws.json": "{\n" + ",\n".join(lines) + "\n}\n"}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="ascii")
