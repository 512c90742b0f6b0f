# SPDX-License-Identifier: MIT
"""What the program `fills.c` is asked: each request in three forms.

As a line of its input, as the call of the package that does the same, and as the answer that the
reference gives.  Which requests are made is in test_cross.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import reference as ref
from twins import EXTREME_WORDS, extreme_pairs, reference_values, scheme_of

from fastinit.backends import _native, native
from fastinit.values import distributions

SEED = 2**63 + 12345
GUARD = 0xA5
NAME = "h.0.attn.bias"
PAIRS = extreme_pairs().reshape(-1, 2)
EXTREME_PAIRS = np.concatenate([PAIRS[:-975:29], PAIRS[-975:]]).reshape(-1)

SPEC: dict[str, object] = {
    "key": SEED,
    "subsequence": ref.subsequence(NAME),
    "shift": 0.0,
    "scale": 1.0,
    "low": 0.0,
    "high": 0.0,
    "base": (0.0, 0.0),
    "slope": (0.0, 0.0),
    "sign_and": 0,
    "sign_xor": 0,
    "octave": 0,
    "distribution": 0,
    "pattern": 0,
}
"""The fields of fi_spec in their order."""


def numbers_of(distribution: ref.Distribution, dtype: str) -> dict[str, object]:
    """Those fields, filled in."""
    drawn = scheme_of(distribution).distribution((8,))
    assert isinstance(drawn, distributions.Independent)
    fields = asdict(drawn.numbers(dtype))
    kind = native.KINDS.index(fields.pop("kind"))
    return {**SPEC, **fields, "distribution": kind}


def spec_of(distribution: ref.Distribution, dtype: str) -> _native.Spec:
    numbers = numbers_of(distribution, dtype)
    return _native.Spec(dtype=native.CODES[dtype], **numbers)  # type: ignore[arg-type]


def spec_text(distribution: ref.Distribution, dtype: str) -> str:
    """Those fields as the program reads them: floats in hexadecimal."""

    def text(value: object) -> str:
        if isinstance(value, tuple):
            return " ".join(map(text, value))
        return value.hex() if isinstance(value, float) else str(value)

    return " ".join(map(text, numbers_of(distribution, dtype).values()))


@dataclass(frozen=True)
class Fill:
    """Rows of `count` elements, `gap` elements apart in memory; axes of (rows, step)."""

    distribution: ref.Distribution
    dtype: str
    start: int
    count: int
    axes: tuple[tuple[int, int], ...] = ()
    gap: int = 0

    @property
    def item_size(self) -> int:
        return ref.DTYPES[self.dtype].itemsize

    def line(self) -> str:
        axes = [number for axis in self.axes for number in axis]
        where = [self.start, self.count, self.gap, len(self.axes), *axes]
        numbers = spec_text(self.distribution, self.dtype)
        return f"fill {native.CODES[self.dtype]} {' '.join(map(str, where))} {numbers}"

    def memory(self) -> tuple[ref.Array, ref.Array]:
        """Guard bytes, and the rows among them."""
        shape = (*(rows for rows, _ in self.axes), self.count + self.gap)
        whole = np.full((*shape, self.item_size), GUARD, np.uint8)
        whole = whole.view(ref.DTYPES[self.dtype]).reshape(shape)
        return whole.reshape(-1), whole[..., : self.count]

    def native(self) -> ref.Array:
        whole, rows = self.memory()
        spec, steps = spec_of(self.distribution, self.dtype), [step for _, step in self.axes]
        _native.fill_array(rows.view(f"u{self.item_size}"), spec, self.start, [*steps, 1])
        return whole

    def reference(self) -> ref.Array:
        whole, rows = self.memory()
        where = (SEED, NAME, self.distribution)
        numbers = self.start + np.arange(self.count, dtype=np.uint64)
        for count, step in reversed(self.axes):
            rest = (1,) * numbers.ndim
            numbers = (
                np.arange(count, dtype=np.uint64).reshape(count, *rest) * np.uint64(step) + numbers
            )
        rows[...] = reference_values(*where, numbers, self.dtype)
        return whole


@dataclass(frozen=True)
class Words:
    """Raw words."""

    start: int
    count: int
    item_size = 4

    def line(self) -> str:
        return f"words {self.start} {self.count} {SEED} {ref.subsequence(NAME)}"

    def native(self) -> ref.Array:
        out = np.empty(self.count, np.uint32)
        _native.words(out, self.start, SEED, ref.subsequence(NAME))
        return out

    def reference(self) -> ref.Array:
        return ref.words(SEED, NAME, self.start, self.count)


@dataclass(frozen=True)
class Map:
    """What extreme words stand for; they come with the request."""

    distribution: ref.Distribution
    dtype: str

    @property
    def item_size(self) -> int:
        return ref.DTYPES[self.dtype].itemsize

    @property
    def words(self) -> ref.Array:
        return EXTREME_PAIRS if self.dtype == "float64" else EXTREME_WORDS

    def line(self) -> str:
        given = f"given {len(self.words)} {' '.join(map(str, self.words.tolist()))}"
        return f"{given}\nmap {native.CODES[self.dtype]} {spec_text(self.distribution, self.dtype)}"

    def native(self) -> ref.Array:
        per_value = 2 if self.dtype == "float64" else 1
        out = np.empty(len(self.words) // per_value, ref.DTYPES[self.dtype])
        spec = spec_of(self.distribution, self.dtype)
        _native.map_words(out.view(np.uint8), spec, self.words)
        return out

    def reference(self) -> ref.Array:
        return ref.map_words(self.words, self.distribution, self.dtype)


Request = Fill | Words | Map
