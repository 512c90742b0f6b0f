# SPDX-License-Identifier: MIT
"""Calls of every scheme with random arguments, for hypothesis.  Holds no test."""

from __future__ import annotations

import math

from hypothesis import strategies as st

import fastinit as fi

INF = math.inf
DISTRIBUTIONS = ["truncated_normal", "normal", "untruncated_normal", "uniform"]
NONLINEARITIES = ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def text_of(scheme):
    """What `print` shows."""
    return str(scheme)


def scheme_from(name, arguments):
    """The scheme of a call; `pairs` are any number of arguments, and follow `init`."""
    named = dict(arguments)
    pairs = named.pop("pairs", None)
    first = (
        ()
        if pairs is None
        else (named.pop("init"), *(pairs if isinstance(pairs, tuple) else [pairs]))
    )
    return getattr(fi.schemes, name)(*first, **named)


numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(0, 1e300)
factors = st.floats(0, 1e100)
layouts = st.sampled_from(["torch", "keras", "jax"])
axis_lists = st.integers(-4, 3) | st.lists(st.integers(-4, 3), max_size=3).map(tuple)
axes_given = st.fixed_dictionaries(
    {},
    optional={
        "batch_axis": axis_lists,
        "layout": layouts,
        "groups": st.integers(1, 9),
        "transposed": st.booleans(),
        "packed": st.integers(1, 9) | st.lists(st.integers(1, 9), min_size=1).map(tuple),
    },
) | st.fixed_dictionaries(
    {"in_axis": axis_lists, "out_axis": axis_lists}, optional={"batch_axis": axis_lists}
)
bounds = st.tuples(st.floats(-12, 12), st.floats(0.001, 30) | st.just(INF)).map(
    lambda pair: {"low": pair[0], "high": pair[0] + pair[1]}
) | st.floats(-12, 12).map(lambda high: {"low": -INF, "high": high})


def calls(name, *strategies):
    """(name, keyword arguments), merged from the strategies."""
    return st.tuples(*strategies).map(
        lambda found: (name, {key: value for part in found for key, value in part.items()})
    )


def options(**strategies):
    return st.fixed_dictionaries({}, optional=strategies)


def needs(**strategies):
    return st.fixed_dictionaries(strategies)


bell = options(std=positive, mean=numbers, corrected=st.booleans())
modes = st.sampled_from(["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
kaiming = options(
    a=st.floats(-1e100, 1e100),
    mode=st.sampled_from(["fan_in", "fan_out"]),
    nonlinearity=st.sampled_from(NONLINEARITIES),
)
counts = st.integers(1, 2**40)
indices = st.integers(0, 2**40)
multipliers = st.floats(1e-100, 1e100)
base_shapes = st.lists(st.integers(1, 64), min_size=2, max_size=5).map(tuple)
one_part = needs(encoder_layers=counts) | needs(decoder_layers=counts)
parts = one_part | needs(
    encoder_layers=counts, decoder_layers=counts, part=st.sampled_from(["encoder", "decoder"])
)
FOR_MODELS = {
    "gpt2_residual": [options(std=factors), needs(layers=counts)],
    "megatron_scaled_normal": [
        options(std=factors, multiplier=multipliers, width_multiplier=multipliers),
        needs(layers=counts),
    ],
    "depth_scaled_normal": [options(std=factors), needs(layer=indices)],
    "torchtitan": [options(std=st.floats(0, 100), layer=indices)],
    "torchtitan_output": [needs(width=counts)],
    "olmo_core": [options(std=factors), options(layers=counts) | options(layer=indices)],
    "mitchell": [options(layer=indices), axes_given],
    "small_init": [needs(width=counts)],
    "wang_init": [needs(width=counts, layers=counts)],
    "ngpt": [needs(width=counts), options(layers=counts)],
    "dummy": [options(low=st.floats(-1, -0.01), high=st.floats(0, 1))],
    "deepnorm": [parts, axes_given],
    "sub_ln": [parts, axes_given],
    "fixup": [needs(layers=counts), options(branch_layers=st.integers(2, 9)), axes_given],
    "t_fixup": [one_part, axes_given],
    "t_fixup_embedding": [one_part, needs(width=counts)],
    "ds_init": [needs(layer=indices), options(alpha=factors), axes_given],
    "mup_normal": [options(std=factors), needs(width_multiplier=multipliers)],
    "mup_uniform": [needs(bound=factors, width_multiplier=multipliers)],
    "mup_truncated_normal": [
        options(std=factors, cutoff=st.floats(0.1, 9)),
        needs(width_multiplier=multipliers),
    ],
    **{
        f"mup_xavier_{kind}": [
            options(gain=factors, layout=layouts),
            needs(base_shape=base_shapes),
        ]
        for kind in ("uniform", "normal")
    },
    **{
        f"mup_kaiming_{kind}": [kaiming, options(layout=layouts), needs(base_shape=base_shapes)]
        for kind in ("uniform", "normal")
    },
    "mup_readout": [needs(width_multiplier=multipliers), axes_given],
    "spectral": [options(gain=factors), axes_given],
    "siren": [options(omega=multipliers, first=st.booleans()), axes_given],
    "selu_normal": [axes_given],
    "elu_normal": [axes_given],
    "torch_linear": [axes_given],
    "torch_bias": [needs(fan_in=indices)],
    "torch_bilinear": [],
    "torch_rnn": [needs(hidden=counts)],
    "torch_embedding": [options(std=positive, padding=st.integers(-9, 9))],
    "keras_lstm_bias": [],
}
WHOLE = {
    "identity": [options(gain=numbers, batch_axis=axis_lists)],
    "dirac": [options(groups=counts, layout=layouts)],
    "zero_hadamard": [options(layout=layouts)],
    "orthogonal": [
        options(
            gain=factors,
            layout=layouts,
            column_axis=st.none() | st.integers(-4, 3),
            batch_axis=axis_lists,
        )
    ],
    "delta_orthogonal": [options(gain=factors, layout=layouts)],
    "spectral_normalised": [options(gain=factors, layout=layouts, batch_axis=axis_lists)],
    "sparse": [needs(sparsity=st.floats(0, 1)), options(std=positive)],
}
inner = st.sampled_from(
    [
        fi.normal(0.02),
        fi.uniform(0.5, 1),
        fi.truncated_normal(low=0, high=math.inf),
        fi.he_normal(packed=(2, 4), layout="keras"),
        fi.schemes.mapped(fi.uniform(0.5, 1), "log(x)"),
        fi.schemes.parts(fi.zeros(), "0, 1:", fi.orthogonal()),
        fi.schemes.same_as("h.0.w", fi.schemes.literal(((1, 0.5), (-2, 1e-7)))),
    ]
)
regions = st.sampled_from(["", "0", "1:, -2", ":", " 0 : 4 , 1::2", "-3:-1", "2:3:1, 5"])
names_of_tensors = st.text("az.AZ09_ ~%(),=", min_size=1, max_size=9)
formulas_of_x = st.sampled_from(
    ["x", "log(16 * x)", " 2**-3 *x ", "maximum(minimum(x, 1), -1)", "1e-3+pi*x", "-x ** 2"]
)
formulas_of_indices = st.sampled_from(["i0", "n1 - i0 % 3", "-5 + 8 * (i0 / (n0 - 1)) ** 0.7"])
tables_of_numbers = (
    numbers
    | st.lists(numbers, max_size=5).map(tuple)
    | st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple)
)
COMPOUNDS = {
    "mapped": [needs(init=inner, expression=formulas_of_x)],
    "parts": [
        needs(
            init=inner,
            pairs=st.lists(st.tuples(regions, inner), min_size=1, max_size=3).map(
                lambda rows: tuple(each for row in rows for each in row)
            ),
        )
    ],
    "same_as": [needs(of=names_of_tensors, init=inner)],
    "slice_of": [
        needs(
            of=names_of_tensors,
            shape=st.sampled_from([(6, 7), (5, 6, 7)]),
            region=st.sampled_from(["", "0", "1:, -2", ":", " 0 : 4 , 1::2", "-3:-1", "2:3:1, 5"]),
            init=inner,
        )
    ],
    "norms_of": [
        needs(
            of=names_of_tensors,
            shape=st.sampled_from([(3, 4), (5,), (2, 3, 4)]),
            axes=st.sampled_from([(), 0, -1, (0,)]),
            init=inner,
        )
    ],
    "log_uniform": [needs(low=st.floats(1e-5, 1), high=st.floats(1, 1e5))],
    "inverse_softplus_log_uniform": [
        needs(low=st.floats(1e-5, 1), high=st.floats(1, 100)),
        options(floor=st.floats(0, 10)),
    ],
}
TABLES = {
    "linspace": [needs(start=numbers, end=numbers), options(axis=st.integers(-4, 3))],
    "log_arange": [options(start=numbers, step=numbers, axis=st.integers(-4, 3))],
    "sinusoid": [
        needs(kind=st.sampled_from(["halves", "interleaved"])),
        options(base=multipliers, endpoint=st.booleans(), padding=st.integers(-9, 9)),
    ],
    "literal": [needs(values=tables_of_numbers)],
    "table": [needs(expression=formulas_of_indices)],
}
SPECIAL = {**FOR_MODELS, **WHOLE, **COMPOUNDS, **TABLES}
EVERY_CALL = {
    "auto": calls(
        "auto",
        options(
            activation=st.sampled_from(["relu", "tanh", "selu"]),
            role=st.sampled_from(["linear", "head"]),
            layers=st.integers(1, 2**40),
            layout=layouts,
        ),
    ),
    **{name: calls(name, *rows) for name, rows in SPECIAL.items()},
    "uniform": calls(
        "uniform", st.tuples(numbers, numbers).map(lambda p: {"low": min(p), "high": max(p)})
    ),
    "normal": calls("normal", options(std=positive, mean=numbers)),
    "constant": calls("constant", st.fixed_dictionaries({"value": numbers})),
    "zeros": calls("zeros"),
    "ones": calls("ones"),
    "truncated_normal": calls("truncated_normal", bell, bounds),
    "clipped_normal": calls(
        "clipped_normal", options(std=positive, mean=numbers), st.just({}) | bounds
    ),
    "variance_scaling": calls(
        "variance_scaling",
        options(scale=factors, mode=modes, distribution=st.sampled_from(DISTRIBUTIONS)),
        axes_given,
    ),
    **{
        name: calls(name, options(gain=factors), axes_given)
        for name in ("xavier_uniform", "xavier_normal")
    },
    **{name: calls(name, kaiming, axes_given) for name in ("kaiming_uniform", "kaiming_normal")},
    **{
        name: calls(name, axes_given)
        for name in (
            *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal"),
            *("lecun_uniform", "lecun_normal"),
        )
    },
}
every_call = st.one_of(list(EVERY_CALL.values()))
