# SPDX-License-Identifier: MIT
"""Schemes a second time: from a call and a shape to distributions; docs/stream.md, section 13.

The distributions are those of reference.py.  Constants in places, sparse matrices and what linear
algebra makes are in reference_places.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import reference as ref
from reference_exact import logarithm, root

Shape = tuple[int, ...]
Arguments = Mapping[str, Any]
V = 0.8796256610342398


@dataclass(frozen=True)
class Parts:
    """Distributions of `sizes` indices of `axis`, in turn."""

    axis: int
    sizes: tuple[int, ...]
    distributions: tuple[ref.Distribution, ...]


# ---- fans ---------------------------------------------------------------------------------------


def listed(axes: Any) -> tuple[int, ...]:
    return axes if isinstance(axes, tuple) else (axes,)


def axes_of(shape: Shape, a: Arguments) -> tuple[list[int], list[int], list[int]]:
    """Input, output and batch axes."""
    batch = [axis % len(shape) for axis in listed(a.get("batch_axis", ()))]
    if a.get("in_axis") is not None:
        inputs, outputs = (
            [x % len(shape) for x in listed(a[key])] for key in ("in_axis", "out_axis")
        )
    else:
        rest = [axis for axis in range(len(shape)) if axis not in batch]
        first, second = (rest[0], rest[1]) if a["layout"] == "torch" else (rest[-1], rest[-2])
        inputs, outputs = [second], [first]
        if a.get("transposed"):
            inputs, outputs = outputs, inputs
    return inputs, outputs, batch


ALONE = {"in_axis": None, "out_axis": None, "batch_axis": (), "groups": 1, "transposed": False}
"""The defaults of the options beside layout='keras'."""


def fans_of(shape: Shape, a: Arguments) -> tuple[int, int]:
    """fan_in and fan_out."""
    alone = all(a.get(key, default) == default for key, default in {**ALONE, "packed": 1}.items())
    if len(shape) < 2 and a["layout"] == "keras" and alone:
        return (shape[0], shape[0]) if shape else (1, 1)
    inputs, outputs, batch = axes_of(shape, a)
    n_in, n_out = (math.prod(shape[axis] for axis in axes) for axes in (inputs, outputs))
    field = math.prod(
        size for axis, size in enumerate(shape) if axis not in (*inputs, *outputs, *batch)
    )
    if a.get("transposed"):
        n_in = exactly(n_in, a.get("groups", 1))
    else:
        n_out = exactly(n_out, a.get("groups", 1))
    return n_in * field, exactly(n_out, a.get("packed", 1)) * field


def exactly(whole: int, parts: int) -> int:
    if whole % parts:
        raise ValueError(f"{parts} does not divide {whole}")
    return whole // parts


def divisor(mode: str, fan_in: int, fan_out: int) -> float:
    """n: a fan as a float64 number, 1 for 0."""
    n = {
        "fan_in": float(fan_in),
        "fan_out": float(fan_out),
        "fan_avg": (fan_in + fan_out) / 2,
        "fan_geo_avg": math.sqrt(fan_in * fan_out),
    }[mode]
    return n or 1.0


# ---- shapes of distributions --------------------------------------------------------------------


def within(b: float) -> ref.Uniform:
    return ref.Uniform(-b, b)


def shaped(kind: str, std: float) -> ref.Distribution:
    if kind == "uniform":
        return within(math.sqrt(3.0) * std)
    if kind in ("truncated", "truncated_normal"):
        return ref.Truncated(std / V, 0.0, -2.0, 2.0)
    return ref.Normal(std)


def of_variance(c: float, n: float, kind: str) -> ref.Distribution:
    return within(math.sqrt(3.0 * (c / n))) if kind == "uniform" else shaped(kind, math.sqrt(c / n))


def cut(std: float, c: float) -> ref.Truncated:
    return ref.Truncated(std, 0.0, -c, c)


def gain(a: Arguments) -> float:
    slope = a["a"]
    return {
        "tanh": 5.0 / 3.0,
        "relu": math.sqrt(2.0),
        "selu": 0.75,
        "leaky_relu": math.sqrt(2.0 / (1.0 + slope * slope)),
    }.get(a["nonlinearity"], 1.0)


# ---- schemes that look at no shape --------------------------------------------------------------


def _bounded(kind: type[ref.Clipped]) -> Callable[[Arguments], ref.Distribution]:
    return lambda a: kind(a["std"], a["mean"], a["low"], a["high"], a["corrected"])


def _deep(std: float, layer: int) -> float:
    return std / math.sqrt(2 * (layer + 1))


def _residual(std: float, layers: int) -> float:
    return std / math.sqrt(2 * layers)


def _torchtitan(a: Arguments) -> ref.Distribution:
    s = a["std"] if a["layer"] is None else _deep(a["std"], a["layer"])
    return cut(s, 2.0 / s if s else math.inf)


def _olmo_core(a: Arguments) -> ref.Distribution:
    s = a["std"]
    if a["layers"] is not None:
        s = _residual(s, a["layers"])
    elif a["layer"] is not None:
        s = _deep(s, a["layer"])
    return cut(s, 3.0)


def _ngpt(a: Arguments) -> ref.Distribution:
    s = 1.0 / math.sqrt(a["width"])
    return ref.Normal(s if a["layers"] is None else _residual(s, a["layers"]))


def _t_fixup_embedding(a: Arguments) -> ref.Distribution:
    count = a["encoder_layers"] or a["decoder_layers"]
    return ref.Normal((1.0 / math.sqrt(a["width"])) / root(9 * count, 4))


def _one_over_root(n: int) -> ref.Distribution:
    return within(1.0 / math.sqrt(n) if n else 0.0)


FIXED: dict[str, Callable[[Arguments], ref.Distribution]] = {
    "uniform": lambda a: ref.Uniform(a["low"], a["high"]),
    "dummy": lambda a: ref.Uniform(a["low"], a["high"]),
    "normal": lambda a: ref.Normal(a["std"], a["mean"]),
    "truncated_normal": _bounded(ref.Truncated),
    "clipped_normal": _bounded(ref.Clipped),
    "constant": lambda a: ref.Constant(a["value"]),
    "zeros": lambda a: ref.Constant(0.0),
    "ones": lambda a: ref.Constant(1.0),
    "gpt2_residual": lambda a: ref.Normal(_residual(a["std"], a["layers"])),
    "megatron_scaled_normal": lambda a: ref.Normal(
        (a["std"] / math.sqrt(a["multiplier"] * float(a["layers"])))
        / math.sqrt(a["width_multiplier"])
    ),
    "depth_scaled_normal": lambda a: ref.Normal(_deep(a["std"], a["layer"])),
    "small_init": lambda a: ref.Normal(math.sqrt(2.0 / float(5 * a["width"]))),
    "wang_init": lambda a: ref.Normal((2.0 / float(a["layers"])) / math.sqrt(a["width"])),
    "ngpt": _ngpt,
    "torchtitan": _torchtitan,
    "torchtitan_output": lambda a: cut(1.0 / math.sqrt(a["width"]), 3.0),
    "olmo_core": _olmo_core,
    "t_fixup_embedding": _t_fixup_embedding,
    "mup_normal": lambda a: ref.Normal(a["std"] / math.sqrt(a["width_multiplier"])),
    "mup_uniform": lambda a: within(a["bound"] / math.sqrt(a["width_multiplier"])),
    "mup_truncated_normal": lambda a: cut(a["std"] / math.sqrt(a["width_multiplier"]), a["cutoff"]),
    "torch_bias": lambda a: _one_over_root(a["fan_in"]),
    "torch_rnn": lambda a: _one_over_root(a["hidden"]),
}


# ---- schemes that look at fans ------------------------------------------------------------------


def _xavier(factor: float, kind: str, fan_in: int, fan_out: int) -> ref.Distribution:
    return shaped(kind, factor * math.sqrt(1.0 / divisor("fan_avg", fan_in, fan_out)))


def _deepnorm(a: Arguments) -> float:
    n, m = a["encoder_layers"], a["decoder_layers"]
    if n is None or m is None:
        return 1.0 / root(8 * (n or m), 4)
    return 0.87 / root(n**4 * m, 16) if a["part"] == "encoder" else 1.0 / root(12 * m, 4)


def _sub_ln(a: Arguments) -> float:
    n, m = a["encoder_layers"], a["decoder_layers"]
    if n is None or m is None:
        return math.sqrt(logarithm(2 * (n or m)))
    if a["part"] == "encoder":
        return math.sqrt((logarithm(3 * m) * logarithm(2 * n)) / 3.0)
    return math.sqrt(logarithm(3 * m))


def _t_fixup(a: Arguments) -> float:
    n, m = a["encoder_layers"], a["decoder_layers"]
    return 1.0 / root(9 * m, 4) if n is None else 0.67 / root(n, 4)


def _mitchell(a: Arguments, n: float) -> ref.Distribution:
    depth = 1.0 if a["layer"] is None else float(2 * (a["layer"] + 1))
    return cut(1.0 / math.sqrt(depth * n), 3.0)


def _fixup(a: Arguments, n: float) -> ref.Distribution:
    return ref.Normal(math.sqrt(2.0 / n) / root(a["layers"], 2 * (a["branch_layers"] - 1)))


def _spectral(a: Arguments, fan_in: int, fan_out: int) -> ref.Distribution:
    fan_in = fan_in or 1
    return ref.Normal((a["gain"] / math.sqrt(fan_in)) * min(1.0, math.sqrt(fan_out / fan_in)))


def _siren(a: Arguments, n: float) -> ref.Distribution:
    return within(1.0 / n if a["first"] else math.sqrt(6.0 / n) / a["omega"])


def _wider(fans: tuple[int, int], base: tuple[int, int]) -> tuple[float, float]:
    """u and v."""
    return fans[0] / base[0] if fans[0] else 1.0, fans[1] / base[1] if fans[1] else 1.0


def _mup_xavier(a: Arguments, kind: str, fans: tuple[int, int]) -> ref.Distribution:
    base = fans_of(listed(a["base_shape"]), a)
    u, v = _wider(fans, base)
    s = a["gain"] * math.sqrt(1.0 / divisor("fan_avg", *fans))
    s *= math.sqrt(sum(fans) / sum(base))
    return shaped(kind, s / math.sqrt(u) if u != 1 and v != 1 else s)


def _mup_kaiming(a: Arguments, kind: str, fans: tuple[int, int]) -> ref.Distribution:
    u, v = _wider(fans, fans_of(listed(a["base_shape"]), a))
    of_in, of_out = (1.0, v / u) if u != 1 and v != 1 else (u, v)
    r = of_in if a["mode"] == "fan_in" else of_out
    return shaped(kind, gain(a) / math.sqrt(divisor(a["mode"], *fans)) * math.sqrt(r))


def _variance(c: float, mode: str, kind: str) -> Callable[[Arguments, int, int], ref.Distribution]:
    return lambda a, fan_in, fan_out: of_variance(c, divisor(mode, fan_in, fan_out), kind)


Scaled = Callable[[Arguments, int, int], ref.Distribution]
KINDS = ("uniform", "normal")

SCALED: dict[str, Scaled] = {
    "variance_scaling": lambda a, i, o: of_variance(
        a["scale"], divisor(a["mode"], i, o), a["distribution"]
    ),
    "glorot_uniform": _variance(1.0, "fan_avg", "uniform"),
    "glorot_normal": _variance(1.0, "fan_avg", "truncated"),
    "he_uniform": _variance(2.0, "fan_in", "uniform"),
    "he_normal": _variance(2.0, "fan_in", "truncated"),
    "lecun_uniform": _variance(1.0, "fan_in", "uniform"),
    "lecun_normal": _variance(1.0, "fan_in", "truncated"),
    "selu_normal": _variance(1.0, "fan_in", "normal"),
    "elu_normal": _variance(1.5505188080679277, "fan_in", "normal"),
    "mitchell": lambda a, i, o: _mitchell(a, divisor("fan_in", i, o)),
    "deepnorm": lambda a, i, o: _xavier(_deepnorm(a), "normal", i, o),
    "sub_ln": lambda a, i, o: _xavier(_sub_ln(a), "normal", i, o),
    "t_fixup": lambda a, i, o: _xavier(_t_fixup(a), "uniform", i, o),
    "ds_init": lambda a, i, o: _xavier(a["alpha"] / math.sqrt(a["layer"] + 1), "uniform", i, o),
    "fixup": lambda a, i, o: _fixup(a, divisor("fan_out", i, o)),
    "mup_readout": lambda a, i, o: within(
        math.sqrt(a["width_multiplier"] / divisor("fan_in", i, o))
    ),
    "spectral": _spectral,
    "siren": lambda a, i, o: _siren(a, divisor("fan_in", i, o)),
    "torch_linear": lambda a, i, o: shaped(
        "uniform",
        gain({"a": math.sqrt(5.0), "nonlinearity": "leaky_relu"})
        / math.sqrt(divisor("fan_in", i, o)),
    ),
}
for _kind in KINDS:
    SCALED[f"xavier_{_kind}"] = lambda a, i, o, kind=_kind: _xavier(a["gain"], kind, i, o)
    SCALED[f"kaiming_{_kind}"] = lambda a, i, o, kind=_kind: shaped(
        kind, gain(a) / math.sqrt(divisor(a["mode"], i, o))
    )
    SCALED[f"mup_xavier_{_kind}"] = lambda a, i, o, kind=_kind: _mup_xavier(a, kind, (i, o))
    SCALED[f"mup_kaiming_{_kind}"] = lambda a, i, o, kind=_kind: _mup_kaiming(a, kind, (i, o))


# ---- all of them --------------------------------------------------------------------------------


def _packed(name: str, a: Arguments, shape: Shape) -> Parts:
    _, (axis,), _ = axes_of(shape, a)
    sizes: tuple[int, ...] = a["packed"]
    if sum(sizes) != shape[axis]:
        raise ValueError(f"{sizes} are not the {shape[axis]} of {shape}")
    alone = {**a, "packed": 1}
    each = ((*shape[:axis], size, *shape[axis + 1 :]) for size in sizes)
    return Parts(axis, sizes, tuple(SCALED[name](alone, *fans_of(part, alone)) for part in each))


def _embedding(a: Arguments, shape: Shape) -> ref.Distribution | Parts:
    rows = ref.Normal(a["std"])
    if a["padding"] is None:
        return rows
    before = range(shape[0])[a["padding"]]
    sizes = (before, 1, shape[0] - before - 1)
    return Parts(0, sizes, (rows, ref.Constant(0.0), rows))


def _lstm_bias(a: Arguments, shape: Shape) -> Parts:
    u = exactly(shape[0], 4)
    return Parts(0, (u, u, 2 * u), tuple(map(ref.Constant, (0.0, 1.0, 0.0))))


OF_SHAPE: dict[str, Callable[[Arguments, Shape], ref.Distribution | Parts]] = {
    "torch_embedding": _embedding,
    "keras_lstm_bias": _lstm_bias,
    "torch_bilinear": lambda a, shape: _one_over_root(shape[1]),
}


def distribution_of(name: str, a: Arguments, shape: Shape) -> ref.Distribution | Parts:
    """The distribution of a whole tensor whose elements each come from their own word."""
    if name in FIXED:
        return FIXED[name](a)
    if name in OF_SHAPE:
        return OF_SHAPE[name](a, shape)
    if isinstance(a["packed"], tuple):
        return _packed(name, a, shape)
    return SCALED[name](a, *fans_of(shape, a))
