# SPDX-License-Identifier: MIT
"""Rules that make up for depth, and the roots and logarithms they are made of.

Literal numbers are mpmath's, or what torchscale 0.3.0's own lines gave; text forms are in
test_scheme_texts.py.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi
from fastinit.numerics.roots import logarithm, root
from fastinit.values import distributions

NAN, INF = math.nan, math.inf
SHAPES = [((512, 512), {}), ((512, 2048), {}), ((128, 64, 3, 3), {}), ((96, 512), {"packed": 3})]


def assert_times_xavier(scheme_of, factor, *, uniform=False):
    """Xavier's scale times this factor, for every shape and way to find the fans."""
    base = fi.xavier_uniform if uniform else fi.xavier_normal
    for shape, options in [*SHAPES, ((2048, 512), {"layout": "jax"})]:
        found = scheme_of(**options).distribution(shape)
        expected = base(**options).distribution(shape)
        assert type(found) is type(expected)
        assert found.std == pytest.approx(factor * expected.std, rel=6e-16, abs=0)


def assert_normal(found, std):
    assert isinstance(found, distributions.Normal)
    assert (found.centre, found.sigma) == (0, pytest.approx(std, rel=4e-16, abs=0))


# --- roots and logarithms --------------------------------------------------------------------


@given(value=st.integers(1, 2**63 - 1) | st.floats(1e-3, 1e15), degree=st.integers(1, 64))
def test_a_root_is_nearly_exact(value, degree):
    """Each square root rounds once; halvings after it halve its error."""
    found = Fraction(root(value, degree))
    error = Fraction(1, 2**52)
    assert (found * (1 - error)) ** degree <= Fraction(value) <= (found * (1 + error)) ** degree


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 6, 8, 16])
def test_a_root_of_a_power_is_exact(degree):
    for base in (1, 2, 3, 10):
        assert root(base**degree, degree) == base


# mpmath at 40 digits, rounded once.
LOGARITHMS = {2: 0.6931471805599453, 3: 1.0986122886681098, 200: 5.298317366548036}


@pytest.mark.parametrize(("value", "expected"), LOGARITHMS.items())
def test_a_logarithm_is_rounded_once(value, expected):
    assert logarithm(value) == expected
    assert logarithm(value) == pytest.approx(math.log(value), rel=3e-16)


# --- DeepNorm and sub-LN ---------------------------------------------------------------------

# Layers of encoder and decoder, and what torchscale 0.3.0 divides by, 1 / beta: in a model of one
# part, in a decoder behind an encoder, in an encoder before a decoder.  There its beta is 1.15
# (N^4 M)^(-1/16), and the paper's, which is ours, has 0.87 for 1.15.  What it divides is compared
# in test_framework_rules.py.
DEEPNORM = [
    (1, 1, 1.681792830507429, 1.681792830507429, 1.8612097182041991, 0.8695652173913044),
    (6, 6, 2.6321480259049848, 2.6321480259049848, 2.9129506302439405, 1.5222094908057142),
    (12, 6, 3.1301691601465746, 2.6321480259049848, 2.9129506302439405, 1.8102223569908245),
    (24, 12, 3.7224194364083982, 3.1301691601465746, 3.4641016151377544, 2.248038775619131),
    (100, 100, 5.3182958969449885, 5.3182958969449885, 5.885661912765424, 3.6669261167702807),
]


@pytest.mark.parametrize(("n", "m", "encoder", "decoder", "behind", "before"), DEEPNORM)
def test_deepnorm_is_xavier_over_what_torchscale_divides_by(n, m, encoder, decoder, behind, before):
    both = {"encoder_layers": n, "decoder_layers": m}
    assert_times_xavier(lambda **o: fi.schemes.deepnorm(encoder_layers=n, **o), 1 / encoder)
    assert_times_xavier(lambda **o: fi.schemes.deepnorm(decoder_layers=m, **o), 1 / decoder)
    assert_times_xavier(lambda **o: fi.schemes.deepnorm(**both, part="decoder", **o), 1 / behind)
    beta = 0.87 / (1.15 * before)
    assert_times_xavier(lambda **o: fi.schemes.deepnorm(**both, part="encoder", **o), beta)


@pytest.mark.parametrize(
    ("n", "m", "beta"),
    [(6, 6, 0.4969892407713235), (12, 6, 0.41791647098427115), (100, 24, 0.225556865147374)],
)
def test_deepnorms_encoder_before_a_decoder_is_the_papers(n, m, beta):
    both = {"encoder_layers": n, "decoder_layers": m, "part": "encoder"}
    assert_times_xavier(lambda **o: fi.schemes.deepnorm(**both, **o), beta)


# torchscale 0.3.0's factors: of one part, of a decoder behind an encoder, of the encoder before.
SUB_LN = [
    (1, 1, 0.8325546111576977, 0.8325546111576977, 1.048147073968205, 0.5038187539247321),
    (6, 6, 1.5763586678760644, 1.5763586678760644, 1.70010933704164, 1.5472883809593705),
    (12, 6, 1.782709687623856, 1.5763586678760644, 1.70010933704164, 1.7498339955846698),
    (24, 12, 1.9675367876885788, 1.782709687623856, 1.8930184728248454, 2.150389277716856),
    (100, 100, 2.301807413001365, 2.301807413001365, 2.388259298036166, 3.173875115190855),
]


@pytest.mark.parametrize(("n", "m", "encoder", "decoder", "behind", "before"), SUB_LN)
def test_sub_ln_is_xavier_times_what_torchscale_multiplies_by(
    n, m, encoder, decoder, behind, before
):
    both = {"encoder_layers": n, "decoder_layers": m}
    assert_times_xavier(lambda **o: fi.schemes.sub_ln(encoder_layers=n, **o), encoder)
    assert_times_xavier(lambda **o: fi.schemes.sub_ln(decoder_layers=m, **o), decoder)
    assert_times_xavier(lambda **o: fi.schemes.sub_ln(**both, part="decoder", **o), behind)
    assert_times_xavier(lambda **o: fi.schemes.sub_ln(**both, part="encoder", **o), before)


@pytest.mark.parametrize("name", ["deepnorm", "sub_ln"])
def test_a_part_may_be_named_where_it_is_the_only_one(name):
    maker = getattr(fi.schemes, name)
    for part in ("encoder", "decoder"):
        layers = {f"{part}_layers": 24}
        named = maker(**layers, part=part)
        assert named.distribution((9, 5)) == maker(**layers).distribution((9, 5))


# --- Fixup, T-Fixup, DS-Init -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "branch_layers", "shape", "std"),
    [
        (16, 2, (64, 64, 3, 3), 0.01473139127471974),
        (16, 3, (128, 512, 1, 1), 0.0625),
        (33, 3, (64, 256, 1, 1), 0.0737558590799101),
        (20, 4, (128, 128, 3, 3), 0.025290092958454885),  # a sixth root
        (50, 6, (1024, 7), 0.029886015618438656),  # a tenth root
        (1, 2, (128, 9), 0.125),
    ],
)
def test_fixup_is_he_over_a_root_of_the_branches(layers, branch_layers, shape, std):
    found = fi.schemes.fixup(layers=layers, branch_layers=branch_layers).distribution(shape)
    assert_normal(found, std)
    he = fi.kaiming_normal(mode="fan_out").distribution(shape)
    assert (found == he) is (layers == 1)


def test_t_fixup_is_xaviers_uniform_narrowed_by_its_own_part():
    encoder, decoder = fi.schemes.t_fixup(encoder_layers=6), fi.schemes.t_fixup(decoder_layers=6)
    assert encoder.distribution((512, 2048)).high == pytest.approx(0.02072490901607902, rel=4e-16)
    assert decoder.distribution((512, 2048)).high == pytest.approx(0.017859002685617496, rel=4e-16)
    for n, factor in [(1, 0.67), (16, 0.335), (81, 0.67 / 3)]:
        assert_times_xavier(partial(fi.schemes.t_fixup, encoder_layers=n), factor, uniform=True)
    assert_times_xavier(lambda **o: fi.schemes.t_fixup(decoder_layers=9, **o), 1 / 3, uniform=True)


def test_t_fixups_embedding_is_narrowed_by_nine_layers_for_either_part():
    for part in ("encoder_layers", "decoder_layers"):
        found = fi.schemes.t_fixup_embedding(width=512, **{part: 6}).distribution((32000, 512))
        assert_normal(found, 0.01630296437576341)


def test_ds_init_counts_layers_from_zero():
    first, sixth = fi.schemes.ds_init(layer=0, alpha=0.5), fi.schemes.ds_init(layer=5, alpha=0.5)
    assert first.distribution((512, 2048)).high == pytest.approx(0.024206145913796356, rel=4e-16)
    assert sixth.distribution((512, 2048)).high == pytest.approx(0.009882117688026186, rel=4e-16)
    assert_times_xavier(lambda **o: fi.schemes.ds_init(layer=0, **o), 1.0, uniform=True)


# --- mistakes --------------------------------------------------------------------------------

BOTH = {"encoder_layers": 6, "decoder_layers": 6}
WIDE = {"width": 8}
MISTAKES = [
    ("fixup", {"layers": 0}, ValueError, "layers is 0: need a whole number of 1 or more"),
    ("fixup", {"layers": 2.5}, TypeError, "layers is 2.5: need a whole number"),
    ("fixup", {"layers": 2**63}, ValueError, "layers is 9.*: need less than 2"),
    ("fixup", {"layers": 2, "branch_layers": 1}, ValueError, "branch_layers is 1: need 2 or more"),
    ("fixup", {"layers": 2, "branch_layers": 2**63}, ValueError, "branch_layers is 9.*less than"),
    ("fixup", {}, TypeError, r"fixup\(.*'layers'"),
    ("ds_init", {"layer": -1}, ValueError, "layer is -1: need a whole number of 0 or more"),
    ("ds_init", {"layer": True}, TypeError, "layer is True: need a whole number"),
    ("ds_init", {"layer": 0, "alpha": -1}, ValueError, "alpha is -1.0: need a finite number >= 0"),
    ("ds_init", {"layer": 0, "alpha": NAN}, ValueError, "alpha is nan"),
    ("ds_init", {}, TypeError, r"ds_init\(.*'layer'"),
    ("t_fixup", BOTH, ValueError, "both|give those of the part that the tensor is in"),
    ("t_fixup_embedding", {**WIDE, **BOTH}, ValueError, "give those of the part"),
    ("t_fixup_embedding", {"encoder_layers": 1}, TypeError, "'width'"),
    ("t_fixup_embedding", {"width": 0, "encoder_layers": 1}, ValueError, "width is 0"),
]
for _name in ("deepnorm", "sub_ln", "t_fixup", "t_fixup_embedding"):
    _wide = WIDE if "embedding" in _name else {}
    MISTAKES += [
        (_name, _wide, ValueError, "give encoder_layers or decoder_layers"),
        (_name, {**_wide, "encoder_layers": 0}, ValueError, "encoder_layers is 0: need a whole"),
        (_name, {**_wide, "decoder_layers": -1}, ValueError, "decoder_layers is -1: need a whole"),
        (_name, {**_wide, "decoder_layers": 2**63}, ValueError, "decoder_layers is 9.*less than"),
        (_name, {**_wide, "encoder_layers": True}, TypeError, "encoder_layers is True: need a wh"),
        (_name, {**_wide, "encoder_layers": 2.5}, TypeError, "encoder_layers is 2.5: need a whole"),
    ]
for _name in ("deepnorm", "sub_ln"):
    MISTAKES += [
        (_name, BOTH, ValueError, "say which the tensor is in, part='encoder' or part='decoder'"),
        (
            _name,
            {**BOTH, "part": "middle"},
            ValueError,
            "part 'middle' is unknown: choose from enc",
        ),
        (_name, {**BOTH, "part": 1}, ValueError, "part 1 is unknown"),
        (
            _name,
            {"encoder_layers": 6, "part": "decoder"},
            ValueError,
            "part is 'decoder', but decoder_layers is not given",
        ),
    ]
for _name in ("deepnorm", "sub_ln", "t_fixup"):
    MISTAKES.append((_name, {"encoder_layers": 2, "layout": "x"}, ValueError, "layout 'x' is unk"))


@pytest.mark.parametrize(("name", "wrong", "error", "words"), MISTAKES)
def test_a_wrong_argument_is_explained(name, wrong, error, words):
    with pytest.raises(error, match=words):
        getattr(fi.schemes, name)(**wrong)


@pytest.mark.parametrize(
    "scheme",
    [
        fi.schemes.deepnorm(encoder_layers=1),
        fi.schemes.sub_ln(decoder_layers=1),
        fi.schemes.fixup(layers=1),
        fi.schemes.t_fixup(encoder_layers=1),
        fi.schemes.ds_init(layer=0),
    ],
)
def test_a_rule_of_fans_needs_them(scheme):
    with pytest.raises(ValueError, match=r"shape \(5,\) has no fans"):
        scheme.distribution((5,))
    for shape in [(0, 5), (5, 0), (0, 0)]:
        assert math.isfinite(scheme.distribution(shape).std)


def test_the_deepest_model_has_a_scale():
    most = 2**63 - 1
    for scheme in (
        fi.schemes.deepnorm(encoder_layers=most, decoder_layers=most, part="encoder"),
        fi.schemes.sub_ln(decoder_layers=most),
        fi.schemes.fixup(layers=most, branch_layers=most),
        fi.schemes.t_fixup(decoder_layers=most),
        fi.schemes.ds_init(layer=most),
    ):
        assert 0 < scheme.distribution((4, 4)).std < INF
