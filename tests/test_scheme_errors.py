# SPDX-License-Identifier: MIT
"""A wrong argument of a scheme: the message says what was given, why it cannot work, what would.

One row for each mistake that someone coming from a framework makes; the mistakes of one file of
schemes in all their kinds are in that file's tests.
"""

from __future__ import annotations

import inspect
import re

import pytest

import fastinit as fi
from fastinit import schemes


def met(scheme, *dims):
    """The mistake is in the shape that a scheme meets."""
    return lambda: scheme.distribution(dims)


NONLINEARITIES = (
    "linear, identity, conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, "
    "conv_transpose3d, sigmoid, tanh, relu, leaky_relu, selu"
)
NO_FANS = r"need an input and an output axis, as in {}.*bias use zeros\(\) or constant\(\)"
OUT_IN, IN_OUT = NO_FANS.format(r"\(out, in\)"), NO_FANS.format(r"\(in, out\)")
# What is done; then, of the message, what was given and what would work, in either order.
MISTAKES = {
    # sparsity
    "negative sparsity": (lambda: fi.sparse(-0.1), "sparsity is -0.1", "0 <= sparsity <= 1"),
    "sparsity in percent": (lambda: fi.sparse(10), "sparsity is 10.0", "share of zeros"),
    "sparse convolution": (met(fi.sparse(0.1), 8, 4, 3), r"\(8, 4, 3\)", "needs .rows, columns."),
    # gains
    "unknown nonlinearity": (lambda: fi.gain("gelu"), "'gelu' is unknown", f"{NONLINEARITIES}$"),
    "class for function": (lambda: fi.gain("ReLU"), "'ReLU' is unknown", "relu"),
    "unknown in kaiming": (
        lambda: fi.kaiming_uniform(nonlinearity="silu"),
        "'silu' is unknown",
        f"{NONLINEARITIES}$",
    ),
    "a slope for relu": (lambda: fi.gain("relu", 0.1), "'relu' takes no param", "0.1"),
    "nonlinearity as gain": (lambda: fi.xavier_normal("relu"), "gain is 'relu'", "need a number"),
    "mode of another function": (
        lambda: fi.kaiming_normal(mode="fan_avg"),
        "mode 'fan_avg' is unknown",
        "choose from fan_in, fan_out",
    ),
    "unknown distribution": (
        lambda: fi.variance_scaling(distribution="gaussian"),
        "distribution 'gaussian' is unknown",
        "choose from truncated_normal, normal, untruncated_normal, uniform",
    ),
    "negative scale": (lambda: fi.variance_scaling(-2), "scale is -2.0", "finite number >= 0"),
    # too few axes
    "xavier of a bias": (met(fi.xavier_uniform(), 64), r"shape \(64,\)", OUT_IN),
    "lecun of a bias": (met(fi.lecun_normal(layout="jax"), 64), r"shape \(64,\)", IN_OUT),
    "kaiming of a scalar": (met(fi.kaiming_normal()), r"shape \(\) has no fans", OUT_IN),
    "a stack of biases": (met(fi.he_normal(batch_axis=0), 8, 64), r"\(8, 64\)", "batch axes"),
    "orthogonal of a bias": (met(fi.orthogonal(), 64), r"shape \(64,\)", "need an input and an"),
    "identity of a kernel": (met(fi.identity(), 8, 8, 3), "has 3 axes", r"two.*dirac\(\)"),
    "dirac of a matrix": (met(fi.dirac(), 8, 8), "has 2 axes", "3, 4 or 5 of a convolution"),
    "delta of a matrix": (met(fi.delta_orthogonal(), 8, 8), "has 2 axes", "3, 4 or 5"),
    "bilinear of a matrix": (met(fi.torch_bilinear(), 8, 8), r"\(8, 8\)", r"\(out, in1, in2\)"),
    # rows and columns swapped
    "inputs for outputs": (
        met(fi.delta_orthogonal(), 4, 8, 3),
        r"\(4, 8, 3\) has 8 inputs and 4 outputs in layout 'torch'",
        r"orthogonal\(\), or the other layout",
    ),
    "inputs for outputs in jax": (
        met(fi.delta_orthogonal(layout="jax"), 3, 8, 4),
        "8 inputs and 4 outputs in layout 'jax'",
        "the other layout",
    ),
    "packed along the inputs": (
        met(fi.xavier_uniform(packed=3), 64, 192),
        "packed=3 does not divide the 64 outputs",
        r"shape \(64, 192\) in layout 'torch'",
    ),
    "groups along the inputs": (
        met(fi.dirac(3), 8, 6, 3),
        "groups=3 does not divide the 8 outputs",
        r"\(8, 6, 3\)",
    ),
    "an axis as two": (
        met(fi.he_normal(in_axis=0, out_axis=-2), 8, 4),
        r"in_axis=0, out_axis=-2.*\(8, 4\) twice",
        "each axis plays one part",
    ),
    "one axis alone": (lambda: fi.he_normal(in_axis=0), "in_axis and out_axis", "give both"),
    # depth and width
    "no layers": (lambda: fi.gpt2_residual(layers=0), "layers is 0", "1 or more"),
    "layers of T-Fixup missing": (
        lambda: fi.t_fixup(),
        "encoder_layers or decoder_layers",
        "the part that the tensor is in",
    ),
    "layers left out": (lambda: fi.gpt2_residual(), "missing a required argument", "'layers'"),
    "half a layer": (lambda: fi.wang_init(width=64, layers=2.5), "layers is 2.5", "whole number"),
    "layer before the first": (lambda: fi.torchtitan(layer=-1), "layer is -1", "0 or more"),
    "no width": (lambda: fi.small_init(width=0), "width is 0", "1 or more"),
    "no frequency": (lambda: fi.siren(0), "omega is 0.0", "> 0"),
    "both depths": (lambda: fi.olmo_core(layers=8, layer=1), "layers is 8 and layer 1", "not both"),
    "padding beyond": (met(fi.torch_embedding(padding=9), 5, 4), "padding is 9", "-5 <= .* < 5"),
    # arguments in the order of a framework
    "mean first": (lambda: fi.normal(0.0, 0.02), r"normal\(std=1.0, \*, mean=0.0\)", "positional"),
    "shape as arguments": (lambda: fi.orthogonal(64, 32), r"orthogonal\(gain=1.0", "positional"),
    "no bounds": (lambda: fi.uniform(), r"uniform\(low, high\)", "missing.*'low'"),
    "bounds the wrong way": (lambda: fi.uniform(1, -1), "low is 1.0 and high -1.0", "low <= high"),
    "torch's name": (lambda: fi.scheme("orthogonal_(1)"), "'orthogonal_'", "did you mean 'orthog"),
    "torch's short name": (lambda: fi.scheme("xavier"), "'xavier'", "did you mean 'xavier_normal'"),
    "tf's layout": (lambda: fi.he_normal(layout="tf"), "layout 'tf' is unknown", "keras"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_message_says_what_was_given_and_what_would_work(mistake):
    make, given, would = MISTAKES[mistake]
    with pytest.raises((ValueError, TypeError), match=f"(?s){given}.*{would}|{would}.*{given}"):
        make()


COUNTS = ("layers", "encoder_layers", "decoder_layers", "width", "hidden", "branch_layers")


def with_counts():
    """Each scheme and each argument of it that counts layers or units."""
    for name, function in vars(schemes).items():
        if inspect.isfunction(function) and name != "scheme":
            for argument in set(inspect.signature(function).parameters) & set(COUNTS):
                yield name, argument


@pytest.mark.parametrize(("name", "argument"), sorted(with_counts()))
@pytest.mark.parametrize("count", [0, -1])
def test_no_scheme_takes_no_layers_or_units(name, argument, count):
    function = getattr(fi, name)
    parameters = inspect.signature(function).parameters.values()
    needed = {p.name: 4 for p in parameters if p.default is p.empty}
    with pytest.raises(ValueError, match=rf"^{argument} is {count}: need .*[12] or more"):
        function(**needed | {argument: count})


def test_every_message_above_is_prose():
    """One sentence, no repeated word, no bracket left open."""
    for make, *_ in MISTAKES.values():
        with pytest.raises((ValueError, TypeError)) as found:
            make()
        message = str(found.value)
        assert not re.search(r"\b([a-z]{2,}) \1\b", message)
        assert message.count("(") == message.count(")")
        assert not message.endswith(".")
