# SPDX-License-Identifier: MIT
"""The sweep: the normal of all 2^32 words, against another quantile function and between ISAs."""

from __future__ import annotations

import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference as ref
from scipy.special import ndtri
from twins import EXTREME_WORDS, bits, library_map

SIGN = np.uint32(2**31)
PIECE = 2**22
"""Words in one task: its arrays stay in the cache."""

ALL_NORMALS = "20291eecbb729459"
"""What `checksum` makes of the float32 normals, std 1, of the words 0 to 2^32 - 1 in order."""


def normals(words):
    return library_map(words, ref.Normal(), "float32")


def worst_error(words, z):
    """The largest |error| over its bound max(3e-7, 3 x 2^-24 |z|); for words with S = 0."""
    exact = -ndtri((words.astype(np.float64) + 0.5) * 2.0**-32)
    return np.max(np.abs(z - exact) / np.maximum(3e-7, 3 * 2.0**-24 * exact))


def swept(first):
    """(error, least |z|, greatest |z|) of a piece of the words with S = 0, once it proves odd."""
    words = np.arange(first, first + PIECE, dtype=np.uint32)
    z = normals(words)
    np.testing.assert_array_equal(bits(normals(words | SIGN)), bits(z) | SIGN)
    return worst_error(words, z), z.min(), z.max()


def checksum(first):
    return zlib.crc32(normals(np.arange(first, first + PIECE, dtype=np.uint64).astype(np.uint32)))


def over_pieces(work, stop):
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(work, range(0, stop, PIECE))


def test_every_4099th_normal_is_the_quantile_of_its_word(isa):
    every = np.arange(0, 2**31, 4099, dtype=np.uint32)
    words = np.concatenate([every, EXTREME_WORDS[EXTREME_WORDS < SIGN]])
    z = normals(words)
    assert worst_error(words, z) <= 1.0
    assert z.min() > 0.0
    np.testing.assert_array_equal(bits(normals(words | SIGN)), bits(z) | SIGN)


@pytest.mark.long
def test_every_normal_is_the_quantile_of_its_word():
    """Two minutes. The page's claims: odd, none zero, the range of |z| and the error's bound."""
    errors, least, greatest = zip(*over_pieces(swept, 2**31), strict=True)
    print(max(errors), min(least), max(greatest))
    assert len(errors) * PIECE == 2**31
    assert max(errors) <= 1.0
    assert f"{min(least):.1e}" == "1.6e-08"
    assert f"{max(greatest):.4f}" == "6.3380"


@pytest.mark.slow
def test_every_normal_has_the_golden_bits(isa, request):
    if isa == "scalar" and not request.config.getoption("--long"):
        pytest.skip("long: run with --long")
    digest = hashlib.blake2b(digest_size=8)
    for crc in over_pieces(checksum, 2**32):
        digest.update(crc.to_bytes(4, "little"))
    assert digest.hexdigest() == ALL_NORMALS
