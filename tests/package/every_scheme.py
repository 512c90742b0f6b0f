# SPDX-License-Identifier: MIT
"""A call of every scheme with a small shape that it takes, for sweeps.  No test."""

from __future__ import annotations

KERNEL = (6, 4, 3)
CALLS: dict[str, list[tuple[str, tuple[int, ...]]]] = {
    "auto": [
        ("auto('relu', role='linear')", (6, 10)),
        ("auto(role='residual_output', layers=3)", (6, 10)),
    ],
    "clipped_normal": [
        ("clipped_normal(0.1)", (5, 7)),
        ("clipped_normal(1/3, mean=0.7, low=-1.3, high=2.1, corrected=True)", (5, 7)),
        ("clipped_normal(1e-40, low=-inf, high=0.3, corrected=True)", (5, 7)),
    ],
    "constant": [
        ("constant(0.1)", (5,)),
        ("constant(1e-40)", (5,)),
        ("constant(1e-310)", (5,)),
        ("constant(2e-5)", (5,)),
    ],
    "deepnorm": [
        ("deepnorm(encoder_layers=7)", (6, 10)),
        ("deepnorm(encoder_layers=7, decoder_layers=5, part='encoder')", (6, 10)),
    ],
    "delta_orthogonal": [
        ("delta_orthogonal(gain=0.3)", KERNEL),
        ("delta_orthogonal(gain=1e-40)", KERNEL),
    ],
    "depth_scaled_normal": [("depth_scaled_normal(layer=2)", (6, 10))],
    "dirac": [("dirac(groups=2)", KERNEL)],
    "ds_init": [("ds_init(layer=2, alpha=0.7)", (6, 10))],
    "dummy": [("dummy()", (6, 10))],
    "elu_normal": [("elu_normal()", (6, 10))],
    "fixup": [("fixup(layers=7, branch_layers=4)", KERNEL)],
    "inverse_softplus_log_uniform": [
        ("inverse_softplus_log_uniform(0.001, 0.1, floor=1e-4)", (33,)),
    ],
    "linspace": [("linspace(-1/3, 7)", (6, 11)), ("linspace(0, 1e-310)", (5,))],
    "literal": [("literal((0.1, 1e-310, 1e-40))", (3,))],
    "log_arange": [("log_arange(0.3)", (6, 11))],
    "log_uniform": [("log_uniform(1e-3, 0.1)", (6, 11))],
    "mapped": [
        ("mapped(normal(0.7), 'exp(x) - x ** 3 / 7 + sin(9 * x)')", (6, 11)),
        ("mapped(uniform(0, 1), '1e-310 * log1p(x) ** 0.3')", (6, 11)),
        ("mapped(uniform(0, 1), 'exp(-700 - 30 * x)')", (6, 11)),
    ],
    "norms_of": [("norms_of('v', (6, 11, 3), 0, normal())", (6, 1, 1))],
    "parts": [
        ("parts(normal(0.1), '1', zeros(), ':, 2:9', xavier_uniform())", (6, 11)),
        ("parts(zeros(), ':, ::2', orthogonal(gain=0.3), '1', uniform(0, 1e-40))", (6, 11)),
    ],
    "same_as": [("same_as('v', normal(0.1))", (6, 11))],
    "sinusoid": [("sinusoid('halves')", (40, 11)), ("sinusoid('interleaved', base=7)", (9, 12))],
    "table": [("table('cos(i0 / 3) ** 2 * (i1 + 1) ** -0.7')", (6, 11))],
    "glorot_normal": [("glorot_normal()", (6, 11))],
    "glorot_uniform": [("glorot_uniform()", (6, 11))],
    "gpt2_residual": [("gpt2_residual(layers=5)", (6, 11))],
    "he_normal": [("he_normal()", (6, 11)), ("he_normal(packed=(2, 4))", (6, 11))],
    "he_uniform": [("he_uniform()", (6, 11))],
    "identity": [
        ("identity(0.1)", (5, 7)),
        ("identity(1e-40)", (5, 7)),
        ("identity(1e-6)", (5, 7)),
    ],
    "kaiming_normal": [("kaiming_normal(0.3)", (6, 11)), ("kaiming_normal(a=1e150)", (6, 11))],
    "kaiming_uniform": [("kaiming_uniform(a=sqrt(5))", (6, 11))],
    "keras_lstm_bias": [("keras_lstm_bias()", (8,))],
    "lecun_normal": [("lecun_normal()", (6, 11))],
    "lecun_uniform": [("lecun_uniform()", (6, 11))],
    "megatron_scaled_normal": [
        ("megatron_scaled_normal(layers=3, multiplier=1.1, width_multiplier=1.3)", (6, 11))
    ],
    "mitchell": [("mitchell(layer=2)", (6, 11))],
    "mup_kaiming_normal": [
        ("mup_kaiming_normal(mode='fan_out', base_shape=(3, 7))", (6, 11)),
    ],
    "mup_kaiming_uniform": [("mup_kaiming_uniform(base_shape=(6, 7))", (6, 11))],
    "mup_normal": [("mup_normal(width_multiplier=3)", (6, 11))],
    "mup_readout": [("mup_readout(width_multiplier=3)", (6, 11))],
    "mup_truncated_normal": [
        ("mup_truncated_normal(0.1, cutoff=1.7, width_multiplier=3)", (6, 11))
    ],
    "mup_uniform": [("mup_uniform(0.1, width_multiplier=3)", (6, 11))],
    "mup_xavier_normal": [("mup_xavier_normal(0.7, base_shape=(3, 7))", (6, 11))],
    "mup_xavier_uniform": [("mup_xavier_uniform(0.7, base_shape=(3, 7))", (6, 11))],
    "ngpt": [("ngpt(width=11, layers=3)", (6, 11))],
    "normal": [
        ("normal(0.1, mean=0.3)", (6, 11)),
        ("normal(std=1e-39)", (6, 11)),
        ("normal(std=1e-310)", (6, 11)),
        ("normal(std=2e-310)", (6, 11)),
        ("normal(std=0.02/sqrt(2*12))", (6, 11)),
    ],
    "olmo_core": [("olmo_core(layer=2)", (6, 11))],
    "ones": [("ones()", (7,))],
    "orthogonal": [
        ("orthogonal(gain=0.3)", (12, 5)),
        ("orthogonal(gain=1e-36)", (5, 12)),
        ("orthogonal(gain=1e-41)", (5, 5)),
    ],
    "selu_normal": [("selu_normal()", (6, 11))],
    "siren": [("siren(omega=7)", (6, 11)), ("siren(first=True)", (6, 11))],
    "slice_of": [
        ("slice_of('v', (6, 11), ':, ::2', normal(0.1))", (6, 6)),
        ("slice_of('v', (9, 6, 11), '3, 1:', he_normal())", (5, 11)),
    ],
    "small_init": [("small_init(width=7)", (6, 11))],
    "sparse": [("sparse(1/3, 0.1)", (7, 5)), ("sparse(0.1, std=1e-41)", (7, 5))],
    "spectral": [("spectral(0.3)", (6, 11))],
    "spectral_normalised": [
        ("spectral_normalised(0.3)", (6, 11)),
        ("spectral_normalised(1e-36)", (6, 11)),
    ],
    "sub_ln": [
        ("sub_ln(decoder_layers=5)", (6, 11)),
        ("sub_ln(encoder_layers=7, decoder_layers=5, part='encoder')", (6, 11)),
    ],
    "t_fixup": [("t_fixup(encoder_layers=5)", (6, 11)), ("t_fixup(decoder_layers=5)", (6, 11))],
    "t_fixup_embedding": [("t_fixup_embedding(width=7, encoder_layers=5)", (6, 11))],
    "torch_bias": [("torch_bias(fan_in=7)", (6,))],
    "torch_bilinear": [("torch_bilinear()", (2, 7, 3))],
    "torch_embedding": [("torch_embedding(0.1, padding=1)", (6, 7))],
    "torch_linear": [("torch_linear()", (6, 11))],
    "torch_rnn": [("torch_rnn(hidden=7)", (6, 11))],
    "torchtitan": [("torchtitan(0.3, layer=2)", (6, 11))],
    "torchtitan_output": [("torchtitan_output(width=7)", (6, 11))],
    "truncated_normal": [
        ("truncated_normal(0.1)", (6, 11)),
        ("truncated_normal(0.1, low=6, high=8)", (6, 11)),
        ("truncated_normal(1/3, mean=0.1, low=-1.3, high=2.7, corrected=True)", (6, 11)),
        ("truncated_normal(1e-39, low=-1, high=2)", (6, 11)),
    ],
    "uniform": [("uniform(-0.1, 0.7)", (6, 11)), ("uniform(-1e-40, 2e-40)", (6, 11))],
    "variance_scaling": [
        ("variance_scaling(1/3, 'fan_geo_avg', 'uniform')", (6, 11)),
        ("variance_scaling(1/3, 'fan_geo_avg')", (6, 11)),
    ],
    "wang_init": [("wang_init(width=7, layers=3)", (6, 11))],
    "xavier_normal": [("xavier_normal(0.7)", (6, 11))],
    "xavier_uniform": [("xavier_uniform(1/3)", (6, 11))],
    "zero_hadamard": [("zero_hadamard()", (96, 64)), ("zero_hadamard()", (6, 4, 3))],
    "zeros": [("zeros()", (7,))],
}
"""Scheme -> its texts, each with a shape; scales of every size, none of which overflows."""
