# SPDX-License-Identifier: MIT
"""How activations and gradients spread through a module: their moments, layer by layer.

propagation_figure.py draws them; observation.py says how a module is called and put back.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, SupportsIndex, TypeAlias, cast

import torch
from torch import nn

from fastinit.schemes import normal
from fastinit.texts import quoted
from fastinit.torch.memory import fill
from fastinit.torch.observation import (
    Forward,
    LayerChoice,
    Moments,
    call,
    check_callable,
    chosen,
    first_tensor,
    mapped,
    moments,
    named_modules,
    undisturbed,
)
from fastinit.values.stream import check_seed

Loss: TypeAlias = Callable[[Any], torch.Tensor]
"""From what a module gives to a number, as a tensor without axes."""

PATTERN = "propagation.loss"
"""The name of the tensor whose signs weigh the output in the default loss."""

# ---- the result ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signal:
    """One call of one layer: its output, and the gradient of the loss with respect to it.

    Attributes:
        layer: the name of the module, "" for the module that was passed.
        kind: its type.
        call: 0 for the first call of the layer, 1 for the second, and so on.
        weighted: whether the layer has parameters.
        shape: of the output.
        activation: moments of the output, before anything else changes it in place.
        saturated: the share of outputs within 1 % of the range of a bound, if the layer is a
            bounded nonlinearity such as ``torch.nn.Tanh``.
        gradient: moments of the gradient, or None if the loss does not depend on the output in a
            way that can be differentiated.
    """

    layer: str
    kind: str
    call: int
    weighted: bool
    shape: tuple[int, ...]
    activation: Moments
    saturated: float | None
    gradient: Moments | None

    @property
    def label(self) -> str:
        """The layer's name, with the number of a call after the first."""
        name = self.layer or "(module)"
        return name if self.call == 0 else f"{name} [{self.call}]"


MOMENTS = ("mean", "variance", "rms")
HEADINGS = ("layer", "type", *MOMENTS, "zeros", "saturated", *MOMENTS)
"""Of the table; those after "saturated" are the gradient's."""


def _cells(signal: Signal) -> tuple[str, ...]:
    """A row of the table."""
    here, back = signal.activation, signal.gradient
    return (
        signal.label,
        signal.kind,
        *(f"{value:.2e}" for value in (here.mean, here.variance, here.rms)),
        f"{here.zeros:.1%}",
        "-" if signal.saturated is None else f"{signal.saturated:.1%}",
        *([f"{value:.2e}" for value in (back.mean, back.variance, back.rms)] if back else "---"),
    )


@dataclass(frozen=True)
class Propagation:
    """What `propagation` measured: the calls of layers in the order in which they ended.

    ``str`` of it is a table.
    """

    signals: tuple[Signal, ...]
    loss: float

    def __str__(self) -> str:
        rows = [_cells(signal) for signal in self.signals]
        widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if place < 2 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in (HEADINGS, *rows)
        ]
        start, end = sum(widths[:2]) + 2 * 2, sum(widths[:7]) + 2 * 7
        title = f"{'':{start}}{'activation':<{end - start}}gradient"
        return "\n".join([title, *lines])

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and dicts, for ``json.dump``."""
        signals = [{**asdict(signal), "shape": list(signal.shape)} for signal in self.signals]
        return {"loss": self.loss, "signals": signals}

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the variances by depth, as `plot_propagations` does for several results."""
        from fastinit.torch.propagation_figure import plot_propagations

        plot_propagations({"": self}, path)


# ---- the function -------------------------------------------------------------------------------


def propagation(
    module: nn.Module,
    batch: Any,
    *,
    loss: Loss | None = None,
    layers: LayerChoice | None = None,
    seed: SupportsIndex = 0,
    forward: Forward | None = None,
) -> Propagation:
    r"""Moments of the activations and of the gradients of every layer, in one forward and backward.

    With weights of variance :math:`\sigma^2` and mean 0 that do not depend on their input, a linear
    layer multiplies the second moment of what it gets by :math:`f_\text{in} \sigma^2`, and that of
    the gradient it passes on by :math:`f_\text{out} \sigma^2`.  ReLU halves both.  So, while widths
    are equal:

    - He (variance 2 / fan_in) keeps both through linear layers with ReLU;
    - LeCun (1 / fan_in) keeps them through linear layers alone, and halves them with each ReLU;
    - Xavier (2 / (fan_in + fan_out)) is the compromise between the two directions, for
      nonlinearities that are close to linear at 0, such as tanh;
    - orthogonal keeps them to rounding through square linear layers;
    - a residual branch that keeps its input doubles the variance with each block, unless it is
      scaled down.

    The moments of a network differ from these expectations by about the square root of depth over
    width.

    The module runs in the mode it is in, so dropout and batch normalisation act as they would in
    training if it is in training mode.  Afterwards its gradients, buffers and training flags, which
    parameters require gradients, and torch's generators are as they were; attributes that a
    `forward` of the model sets are not put back.

    Args:
        module: with real parameters, all in this process.
        batch: a tensor; a tuple or list of arguments; or a mapping of keyword arguments.
        loss: from what the module gives to a number.  By default the sum of the first
            floating-point tensor that it gives, each element times a fixed sign, +1 or -1: the
            gradient at the output then has an rms of exactly 1, and that of a layer is the factor
            between the two.  If that tensor has no axes, it is the loss itself.
        layers: which modules are measured: a type, a tuple of types, or a predicate of (name,
            module).  By default those that call no other module.
        seed: 0 <= seed < 2**64, of the signs: those of the standard normal tensor
            "propagation.loss".
        forward: how to call the module, as a function of (module, batch); `batch` may then be
            anything.

    Returns:
        A row for every call of a layer; ``str`` of it is a table, `plot` draws a figure, and
        `plot_propagations` one of several results.

    Raises:
        TypeError: an argument of the wrong type, or a loss that is not a tensor.
        ValueError: lazy, meta or sharded parameters; no layer chosen, or none called; a layer that
            gives a sparse tensor; an output without a floating-point tensor, or a loss that has
            axes or that depends on nothing that can be differentiated.
        RuntimeError: torch's own, for reentrant checkpointing.

    Source:
        Glorot, Bengio (2010), "Understanding the difficulty of training deep feedforward neural
        networks", https://proceedings.mlr.press/v9/glorot10a.html; He, Zhang, Ren, Sun (2015),
        "Delving deep into rectifiers", arXiv:1502.01852; Saxe, McClelland, Ganguli (2013), "Exact
        solutions to the nonlinear dynamics of learning in deep linear neural networks",
        arXiv:1312.6120.

    >>> import torch
    >>> from fastinit.torch import propagation
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> result = propagation(net, torch.linspace(-1, 1, 12).reshape(3, 4))
    >>> [(signal.layer, signal.kind, signal.shape) for signal in result.signals]
    [('0', 'Linear', (3, 8)), ('1', 'ReLU', (3, 8)), ('2', 'Linear', (3, 2))]
    >>> result.signals[-1].gradient.rms
    1.0
    """
    check_callable(module, "propagation")
    check_seed(seed)
    recorder = _Recorder(None if layers is None else set(chosen(module, layers)))
    leaves: list[torch.Tensor] = []

    def tracked(tensor: torch.Tensor) -> torch.Tensor:
        """A copy that gradients reach, and that may be changed in place."""
        if not tensor.is_floating_point():
            return tensor.clone()
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1].clone()

    with undisturbed(module), torch.inference_mode(False), torch.enable_grad():
        leaves += [p.requires_grad_() for p in module.parameters() if p.is_floating_point()]
        with recorder.hooked(module):
            output = call(module, mapped(batch, tracked), forward)
        if not recorder.entries:
            raise ValueError(
                "no layer that gives a floating-point tensor was called: pass a batch or a "
                "forward= that calls the module, or other layers"
            )
        value = _signed_sum(output, check_seed(seed)) if loss is None else loss(output)
        _check_loss(value)
        torch.autograd.grad(value, leaves, allow_unused=True)  # which leaves `grad` alone
    return Propagation(tuple(entry.signal() for entry in recorder.entries), float(value.detach()))


def _signed_sum(output: Any, seed: int) -> torch.Tensor:
    """The default loss."""
    tensor = first_tensor(output)
    if tensor is None:
        raise ValueError(
            f"the module gives {quoted(output)}, which holds no floating-point tensor: pass loss=, "
            "a function from what it gives to a number"
        )
    if tensor.dim() == 0:
        return tensor
    pattern = torch.empty(tensor.shape, device=tensor.device)
    fill(pattern, normal(std=1.0), seed=seed, name=PATTERN)
    signs = torch.where(pattern < 0, -1.0, 1.0)
    return (tensor * signs).sum()  # the signs are float32, and so the sum at least


def _check_loss(value: Any) -> None:
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"the loss is {quoted(value)}: need a tensor without axes")
    if value.dim():
        raise ValueError(f"the loss has shape {tuple(value.shape)}: need a tensor without axes")
    if not value.requires_grad:
        raise ValueError(
            "the loss depends on no parameter or batch in a way that can be differentiated: "
            "neither detach the output nor run the module under no_grad"
        )


# ---- what is recorded ---------------------------------------------------------------------------


@dataclass
class _Entry:
    """A call of a layer, before its gradient is known."""

    layer: str
    module: nn.Module
    call: int
    output: torch.Size
    activation: Moments
    saturated: float | None
    gradient: Moments | None = None

    def see(self, gradient: torch.Tensor) -> None:
        """Keep the moments of the gradient; called by autograd, once all of it is summed."""
        self.gradient = moments(gradient)

    def signal(self) -> Signal:
        """What is told of the call."""
        return Signal(
            layer=self.layer,
            kind=type(self.module).__name__,
            call=self.call,
            weighted=next(self.module.parameters(), None) is not None,
            shape=tuple(self.output),
            activation=self.activation,
            saturated=self.saturated,
            gradient=self.gradient,
        )


class _Recorder:
    """Sees the calls of modules: of those named, or of those inside which no other is called."""

    def __init__(self, named: set[str] | None) -> None:
        self.named = named
        self.entries: list[_Entry] = []
        self.calls: Counter[str] = Counter()
        self.calling: list[bool] = []  # for each call that has not ended: whether it called others

    @contextmanager
    def hooked(self, module: nn.Module) -> Iterator[None]:
        """Watch all modules inside, but for those that compute parameters."""
        with ExitStack() as stack:
            for name, part in named_modules(module):
                if "parametrizations" in name.split("."):
                    continue
                stack.callback(part.register_forward_pre_hook(self._before).remove)
                after = partial(self._after, name)
                stack.callback(part.register_forward_hook(after, always_call=True).remove)
            yield

    def _before(self, module: nn.Module, inputs: Any) -> None:
        self.calling.append(False)

    def _after(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        called_others = self.calling.pop()
        if output is None:  # the call failed, or gave nothing
            return
        if self.calling:
            self.calling[-1] = True
        wanted = not called_others if self.named is None else name in self.named
        tensor = first_tensor(output)
        if not wanted or tensor is None:
            return
        if tensor.layout != torch.strided:
            raise ValueError(
                f"layer {name!r} gives a tensor of layout {tensor.layout}: leave it out by layers="
            )
        entry = _Entry(
            name,
            module,
            self.calls[name],
            tensor.shape,
            moments(tensor),
            saturation(module, tensor),
        )
        self.calls[name] += 1
        self.entries.append(entry)
        if tensor.requires_grad:
            cast(Any, tensor).register_hook(entry.see)


SATURATED = 0.01
"""How close to a bound counts as saturated, as a share of the range."""

BOUNDS: dict[type[nn.Module], tuple[float, float]] = {
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
}
"""The ranges of bounded nonlinearities; `Hardtanh` and `ReLU6` say theirs themselves."""


def saturation(module: nn.Module, output: torch.Tensor) -> float | None:
    """The share of a bounded nonlinearity's outputs close to a bound; None for other modules."""
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        low, high = float(module.min_val), float(module.max_val)
    elif (bounds := BOUNDS.get(type(module))) is not None:
        low, high = bounds
    else:
        return None
    near = SATURATED * (high - low)
    values = output.detach().float()
    return float(((values <= low + near) | (values >= high - near)).double().mean())
