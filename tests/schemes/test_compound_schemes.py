# SPDX-License-Identifier: MIT
"""Schemes of schemes: what they mean, in every dtype, their moments and mistakes.

Bits are in test_vectors.py, regions and threads in test_matrix_regions.py, texts in
test_scheme_texts.py, formulas in test_formulas.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from fills import DTYPES, SEED, made, same, sampler_of
from hypothesis import given, settings
from hypothesis import strategies as st

import fastinit as fi
from fastinit.schemes import mapped, norms_of, parts, same_as
from fastinit.values.matrices import Overlay

SHAPE = (12, 10)


def named(name, shape, scheme, dtype="float32", **options):
    return fi.array(shape, scheme, seed=SEED, name=name, dtype=dtype, **options)


# ---- mapped -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scheme", [fi.normal(), fi.uniform(0, 1), fi.he_normal(), fi.ones()])
def test_a_formula_that_changes_nothing_changes_nothing(scheme, dtype):
    if dtype.startswith("float8") or dtype in ("float16", "bfloat16"):
        return  # those have an interval, or another last rounding
    assert same(made(SHAPE, mapped(scheme, "x"), dtype=dtype), made(SHAPE, scheme, dtype=dtype))


def test_narrow_types_are_the_rounded_wide_type():
    wide = made(SHAPE, mapped(fi.uniform(0, 1), "500 * log(16 * x)"))
    for dtype in DTYPES[1:5]:
        found = made(SHAPE, mapped(fi.uniform(0, 1), "500 * log(16 * x)"), dtype=dtype)
        largest = {"float8_e4m3fn": 448, "float8_e5m2": 57344}.get(dtype, 1e9)
        assert same(found, wide.clip(-largest, largest).astype(found.dtype))


CLIPPED = fi.clipped_normal(mean=1, low=-1, high=3).distribution((1,))
FAR = fi.truncated_normal(low=6, high=8).distribution((1,))


def twice(distribution):
    return 2 * distribution.mean, 2 * distribution.std


@pytest.mark.parametrize(
    ("scheme", "mean", "std"),
    [
        (mapped(fi.normal(2, mean=1), "-3 * x + 4"), 1, 6),
        (mapped(fi.normal(), "exp(x / 4)"), math.exp(1 / 32), None),
        (mapped(fi.normal(), "abs(x)"), math.sqrt(2 / math.pi), math.sqrt(1 - 2 / math.pi)),
        (mapped(fi.uniform(0, 16), "log(x)"), math.log(16) - 1, 1),
        (mapped(fi.uniform(-1, 1), "maximum(x, 0)"), 0.25, math.sqrt(1 / 6 - 1 / 16)),
        (mapped(fi.truncated_normal(), "x"), 0, 0.8796256610342398),
        (mapped(fi.clipped_normal(mean=1, low=-1, high=3), "2 * x"), *twice(CLIPPED)),
        (mapped(fi.truncated_normal(low=6, high=8), "2 * x"), *twice(FAR)),
        (mapped(mapped(fi.uniform(0, 1), "x * x"), "sqrt(x)"), 0.5, math.sqrt(1 / 12)),
        (mapped(fi.constant(3), "x / 2"), 1.5, 0),
        (mapped(fi.normal(0), "x + 2"), 2, 0),
        (mapped(fi.uniform(2, 2), "x * x"), 4, 0),
        (mapped(fi.normal(1e-300), "1e300 * x"), 0, 1),
        (mapped(fi.normal(), "1e37 * x"), 0, 1e37),
    ],
)
def test_the_moments_of_mapped_values_are_the_integrals(scheme, mean, std):
    found = scheme.distribution(SHAPE)
    assert found.mean == pytest.approx(mean, rel=1e-12, abs=1e-13 * max(found.std, 1e-3))
    if std is not None:
        assert found.std == pytest.approx(std, rel=1e-12, abs=1e-15)


MATRICES = [fi.orthogonal(), fi.identity(), fi.xavier_normal(packed=(4, 8)), fi.sparse(0.5)]


@pytest.mark.parametrize("scheme", [*MATRICES, parts(fi.zeros(), "0", fi.ones())])
def test_what_depends_on_places_cannot_be_mapped(scheme):
    with pytest.raises(ValueError, match=r"^mapped needs a scheme whose elements are independent"):
        made(SHAPE, mapped(scheme, "x"))


@pytest.mark.parametrize(("dtype", "text"), [("float16", "1e5 * x"), ("float32", "1e39 * x")])
def test_a_result_that_may_overflow_is_refused(dtype, text):
    with pytest.raises(ValueError, match=r"^mapped can reach .*, beyond float.*: take a smaller"):
        made(SHAPE, mapped(fi.uniform(0, 1), text), dtype=dtype)
    assert np.isfinite(made(SHAPE, mapped(fi.uniform(0, 1), text), dtype="float64")).all()


# ---- parts --------------------------------------------------------------------------------------


def test_parts_of_one_scheme_are_the_whole_of_it():
    scheme = parts(fi.normal(), "3", fi.normal(), "4:8, 2:5", fi.normal(), "::3, ::2", fi.normal())
    for dtype in DTYPES:
        assert same(made(SHAPE, scheme, dtype=dtype), made(SHAPE, fi.normal(), dtype=dtype))


def test_a_padded_embedding_is_torchs():
    for dtype in DTYPES:
        ours = made(SHAPE, parts(fi.normal(), "5", fi.zeros()), dtype=dtype)
        assert same(ours, made(SHAPE, fi.schemes.torch_embedding(padding=5), dtype=dtype))


index = st.integers(-3, 2).map(str) | st.sampled_from(
    [":", "1:", ":2", "0:3:2", "-2:", "1:1", "::2"]
)
region = st.lists(index, max_size=3).map(", ".join)
schemes = st.sampled_from(
    [fi.zeros(), fi.ones(), fi.constant(0.5), fi.normal(), fi.uniform(0, 1), fi.truncated_normal()]
)


@settings(deadline=None, max_examples=200)
@given(schemes, st.lists(st.tuples(region, schemes), min_size=1, max_size=5))
def test_later_parts_lie_over_earlier_ones_as_numpy_indexes(base, pairs):
    shape = (3, 3, 4)
    scheme = parts(base, *(each for pair in pairs for each in pair))
    expected = made(shape, base)
    for text, part in pairs:
        place = eval(f"numpy.s_[{text}]", {"numpy": np}) if text else ...
        expected[place] = made(shape, part)[place]
    assert same(made(shape, scheme), expected)
    shares = np.zeros(3 * 3 * 4)
    assert scheme.distribution(shape)._visible()[0] <= shares.size
    values = scheme.distribution(shape)
    assert sum(values._visible()) == shares.size


def test_a_part_that_depends_on_places_has_a_stream_of_its_own():
    rows = made(SHAPE, parts(fi.zeros(), "2:8, :4", fi.orthogonal()))[2:8, :4]
    assert same(rows, named("w[2:8,0:4]", (6, 4), fi.orthogonal()))
    assert np.allclose(rows.T @ rows, np.eye(4), atol=1e-5)
    row = made((4, 3, 2), parts(fi.zeros(), "-1, ::2", fi.sparse(0.5)))[-1, ::2]
    assert same(row, named("w[3,0:3:2,0:2]", (2, 2), fi.sparse(0.5)))
    nested = parts(fi.zeros(), "1:", parts(fi.normal(), "0", fi.ones()))
    assert same(
        made((3, 2), nested)[1:], named("w[1:3,0:2]", (2, 2), parts(fi.normal(), "0", fi.ones()))
    )


def test_a_scheme_sees_the_shape_of_its_region():
    scheme = parts(fi.zeros(), "0:4", fi.xavier_uniform(), "4:", fi.xavier_uniform())
    packed = fi.xavier_uniform(packed=(4, 8))
    assert same(made(SHAPE, scheme), made(SHAPE, packed))
    assert scheme.distribution(SHAPE).std == pytest.approx(
        packed.distribution(SHAPE).std, rel=1e-15
    )


def test_the_moments_of_parts_count_what_is_seen():
    scheme = parts(fi.constant(5), ":6", fi.constant(1), "3:6", fi.constant(3), "3:6", fi.zeros())
    found = scheme.distribution(SHAPE)
    assert isinstance(found, Overlay)
    assert (found.mean, found.std) == (2.75, pytest.approx(np.std([5] * 6 + [1] * 3 + [0] * 3)))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,)])
def test_parts_of_small_and_empty_tensors(shape):
    scheme = parts(fi.ones(), "", fi.constant(3))
    assert same(made(shape, scheme), made(shape, fi.constant(3)))


BAD_REGIONS = [
    ("5, 3, 1", r"region '5, 3, 1' has 3 axes, but shape \(12, 10\) has 2"),
    ("12", r"region '12' leaves axis 0 of shape \(12, 10\)$"),
    (":, 0:11", r"region ':, 0:11' leaves axis 1 .*: need bounds from -10 to 10"),
    ("-13:", "leaves axis 0"),
]


@pytest.mark.parametrize(("text", "words"), BAD_REGIONS)
def test_a_region_outside_the_tensor_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        made(SHAPE, parts(fi.zeros(), text, fi.ones()))


def test_a_step_over_too_many_indices_is_refused():
    with pytest.raises(
        ValueError, match="steps over 2097151 indices of axis 0: a slice with a step"
    ):
        parts(fi.zeros(), "::2", fi.ones()).distribution((2**21,))


def test_a_scheme_that_does_not_suit_its_region_is_refused():
    with pytest.raises(ValueError, match=r"^region '3' of shape \(12, 10\): .*"):
        made(SHAPE, parts(fi.zeros(), "3", fi.he_normal()))


BAD_PAIRS = [
    ((), ValueError, "^pairs has 0 items: need regions and schemes in turn"),
    (("0",), ValueError, "^pairs has 1 items"),
    (
        ("0:1:2:3", fi.ones()),
        ValueError,
        r"^pairs \(item 1\) is '0:1:2:3': need an index or a slice",
    ),
    (("0,,1", fi.ones()), ValueError, "need an index or a slice for each axis"),
    (("::-1", fi.ones()), ValueError, "its step is -1; need 1 or more"),
    (("half", fi.ones()), ValueError, "unknown size 'half'"),
    (("4/2", fi.ones()), ValueError, "2.0 is not a whole number"),
    ((3, fi.ones()), TypeError, r"^pairs \(item 1\) is 3: need an index or a slice"),
    (("0", "ones()"), TypeError, r"^pairs \(item 2\) is 'ones\(\)': need a scheme, such as"),
    (("0", fi.ones), TypeError, r"call it, ones\(\)"),
    (
        ("0", fi.auto()),
        ValueError,
        "is auto.*: a scheme inside another cannot choose by the tensor",
    ),
]


@pytest.mark.parametrize(("pairs", "error", "words"), BAD_PAIRS)
def test_pairs_that_are_none_are_explained(pairs, error, words):
    with pytest.raises(error, match=words):
        parts(fi.zeros(), *pairs)


def test_sizes_in_a_region_become_numbers():
    text = "parts(zeros(), 'width:2 * width, layers // 2', ones())"
    scheme = fi.scheme(text, {"width": 4, "layers": 5})
    assert str(scheme) == "parts(zeros(), '4:8, 2', ones())"


# ---- same_as, norms_of --------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [fi.normal(), fi.orthogonal(), fi.sparse(0.5)])
def test_the_same_values_as_another_tensor(scheme):
    for dtype in DTYPES:
        copy = named("copy", SHAPE, same_as("v", scheme), dtype)
        assert same(copy, named("v", SHAPE, scheme, dtype))
    found = same_as("v", scheme).distribution(SHAPE)
    assert (found.mean, found.std) == (
        scheme.distribution(SHAPE).mean,
        scheme.distribution(SHAPE).std,
    )
    assert sampler_of(same_as("v", scheme), SHAPE).tolerance == sampler_of(scheme, SHAPE).tolerance


@pytest.mark.parametrize("name", ["é", "", "a'b", "a\\b", "a\nb"])
def test_a_name_that_no_text_can_hold_is_refused(name):
    with pytest.raises(ValueError, match=r"^of is .*: a scheme's text cannot hold this name; need"):
        same_as(name, fi.normal())
    with pytest.raises(TypeError, match=r"^of is 3: need a tensor's name"):
        same_as(3, fi.normal())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", [0, 1, 2, (0, 2), (), (1, -3)])
def test_norms_are_those_of_the_other_tensors_values(axes, dtype):
    shape, v = (7, 5, 3), fi.normal(0.3)
    kept = sorted(a % 3 for a in (axes if isinstance(axes, tuple) else (axes,)))
    small = tuple(d if a in kept else 1 for a, d in enumerate(shape)) if kept else ()
    found = named("g", small, norms_of("v", shape, axes, v), dtype).astype(np.float64)
    values = named("v", shape, v, dtype).astype(np.float64)
    others = tuple(a for a in range(3) if a not in kept)
    expected = np.sqrt((values**2).sum(axis=others)).reshape(small)
    tolerance = {"float64": 1e-15, "float32": 1e-7, "float16": 1e-3}.get(dtype, 0.13)
    np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_norms_of_slices_larger_than_what_is_drawn_at_once(monkeypatch):
    shape = (3, 40, 50)
    whole = {
        axes: named("g", s, norms_of("v", shape, axes, fi.normal()))
        for axes, s in ((0, (3, 1, 1)), (1, (1, 40, 1)), ((), ()))
    }
    monkeypatch.setattr("fastinit.values.matrices.norms.DRAWN_AT_ONCE", 64)
    for axes, found in whole.items():
        assert same(named("g", found.shape, norms_of("v", shape, axes, fi.normal())), found)


def test_a_norm_that_is_hard_to_round_is_summed_exactly(monkeypatch):
    scheme = norms_of("v", (4, 6), 0, fi.normal())
    expected = made((4, 1), scheme)
    monkeypatch.setattr("fastinit.numerics.norms.LAYERS", 1)
    assert same(made((4, 1), scheme), expected)


def test_the_moments_of_norms_are_nearly_a_chis():
    found = norms_of("v", (100, 50), 0, fi.normal(2)).distribution((100, 1))
    chi = math.sqrt(2) * math.exp(math.lgamma(25.5) - math.lgamma(25))
    assert found.mean == pytest.approx(2 * chi, rel=1e-3)
    assert found.std == pytest.approx(2 * math.sqrt(50 - chi**2), rel=1e-2)
    nothing = norms_of("v", (3, 0), 0, fi.normal()).distribution((3, 1))
    assert (nothing.mean, nothing.std) == (0, 0)


BAD_NORMS = [
    (((3, 4), 2, fi.normal()), (3, 1), r"axes is 2: shape \(3, 4\) has 2 axes"),
    (((3, 4), (0, -2), fi.normal()), (3, 1), r"axes is \(0, -2\): an axis of .* is named twice"),
    (((3, 4), 0, fi.normal()), (3, 4), r"shape \(3, 4\): the norms of \(3, 4\) over all axes but"),
    (
        ((3, 4), 0, fi.orthogonal()),
        (3, 1),
        "norms_of needs a scheme whose elements are independent",
    ),
    (((3, -4), 0, fi.normal()), (3, 1), "shape has an axis of -4"),
]


@pytest.mark.parametrize(("arguments", "shape", "words"), BAD_NORMS)
def test_norms_that_cannot_be_are_explained(arguments, shape, words):
    with pytest.raises(ValueError, match=words):
        made(shape, norms_of("v", *arguments))


def test_a_norm_that_may_overflow_is_refused():
    scheme = norms_of("v", (1, 10**6), 0, fi.uniform(-100, 100))
    with pytest.raises(ValueError, match="a norm can reach 100000, beyond float16"):
        made((1, 1), scheme, dtype="float16")


# ---- files --------------------------------------------------------------------------------------

EVERY = [
    (parts(fi.zeros(), "1:5", fi.orthogonal(), "5, ::2", fi.truncated_normal(0.1)), (8, 6)),
    (parts(fi.orthogonal(), ":, 0", fi.uniform(0, 0.3), "0", fi.zeros()), (8, 6)),
    (same_as("0", fi.orthogonal()), (8, 6)),
    (mapped(fi.uniform(0, 1), "log(16 * x)"), (9,)),
    (norms_of("v", (8, 6), 0, fi.normal()), (8, 1)),
    (fi.schemes.sinusoid("halves"), (8, 6)),
    (fi.schemes.literal((1, 2.5)), (2,)),
    (fi.schemes.log_uniform(0.001, 0.1), (9,)),
]


@pytest.mark.parametrize("form", ["safetensors", "npy"])
def test_a_checkpoint_of_them_verifies_and_a_change_is_found(form, tmp_path):
    dtypes = DTYPES if form == "safetensors" else ["float32", "float16", "float64"]
    rows = [(scheme, shape, dtype) for scheme, shape in EVERY for dtype in dtypes]
    tensors = [
        fi.Tensor(str(n), shape, scheme, dtype) for n, (scheme, shape, dtype) in enumerate(rows)
    ]
    plan = fi.Plan(tensors)
    fi.write(plan, tmp_path, seed=3, durability="none", format=form)
    assert fi.verify(tmp_path).tensors == len(tensors)
    for tensor in (plan["0"], plan[str(len(dtypes))]):
        opened = fi.open(tmp_path)[tensor.name]
        assert same(opened, fi.array(tensor.shape, tensor.scheme, seed=3, name=tensor.name))


def test_exact_parts_beside_rounded_ones_are_compared_to_the_bit(tmp_path):
    """The zeros of the overlay may not be what rounding would allow."""
    scheme = parts(fi.zeros(), "1:5", fi.orthogonal(), "5", fi.truncated_normal(0.1))
    for dtype in ("float32", "bfloat16"):
        folder = tmp_path / dtype
        fi.write(
            fi.Plan([fi.Tensor("w", (8, 6), scheme, dtype)]), folder, seed=3, durability="none"
        )
        fi.verify(folder)
        (file,) = folder.glob("*.safetensors")
        content = bytearray(file.read_bytes())
        content[-1] ^= 1  # of the last element, which is zero
        file.write_bytes(content)
        with pytest.raises(fi.errors.VerifyError, match=r"\(row 7, column 5\)"):
            fi.verify(folder)


def test_a_plan_file_has_its_sizes_and_indices_in_formulas_and_regions(tmp_path):
    (tmp_path / "plan.toml").write_text(
        """
        [sizes]
        layers = 3
        width = 8
        [[tensor]]
        name = "h.{i}.decay"
        shape = "(width,)"
        init = "table('-5 + 8 * (i0 / (n0 - 1)) ** (0.7 + 1.3 * i / (layers - 1))')"
        repeat = "layers"
        [[tensor]]
        name = "qkv"
        shape = "(3 * width, width)"
        init = "parts(zeros(), '0:width', xavier_uniform(gain=sqrt(layers)), '2*width:', ones())"
        """
    )
    plan = fi.plan(tmp_path / "plan.toml")
    decay = "table(expression='-5 + 8 * (i0 / (n0 - 1)) ** (0.7 + 1.3 * 2 / (3 - 1))')"
    assert str(plan["h.2.decay"].scheme) == decay
    assert str(plan["qkv"].scheme).endswith("'16:', ones())")
    fi.write(plan, tmp_path / "out", seed=0, durability="none")
    assert fi.verify(tmp_path / "out").tensors == 4
