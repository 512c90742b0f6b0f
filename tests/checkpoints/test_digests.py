# SPDX-License-Identifier: MIT
"""Digests against the definition, in plain Python: any cut, any order, any sizes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinit.checkpoints.digests import DIGEST_PAGE as PAGE
from fastinit.checkpoints.digests import Digest, digest_of

MASK = 2**64 - 1


def mixed(word):
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def by_definition(data, first=0):
    low = high = 0
    for start in range(0, len(data), PAGE):
        page = data[start : start + PAGE].ljust(PAGE, b"\0")
        number = first + start // PAGE
        total = sum(int.from_bytes(page[i : i + 8], "little") for i in range(0, PAGE, 8)) & MASK
        low += mixed((total + mixed(2 * number + 1)) & MASK)
        high += mixed((total + mixed(2 * number + 2)) & MASK)
    return f"{high & MASK:016x}{low & MASK:016x}"


def bytes_of(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 5 * PAGE + 13])
def test_a_digest_is_as_defined(size):
    data = bytes_of(size)
    assert digest_of(data, 0) == by_definition(data.tobytes())
    assert digest_of(data, 7 * PAGE) == by_definition(data.tobytes(), 7)


@given(size=st.integers(0, 4 * PAGE), cuts=st.lists(st.integers(0, 4 * PAGE)), data=st.data())
def test_bytes_may_be_added_in_any_parts_and_in_any_order(size, cuts, data):
    content = bytes_of(size)
    places = sorted({0, size, *(cut % (size + 1) for cut in cuts)})
    parts = list(pairwise(places))
    digest = Digest()
    for begin, end in data.draw(st.permutations(parts)):
        digest.add(content[begin:end], begin)
    assert digest.text() == by_definition(content.tobytes())


@given(pages=st.lists(st.integers(0, 5)), rest=st.integers(0, PAGE))
def test_digests_of_whole_pages_add_up(pages, rest):
    content = bytes_of(5 * PAGE + rest)
    places = sorted({0, content.size, *(page * PAGE for page in pages)})
    digest = Digest()
    for begin, end in pairwise(places):
        digest.merge(digest_of(content[begin:end], begin))
    assert digest.text() == by_definition(content.tobytes())


def test_a_bit_a_place_and_an_order_of_pages_make_a_difference():
    content = bytes_of(3 * PAGE)
    flipped, moved = content.copy(), np.roll(content, PAGE)
    flipped[PAGE + 5] ^= 4
    digests = {digest_of(content, 0), digest_of(content, PAGE), digest_of(flipped, 0)}
    assert len({*digests, digest_of(moved, 0)}) == 4
    assert digest_of(np.zeros(PAGE, np.uint8), 0) != digest_of(np.zeros(0, np.uint8), 0)
