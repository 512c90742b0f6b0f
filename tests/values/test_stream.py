# SPDX-License-Identifier: MIT
"""Words: known answers, names and seeds, the far end of the stream, and another implementation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference as ref

import fastinit as fi

DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "streams.json").read_text(encoding="ascii"))


def known_answers():
    lines = (DATA / "philox4x32_kat.txt").read_text(encoding="ascii").splitlines()
    for line in lines:
        if not line.startswith("#"):
            numbers = [int(word, 16) for word in line.split()[2:]]
            yield tuple(numbers[:4]), tuple(numbers[4:6]), tuple(numbers[6:])


@pytest.mark.parametrize(("counter", "key", "answer"), list(known_answers()))
def test_philox_gives_random123s_known_answers(counter, key, answer):
    assert fi.philox4x32(counter, key) == answer
    columns = ref.philox4x32([np.array([word]) for word in counter], key)
    assert tuple(int(column[0]) for column in columns) == answer


def test_the_committed_vectors_are_what_the_reference_makes():
    program = (
        f"import runpy; print(runpy.run_path({str(DATA / 'make_vectors.py')!r})['text'](), end='')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert run.stdout == (DATA / "streams.json").read_bytes()


@pytest.mark.parametrize("vector", VECTORS["words"], ids=lambda v: f"{v['seed']:x}-{v['start']:x}")
def test_words_are_the_golden_words(isa, vector):
    words = fi.stream(vector["seed"], vector["name"]).words(vector["start"], 13)
    assert " ".join(f"{word:08x}" for word in words) == vector["words"]


@pytest.mark.parametrize("vector", VECTORS["subsequences"], ids=lambda v: ascii(v["name"]))
def test_a_name_stands_for_its_golden_subsequence(vector):
    assert fi.stream(0, vector["name"]).subsequence == int(vector["subsequence"], 16)


def test_the_page_prints_the_subsequence_of_its_example():
    assert fi.stream(0, "wte.weight").subsequence == 0xCD775D0220B71919
    assert "0xcd775d0220b71919" in ref.PAGE


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025])
@pytest.mark.parametrize(
    "start", [0, 1, 3, 2**32 - 65, 2**34 - 515, 2**34 - 64, 2**63, 2**64 - 2048]
)
def test_words_are_the_references_words(isa, start, count):
    words = fi.stream(2**63 + 9, "w").words(start, count)
    np.testing.assert_array_equal(words, ref.words(2**63 + 9, "w", start, count))


@pytest.mark.parametrize("count", [1, 2, 5, 300])
def test_the_last_words_of_the_stream_can_be_had(isa, count):
    words = fi.stream(0, "w").words(2**64 - count, count)
    np.testing.assert_array_equal(words, ref.words(0, "w", 2**64 - count, count))


def test_no_words_lie_beyond_the_last():
    assert fi.stream(0, "w").words(2**64 - 1, 0).size == 0
    with pytest.raises(ValueError, match=r"words \d+ to \d+ exceed the stream's 2\*\*64"):
        fi.stream(0, "w").words(2**64 - 4, 5)


@pytest.mark.parametrize("seed", [-1, 2**64, -(2**70)])
def test_a_seed_out_of_range_is_an_error(seed):
    with pytest.raises(ValueError, match=rf"^seed is {seed}: need 0 <= seed < 2\*\*64$"):
        fi.stream(seed, "w")


@pytest.mark.parametrize("seed", [1.0, "1", None, True, np.True_, [1]])
def test_a_seed_that_is_no_integer_is_an_error(seed):
    with pytest.raises(TypeError, match=r"^seed is .*: need an integer, such as seed=0$"):
        fi.stream(seed, "w")


def test_a_numpy_integer_is_a_seed():
    assert fi.stream(np.uint64(2**64 - 1), "w") == fi.stream(2**64 - 1, "w")


@pytest.mark.parametrize("name", [None, 1, b"w", ["w"], np.bytes_(b"w")])
def test_a_name_that_is_no_string_is_an_error(name):
    with pytest.raises(TypeError, match=r"^name is .*: need a string"):
        fi.stream(0, name)


def test_a_name_without_utf8_is_an_error():
    with pytest.raises(ValueError, match="holds a lone surrogate: it has no UTF-8 form"):
        fi.stream(0, "w\ud800")


def test_names_are_not_normalised():
    assert fi.stream(0, "é").subsequence != fi.stream(0, "e\u0301").subsequence


@pytest.mark.parametrize(
    ("counter", "key", "error", "message"),
    [
        ((0, 0, 0), (0, 0), ValueError, "counter has 3 and key 2 words: Philox4x32 takes 4 and 2"),
        ((0, 0, 0, 0), (0,), ValueError, "counter has 4 and key 1 words: Philox4x32 takes 4 and 2"),
        ((0, 2**32, 0, 0), (0, 0), ValueError, "counter is 4294967296: need 0 <= counter < 2**32"),
        ((0, 0, 0, 0), (0, -1), ValueError, "key is -1: need 0 <= key < 2**32"),
        ((0, 0, 0.5, 0), (0, 0), TypeError, "counter is 0.5: need an integer, such as counter=0"),
    ],
)
def test_a_block_needs_four_counter_words_and_two_key_words(counter, key, error, message):
    with pytest.raises(error) as raised:
        fi.philox4x32(counter, key)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("start", "count", "message"),
    [
        (-1, 1, "start is -1: need 0 <= start < 2**64"),
        (2**64, 0, f"start is {2**64}: need 0 <= start < 2**64"),
        (0, -1, "count is -1: need 0 <= count < 2**63"),
    ],
)
def test_words_outside_the_stream_are_an_error(start, count, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        fi.stream(0, "w").words(start, count)
    assert str(raised.value) == message


@pytest.fixture
def jax():
    jax = pytest.importorskip("jax")
    try:
        jax.random.key(0, impl="philox4x32")
    except ValueError:
        pytest.skip("jax: this version has no philox4x32 implementation")
    return jax


@pytest.mark.frameworks
def test_jaxs_philox_gives_the_same_blocks(jax):
    """JAX's block function, called with all four counter words, is ours."""
    block = pytest.importorskip("jax._src.random.philox4x32").philox4x32_p.bind
    counters = ref.words(7, "counters", 0, 4 * 500).reshape(4, 500)
    key = [0x89ABCDEF, 0x01234567]
    theirs = block(*(np.full(500, k, np.uint32) for k in key), *counters)
    ours = [fi.philox4x32(counter, key) for counter in counters.T.tolist()]
    np.testing.assert_array_equal(np.stack(theirs, axis=1), ours)


@pytest.mark.frameworks
def test_jaxs_random_bits_are_our_blocks_folded(jax):
    """jax.random.bits numbers its blocks with the upper half first and xors their four words:
    the same blocks at other places, so another stream."""
    key = jax.random.wrap_key_data(np.array([3, 5], np.uint32), impl="philox4x32")
    theirs = np.asarray(jax.random.bits(key, (100,), np.uint32))
    blocks = np.array([fi.philox4x32((0, b, 0, 0), (3, 5)) for b in range(100)], np.uint32)
    np.testing.assert_array_equal(theirs, np.bitwise_xor.reduce(blocks, axis=1))
