"""Makes streams.json from the reference alone: words, subsequences and values, bits in hex.

    python tests/data/make_vectors.py

Numbers that are parameters are strings, as Python's float() reads them ("inf" is one).
"""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import reference as ref  # noqa: E402

INFINITY = float("inf")
SEEDS = [0, 1, 2**32 - 1, 2**32, 0x0123456789ABCDEF, 2**64 - 1]
NAMES = ["", "wte.weight", "model.layers.0.mlp.up_proj.weight", "größe", "重み/🎲", "a\x00b\n"]
STARTS = [0, 1, 2, 2**32 - 1, 2**33 + 5, 2**34 - 3, 2**40 + 7, 2**62]
COUNT = 13

DISTRIBUTIONS: list[ref.Distribution] = [
    ref.Uniform(-1.0, 1.0),
    ref.Uniform(0.1, 0.7),
    ref.Uniform(1.0, 1.0 + 1e-6),
    ref.Normal(1.0, 0.0),
    ref.Normal(0.02, 0.0),
    ref.Normal(0.02, -3.0),
    ref.Clipped(0.02, 0.0, -2.0, 2.0),
    ref.Clipped(1.0, 0.5, -INFINITY, 0.5),
    ref.Clipped(1.0, 0.0, -3.0, 1.0, corrected=True),
    ref.Truncated(0.02, 0.0, -2.0, 2.0),
    ref.Truncated(0.02, 0.0, -2.0, 2.0, corrected=True),
    ref.Truncated(1.0, 0.0, -INFINITY, INFINITY),
    ref.Truncated(1.0, 0.25, -1.0, 3.0),
    ref.Truncated(1.0, 0.0, -3.0, 0.1, corrected=True),
    ref.Truncated(1.0, 0.0, -0.5, INFINITY),
    ref.Truncated(1.0, 0.0, 0.0, 1.0),
    ref.Truncated(1.0, 0.0, 3.0, 5.0),
    ref.Truncated(1.0, 0.0, 6.0, 8.0),
    ref.Truncated(1.0, 0.0, -8.0, -6.0),
    ref.Truncated(1.0, 0.0, 6.0, INFINITY),
    ref.Truncated(0.1, 0.0, -INFINITY, -9.0, corrected=True),
    ref.Truncated(1.0, 0.0, 12.0, 13.5),
    ref.Constant(0.1),
    ref.Constant(-0.0),
]


def distribution_json(distribution: ref.Distribution) -> dict[str, Any]:
    numbers = {
        name: number if isinstance(number, bool) else repr(float(number))
        for name, number in asdict(distribution).items()
    }
    return {"kind": type(distribution).__name__, **numbers}


def hexadecimal(values: ref.Array) -> str:
    width = 2 * values.itemsize
    return " ".join(f"{int(v):0{width}x}" for v in values.view(f"u{values.itemsize}"))


def word_vectors() -> list[dict[str, Any]]:
    return [
        {
            "seed": seed,
            "name": name,
            "start": start,
            "words": hexadecimal(ref.words(seed, name, start, COUNT)),
        }
        for number, (seed, name) in enumerate(itertools.product(SEEDS, NAMES))
        for start in STARTS[number % 4 :: 4]
    ]


def value_vectors() -> list[dict[str, Any]]:
    streams = itertools.cycle(
        (SEEDS[n % 6], NAMES[(n + n // 6) % 6], STARTS[n % 8]) for n in range(144)
    )
    found = []
    for distribution in DISTRIBUTIONS:
        for dtype in ref.DTYPES:
            for seed, name, start in itertools.islice(streams, 3):
                values = ref.values(seed, name, distribution, start, COUNT, dtype)
                found.append(
                    {
                        "seed": seed,
                        "name": name,
                        "start": start,
                        "dtype": dtype,
                        "distribution": distribution_json(distribution),
                        "values": hexadecimal(values),
                    }
                )
    return found


def text() -> str:
    """The whole file, one vector a line."""
    sections = {
        "subsequences": [{"name": n, "subsequence": f"{ref.subsequence(n):016x}"} for n in NAMES],
        "words": word_vectors(),
        "values": value_vectors(),
    }
    parts = []
    for title, rows in sections.items():
        lines = ",\n".join("  " + json.dumps(row, ensure_ascii=True) for row in rows)
        parts.append(f' "{title}": [\n{lines}\n ]')
    return '{\n "stream_version": 1,\n' + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    (HERE / "streams.json").write_text(text(), encoding="ascii")
