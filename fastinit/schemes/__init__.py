# SPDX-License-Identifier: MIT
"""Schemes: from a tensor's shape to the distribution of its values.  No memory, no streams.

The name says whose convention it is.  `xavier_*` and `kaiming_*` are PyTorch's: "normal" is a
plain normal, there are `gain` and `nonlinearity`.  `glorot_*`, `he_*` and `lecun_*` are Keras's
and JAX's: "normal" is truncated at 2 sigma and corrected to the standard deviation asked for.

Every scheme raises TypeError if an argument is missing, unknown or of the wrong type; `maker` adds
that to each docstring.
"""

from collections.abc import Callable

from fastinit.schemes.activations import elu_normal, selu_normal, siren
from fastinit.schemes.compound import mapped, norms_of, parts, same_as, slice_of
from fastinit.schemes.cutoffs import mitchell, olmo_core, torchtitan, torchtitan_output
from fastinit.schemes.depth import deepnorm, ds_init, fixup, sub_ln, t_fixup, t_fixup_embedding
from fastinit.schemes.gains import gain
from fastinit.schemes.identities import dirac, identity, zero_hadamard
from fastinit.schemes.language import (
    depth_scaled_normal,
    dummy,
    gpt2_residual,
    megatron_scaled_normal,
    ngpt,
    small_init,
    wang_init,
)
from fastinit.schemes.logarithmic import inverse_softplus_log_uniform, log_uniform
from fastinit.schemes.matrices import delta_orthogonal, orthogonal, sparse, spectral_normalised
from fastinit.schemes.modules import (
    keras_lstm_bias,
    torch_bias,
    torch_bilinear,
    torch_embedding,
    torch_linear,
    torch_rnn,
)
from fastinit.schemes.plain import (
    clipped_normal,
    constant,
    normal,
    ones,
    truncated_normal,
    uniform,
    zeros,
)
from fastinit.schemes.registry import SCHEMES
from fastinit.schemes.scaled import (
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    kaiming_normal,
    kaiming_uniform,
    lecun_normal,
    lecun_uniform,
    variance_scaling,
    xavier_normal,
    xavier_uniform,
)
from fastinit.schemes.scheme import Scheme, scheme
from fastinit.schemes.tables import linspace, literal, log_arange, sinusoid, table
from fastinit.schemes.width import (
    mup_kaiming_normal,
    mup_kaiming_uniform,
    mup_normal,
    mup_readout,
    mup_truncated_normal,
    mup_uniform,
    mup_xavier_normal,
    mup_xavier_uniform,
    spectral,
)

__all__ = [
    "Scheme",
    "auto",
    "clipped_normal",
    "constant",
    "deepnorm",
    "delta_orthogonal",
    "depth_scaled_normal",
    "dirac",
    "ds_init",
    "dummy",
    "elu_normal",
    "fixup",
    "gain",
    "glorot_normal",
    "glorot_uniform",
    "gpt2_residual",
    "he_normal",
    "he_uniform",
    "identity",
    "inverse_softplus_log_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "keras_lstm_bias",
    "lecun_normal",
    "lecun_uniform",
    "linspace",
    "literal",
    "log_arange",
    "log_uniform",
    "mapped",
    "megatron_scaled_normal",
    "mitchell",
    "mup_kaiming_normal",
    "mup_kaiming_uniform",
    "mup_normal",
    "mup_readout",
    "mup_truncated_normal",
    "mup_uniform",
    "mup_xavier_normal",
    "mup_xavier_uniform",
    "ngpt",
    "normal",
    "norms_of",
    "olmo_core",
    "ones",
    "orthogonal",
    "parts",
    "same_as",
    "scheme",
    "selu_normal",
    "sinusoid",
    "siren",
    "slice_of",
    "small_init",
    "sparse",
    "spectral",
    "spectral_normalised",
    "sub_ln",
    "t_fixup",
    "t_fixup_embedding",
    "table",
    "torch_bias",
    "torch_bilinear",
    "torch_embedding",
    "torch_linear",
    "torch_rnn",
    "torchtitan",
    "torchtitan_output",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "wang_init",
    "xavier_normal",
    "xavier_uniform",
    "zero_hadamard",
    "zeros",
]


def __getattr__(name: str) -> Callable[..., Scheme]:
    """The schemes of other rooms: `auto`, which chooses by a tensor's name."""
    if name in SCHEMES:
        return SCHEMES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)
