# SPDX-License-Identifier: MIT
"""Values of the gallery: the reference's, frozen, on both backends, for any cut and any dtype."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

import reference_gallery as theirs  # noqa: E402 - only with Numba
from fills import same  # noqa: E402
from twins import assert_same_bits, bits  # noqa: E402

import fastinit as fi  # noqa: E402
import fastinit.numba as fn  # noqa: E402
from fastinit.backends import selection  # noqa: E402
from fastinit.numba import gallery  # noqa: E402
from fastinit.numerics.dtypes import DTYPES  # noqa: E402
from fastinit.schemes.sampling import sampler  # noqa: E402
from fastinit.values.stream import Stream  # noqa: E402

DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "gallery.json").read_text("ascii"))
SEED, NAME = VECTORS["seed"], VECTORS["name"]
STARTS = (0, 2**34 - 5)
LAWS = [
    *(getattr(gallery, name)() for name in gallery.__all__),
    gallery.block_mask(rows=5, columns=3, density=0.3),
    gallery.block_normal(rows=1, columns=64),
    gallery.von_mises(kappa=100),
]


@pytest.fixture(params=["native", "numba"])
def backend(request):
    yield selection.select(request.param)
    selection.select()


def drawn(law, shape, start, count, dtype):
    kind = DTYPES[dtype]
    out = np.zeros(count, kind.words)
    sampler(law, shape, Stream(SEED, NAME), kind).draw(out.view(np.uint8), start)
    return out


# ---- the page's bits ----------------------------------------------------------------------------


def test_the_vectors_have_every_function_and_dtype():
    rows = {(row["function"], row["dtype"]) for row in VECTORS["rows"]}
    assert rows == {(name, dtype) for name in gallery.__all__ for dtype in DTYPES}
    assert theirs.ENTRIES.keys() == set(gallery.__all__)


@pytest.mark.parametrize("name", gallery.__all__)
def test_values_are_the_golden_values(backend, name):
    for row in VECTORS["rows"]:
        if row["function"] != name:
            continue
        law = getattr(gallery, name)(**row["numbers"])
        for start in STARTS:
            found = drawn(law, tuple(VECTORS["shape"]), start, 9, row["dtype"])
            digits = 2 * found.itemsize
            text = " ".join(f"{word:0{digits}x}" for word in found.tolist())
            assert text == row[f"from {start}"], row
        many = drawn(law, tuple(VECTORS["shape"]), 0, VECTORS["many"], row["dtype"])
        assert hashlib.sha256(many.tobytes()).hexdigest() == row["sha256"], row


@pytest.mark.parametrize("name", gallery.__all__)
def test_values_have_the_same_bits_on_every_machine(name):
    law = getattr(gallery, name)
    assert law.not_portable_because == ()
    assert law.portable


@pytest.mark.parametrize("shape", [(), (7,), (5000,), (3, 2500), (6, 50), (2, 3, 9, 11)])
@pytest.mark.parametrize("law", [law for law in LAWS if law.function.shared], ids=str)
def test_shared_draws_are_those_of_the_blocks_of_the_page(law, shape):
    name = law.name.partition(":")[2]
    count = int(np.prod(shape))
    for first, some in [(0, count), (count // 3, count - count // 3), (count // 2, 1)]:
        if some:
            found = drawn(law, shape, first, min(some, count - first), "float32")
            expected = theirs.values(
                name, dict(law.arguments), SEED, NAME, shape, first, found.size, "float32"
            )
            np.testing.assert_array_equal(found, bits(expected))


# ---- parts of the whole, dtypes, memory ---------------------------------------------------------

SHAPE = (130, 2100)
REGIONS = {
    "a box": np.s_[17:111, 5:77],
    "a column": np.s_[:, 700:701],
    "a row": np.s_[99:100, :],
    "nothing": np.s_[4:4, :],
    "steps": np.s_[3:120:7, 2:2000:5],
}


def made(law, dtype="float32", shape=SHAPE, **options):
    return fi.array(shape, law, seed=3, name="w", dtype=dtype, **options)


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("shape", [SHAPE, (2, 130, 90)], ids=str)
def test_any_part_is_the_slice_of_the_whole(backend, law, shape):
    for dtype in ("float32", "bfloat16", "float64"):
        whole = made(law, dtype, shape, threads=1)
        assert same(made(law, dtype, shape, threads=2), whole)
        for region in REGIONS.values():
            index = region if len(shape) == 2 else (1, region[0], np.s_[3:61])
            index = index if len(shape) == 2 else np.s_[1:2, 3:100, 3:61]
            assert same(made(law, dtype, shape, region=index, threads=2), whole[index])


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_shards_are_the_whole(law):
    """Rows on 3 machines, columns on 4, as ranks of a mesh make them."""
    whole = made(law)
    rows = [made(law, region=np.s_[a:b, :]) for a, b in ((0, 50), (50, 77), (77, 130))]
    assert same(np.concatenate(rows), whole)
    columns = [made(law, region=np.s_[:, a : a + 525]) for a in range(0, 2100, 525)]
    assert same(np.concatenate(columns, axis=1), whole)


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_narrow_values_are_the_rounded_wide_ones(law):
    wide = made(law)
    for dtype, kind in DTYPES.items():
        if dtype != "float64":
            with np.errstate(over="ignore"):
                expected = wide if dtype == "float32" else wide.clip(-kind.largest, kind.largest)
            assert same(made(law, dtype), expected.astype(kind.numpy))


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_memory_of_any_strides_is_filled_alike(law):
    whole = made(law)
    memory = np.zeros((2100, 2, 130), np.float32)
    fi.fill(memory[:, 1, :].T, law, seed=3, name="w")
    assert same(memory[:, 1, :].T, whole)
    assert not memory[:, 0].any()


def test_in_parts_blocks_begin_at_the_region():
    mask = gallery.block_mask(rows=4, columns=4)
    scheme = fi.schemes.parts(fi.zeros(), "2:10, 3:11", mask)
    found = fi.array((12, 12), scheme, seed=3, name="w")
    assert same(
        np.ascontiguousarray(found[2:10, 3:11]),
        fi.array((8, 8), mask, seed=3, name="w[2:10,3:11]"),
    )


def test_in_slices_blocks_are_those_of_the_whole():
    mask = gallery.block_mask(rows=4, columns=4)
    whole = fi.array((12, 12), mask, seed=3, name="w")
    for region, shape in (("2:10, 3:11", (8, 8)), ("1::3, ::2", (4, 6)), (":, 7", (12,))):
        scheme = fi.schemes.slice_of("w", (12, 12), region, mask)
        expected = eval(f"whole[{region}]", {"whole": whole})
        assert same(fi.array(shape, scheme, seed=3, name="v"), np.ascontiguousarray(expected))


def test_what_maps_elements_takes_no_shared_draws():
    with pytest.raises(ValueError, match=r"^mapped "):
        fi.array((4, 4), fi.schemes.mapped(gallery.block_mask(), "x"), seed=0, name="w")


# ---- relations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ternary_and_sign_quantise_the_normal_of_the_stream(dtype):
    w = fi.array((400, 500), fi.normal(std=1), seed=3, name="w", dtype=dtype)
    gamma = np.sqrt(2 / np.pi)
    ternary = made(gallery.ternary(), dtype, (400, 500))
    away = np.abs(np.abs(w) / gamma - 0.5) > 1e-6
    assert (ternary == np.clip(np.rint(w / gamma), -1, 1))[away].all()
    assert (made(gallery.sign(), dtype, (400, 500)) == np.sign(w)).all()


def test_a_kept_block_holds_the_normal_and_blocks_are_kept_whole():
    law = gallery.block_normal(rows=10, columns=25, density=0.3, std=0.5)
    w = made(law, shape=(400, 500))
    dense = fi.array((400, 500), fi.normal(std=0.5), seed=3, name="w")
    kept = (w != 0).reshape(40, 10, 20, 25).swapaxes(1, 2).reshape(800, 250)
    assert (kept.all(axis=1) | ~kept.any(axis=1)).all()
    assert abs(kept[:, 0].mean() - 0.3) < 5 * (0.21 / 800) ** 0.5
    assert (w == np.where(w != 0, dense, 0)).all()


def test_zeros_are_positive():
    for law in (gallery.spike_and_slab(), gallery.block_normal(), gallery.ternary()):
        w = made(law)
        assert (w == 0).any()
        assert not np.signbit(w[w == 0]).any()


# ---- texts, pickles, sources --------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_a_text_and_a_pickle_name_it_without_trust(law):
    assert str(law).startswith("fastinit.numba.gallery:")
    assert fi.scheme(str(law)) == law
    assert pickle.loads(pickle.dumps(law)) == law
    assert same(made(str(law), shape=(9, 9)), made(law, shape=(9, 9)))


def test_a_plan_and_its_checkpoint_take_it_without_trust(tmp_path):
    (tmp_path / "plan.toml").write_text(
        "[[tensor]]\nname = 'w'\nshape = [64, 48]\n"
        "init = 'fastinit.numba.gallery:laplace(scale=0.02)'\n"
        "[[tensor]]\nname = 'mask'\nshape = [64, 48]\n"
        "init = 'fastinit.numba.gallery:block_mask(rows=8, columns=8)'\n"
    )
    fi.write(str(tmp_path / "plan.toml"), tmp_path / "out", seed=3)
    fi.verify(tmp_path / "out")
    found = np.array(fi.open(tmp_path / "out")["w"])
    assert same(found, made(gallery.laplace(scale=0.02), shape=(64, 48)))


def test_a_name_that_it_lacks_is_an_error():
    with pytest.raises(ValueError, match=r"fastinit\.numba\.gallery has no distribution 'laplac'"):
        fi.scheme("fastinit.numba.gallery:laplac(scale=1)")


SOURCES = DATA / "gallery_sources.json"


def test_sources_are_those_that_were_released():
    """A changed source may change values, and no recipe has its digest.

    If values are the same, which the golden values above show, write the digests anew:
    python tests/data/make_gallery_sources.py
    """
    frozen = json.loads(SOURCES.read_text("ascii"))
    assert frozen == {name: getattr(gallery, name).digest for name in gallery.__all__}


def test_every_function_has_a_page_of_help():
    for name in gallery.__all__:
        text = inspect.getdoc(getattr(gallery, name))
        for part in (".. math::", "Args:", "Raises:", "Source:", ">>> "):
            assert part in text, (name, part)
    assert dir(gallery) == sorted(gallery.__all__)


# ---- numbers out of range -----------------------------------------------------------------------

MISTAKES = {
    "laplace": [({"scale": 0}, "scale is 0.0: need a finite number > 0")],
    "logistic": [({"scale": -1}, "scale is -1.0: need a finite number > 0")],
    "student_t": [
        ({"nu": 0}, "nu is 0.0: need a finite number > 0"),
        ({"scale": -2}, "scale is -2.0: need a finite number > 0"),
    ],
    "exponential": [({"scale": 0}, "scale is 0.0: need a finite number > 0")],
    "lognormal": [({"sigma": 0}, "sigma is 0.0: need a finite number > 0")],
    "kumaraswamy": [
        ({"a": 0}, "a is 0.0: need a finite number > 0"),
        ({"b": -1}, "b is -1.0: need a finite number > 0"),
    ],
    "normal_mixture": [
        ({"std": -1}, "std is -1.0: need a finite number >= 0"),
        ({"share2": 1.5}, "share2 is 1.5: need a number from 0 to 1"),
        ({"share3": -0.5}, "share3 is -0.5: need a number from 0 to 1"),
        ({"share3": 0.75}, "share2 + share3 is 1.25: need at most 1, the rest is that of std"),
    ],
    "spike_and_slab": [
        ({"spike": -1}, "spike is -1.0: need a finite number >= 0"),
        ({"share": 2}, "share is 2.0: need a number from 0 to 1"),
    ],
    "ternary": [
        ({"scale": 0}, "scale is 0.0: need a finite number > 0"),
        ({"threshold": -1}, "threshold is -1.0: need a finite number >= 0"),
    ],
    "sign": [({"scale": 0}, "scale is 0.0: need a finite number > 0")],
    "quantised_uniform": [
        ({"low": 1}, "low is 1.0 and high is 1.0: need low < high"),
        (
            {"low": -1.7e308, "high": 1.7e308},
            "low is -1.7e+308 and high is 1.7e+308: too far apart for float64",
        ),
        ({"levels": 1}, "levels is 1.0: need a whole number from 2 to 65536"),
        ({"levels": 2.5}, "levels is 2.5: need a whole number from 2 to 65536"),
    ],
    "von_mises": [
        ({"kappa": -1}, "kappa is -1.0: need a finite number >= 0"),
        ({"kappa": 1e6}, "kappa is 1000000.0: need at most 100000; beyond, take normal(std=0.001)"),
    ],
    "block_mask": [
        ({"density": 1.5}, "density is 1.5: need a number from 0 to 1"),
        ({"scale": 0}, "scale is 0.0: need a finite number > 0"),
        ({"rows": 0}, "rows is 0.0: the size of a block is a whole number, 1 <= size < 2**24"),
        ({"columns": 1.5}, "columns is 1.5: the size of a block is a whole number, 1"),
        ({"rows": 2**24}, "rows is 16777216.0: the size of a block is a whole number, 1"),
    ],
    "block_normal": [({"std": -1}, "std is -1.0: need a finite number >= 0")],
}


@pytest.mark.parametrize("name", gallery.__all__)
def test_a_number_out_of_its_range_is_an_error_that_says_the_range(name):
    for numbers, words in MISTAKES[name]:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words follow
            getattr(gallery, name)(**numbers)
        assert f"fastinit.numba.gallery:{name}: {words}" in str(caught.value)


def test_a_text_that_is_out_of_range_is_an_error_that_quotes_it():
    with pytest.raises(ValueError, match=r"^init 'fastinit.*scale is -1.0: need a finite number"):
        fi.scheme("fastinit.numba.gallery:laplace(scale=-1)")


def test_values_that_a_dtype_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="that is not a finite float16 number"):
        made(gallery.student_t(nu=0.5), "float16")


# ---- what the decorator takes -------------------------------------------------------------------


def test_mistakes_of_shared_and_derived_draws():
    def mask(u, rows=2.0, columns=2.0, more=0.0):
        return u + more

    for options, words in [
        ({"shared": {"z": ("rows", "columns")}}, "mask: shared has 'z': need one of its draws"),
        ({"shared": {"u": ("rows", "height")}}, "the block of u is .*: need the names of two"),
        ({"shared": {"u": "rows"}}, "the block of u is 'rows': need the names of two"),
        ({"shared": [("u", "rows")]}, r"^shared is \[.*: need a dict, such as \{\"u\": \("),
        ({"derived": None}, r"^derived is None: need a dict, such as \{\"bound\": function\}"),
        ({"derived": {"more": 3}}, "^derived has 3 for 'more': need a function of the numbers by"),
        ({"check": 3}, "^check is 3: need a function of the numbers by name"),
        ({"derived": {"less": abs}}, r"mask: derived has \['less'\]: these must be its last"),
    ]:
        with pytest.raises(TypeError, match=words):
            fn.distribution(**options)(mask)


def test_every_function_that_derives_a_number_counts_for_digest_and_audit():
    """Also where all have the name <lambda>, and the decorator is called, so no source has them."""

    def law(z, a=0.0, b=0.0):
        return z * a + b

    digests = set()
    for derived in (
        {"a": lambda: math.log(2.0), "b": lambda: 1.0},
        {"a": lambda: math.log(2.0), "b": lambda: 2.0},
        {"a": lambda: math.log(3.0), "b": lambda: 2.0},
    ):
        function = fn.distribution(derived=derived)(law)
        assert function.not_portable_because == ("log",)
        digests.add(function.digest)
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (math.inf, ValueError, "part of .*law is inf: need a finite number"),
        (math.nan, ValueError, "part of .*law is nan: need a finite number"),
        ("1", TypeError, "part of .*law is '1': need a number"),
    ],
)
def test_a_derived_number_has_to_be_one(value, error, words):
    @fn.distribution(derived={"part": lambda scale: value})
    def law(z, scale=1.0, part=0.0):
        return z * part

    with pytest.raises(error, match=words):
        made(law(scale=0.7), "float32")


def test_shared_draws_have_one_size_of_blocks():
    def mask(u, u2, rows=2.0, columns=2.0):
        return u + u2

    shared = {"u": ("rows", "columns"), "u2": ("columns", "rows")}
    with pytest.raises(TypeError, match="mask: its shared draws have blocks of several sizes"):
        fn.distribution(shared=shared)(mask)


def test_a_derived_number_is_worked_out_once_and_is_float64():
    calls = []

    def third(scale):
        calls.append(scale)
        return scale / 3

    @fn.distribution(derived={"part": third})
    def law(z, scale=1.0, part=0.0):
        return z * 0 + part

    w = fi.array((300_000,), law(scale=0.7), seed=0, name="w", dtype="float32")
    assert (w == np.float32(0.7 / 3)).all()
    assert calls == [0.7]
    assert_same_bits(made(law(scale=0.1), "float64"), np.full(SHAPE, 0.1 / 3))
