# SPDX-License-Identifier: MIT
"""`slice_of`: the region of another tensor, by whatever scheme, in files and in other schemes.

Its bits are in test_vectors.py too; regions of it, memory and calls in test_matrix_regions.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from fills import DTYPES, SEED, made, same, sampler_of
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_places import values_of

import fastinit as fi
from fastinit.numerics.dtypes import DTYPES as DTYPE_TABLE
from fastinit.schemes import mapped, norms_of, parts, same_as, slice_of
from fastinit.values.matrices.boxes import Walk, _equally_apart

WHOLE = (6, 8, 10)


def named(name, shape, scheme, dtype="float32"):
    return fi.array(shape, scheme, seed=SEED, name=name, dtype=dtype)


def cut(values, region):
    """The region of an array, read by Python itself."""
    return eval(f"values[{region}]", {"values": values}) if region else values


# ---- against the whole and against the reference ------------------------------------------------

MATRICES = [
    (fi.normal(0.3), WHOLE),
    (fi.he_normal(), WHOLE),
    (fi.glorot_uniform(packed=(2, 4)), (6, 9)),
    (fi.orthogonal(), (12, 9)),
    (fi.orthogonal(batch_axis=0), WHOLE),
    (fi.schemes.spectral_normalised(), (12, 9)),
    (fi.sparse(0.5), (12, 9)),
    (parts(fi.normal(), "2", fi.zeros(), "3:5, ::2", fi.orthogonal()), (6, 9)),
    (mapped(fi.uniform(0, 1), "log(16 * x)"), WHOLE),
    (same_as("u", fi.identity()), (6, 9)),
    (norms_of("u", (9, 40), 0, fi.normal()), (9, 1)),
    (fi.schemes.sinusoid("halves"), (6, 9)),
]
REGIONS = ["", "3", "1:4", "-1, 2:7", "::2, 1::3", "2:2", ":, -3", "5:, 1:"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("scheme", "shape"), MATRICES)
def test_it_is_the_region_of_the_whole(scheme, shape, dtype):
    whole = named("v", shape, scheme, dtype)
    for region in REGIONS if shape[1] > 1 else ["", "3", "1:4", "::2"]:
        expected = cut(whole, region)
        found = slice_of("v", shape, region, scheme)
        assert same(named("other", expected.shape, found, dtype), expected)


@st.composite
def whole_and_region(draw):
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    items = []
    for dim in shape[: draw(st.integers(0, len(shape)))]:
        bound = st.none() | st.integers(-dim, dim)
        first, last = ("" if b is None else str(b) for b in (draw(bound), draw(bound)))
        step = draw(st.sampled_from(["", ":1", ":2", ":3"]))
        index = str(draw(st.integers(-dim, dim - 1)))
        items.append(draw(st.sampled_from([index, f"{first}:{last}{step}", ":"])))
    return shape, ", ".join(items)


INITS = st.sampled_from(
    [
        "normal(0.1)",
        "uniform(-1, 1)",
        "truncated_normal(0.1)",
        "parts(normal(), '0', zeros())",
        "mapped(normal(), 'exp(x)')",
        "same_as('u', normal())",
        "table('i0 + 0.5')",
    ]
)


@settings(deadline=None, max_examples=150)
@given(whole_and_region(), INITS, st.sampled_from(DTYPES), st.data())
def test_any_part_of_it_is_what_the_page_says(given_whole, init, dtype, data):
    shape, region = given_whole
    small = cut(np.empty(shape), region).shape
    text = f"slice_of('v', {shape}, '{region}', {init})"
    count = math.prod(small)
    expected = values_of(text, small, (SEED, "w"), 0, count, dtype)
    assert same(made(small, text, dtype=dtype), expected.reshape(small))
    start, stop = sorted(data.draw(st.integers(0, count)) for _ in range(2))
    run = made(small, text, dtype=dtype, region=range(start, stop))
    assert same(run, values_of(text, small, (SEED, "w"), start, stop - start, dtype))


def test_the_name_of_the_tensor_itself_changes_nothing():
    scheme = slice_of("v", WHOLE, "3", fi.normal())
    assert same(named("a", (8, 10), scheme), named("b", (8, 10), scheme))
    other = slice_of("u", WHOLE, "3", fi.normal())
    assert not same(named("a", (8, 10), scheme), named("a", (8, 10), other))


def test_scales_are_those_of_the_whole():
    """An expert's fans are the fused tensor's, not its own."""
    found = slice_of("v", (4, 64, 32), "1, 0:8", fi.he_normal()).distribution((8, 32))
    whole = fi.he_normal().distribution((4, 64, 32))
    assert (found.mean, found.std) == (whole.mean, whole.std)
    assert found.std != fi.he_normal().distribution((8, 32)).std


# ---- in other schemes, and others in it ---------------------------------------------------------


def test_a_slice_of_a_slice():
    inner = slice_of("v", WHOLE, "1:, 2:7, ::2", fi.normal())
    outer = slice_of("u", (5, 5, 5), "::3, 1, 2:", inner)
    assert same(named("w", (2, 3), outer), named("v", WHOLE, fi.normal())[1:, 2:7, ::2][::3, 1, 2:])


def test_a_copy_of_a_slice_is_the_slice():
    scheme = slice_of("v", WHOLE, "2", fi.normal())
    assert same(named("w", (8, 10), same_as("u", scheme)), named("w", (8, 10), scheme))


def test_slices_side_by_side_are_parts():
    """As projections are one tensor in a file and several in a model."""
    q, k = fi.xavier_uniform(), fi.normal(0.1)
    joined = parts(fi.zeros(), "0:4", same_as("q", q), "4:", slice_of("k", (9, 5), "2:8", k))
    expected = np.concatenate([named("q", (4, 5), q), named("k", (9, 5), k)[2:8]])
    assert same(named("qk", (10, 5), joined), expected)


@pytest.mark.parametrize("scheme", [lambda s: mapped(s, "x"), lambda s: norms_of("u", (8,), 0, s)])
def test_what_needs_independent_elements_refuses_it(scheme):
    with pytest.raises(ValueError, match="needs a scheme whose elements are independent and alike"):
        made((8,), scheme(slice_of("v", (3, 8), "1", fi.normal())))


@pytest.mark.parametrize(
    ("shape", "arguments", "words"),
    [
        (
            (8, 10),
            ((6, 8, 10), "3, 0:4", fi.normal()),
            r"^shape \(8, 10\): region '3, 0:4' of shape",
        ),
        (
            (8, 10),
            ((6, 8, 10), "3, 0:4", fi.normal()),
            r"of shape \(6, 8, 10\) has shape \(4, 10\)$",
        ),
        ((4,), ((6,), "2:7", fi.normal()), r"region '2:7' leaves axis 0 .*: need bounds from -6"),
        ((4,), ((6,), "6", fi.normal()), r"region '6' leaves axis 0 of shape \(6,\)"),
        ((4,), ((6,), "1, 2", fi.normal()), r"region '1, 2' has 2 axes, but shape \(6,\) has 1"),
        ((4,), ((6,), "1:x", fi.normal()), "unknown size 'x'"),
        ((4,), ((-6,), "1", fi.normal()), "shape has an axis of -6"),
        ((2,), ((6,), "1:3", fi.he_normal()), r"shape \(6,\)"),
        ((2,), ((2**40, 2**40), "0, 1:3", fi.normal()), "has 2\\*\\*63 elements or more"),
        ((2,), ((6,), "1:3", fi.auto()), "cannot choose by the tensor's name"),
    ],
)
def test_a_slice_that_cannot_be_is_explained(shape, arguments, words):
    with pytest.raises(ValueError, match=words):
        made(shape, slice_of("v", *arguments))


def test_a_region_is_a_text():
    with pytest.raises(TypeError, match=r"^region is 3: need an index or a slice for each axis"):
        slice_of("v", (6,), 3, fi.normal())


# ---- what draws it ------------------------------------------------------------------------------


def test_a_contiguous_region_is_an_offset():
    """It is one call of the other tensor's sampler, which needs no blocks."""
    for shape, region in (((6, 8, 10), "3, 2:5"), ((6, 8), "1:4"), ((6, 8, 10), "3, 2, 4:")):
        source = sampler_of(
            slice_of("v", shape, region, fi.normal()), cut(np.empty(shape), region).shape
        )
        assert type(source).__name__ == "RenumberedSampler"
    everything = sampler_of(slice_of("v", (6, 8), "0:6", fi.normal()), (6, 8))
    assert type(everything) is type(sampler_of(fi.normal(), (6, 8)))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=3),
    st.integers(0, 40),
    st.integers(1, 4),
    st.integers(0, 60),
)
def test_rows_are_cut_into_ranges_that_are_equally_apart(axes, start, step, count):
    numbers = Walk(3, tuple(axes)).numbers(np.arange(start, start + count * step, step))
    ranges = list(_equally_apart(numbers))
    assert sorted(place for some in ranges for place in some) == list(range(count))
    for some in ranges:
        assert len(set(np.diff(numbers[list(some)]).tolist())) <= 1


def test_many_short_runs_are_few_ranges():
    numbers = Walk(0, ((1000, 70), (3, 9))).numbers(np.arange(2999))
    assert len(list(_equally_apart(numbers))) == 3
    numbers = Walk(0, ((3, 7000), (1000, 2))).numbers(np.arange(2999))
    assert len(list(_equally_apart(numbers))) == 3


@pytest.mark.parametrize("region", ["1:5", ":, 2:7", ":, ::3", ":, 4", "1:9:2, 1::2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_ranges_of_a_slice_are_those_of_the_whole(region, dtype, monkeypatch):
    monkeypatch.setattr("fastinit.values.matrices.boxes.DRAWN_FOR_ONE", 20)
    shape, kind = (12, 9), DTYPE_TABLE[dtype]
    whole = sampler_of(fi.orthogonal(), shape, name="v").between(0, 108, kind)
    numbers = cut(np.arange(108).reshape(shape), region)
    source = sampler_of(slice_of("v", shape, region, fi.orthogonal()), numbers.shape)
    assert source.tolerance == sampler_of(fi.orthogonal(), shape).tolerance > 0
    for start, count in ((0, numbers.size), (3, numbers.size - 5)):
        for ours, theirs in zip(source.between(start, count, kind), whole, strict=True):
            assert same(ours, theirs[numbers.reshape(-1)[start : start + count]])


# ---- texts, plans and files ---------------------------------------------------------------------


def test_sizes_in_a_plan_file_stand_for_numbers(tmp_path):
    (tmp_path / "plan.toml").write_text(
        """
        [sizes]
        experts = 3
        width = 4
        [[tensor]]
        name = "experts.{i}.w1"
        shape = "(width, 8)"
        init = "slice_of('experts.w13', (experts, 2 * width, 8), 'i, 0:width', he_normal())"
        repeat = "experts"
        """
    )
    plan = fi.plan(tmp_path / "plan.toml")
    text = "slice_of(of='experts.w13', shape=(3, 8, 8), region='2, 0:4', init=he_normal())"
    assert str(plan["experts.2.w1"].scheme) == text
    assert fi.scheme(text) == plan["experts.2.w1"].scheme


@pytest.mark.parametrize("form", ["safetensors", "npy"])
def test_a_checkpoint_in_both_layouts_has_the_same_values(form, tmp_path):
    init, fused = parts(fi.orthogonal(batch_axis=0), "1", fi.normal()), (3, 8, 6)
    rows = [("w", fused, init, None)]
    for expert in range(3):
        for n, half in enumerate(("0:4", "4:")):
            scheme = slice_of("w", fused, f"{expert}, {half}", init)
            rows.append((f"w.{expert}.{n}", (4, 6), scheme, "float64" if expert else None))
    plan = fi.Plan([fi.Tensor(*row) for row in rows], dtype="float32")
    fi.write(plan, tmp_path, seed=3, durability="none", format=form)
    assert fi.verify(tmp_path).tensors == 7
    opened = fi.open(tmp_path)
    assert same(opened["w.0.1"], opened["w"][0, 4:])
    whole = fi.array(fused, init, seed=3, name="w", dtype="float64")
    assert same(opened["w.2.0"], whole[2, :4])


def test_verify_finds_a_change_in_a_slice_of_what_is_drawn_to_rounding_only(tmp_path):
    scheme = slice_of("w", (8, 6), ":, 1::2", fi.orthogonal())
    fi.write(fi.Plan([fi.Tensor("a", (8, 3), scheme)]), tmp_path, seed=3, durability="none")
    (file,) = tmp_path.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-2] ^= 0x40  # the last element's exponent and first digits
    file.write_bytes(content)
    with pytest.raises(fi.errors.VerifyError, match=r"\(row 7, column 2\)"):
        fi.verify(tmp_path)
