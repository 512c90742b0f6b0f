# SPDX-License-Identifier: MIT
"""Makes schemes.json from the reference alone: from texts of schemes and shapes to values.

    python tests/data/make_schemes.py

Parameters are texts that Python's float() reads; values are bits in hexadecimal, or, where linear
algebra makes them, decimal numbers before the last rounding.
"""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import reference as ref  # noqa: E402
from make_edges import file_text  # noqa: E402
from make_vectors import distribution_json, hexadecimal  # noqa: E402
from reference_calls import call  # noqa: E402
from reference_places import TO_ROUNDING, values_of  # noqa: E402
from reference_schemes import FIXED, OF_SHAPE, SCALED, Parts, Shape, distribution_of  # noqa: E402

COUNT = 7
STREAMS = [(0, "wte.weight"), (2**64 - 1, "größe"), (7, "h.3.mlp.c_proj.weight")]

MATRIX: Shape = (48, 20)
FILTERS: Shape = (12, 8, 3, 5)
KERAS_FILTERS: Shape = (3, 5, 8, 12)
STACK: Shape = (4, 6, 10)
HUGE: Shape = (2**53 + 4, 511)
"""Whole numbers that float64 does not hold; no more elements than a tensor can have."""

SIZES_LOOKED_AT = [
    ("{}()", MATRIX),
    ("{}()", FILTERS),
    ("{}(layout='keras')", KERAS_FILTERS),
    ("{}(layout='keras')", (30,)),
    ("{}(layout='keras')", ()),
    ("{}(layout='jax')", MATRIX),
    ("{}(batch_axis=0)", STACK),
    ("{}(batch_axis=-1, layout='keras')", STACK),
    ("{}(in_axis=2, out_axis=(0, 1))", STACK),
    ("{}(in_axis=(), out_axis=-1)", (30,)),
    ("{}(groups=4)", FILTERS),
    ("{}(transposed=True, groups=2)", FILTERS),
    ("{}(packed=3)", MATRIX),
    ("{}(groups=2, packed=3)", FILTERS),
    ("{}(packed=(32, 8, 8))", MATRIX),
    ("{}(packed=(4, 6), layout='keras')", (20, 10)),
    ("{}(packed=(4, 2), transposed=True)", (5, 6, 3)),
    ("{}(packed=(10, 38), in_axis=1, out_axis=0)", MATRIX),
]
"""Every option of fans, with a shape."""

FILLED = [
    "uniform(-0.1, high=0.3)",
    "normal(0.02, mean=-0.1)",
    "truncated_normal(0.02, low=-3, high=1.5, corrected=True)",
    "clipped_normal(low=-inf, high=1)",
    "constant(0.1)",
    "zeros",
    "ones()",
    "gpt2_residual(layers=7)",
    "gpt2_residual(layers=9007199254740993)",
    "megatron_scaled_normal(0.03, layers=7, multiplier=0.3, width_multiplier=3)",
    "depth_scaled_normal(layer=0)",
    "depth_scaled_normal(0.3, layer=10)",
    "small_init(width=768)",
    "small_init(width=9007199254740993)",
    "wang_init(width=768, layers=7)",
    "wang_init(width=768, layers=9007199254740993)",
    "ngpt(width=768)",
    "ngpt(width=768, layers=7)",
    "dummy()",
    "torchtitan()",
    "torchtitan(0)",
    "torchtitan(std=0.7, layer=2)",
    "torchtitan_output(width=768)",
    "olmo_core()",
    "olmo_core(layers=7)",
    "olmo_core(layer=7)",
    "t_fixup_embedding(width=768, encoder_layers=5)",
    "t_fixup_embedding(width=768, decoder_layers=7)",
    "mup_normal(0.02, width_multiplier=3)",
    "mup_uniform(0.1, width_multiplier=3)",
    "mup_truncated_normal(0.02, cutoff=1.1, width_multiplier=3)",
    "torch_bias(fan_in=7)",
    "torch_bias(fan_in=0)",
    "torch_rnn(hidden=7)",
]
"""Schemes that look at no shape."""

MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
LAYERS = [
    ("encoder_layers=5", ""),
    ("decoder_layers=7", ""),
    ("encoder_layers=5, decoder_layers=7", ", part='encoder'"),
    ("encoder_layers=5, decoder_layers=7", ", part='decoder'"),
]

SHAPED = [
    *((text.format("he_normal"), shape) for text, shape in SIZES_LOOKED_AT),
    *((text.format("glorot_uniform"), shape) for text, shape in SIZES_LOOKED_AT),
    *((f"variance_scaling(0.3, '{m}')", FILTERS) for m in MODES),
    *((f"variance_scaling(0.3, '{m}', 'uniform')", FILTERS) for m in MODES),
    ("variance_scaling(0.3, distribution='normal')", MATRIX),
    ("variance_scaling(0.3, distribution='untruncated_normal')", MATRIX),
    *((f"{name}()", MATRIX) for name in ("glorot_normal", "he_uniform")),
    *((f"{name}()", MATRIX) for name in ("lecun_uniform", "lecun_normal", "selu_normal")),
    *((f"{name}()", FILTERS) for name in ("elu_normal", "torch_linear")),
    *((f"xavier_{kind}(gain=5/3)", FILTERS) for kind in ("uniform", "normal")),
    *(
        (f"kaiming_{kind}(0.3, nonlinearity='{g}')", MATRIX)
        for kind, g in zip(
            itertools.cycle(("uniform", "normal")),
            ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "identity", "conv2d"),
            strict=False,
        )
    ),
    ("kaiming_uniform(sqrt(5), 'fan_out')", FILTERS),
    ("mitchell()", MATRIX),
    ("mitchell(layer=6)", MATRIX),
    *((f"deepnorm({given}{part})", MATRIX) for given, part in LAYERS),
    *((f"sub_ln({given}{part})", MATRIX) for given, part in LAYERS),
    *((f"t_fixup({given})", MATRIX) for given, part in LAYERS if not part),
    *((f"fixup(layers=13, branch_layers={m})", FILTERS) for m in (2, 3, 4, 7)),
    ("ds_init(layer=4, alpha=0.9)", MATRIX),
    *((f"mup_readout(width_multiplier={w})", MATRIX) for w in (3, 1)),
    ("spectral(0.9)", MATRIX),
    ("spectral(0.9)", (20, 48)),
    ("siren()", MATRIX),
    ("siren(7, first=True)", MATRIX),
    *(
        (f"mup_{rule}(base_shape={base})", MATRIX)
        for rule in ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal")
        for base in ((48, 20), (16, 20), (48, 7), (15, 7))
    ),
    *((f"mup_kaiming_normal(mode='fan_out', base_shape=({n}, 7))", MATRIX) for n in (48, 15)),
    ("mup_xavier_normal(base_shape=(5, 3, 5, 3), layout='keras')", (5, 3, 8, 12)),
    ("mup_kaiming_uniform(base_shape=(2, 6, 5), batch_axis=0)", STACK),
    *((f"{name}()", HUGE) for name in ("he_normal", "glorot_uniform", "spectral", "torch_linear")),
    ("variance_scaling(mode='fan_geo_avg')", HUGE),
    ("mup_xavier_normal(base_shape=(9007199254740991, 3))", HUGE),
    ("torch_bilinear()", STACK),
    ("torch_embedding(0.5)", MATRIX),
    ("torch_embedding(0.5, padding=1)", MATRIX),
    ("torch_embedding(0.5, padding=-47)", MATRIX),
    ("keras_lstm_bias()", (24,)),
]

PLACED = [
    ("identity(-0.3)", (4, 6)),
    ("identity(batch_axis=1)", (3, 2, 3)),
    ("dirac()", (4, 6, 3)),
    ("dirac(2, layout='keras')", (2, 4, 3, 6)),
    ("dirac(3)", (6, 1, 2, 2, 2)),
    ("zero_hadamard()", (3, 5)),
    ("zero_hadamard()", (5, 3)),
    ("zero_hadamard(layout='jax')", (2, 3, 5)),
    ("sparse(0.3)", (11, 7)),
    ("sparse(1/3, std=1)", (9, 4)),
    ("orthogonal(0.7)", (6, 4)),
    ("orthogonal(layout='keras')", (2, 3, 5)),
    ("orthogonal(2, batch_axis=0, column_axis=-1)", (2, 4, 3)),
    ("delta_orthogonal(0.7)", (4, 3, 2, 3)),
    ("delta_orthogonal(layout='jax')", (4, 3, 4)),
    ("spectral_normalised(0.7)", (6, 4)),
    ("spectral_normalised(batch_axis=0, layout='keras')", (2, 4, 3)),
]
"""Tensors small enough to be given whole."""

COMPOUND = [
    ("mapped(uniform(0, 1), 'log(16 * x)')", (9,)),
    ("mapped(normal(0.02), 'x')", (9,)),
    ("mapped(normal(0.5, mean=1), 'maximum(minimum(x, 1.5), 0.25) ** 3 - abs(x) / 3')", (9,)),
    ("mapped(uniform(-2, 2), 'exp(x) + expm1(x / 9) * sin(x) - cos(3 * x) ** 2')", (9,)),
    ("mapped(uniform(0.5, 2), 'x ** 0.7 + x ** -2.5 + sqrt(x) * log1p(x)')", (9,)),
    ("mapped(truncated_normal(0.1), 'x * pi')", (9,)),
    ("mapped(he_uniform(packed=2), 'x * x * x')", (6, 4)),
    ("mapped(mapped(uniform(0.81, 0.998), '-0.5 * log(x)'), 'log(exp(x) - 1)')", (9,)),
    ("mapped(uniform(0.656, 0.9), 'log(exp(-(0.5 * log(x))) - 1)')", (9,)),
    ("mapped(constant(1e-3), 'x / 3')", (2,)),
    ("mapped(normal(), 'exp(-700 - x)')", (5,)),
    ("log_uniform(0.001, 0.1)", (9,)),
    ("log_uniform(2, 2)", (2,)),
    ("inverse_softplus_log_uniform(0.001, 0.1)", (9,)),
    ("inverse_softplus_log_uniform(1e-5, high=30, floor=1e-4)", (9,)),
    ("parts(normal(0.1), '1', zeros())", (4, 3)),
    ("parts(zeros(), '0:4, :', xavier_uniform(), '4:8', xavier_uniform(), '-4:', ones())", (12, 5)),
    ("parts(zeros(), ':, 0:2', he_normal(), '::2, 1::2', constant(0.5))", (5, 6)),
    ("parts(identity(), '1:3, 1:', sparse(0.5, std=1), '-1, ::3', table('i0 + n0'))", (4, 7)),
    ("parts(uniform(0, 1), '0, 2:4', parts(ones(), '0', normal()))", (3, 4)),
    ("parts(normal(), '1, :, -1', literal((1, 2)), '0', torch_embedding(padding=1))", (2, 2, 3)),
    ("parts(ones(), '', mapped(normal(), 'abs(x)'), '2:2', zeros())", (3, 3)),
    ("parts(ones(), '1:', same_as('v', normal()))", (3, 2)),
    ("parts(normal(), '', ones())", ()),
    ("same_as('v', normal(0.1))", (3, 3)),
    ("same_as('layers.0.w', dirac())", (2, 2, 3)),
    ("norms_of('v', (5, 3, 2), 0, normal())", (5, 1, 1)),
    ("norms_of('v', (5, 3, 2), (-1, 0), uniform(-1, 1))", (5, 1, 2)),
    ("norms_of('v', (5, 3, 2), 1, he_normal())", (1, 3, 1)),
    ("norms_of('v', (7, 9), (), normal(1e-3))", ()),
    ("norms_of('v', (3, 0), 0, normal())", (3, 1)),
    ("norms_of('v', (2, 3), 0, constant(0.1))", (2, 1)),
    ("linspace(0, 1)", (7,)),
    ("linspace(-1e-3, end=5, axis=0)", (6, 2)),
    ("linspace(3, 3.3)", (1,)),
    ("linspace(5e-324, 1e-322)", (8,)),
    ("log_arange()", (2, 5)),
    ("log_arange(0.1, step=0.3, axis=-2)", (4, 2)),
    ("sinusoid('halves')", (5, 7)),
    ("sinusoid('interleaved', base=100, padding=-1)", (2, 4, 6)),
    ("sinusoid('halves', endpoint=True, padding=1)", (4, 9)),
    ("sinusoid('interleaved', endpoint=True)", (3, 8)),
    ("literal(0.1)", ()),
    ("literal((1, -0.0, 1e-9))", (3,)),
    ("literal([[[1], [2]], [[3.5], [4]]])", (2, 2, 1)),
    ("table('-5 + 8 * (i0 / (n0 - 1)) ** 0.7')", (6,)),
    ("table('cos(i1 * 2 * pi / n1) - (i0 + 1) % 3 // 2 + sin(1e15 * i0)')", (4, 3)),
    ("table('7')", ()),
    ("slice_of('v', (5, 4, 6), '3, 0:2', normal(0.1))", (2, 6)),
    ("slice_of('v', (5, 4, 6), ':, 1:4:2, ::5', uniform(-1, 1))", (5, 2, 2)),
    ("slice_of('v', (5, 4, 6), '', he_normal())", (5, 4, 6)),
    ("slice_of('v', (9, 7), ':, -3', he_normal(packed=(2, 7)))", (9,)),
    ("slice_of('v', (9, 7), '2, 3', truncated_normal(0.1))", ()),
    ("slice_of('v', (9, 7), '1::3, 2:6', sparse(0.4, std=1))", (3, 4)),
    ("slice_of('v', (9, 7), '2:7, ::2', parts(ones(), '4', zeros(), ':, 2:', normal()))", (5, 4)),
    ("slice_of('v', (9, 7), '0:4', mapped(normal(), 'exp(x)'))", (4, 7)),
    ("slice_of('v', (9, 7), '8:, 1:', table('i0 * n1 + i1'))", (1, 6)),
    ("slice_of('v', (9, 7), '3:3', normal())", (0, 7)),
    ("slice_of('v', (9, 1), '1:7:2', norms_of('w', (9, 5), 0, normal()))", (3, 1)),
    ("slice_of('u', (6, 4), '2:5', slice_of('v', (9, 7), ':6, 1:5', normal()))", (3, 4)),
    ("same_as('x', slice_of('v', (9, 7), '2', normal()))", (7,)),
    ("parts(zeros(), '1', slice_of('v', (9, 7), '2, :3', normal()), '2', ones())", (4, 3)),
]
"""Sections 18 and 19; texts whose values have the same bits everywhere."""

MINUS_ZERO = ("zero_hadamard()", (2**19 + 1, 2))
"""c rounds to 0 in float8_e4m3fn, and -c to -0."""


def parameters(text: str, shape: Shape) -> dict[str, Any]:
    """What the vector says of the distribution, if it is one of independent elements."""
    name, arguments = call(text)
    if name not in (*FIXED, *SCALED, *OF_SHAPE):
        return {}
    found = distribution_of(name, arguments, shape)
    if not isinstance(found, Parts):
        return {"distribution": distribution_json(found)}
    parts = [distribution_json(d) for d in found.distributions]
    return {"axis": found.axis, "sizes": found.sizes, "parts": parts}


def vector(text: str, shape: Shape, number: int, start: int, count: int) -> dict[str, Any]:
    """One row; what is drawn differs from row to row."""
    dtype = list(ref.DTYPES)[number // 2 % 6] if number % 2 else "float64"
    if call(text)[0] in TO_ROUNDING:
        dtype = ("float64", "float32")[number % 2]
    return row(text, shape, STREAMS[number % 3], start, count, dtype)


def row(
    text: str, shape: Shape, stream: tuple[int, str], start: int, count: int, dtype: str
) -> dict[str, Any]:
    values = values_of(text, shape, stream, start, count, dtype)
    exact = call(text)[0] not in TO_ROUNDING
    return {
        "text": text,
        "shape": shape,
        "seed": stream[0],
        "name": stream[1],
        "dtype": dtype,
        **parameters(text, shape),
        "start": start,
        "values": hexadecimal(values) if exact else values.tolist(),
    }


def rows() -> list[dict[str, Any]]:
    """All vectors."""
    shaped = [(text, MATRIX) for text in FILLED] + SHAPED
    found = []
    for number, (text, shape) in enumerate(shaped):
        count = math.prod(shape)
        start = min(count - min(count, COUNT), 13 * number)
        found.append(vector(text, shape, number, start, min(count, COUNT)))
    for number, (text, shape) in enumerate(PLACED):
        found.append(vector(text, shape, number, 0, math.prod(shape)))
    odd = 2 * (2**18 + 3)
    found += [row(*MINUS_ZERO, STREAMS[0], odd, COUNT, dtype) for dtype in ref.DTYPES]
    for number, (text, shape) in enumerate(COMPOUND):
        found.append(vector(text, shape, number, 0, math.prod(shape)))
    return found


def files() -> dict[str, str]:
    """The text of each file, by its name."""
    return {"schemes.json": file_text({"schemes": rows()})}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="ascii")
