# SPDX-License-Identifier: MIT
"""Makes edges.json and exact.json from the reference alone: what a second implementation may miss.

    python tests/data/make_edges.py

Numbers that are parameters are strings, as Python's float() reads them ("inf" is one).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy as np  # noqa: E402
import reference as ref  # noqa: E402
import reference_exact as exact  # noqa: E402
from make_vectors import distribution_json, hexadecimal  # noqa: E402

INFINITY = float("inf")
ALL = tuple(ref.DTYPES)
FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
TINY = 1e-50
"""0 in every dtype but float64."""

NAMES = ["é", "e\u0301", "w", " w", "w ", "W", "w\n", "\ufeffw", "\U0001f3b2", "\u017f", "s"]
INVALID_NAMES = ["\ud800", "w\udfff", "\udfb2\ud83c"]

WORDS = [0, 1, 2**23, 2**24, 2**24 + 1, 2**24 + 3, 2**30, 2**31 - 65, 2**31 - 1]
"""Each with its top bit off and on: both ends, the middle, and ties of f32(t)."""

LONG_WORDS = [
    *(0, 1, 2**32, 2**52 + 1, 2**53, 2**53 + 1, 2**53 + 3, 2**54 + 2, 2**54 + 6),
    *(2**61 + 2**8, 2**62, 2**63 - 2**10 - 2**9, 2**63 - 1025, 2**63 - 513, 2**63 - 512, 2**63 - 1),
]
"""The same for float64: ties of f64(t)."""

EDGES: list[tuple[str, ref.Distribution, Iterable[str]]] = [
    ("L = H, which rounds to -0", ref.Uniform(-TINY, -TINY), ALL),
    ("L = H, which rounds to +0", ref.Uniform(TINY, TINY), ALL),
    ("L = H, which rounds to -0", ref.Clipped(0.0, -TINY, -1.0, 2.0), ALL),
    ("L = H, which rounds to -0", ref.Truncated(0.0, -TINY, -1.0, 2.0), ALL),
    ("L' and H' are +0", ref.Uniform(-TINY, TINY), ALL),
    ("H' is +0", ref.Uniform(-TINY, 0.0), ALL),
    ("f32(mean) is -0, and so are half of the values", ref.Normal(0.0, -TINY), ALL),
    ("values round to zeros of either sign", ref.Normal(1.5e-45), ALL),
    ("values round to zeros of either sign", ref.Truncated(1e-8, 0.0, -1.0, 2.0), ALL),
    ("-0 as a parameter is 0", ref.Uniform(-0.0, -0.0), ALL),
    ("L = H, rounded up or down", ref.Uniform(0.1, 0.1), ALL),
    ("L = H, rounded down to the largest", ref.Uniform(464.0, 464.0), ("float8_e4m3fn",)),
    ("L = H, rounded down to the largest", ref.Uniform(61439.0, 61439.0), ("float8_e5m2",)),
    ("L = H, rounded down to the largest", ref.Uniform(65519.0, 65519.0), ("float16",)),
    ("H beyond the largest", ref.Uniform(400.0, 460.0), FLOAT8),
    ("L beyond the lowest", ref.Uniform(-1e300, 1.0), FLOAT8),
    ("f32(std) infinite", ref.Uniform(-1e39, 1e39), FLOAT8),
    ("infinity - infinity", ref.Clipped(1e39, -1e39, -2.0, 2.0), FLOAT8),
    ("infinity - infinity", ref.Truncated(1e39, 1e39, -2.0, 2.5), FLOAT8),
    ("float8 saturates", ref.Normal(1e5), FLOAT8),
    ("rounded twice", ref.Constant(1.0 + 2.0**-11 + 2.0**-30), ALL),
    ("rounds to -0", ref.Constant(-TINY), ALL),
    ("rounds to -0", ref.Constant(-(2.0**-150)), ALL),
    ("-0 as a parameter is 0", ref.Constant(-0.0), ALL),
    ("rounded down to the largest", ref.Constant(464.0), ("float8_e4m3fn",)),
    ("rounded down to the largest", ref.Constant(-65519.0), ("float16", "bfloat16")),
    ("ties of t", ref.Normal(), ALL),
    ("ties of t", ref.Uniform(-1.0, 1.0), ALL),
    ("denormal steps", ref.Uniform(0.0, 1e-44), ALL),
    ("denormal steps", ref.Uniform(-5e-324, 5e-324), ALL),
    ("case (a)", ref.Truncated(1.0, 0.0, -0.7, 0.7), ALL),
    ("case (a), all of the mass", ref.Truncated(1.0, 0.0, -INFINITY, INFINITY), ALL),
    ("case (b)", ref.Truncated(1.0, 0.0, -0.3, 0.9), ALL),
    ("case (b), hardly any mass on one side", ref.Truncated(1.0, 0.0, -9.0, 1e-9), ALL),
    ("case (c), the nearer bound 0", ref.Truncated(1.0, 0.0, 0.0, 0.5), ALL),
    ("case (c), the nearer bound 0", ref.Truncated(1.0, 0.0, -0.5, 0.0), ALL),
    ("case (c), an octave shift", ref.Truncated(1.0, 0.0, 5.0, 5.5), ALL),
    ("case (c), an octave shift", ref.Truncated(1.0, 0.0, -5.5, -5.0), ALL),
    ("Q(b) is denormal", ref.Truncated(1.0, 0.0, 13.0, 38.0), ALL),
    ("Q(b) is 0", ref.Truncated(1.0, 0.0, -INFINITY, -13.0), ALL),
    ("corrected", ref.Truncated(1.0, 0.0, -1.5, 0.25, corrected=True), ALL),
    ("corrected", ref.Clipped(1.0, 0.0, -1.5, 0.25, corrected=True), ALL),
]

ERRORS: list[tuple[str, ref.Distribution, Iterable[str]]] = [
    ("L = H, rounded beyond the largest", ref.Uniform(465.0, 465.0), ("float8_e4m3fn",)),
    ("L = H, rounded beyond the largest", ref.Uniform(61440.0, 61440.0), ("float8_e5m2",)),
    ("L = H, rounded beyond by f32", ref.Uniform(65519.9999999, 65519.9999999), ("float16",)),
    ("L = H, infinite", ref.Clipped(1e308, 0.0, 5.0, 10.0), ALL),
    ("no number between", ref.Uniform(0.1, 0.1000001), ("float16", "bfloat16", *FLOAT8)),
    ("no number between", ref.Uniform(450.0, 460.0), FLOAT8),
    ("no number between", ref.Clipped(1e-60, -TINY, -1.0, 2.0), set(ALL) - {"float64"}),
    ("beyond the largest", ref.Constant(465.0), ("float8_e4m3fn",)),
    ("beyond the largest", ref.Constant(61440.0), ("float8_e5m2",)),
    ("beyond the largest by f32", ref.Constant(65519.9999999), ("float16",)),
    ("beyond the largest", ref.Constant(3.4028235677973366e38), ("float32", "bfloat16")),
]


def words_for(dtype: str) -> ref.Array:
    """The words of all elements of a vector."""
    if dtype == "float64":
        both = [word for t in LONG_WORDS for word in (t, t | 2**63)]
        return np.array([half for w in both for half in (w & ref.MASK, w >> 32)], np.uint32)
    return np.array([word for t in WORDS for word in (t, t | 2**31)], np.uint32)


def edge(why: str, distribution: ref.Distribution, dtype: str) -> dict[str, Any]:
    words = words_for(dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        values = ref.map_words(words, distribution, dtype)
    return {
        "why": why,
        "dtype": dtype,
        "distribution": distribution_json(distribution),
        "values": hexadecimal(values),
    }


def error(why: str, distribution: ref.Distribution, dtype: str) -> dict[str, Any]:
    try:
        edge(why, distribution, dtype)
    except ValueError:
        return {"why": why, "dtype": dtype, "distribution": distribution_json(distribution)}
    raise AssertionError(f"{distribution} has values in {dtype}")


def edges() -> dict[str, list[Any]]:
    """The sections of edges.json."""
    return {
        "names": [{"name": n, "subsequence": f"{ref.subsequence(n):016x}"} for n in NAMES],
        "invalid_names": [{"name": name} for name in INVALID_NAMES],
        "words": [
            {"dtypes": "float64", "words": hexadecimal(words_for("float64"))},
            {"dtypes": "all others", "words": hexadecimal(words_for("float32"))},
        ],
        "values": [edge(why, d, t) for why, d, dtypes in EDGES for t in ALL if t in dtypes],
        "errors": [error(why, d, t) for why, d, dtypes in ERRORS for t in ALL if t in dtypes],
    }


# ---- exact.json ---------------------------------------------------------------------------------

FEW = 1280


def float_bits(x: float) -> str:
    return hexadecimal(np.array([x]))


def _bounds(random: Random, count: int) -> list[tuple[float, float]]:
    """Pairs of bounds of every kind: either side, narrow, far, infinite."""
    found = [(-2.0, 2.0), (-INFINITY, INFINITY), (0.0, INFINITY), (-INFINITY, 0.0), (13.0, 38.5)]
    found += [(1.0, 1.0 + 2.0**-10), (-13.0, -13.0 + 2.0**-10), (-0.0, 5e-324 + 2.0**-10)]
    while len(found) < count:
        low = random.uniform(-13.5, 13.0)
        high = low + random.choice([2.0**-10, random.uniform(2.0**-10, 2), random.uniform(0, 20)])
        if low <= 13 and high >= -13 and high - low >= 2.0**-10:
            found.append((low, high))
    return found


def numbers() -> dict[str, list[Any]]:
    """The sections of exact.json."""
    random = Random(15)
    points = [0.0, 5e-324, 1e-300, 2.0**-54, 1.0, 8.0, 8.3, 13.0, 37.5, 38.4, 38.5, 38.6, 39.0]
    points += [random.uniform(0, 13) for _ in range(40)] + [
        random.uniform(13, 39) for _ in range(6)
    ]
    points += [-x for x in points if x]
    bounds = _bounds(random, 36)
    counts = [1, 2, 3, 6, 12, 24, 96, 1000, 2**53 + 1, 2**63 - 1]
    counts += [random.randrange(1, 2 ** random.randrange(2, 63)) for _ in range(20)]
    roots = [
        (random.choice(counts), k) for k in (2, 4, 6, 10, 14, 16, 22, 62, 1000) for _ in range(3)
    ]
    return {
        "Q": [{"x": repr(x), "Q": _tail(x)} for x in [*points, INFINITY, -INFINITY]],
        "Z": [{"low": repr(a), "high": repr(b), "Z": _mass(a, b)} for a, b in bounds],
        "v": [
            {
                "low": repr(a),
                "high": repr(b),
                "truncated": float_bits(exact.truncated_deviation(a, b)),
                "clipped": float_bits(exact.clipped_deviation(a, b)),
            }
            for a, b in bounds
        ],
        "ln": [{"n": n, "ln": float_bits(exact.logarithm(n))} for n in counts],
        "root": [{"x": x, "k": k, "root": float_bits(exact.root(x, k))} for x, k in roots],
    }


def _tail(x: float) -> str:
    return float_bits(exact.nearest(exact.tail(x, FEW), FEW))


def _mass(low: float, high: float) -> str:
    return float_bits(exact.nearest(exact.mass(low, high, FEW), FEW))


# ---- files --------------------------------------------------------------------------------------


def file_text(sections: dict[str, list[Any]]) -> str:
    """A whole file, one vector a line."""
    parts = []
    for title, rows in sections.items():
        lines = ",\n".join("  " + json.dumps(row, ensure_ascii=True) for row in rows)
        parts.append(f' "{title}": [\n{lines}\n ]')
    return '{\n "stream_version": 1,\n' + ",\n".join(parts) + "\n}\n"


def files() -> dict[str, str]:
    """The text of each file, by its name."""
    return {"edges.json": file_text(edges()), "exact.json": file_text(numbers())}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="ascii")
