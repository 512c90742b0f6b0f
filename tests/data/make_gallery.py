# SPDX-License-Identifier: MIT
"""Makes gallery.json from the reference alone: values of the gallery, in hex, and digests of many.

python tests/data/make_gallery.py
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import reference as ref  # noqa: E402
from reference_gallery import values  # noqa: E402

SEED, NAME = 2**63 + 7, "h.0.attn.weight"
SHAPE = (2**20, 3, 70, 211)
STARTS = (0, 2**34 - 5)
COUNT, MANY = 9, 2**15 + 77
LAWS: dict[str, list[dict[str, float]]] = {
    "laplace": [{}, {"scale": 0.02}],
    "logistic": [{}, {"scale": 0.02}],
    "student_t": [{}, {"nu": 1.0}, {"nu": 3.5, "scale": 0.02}, {"nu": 1e9}],
    "exponential": [{}, {"scale": 0.3}],
    "lognormal": [{}, {"mu": -3.0, "sigma": 0.7}],
    "kumaraswamy": [{}, {"a": 0.5, "b": 0.5}, {"a": 2.0, "b": 5.0}],
    "normal_mixture": [
        {},
        {"std": 0.02, "std2": 0.1, "share2": 0.3, "std3": 0.5, "share3": 0.05},
    ],
    "spike_and_slab": [{}, {"std": 0.02, "spike": 0.001, "share": 0.1}],
    "ternary": [{}, {"scale": 0.016, "threshold": 0.7}],
    "sign": [{}, {"scale": 0.016}],
    "quantised_uniform": [{}, {"low": -0.1, "high": 0.3, "levels": 255.0}],
    "von_mises": [{}, {"kappa": 0.0}, {"kappa": 0.3}, {"kappa": 40.0}, {"kappa": 1e4}],
    "block_mask": [{}, {"rows": 4.0, "columns": 7.0, "density": 0.25, "scale": 2.0}],
    "block_normal": [{}, {"rows": 16.0, "columns": 1.0, "density": 0.7, "std": 0.02}],
}


def hexadecimal(found: ref.Array) -> str:
    width = 2 * found.itemsize
    return " ".join(f"{int(v):0{width}x}" for v in found.view(f"u{found.itemsize}"))


def rows() -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for function, several in LAWS.items():
        for numbers in several:
            for dtype in ref.DTYPES:
                row: dict[str, object] = {"function": function, "numbers": numbers, "dtype": dtype}
                for start in STARTS:
                    few = values(function, numbers, SEED, NAME, SHAPE, start, COUNT, dtype)
                    row[f"from {start}"] = hexadecimal(few)
                many = values(function, numbers, SEED, NAME, SHAPE, 0, MANY, dtype)
                row["sha256"] = hashlib.sha256(many.tobytes()).hexdigest()
                found.append(row)
    return found


def files() -> dict[str, str]:
    head = {"stream_version": 1, "seed": SEED, "name": NAME, "shape": SHAPE, "many": MANY}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    body = ",\n".join(f"  {json.dumps(row)}" for row in rows())
    lines.append(f' "rows": [\n{body}\n ]')
    return {"gallery.json": "{\n" + ",\n".join(lines) + "\n}\n"}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="ascii")
