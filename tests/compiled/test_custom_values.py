# SPDX-License-Identifier: MIT
"""Values of custom distributions: the reference's, on both backends, for any cut and memory."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

import custom_laws as laws  # noqa: E402 - only with Numba
import reference_draws as theirs  # noqa: E402
from fills import same  # noqa: E402
from twins import assert_same_bits, bits, words_for  # noqa: E402

import fastinit as fi  # noqa: E402
from fastinit.backends import selection  # noqa: E402
from fastinit.numerics.dtypes import DTYPES  # noqa: E402
from fastinit.values.custom import DRAW_TILE  # noqa: E402
from fastinit.values.draws import stream_of, type_of  # noqa: E402
from fastinit.values.stream import Stream  # noqa: E402

VECTORS = json.loads((Path(__file__).parents[1] / "data/draws.json").read_text("ascii"))
SEED, NAME = VECTORS["seed"], VECTORS["name"]
LAWS = {law.name.partition(":")[2]: law for law in laws.PORTABLE}


@pytest.fixture(params=["native", "numba"], autouse=True)
def backend(request):
    yield selection.select(request.param)
    selection.select()


def made(shape, law, dtype="float32", **options):
    return fi.array(shape, law, seed=SEED, name=NAME, dtype=dtype, **options)


# ---- the page's bits ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", "zsuw")
def test_draws_are_the_golden_draws(backend, kind):
    from fastinit.values.draws import sources

    rows = [row for row in VECTORS["draws"] if row["kind"] == kind]
    assert len(rows) == 12
    for row in rows:
        width = DTYPES[row["dtype"]]
        source = sources((kind,) * 3, width, backend)(Stream(SEED, NAME))[row["draw"]]
        out = np.empty(9, type_of(kind, width))
        source.fill(out, row["start"])
        digits = 2 * out.itemsize
        assert " ".join(f"{word:0{digits}x}" for word in bits(out).tolist()) == row["bits"]


def test_values_are_the_golden_values():
    assert {row["function"] for row in VECTORS["values"]} == set(LAWS) == set(theirs.FUNCTIONS)
    for row in VECTORS["values"]:
        region = range(row["start"], row["start"] + 9)
        found = made((2**40,), LAWS[row["function"]], row["dtype"], region=region)
        digits = 2 * found.itemsize
        assert " ".join(f"{word:0{digits}x}" for word in bits(found).tolist()) == row["bits"], row


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", LAWS)
def test_values_are_the_references_across_tiles(law, dtype):
    count = 2 * DRAW_TILE + 3
    start = 2**34 - DRAW_TILE - 1
    given = [value for _, value in LAWS[law].arguments]
    found = made((2**40,), LAWS[law], dtype, region=range(start, start + count))
    assert_same_bits(found, theirs.values(law, given, SEED, NAME, start, count, dtype))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", "zsuw")
def test_extreme_words_make_the_draws_of_the_page(kind, wide, monkeypatch):
    """Words of 0 and of all ones above all: u must stay inside (0, 1)."""
    from fastinit.values.draws import sources

    dtype = "float64" if wide else "float32"
    words = words_for(dtype)
    expected = theirs.of_words(kind, words, wide)
    if kind == "u":
        assert expected.min() > 0
        assert expected.max() < 1

    class Fixed:
        def words(self, out, start, stream):
            out[...] = words[start : start + out.size]

    if kind in "uw":
        source = sources((kind,), DTYPES[dtype], Fixed())(Stream(0, "w"))[0]
        out = np.empty(expected.size, type_of(kind, DTYPES[dtype]))
        source.fill(out, 0)
        np.testing.assert_array_equal(bits(out), bits(expected))


def test_draws_have_streams_of_their_own():
    own = Stream(3, "w")
    numbers = [stream_of(own, draw).subsequence for draw in range(12)]
    assert len(set(numbers)) == 12
    assert numbers == [theirs.subsequence("w", draw) for draw in range(12)]
    z, z2 = (theirs.drawn("z", 3, "w", draw, 0, 10**5, False) for draw in (0, 1))
    assert abs(np.corrcoef(z, z2)[0, 1]) < 0.02


# ---- parts of the whole -------------------------------------------------------------------------

REGIONS = {
    "a box": np.s_[17:211, 5:77],
    "two columns": np.s_[:, 3:5],
    "one column": np.s_[:, 700:701],
    "a row": np.s_[299:300, :],
    "nothing": np.s_[4:4, :],
    "steps": np.s_[3:250:7, 2:900:5],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", LAWS)
def test_any_part_is_the_slice_of_the_whole(law, dtype):
    whole = made((300, 1000), LAWS[law], dtype, threads=1)
    assert same(made((300, 1000), LAWS[law], dtype, threads=2), whole)
    for region in REGIONS.values():
        for threads in (1, 2):
            part = made((300, 1000), LAWS[law], dtype, region=region, threads=threads)
            assert same(part, whole[region])


@pytest.mark.parametrize("dtype", DTYPES)
def test_narrow_values_are_the_rounded_wide_ones(dtype):
    if dtype == "float64":
        return
    for law in laws.PORTABLE:
        wide = made((70_001,), law)
        assert same(made((70_001,), law, dtype), wide.astype(DTYPES[dtype].numpy))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", LAWS)
def test_memory_of_any_strides_is_filled_alike(law, dtype):
    kind = DTYPES[dtype].numpy
    whole = made((130, 70), LAWS[law], dtype)
    memory = np.zeros((70, 2, 130), kind)
    guard = memory[:, 1, :].copy()
    fi.fill(memory[:, 0, :].T, LAWS[law], seed=SEED, name=NAME)
    assert same(memory[:, 0, :].T, whole)
    assert same(memory[:, 1, :], guard)
    backwards = np.zeros((130, 140), kind)[::-1, ::-2]
    assert same(fi.fill(backwards, LAWS[law], seed=SEED, name=NAME), whole)
    plain = np.zeros(130 * 70 * kind.itemsize + 1, np.uint8)
    odd = plain[1:].view(kind).reshape(130, 70)
    assert odd.itemsize == 1 or not odd.flags.aligned
    assert same(fi.fill(odd, LAWS[law], seed=SEED, name=NAME), whole)


def test_many_threads_at_once_make_the_same_values():
    whole = made((2**18,), laws.laplace(scale=0.02))
    found = [None] * 4

    def work(n):
        found[n] = made((2**18,), laws.laplace(scale=0.02), threads=1)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(each, whole) for each in found)


def test_the_numbers_are_rounded_once_to_the_width():
    third = 1 / 3
    z = made((5,), "normal(std=1)")
    assert (made((5,), laws.scaled(std=third)) == z * np.float32(third)).all()
    wide = made((5,), laws.scaled(std=third), "float64")
    assert (wide == made((5,), "normal(std=1)", "float64") * third).all()


# ---- values that are refused --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_value_that_is_not_finite_is_refused(dtype):
    words = (
        r"^custom_laws:nowhere\(scale=2\.0\) gives element 0 a value that is not a finite "
        rf"{dtype} number, from the draws s = -?0\.\d+: take other"
    )
    out = np.zeros(10, DTYPES[dtype].numpy)
    with pytest.raises(ValueError, match=words):
        fi.fill(out, laws.nowhere(scale=2), seed=0, name="w")


def test_the_error_names_the_first_element_that_is_wrong():
    """In one dimension, and where rows are drawn together."""
    law = laws.reciprocal(scale=1e34)
    s = theirs.drawn("s", 1, "w", 0, 0, 200_000, False)
    bad = np.flatnonzero(np.abs(1e34 / s.astype(np.float64)) > 3.4028235e38)
    assert bad.size > 3
    with pytest.raises(ValueError, match=rf"gives element {bad[0]} a value .* s = {s[bad[0]]}: "):
        fi.array((200_000,), law, seed=1, name="w")
    column = bad[0] % 4
    with pytest.raises(ValueError, match=rf"gives element {bad[bad % 4 == column][0]} a value"):
        fi.array((50_000, 4), law, seed=1, name="w", region=np.s_[:, column : column + 1])


@pytest.mark.parametrize(
    ("dtype", "largest"), [("float16", 65504), ("bfloat16", 3.3895313892515355e38)]
)
def test_what_the_dtype_rounds_to_infinity_is_refused(dtype, largest):
    """`largest` itself, and what is rounded to it, are values; half a step further nothing is."""
    law, kind = laws.signs, DTYPES[dtype].numpy
    step = largest - float(np.nextafter(kind.type(largest), kind.type(0)))
    for size in (largest, largest + 0.49 * step):
        assert (abs(made((99,), law(size=size), dtype)).astype(np.float64) == largest).all()
    for size in (largest + 0.5 * step, largest + 0.6 * step):
        with pytest.raises(ValueError, match=f"not a finite {dtype} number"):
            made((99,), law(size=size), dtype)


def test_what_a_function_raises_names_it():
    words = r"^custom_laws:picky\(limit=0\.5\) raises KeyError\(.*\) at element 0 or a later"
    with pytest.raises(ValueError, match=words) as caught:
        made((99,), laws.picky(limit=0.5))
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_float8_saturates(dtype):
    values = made((99,), laws.signs(size=1e30), dtype).astype(np.float32)
    assert (abs(values) == DTYPES[dtype].largest).all()


def test_a_number_beyond_float32_is_refused_but_for_float64():
    law = laws.laplace(scale=1e300)
    words = r"^scale of custom_laws:laplace\(scale=1e\+300\) is .*, beyond float32's .* float64$"
    with pytest.raises(ValueError, match=words):
        made((9,), law)
    assert np.isfinite(made((9,), law, "float64")).all()
