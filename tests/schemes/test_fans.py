# SPDX-License-Identifier: MIT
"""Fans of grouped, transposed and packed weights, and of Keras's tensors of few axes.

Plain weights, explicit axes and their mistakes are in test_schemes.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi

# Channels in, channels out, groups, kernel.
CONVOLUTIONS = [
    (2, 3, 1, (3,)),
    (6, 4, 2, (2,)),
    (3, 9, 3, (4,)),
    (4, 4, 4, (3, 2)),
    (4, 8, 4, (1, 3)),
    (6, 9, 3, (2, 2)),
    (2, 4, 2, (2, 1, 3)),
]


def connections(torch, module):
    """How many inputs an output sees and how many outputs an input feeds, far from the edges."""
    torch.nn.init.ones_(module.weight)
    size = [2 * k + 1 for k in module.kernel_size]
    inputs = torch.ones(1, module.in_channels, *size)
    middle = tuple(k for k in module.kernel_size)
    with torch.no_grad():
        seen = module(inputs)[(0, 0, *middle)]
        impulse = torch.zeros_like(inputs)
        impulse[(0, 0, *middle)] = 1
        fed = torch.count_nonzero(module(impulse))
    return int(seen), int(fed)


@pytest.mark.frameworks
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("inputs", "outputs", "groups", "kernel"), CONVOLUTIONS)
def test_fans_are_the_connections_of_torchs_modules(
    torch, inputs, outputs, groups, kernel, transposed
):
    kind = f"Conv{'Transpose' if transposed else ''}{len(kernel)}d"
    make = getattr(torch.nn, kind)
    module = make(inputs, outputs, kernel, groups=groups, bias=False)
    found = fi.fans(module.weight.shape, groups=groups, transposed=transposed)
    assert found == connections(torch, module)
    scheme = fi.variance_scaling(mode="fan_out", groups=groups, transposed=transposed)
    std = scheme.distribution(tuple(module.weight.shape)).std
    assert std == pytest.approx(math.sqrt(1 / found[1]))


@pytest.mark.parametrize("layout", ["keras", "jax"])
@pytest.mark.parametrize(("inputs", "outputs", "groups", "kernel"), CONVOLUTIONS)
def test_keras_and_jax_have_the_fans_of_torch_at_their_places(
    inputs, outputs, groups, kernel, layout
):
    for transposed in (False, True):
        pair = (inputs, outputs // groups) if transposed else (outputs, inputs // groups)
        torch_like = fi.fans((*pair, *kernel), groups=groups, transposed=transposed)
        turned = (*kernel, *pair[::-1])
        assert fi.fans(turned, layout=layout, groups=groups, transposed=transposed) == torch_like


@given(
    parts=st.integers(1, 7),
    each=st.integers(1, 9),
    rest=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    layout=st.sampled_from(["torch", "keras", "jax"]),
)
def test_packed_matrices_have_the_fans_of_one(parts, each, rest, layout):
    def shape(outputs):
        return (outputs, *rest) if layout == "torch" else (*reversed(rest), outputs)

    alone = fi.fans(shape(each), layout=layout)
    assert fi.fans(shape(parts * each), layout=layout, packed=parts) == alone
    scheme = fi.xavier_uniform(layout=layout, packed=parts)
    assert scheme.distribution(shape(parts * each)) == fi.xavier_uniform(
        layout=layout
    ).distribution(shape(each))


def test_packed_groups_divide_one_after_the_other():
    assert fi.fans((24, 2, 3), groups=4) == (6, 18)
    assert fi.fans((24, 2, 3), groups=4, packed=3) == (6, 6)
    assert fi.fans((8, 6, 3), groups=4, transposed=True, packed=3) == (6, 6)
    assert fi.fans((5, 24, 7), batch_axis=0, packed=3) == (7, 8)
    assert fi.fans((7, 24, 5), in_axis=0, out_axis=1, packed=2, groups=3) == (35, 20)


@pytest.mark.parametrize("number", [2, np.int64(2), np.uint8(2)])
def test_numpys_integers_are_numbers_of_groups_and_parts(number):
    assert fi.fans((8, 3), groups=number) == fi.fans((8, 3), packed=number) == (3, 4)
    assert str(fi.he_normal(groups=number, packed=number)) == "he_normal(groups=2, packed=2)"
    assert str(fi.he_normal(packed=[number, 6])) == "he_normal(packed=(2, 6))"


# --- Keras's tensors of one axis and of none -------------------------------------------------


def test_keras_gives_vectors_and_scalars_fans_and_jax_does_not():
    assert fi.fans((7,), layout="keras") == (7, 7)
    assert fi.fans((0,), layout="keras") == (0, 0)
    assert fi.fans((), layout="keras") == (1, 1)
    assert fi.glorot_normal(layout="keras").distribution((8,)).std == pytest.approx(8**-0.5)
    for layout in ("jax", "torch"):
        for shape in ((7,), ()):
            with pytest.raises(ValueError, match=r"has no fans: need an input and an output axis"):
                fi.fans(shape, layout=layout)


def test_a_vector_beside_batch_axes_has_no_fans_in_any_layout():
    for layout in ("torch", "keras", "jax"):
        for shape in ((3, 7), (7,)):
            with pytest.raises(ValueError, match=r"has no fans: need an input and an output axis"):
                fi.fans(shape, layout=layout, batch_axis=0)
    with pytest.raises(ValueError, match=r"^axis 3 does not exist in shape \(7,\), of 1 axes$"):
        fi.fans((7,), layout="keras", batch_axis=3)


@pytest.mark.parametrize("options", [{"groups": 2}, {"packed": 3}, {"transposed": True}])
def test_parts_of_kerass_vector_are_an_error(options):
    with pytest.raises(ValueError, match=r"^shape \(6,\) has no fans: need an input and"):
        fi.fans((6,), layout="keras", **options)


@pytest.mark.frameworks
def test_vectors_and_scalars_have_kerass_own_fans(keras):
    fans_of = keras.src.initializers.random_initializers.compute_fans
    for shape in ((), (1,), (7,), (5, 7), (3, 5, 7), (2, 3, 5, 7)):
        assert fi.fans(shape, layout="keras") == fans_of(shape)


# --- mistakes --------------------------------------------------------------------------------

MISTAKES = [
    ((6, 4), {"groups": 0}, ValueError, r"^groups is 0: need a whole number of 1 or more$"),
    ((6, 4), {"groups": -2}, ValueError, r"^groups is -2: need a whole number"),
    ((6, 4), {"groups": True}, TypeError, r"^groups is True: need a whole number"),
    ((6, 4), {"groups": 2.0}, TypeError, r"^groups is 2.0: need a whole number"),
    ((6, 4), {"groups": None}, TypeError, r"^groups is None: need a whole number"),
    ((6, 4), {"groups": "2"}, TypeError, r"^groups is '2': need a whole number"),
    (
        (6, 4),
        {"groups": 4},
        ValueError,
        r"^groups=4 does not divide the 6 outputs of shape \(6, 4\) in layout 'torch'$",
    ),
    (
        (4, 6),
        {"groups": 4, "layout": "jax"},
        ValueError,
        r"^groups=4 does not divide the 6 outputs of shape \(4, 6\) in layout 'jax'$",
    ),
    (
        (6, 4, 3),
        {"groups": 4, "transposed": True},
        ValueError,
        r"^groups=4 does not divide the 6 inputs of shape \(6, 4, 3\) in layout 'torch'$",
    ),
    (
        (4, 8),
        {"packed": 3},
        ValueError,
        r"^packed=3 does not divide the 4 outputs of shape \(4, 8\) in layout 'torch'$",
    ),
    ((6, 4), {"packed": 0}, ValueError, r"^packed is 0: need a whole number of 1 or more$"),
    ((6, 4), {"packed": (3, 0)}, ValueError, r"^packed is 0: need a whole number"),
    ((6, 4), {"packed": ()}, ValueError, r"^packed is .*: need a whole number of 1 or more$"),
    ((6, 4), {"packed": True}, TypeError, r"^packed is True: need an integer, or a tuple of"),
    ((6, 4), {"packed": 2.5}, TypeError, r"^packed is 2.5: need an integer, or a tuple of"),
    ((6, 4), {"packed": None}, TypeError, r"^packed is None: need an integer, or a tuple of"),
    (
        (6, 4),
        {"packed": (4, 2)},
        ValueError,
        r"^packed=\(4, 2\) packs matrices of different fans into one tensor, .* take each",
    ),
    ((6, 4), {"transposed": 1}, TypeError, r"^transposed is 1: need True or False$"),
    ((6, 4), {"transposed": "no"}, TypeError, r"^transposed is 'no': need True or False$"),
    (
        (6, 4),
        {"transposed": True, "in_axis": 0, "out_axis": 1},
        ValueError,
        r"^transposed swaps the layout's input and output axes: .* the other way round instead$",
    ),
    ((6, 4), {"group": 2}, TypeError, r"unexpected keyword argument 'group'"),
]


@pytest.mark.parametrize(("shape", "options", "error", "words"), MISTAKES)
def test_a_wrong_option_is_explained(shape, options, error, words):
    with pytest.raises(error, match=words):
        fi.fans(shape, **options)


def test_schemes_explain_the_same_mistakes():
    for shape, options, _, words in MISTAKES:
        if options.get("packed") != (4, 2):
            with pytest.raises((TypeError, ValueError), match=words.split(":")[0]):
                fi.he_normal(**options).distribution(shape)


FANS_MISTAKES = [
    ((5,), {}, ValueError, r"shape \(5,\) has no fans.*\(out, in\).*zeros\(\)"),
    ((), {}, ValueError, r"shape \(\) has no fans"),
    ((5,), {"layout": "jax"}, ValueError, r"\(in, out\)"),
    ((3, 4), {"batch_axis": 0}, ValueError, "no fans"),
    ((3, 4), {"layout": "pytorch"}, ValueError, "'pytorch' is unknown: choose from torch, keras"),
    ((3, 4), {"layout": "flax"}, ValueError, "choose from torch, keras, jax"),
    ((3, 4), {"in_axis": 0}, ValueError, "give both or neither"),
    ((3, 4), {"out_axis": 0}, ValueError, "give both or neither"),
    ((3, 4), {"in_axis": 0, "out_axis": 0}, ValueError, "twice"),
    ((3, 4), {"in_axis": 0, "out_axis": -2}, ValueError, "twice"),
    ((3, 4, 5), {"in_axis": 0, "out_axis": 1, "batch_axis": 1}, ValueError, "twice"),
    ((3, 4, 5), {"in_axis": (0, 0), "out_axis": 1}, ValueError, "twice"),
    ((3, 4), {"in_axis": 2, "out_axis": 0}, ValueError, "axis 2 does not exist.*2 axes"),
    ((3, 4), {"in_axis": 0, "out_axis": -3}, ValueError, "axis -3 does not exist"),
    ((3, 4, 5), {"batch_axis": 7}, ValueError, "axis 7 does not exist"),
    ((3, 4), {"in_axis": (0.5,), "out_axis": 0}, TypeError, "axis.*0.5.*integer"),
    ((3, 4), {"in_axis": (True,), "out_axis": 0}, TypeError, "axis.*True.*integer"),
    ((3, 4), {"in_axis": "x", "out_axis": 0}, TypeError, "axis.*'x'.*integer"),
    ((3, 4), {"in_axis": 1.5, "out_axis": 0}, TypeError, "axis.*1.5"),
    ((3, 4), {"batch_axis": None}, TypeError, "axis.*None"),
    ((-1, 4), {}, ValueError, "axis of -1: need integers >= 0"),
    ((2.0, 4), {}, ValueError, "axis of 2.0: need integers"),
    ((True, 4), {}, ValueError, "axis of True: need integers"),
    ("ab", {}, TypeError, "shape is 'ab': need integers"),
    (None, {}, TypeError, "shape is None: need integers"),
    ((2**40, 2**30), {}, ValueError, r"2\*\*63 elements or more"),
    ((2**40, 0, 2**30), {}, ValueError, r"2\*\*63 elements or more"),
]


@pytest.mark.parametrize(("shape", "axes", "error", "words"), FANS_MISTAKES)
def test_a_wrong_argument_of_fans_is_explained(shape, axes, error, words):
    with pytest.raises(error, match=words):
        fi.fans(shape, **axes)
