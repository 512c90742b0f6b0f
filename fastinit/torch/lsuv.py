# SPDX-License-Identifier: MIT
"""LSUV: weights scaled so that every layer's output has variance 1 on a batch.

What a layer is and how a module is called: observation.py.  Nothing here draws values.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Container
from dataclasses import dataclass
from typing import Any, SupportsIndex, cast

import torch
from torch import nn

from fastinit.numerics.checks import check_count, check_finite, check_flag
from fastinit.schemes import orthogonal as orthogonal_scheme
from fastinit.texts import listed
from fastinit.torch.memory import fill
from fastinit.torch.observation import (
    Forward,
    Inputs,
    LayerChoice,
    before_calls,
    call,
    check_callable,
    chosen,
    kept_on_failure,
    mapped,
    moments,
    named_modules,
    named_parameters,
    undisturbed,
)
from fastinit.values.stream import check_seed

LINEAR_AND_CONVOLUTIONS = (
    nn.Linear,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
"""The layers that are scaled by default."""


# ---- the report ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScaledLayer:
    """What `lsuv_` did to one layer.

    Attributes:
        name: of the module, "" for the module that was passed.
        kind: its type.
        calls: how often the layer is called for the batch; its first call counts.
        iterations: how often the weight was scaled.
        before, after: the variance of the layer's output before the first and after the last.
        scale: the factor between the weight before and after.
        converged: whether `after` is within the tolerance.
        tied: the layer whose weight this one shares, and which decided its scale, or None.
    """

    name: str
    kind: str
    calls: int
    iterations: int
    before: float
    after: float
    scale: float
    converged: bool
    tied: str | None = None


@dataclass(frozen=True)
class LsuvReport:
    """The layers that `lsuv_` scaled, in order of execution, and those that no call reached.

    ``str`` of it is a table.
    """

    layers: tuple[ScaledLayer, ...]
    unreached: tuple[str, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether the variance of every layer with a weight of its own is within the tolerance."""
        return all(row.converged for row in self.layers if row.tied is None)

    def __str__(self) -> str:
        names = [row.name or "(module)" for row in self.layers]
        width = max([len("layer"), *map(len, names), *map(len, self.unreached)])
        lines = [f"{'layer':{width}}  {'before':>10}  {'after':>10}  {'scale':>10}  iterations"]
        for name, row in zip(names, self.layers, strict=True):
            remark = f"  tied to {row.tied}" if row.tied is not None else ""
            remark = remark or ("" if row.converged else "  not converged")
            lines.append(
                f"{name:{width}}  {row.before:10.4g}  {row.after:10.4g}  {row.scale:10.4g}  "
                f"{row.iterations:10}{remark}"
            )
        return "\n".join(lines + [f"{name:{width}}  not reached" for name in self.unreached])


# ---- the function -------------------------------------------------------------------------------


def lsuv_(
    module: nn.Module,
    batch: Any,
    *,
    seed: SupportsIndex = 0,
    layers: LayerChoice = LINEAR_AND_CONVOLUTIONS,
    orthogonal: bool = True,
    variance: float = 1.0,
    tol: float = 0.1,
    max_iterations: int = 10,
    strict: bool = True,
    forward: Forward | None = None,
) -> LsuvReport:
    r"""Scale the weight of each layer, in order of execution, until its output has variance 1.

    .. math:: W_l \leftarrow W_l / \sqrt{\operatorname{Var} y_l} \quad \text{until} \quad
              |\operatorname{Var} y_l - 1| < \text{tol}

    The variance is that of all elements of the layer's output on the batch, about their mean.  A
    linear layer or convolution without a bias needs one iteration.  The module is called twice,
    in evaluation mode and without gradients: dropout is off, and batch normalisation uses its
    running statistics, so it does not hide the variance.  Afterwards the training flags, the
    buffers and torch's generators are as they were.  If the call fails, weights and biases are,
    too; for this a copy of them is kept.

    A layer that is called several times is scaled for its first call.  A weight that several layers
    share is scaled for the one that is executed first.  16-bit weights are scaled in float32 and
    rounded once.

    Args:
        module: with real parameters, all in this process.
        batch: a tensor; a tuple or list of arguments; or a mapping of keyword arguments.  The
            larger, the better: the paper uses whole training batches.
        seed: 0 <= seed < 2**64, for the orthogonal weights.
        layers: which modules are scaled: a type, a tuple of types, or a predicate of (name,
            module).  Each must have a parameter `weight` and return one tensor.
        orthogonal: first draw each weight as ``fastinit.orthogonal()`` of `seed` and the name of
            the parameter, and set the layer's bias to zero, as the paper does.  Otherwise weights
            and biases keep their values, and only the weights are scaled.
        variance: the variance to reach, > 0.
        tol: how far the ratio of the two variances may be from 1, > 0.
        max_iterations: how often a weight is scaled at most, >= 1.
        strict: whether a layer that the batch does not reach is an error.  Otherwise it is left as
            it is, and the report names it.
        forward: how to call the module, as a function of (module, batch); `batch` may then be
            anything.

    Returns:
        A report with a row for each layer; ``str`` of it is a table.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range; lazy, meta or sharded parameters; no layer chosen; a
            layer without a weight that can be scaled, or whose weight belongs to a module that is
            not scaled; a layer that is not reached; an output whose variance is zero, infinite or
            NaN.

    Warns:
        RuntimeWarning: a layer did not converge, as when its biases alone vary too much.

    Source:
        Mishkin, Matas (2015), "All you need is a good init", arXiv:1511.06422.  Who differs: the
        authors' code for PyTorch leaves the module in evaluation mode, compares standard
        deviations, shifts biases as well, and scales a shared layer for its last call.

    >>> import torch
    >>> from fastinit.torch import lsuv_
    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> report = lsuv_(net, torch.linspace(-1, 1, 64).reshape(8, 8))
    >>> [(row.name, row.iterations, round(row.after, 3)) for row in report.layers]
    [('0', 1, 1.0), ('2', 1, 1.0)]
    """
    check_callable(module, "lsuv_")
    settings = _Settings(
        check_seed(seed),
        check_flag("orthogonal", orthogonal),
        _positive("variance", variance),
        _positive("tol", tol),
        check_count("max_iterations", max_iterations),
    )
    check_flag("strict", strict)
    found = chosen(module, layers)
    _check_weights(module, found, settings)

    def run(before_each: Callable[[str, Inputs], None]) -> None:
        with undisturbed(module, training=False), torch.no_grad(), before_calls(found, before_each):
            call(module, mapped(batch, torch.Tensor.clone), forward)

    calls: Counter[str] = Counter()
    run(lambda name, _: calls.update([name]))
    _check_reached(found, calls, strict)
    names = {id(parameter): name for name, parameter in named_parameters(module)}
    rows: dict[str, ScaledLayer] = {}
    owners: dict[int, str] = {}

    def scale(name: str, inputs: Inputs) -> None:
        if name not in rows:
            weight = found[name].weight
            owner = owners.setdefault(id(weight), name)
            layer = _Layer(name, found[name], inputs, settings)
            start = layer.start(names[id(weight)]) if owner == name else None
            rows[name] = layer.scaled(start, owner, calls[name])

    with kept_on_failure(_weights_and_biases(found)):
        run(scale)
        _check_reached(found, rows, strict)
    return _reported(found, rows)


# ---- one layer ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Settings:
    """The arguments of `lsuv_`, checked."""

    seed: int
    orthogonal: bool
    variance: float
    tol: float
    max_iterations: int

    def near(self, variance: float) -> bool:
        """Whether the variance is one to stop at."""
        return abs(variance / self.variance - 1) < self.tol


@dataclass(frozen=True)
class _Layer:
    """A layer at its first call."""

    name: str
    module: nn.Module
    inputs: Inputs
    settings: _Settings

    @property
    def weight(self) -> torch.Tensor:
        """The parameter that is scaled."""
        return cast(torch.Tensor, self.module.weight)

    def start(self, parameter: str) -> torch.Tensor:
        """The weight of scale 1, in float32 or float64; if it is drawn, the bias becomes 0."""
        wide = torch.promote_types(self.weight.dtype, torch.float32)
        if not self.settings.orthogonal:
            return self.weight.detach().to(wide, copy=True)
        start = torch.empty_like(self.weight, dtype=wide, memory_format=torch.contiguous_format)
        fill(start, orthogonal_scheme(), seed=self.settings.seed, name=parameter)
        self.weight.copy_(start)
        bias = self.module._parameters.get("bias")
        if bias is not None:
            bias.zero_()
        return start

    def scaled(self, start: torch.Tensor | None, owner: str, calls: int) -> ScaledLayer:
        """Scale the weight until the variance is near; without `start`, measure only."""
        settings = self.settings
        before = after = self.variance()
        scale, iterations = 1.0, 0
        while start is not None and not settings.near(after):
            if iterations == settings.max_iterations:
                break
            scale *= math.sqrt(settings.variance / after)
            self.weight.copy_(start * scale)
            after = self.variance()
            iterations += 1
        return ScaledLayer(
            name=self.name,
            kind=type(self.module).__name__,
            calls=calls,
            iterations=iterations,
            before=before,
            after=after,
            scale=scale,
            converged=settings.near(after),
            tied=None if owner == self.name else owner,
        )

    def variance(self) -> float:
        """The variance of the layer's output with the weight as it is."""
        torch.clear_autocast_cache()  # it holds the weight as it was before it was scaled
        args, kwargs = self.inputs
        output = self.module.forward(*args, **kwargs)
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            kind = output.dtype if isinstance(output, torch.Tensor) else type(output).__name__
            raise ValueError(
                f"layer {self.name!r} returns a {kind}: LSUV scales layers that return one "
                "floating-point tensor; leave it out by layers="
            )
        found = moments(output).variance
        if not 0 < found < math.inf:
            raise ValueError(f"layer {self.name!r}: {_why_not(found)}")
        return found


def _why_not(variance: float) -> str:
    """Why no scale gives an output of this variance another one."""
    if variance == 0:
        return (
            "all elements of its output are equal on this batch, so no scale of the weight gives "
            "them a variance; pass a larger batch, weights that are not zero, or leave the layer "
            "out by layers="
        )
    return (
        f"the variance of its output on this batch is {variance}; pass a finite batch, or weights "
        "for which nothing overflows"
    )


# ---- checks of layers ---------------------------------------------------------------------------


def _positive(what: str, value: Any) -> float:
    number = check_finite(what, value)
    if number <= 0:
        raise ValueError(f"{what} is {number!r}: need a number > 0")
    return number


def _check_weights(module: nn.Module, found: dict[str, nn.Module], settings: _Settings) -> None:
    """Raise ValueError unless every layer has a weight that can be scaled."""
    scaled = set(map(id, found.values()))
    others = {
        id(parameter): f"{name}.{key}".removeprefix(".")
        for name, part in named_modules(module)
        if id(part) not in scaled
        for key, parameter in part._parameters.items()
    }
    for name, part in found.items():
        layer = f"layer {name!r}, a {type(part).__name__},"
        weight = part._parameters.get("weight")
        if weight is None and hasattr(part, "weight"):
            raise ValueError(
                f"{layer} computes its weight from other parameters: call lsuv_ before it is "
                "parametrized, or leave it out by layers="
            )
        if weight is None:
            raise ValueError(f"{layer} has no parameter 'weight': leave it out by layers=")
        if not weight.is_floating_point():
            raise ValueError(f"{layer} has a weight of {weight.dtype}: need a real floating dtype")
        if settings.orthogonal and weight.dim() < 2:
            raise ValueError(
                f"{layer} has a weight of shape {tuple(weight.shape)}, which cannot be orthogonal: "
                "pass orthogonal=False, or leave it out by layers="
            )
        if id(weight) in others:
            raise ValueError(
                f"{layer} shares its weight with {others[id(weight)]}, which is not scaled: "
                "scaling it would change what earlier layers give; leave it out by layers="
            )


def _check_reached(found: Collection[str], reached: Container[str], strict: bool) -> None:
    if strict and (missing := [name for name in found if name not in reached]):
        raise ValueError(
            f"the batch reaches no call of {len(missing)} of {len(found)} layers: "
            f"{listed(missing)}; leave them out by layers=, or pass strict=False to leave them "
            "as they are"
        )


def _weights_and_biases(found: dict[str, nn.Module]) -> list[torch.Tensor]:
    return [
        tensor
        for part in found.values()
        for key in ("weight", "bias")
        if (tensor := part._parameters.get(key)) is not None
    ]


def _reported(found: Collection[str], rows: dict[str, ScaledLayer]) -> LsuvReport:
    report = LsuvReport(tuple(rows.values()), tuple(name for name in found if name not in rows))
    if not report.converged:
        failed = [row.name for row in report.layers if row.tied is None and not row.converged]
        warnings.warn(
            f"{len(failed)} of {len(rows)} layers did not reach the variance: {listed(failed)}; "
            "see the report, and pass orthogonal=True, which sets biases to zero, or a larger "
            "max_iterations",
            RuntimeWarning,
            stacklevel=3,
        )
    return report
