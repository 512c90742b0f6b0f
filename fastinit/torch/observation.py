# SPDX-License-Identifier: MIT
"""How a module is called and watched so that no trace is left: batches, layers, state put back.

Nothing here measures; lsuv.py and propagation.py say what they look at.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn

from fastinit.texts import quoted
from fastinit.torch.names import joined, modules_of, wrapped_in

LayerChoice: TypeAlias = (
    type[nn.Module] | tuple[type[nn.Module], ...] | Callable[[str, nn.Module], bool]
)
"""Which modules are meant: a type, several types, or a predicate of (name, module)."""

Forward: TypeAlias = Callable[[nn.Module, Any], Any]
"""How to call a module on a batch."""

REPLICATED = (nn.DataParallel, nn.parallel.DistributedDataParallel)
"""What calls a module on several devices or ranks, each with a batch of its own."""


# ---- what can be watched ------------------------------------------------------------------------


def check_callable(module: Any, caller: str) -> nn.Module:
    """`module`, if it can be called here and now, with all its values in this process.

    Raises:
        TypeError: it is not a module.
        ValueError: parameters or buffers are lazy, on meta, or DTensors; or a module is wrapped
            for several devices or ranks.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module is {quoted(module)}: need a torch.nn.Module")
    for name, part in module.named_modules():
        if isinstance(part, REPLICATED):
            raise ValueError(
                f"{name or 'module'} is a {type(part).__name__}, which gives each replica another "
                f"batch: call {caller} on the module inside it, before it is wrapped"
            )
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if reason := _unavailable(tensor):
            raise ValueError(f"{name} {reason.format(caller=caller)}")
    return module


def _unavailable(tensor: torch.Tensor) -> str:
    """Why the values of a tensor are not here, or nothing."""
    if nn.parameter.is_lazy(tensor):
        return "is lazy and has no shape yet: call the module once on a batch, then {caller}"
    distributed = sys.modules.get("torch.distributed.tensor")
    if distributed is not None and isinstance(tensor, distributed.DTensor):
        return "is a DTensor, of which this rank holds a part: call {caller} before sharding"
    if tensor.is_meta:
        return "is on the meta device and has no values: materialise the module, then call {caller}"
    return ""


def named_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module below, and this one as "", each once, without wrappers and their names."""
    return ((path, part) for path, part in modules_of(module) if wrapped_in(part) is None)


def named_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Every parameter once, without the names of wrappers."""
    seen: set[int] = set()
    for path, part in modules_of(module):
        for key, parameter in part.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield joined(path, key), parameter


def chosen(module: nn.Module, layers: LayerChoice) -> dict[str, nn.Module]:
    """The modules that `layers` chooses, by name, each once; the module itself is named "".

    Raises:
        TypeError: `layers` is neither types nor a predicate.
        ValueError: it chooses none.
    """
    wanted = _predicate(layers)
    found = {name: part for name, part in named_modules(module) if wanted(name, part)}
    if not found:
        raise ValueError(
            f"layers chooses none of the {sum(1 for _ in module.modules())} modules of "
            f"{type(module).__name__}: pass types that it has, or a predicate of (name, module)"
        )
    return found


def _predicate(layers: LayerChoice) -> Callable[[str, nn.Module], bool]:
    types = layers if isinstance(layers, tuple) else (layers,)
    if all(isinstance(kind, type) and issubclass(kind, nn.Module) for kind in types):
        return lambda _, part: isinstance(part, types)  # type: ignore[arg-type]
    if callable(layers) and not isinstance(layers, type):
        return layers
    raise TypeError(
        f"layers is {quoted(layers)}: need a module type, a tuple of module types, or a predicate "
        "of (name, module)"
    )


# ---- calls --------------------------------------------------------------------------------------


def call(module: nn.Module, batch: Any, forward: Forward | None) -> Any:
    """What the module gives for a batch.

    Raises:
        TypeError: the batch is not one that can be passed without a `forward`.
    """
    if forward is not None:
        return forward(module, batch)
    if isinstance(batch, torch.Tensor):
        return module(batch)
    if isinstance(batch, Mapping):
        return module(**batch)
    if isinstance(batch, tuple | list):
        return module(*batch)
    raise TypeError(
        f"batch is {quoted(batch)}: need a tensor, a tuple or list of arguments, a mapping of "
        "keyword arguments, or forward=, a function of (module, batch) that calls the module"
    )


def mapped(batch: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The batch with `change` of each tensor in its tuples, lists and mappings.

    A mapping becomes a dict, unless it cannot be passed as keyword arguments anyway.
    """
    if isinstance(batch, torch.Tensor):
        return change(batch)
    if isinstance(batch, tuple | list):
        items = [mapped(item, change) for item in batch]
        return type(batch)(*items) if hasattr(batch, "_fields") else type(batch)(items)
    if isinstance(batch, Mapping):
        return {key: mapped(item, change) for key, item in batch.items()}
    return batch


def first_tensor(output: Any) -> torch.Tensor | None:
    """The first floating-point tensor of an output: itself, an item, or a value of a mapping."""
    if isinstance(output, torch.Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return next((found for item in output if (found := first_tensor(item)) is not None), None)
    return None


Inputs: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a module's call."""


@contextmanager
def before_calls(
    layers: Mapping[str, nn.Module], see: Callable[[str, Inputs], None]
) -> Iterator[None]:
    """Inside, `see` gets a layer's name and arguments before each call of one of the layers."""

    def hook(name: str, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(name, (args, kwargs))

    with ExitStack() as stack:
        for name, layer in layers.items():
            handle = layer.register_forward_pre_hook(partial(hook, name), with_kwargs=True)
            stack.callback(handle.remove)
        yield


# ---- what is measured ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """Statistics of the elements of a tensor, computed in float64.

    Attributes:
        mean: of all elements.
        variance: the mean of the squared distances from the mean.
        rms: the square root of the mean of the squares.
        zeros: the share of elements that are exactly 0.
    """

    mean: float
    variance: float
    rms: float
    zeros: float


def moments(tensor: torch.Tensor) -> Moments:
    """The moments of a tensor; NaN if it is empty."""
    device = "cpu" if tensor.device.type == "mps" else tensor.device  # which has no float64
    values = tensor.detach().to(device=device, dtype=torch.float64).reshape(-1)
    if values.numel() == 0:
        return Moments(math.nan, math.nan, math.nan, math.nan)
    variance, mean = torch.var_mean(values, correction=0)
    square = values.square().mean()
    zeros = (values == 0).double().mean()
    return Moments(float(mean), float(variance), math.sqrt(float(square)), float(zeros))


# ---- state --------------------------------------------------------------------------------------


@contextmanager
def undisturbed(module: nn.Module, *, training: bool | None = None) -> Iterator[None]:
    """Put back what calls of a module change, whatever happens inside.

    That is the training flags, the buffers, which parameters require gradients, and the state of
    torch's generators on the CPU and on the devices of the module.  Inside, compiled modules run
    uncompiled and torch's fused transformer layers are off, so that every module is called.

    Args:
        training: the flag that all modules have inside, or None to leave it to each.
    """
    with ExitStack() as stack:
        stack.callback(_put_back_flags, [(part, part.training) for part in module.modules()])
        stack.callback(_put_back_buffers, [_buffers_of(part) for part in module.modules()])
        stack.callback(_put_back_requirements, [(p, p.requires_grad) for p in module.parameters()])
        stack.enter_context(torch.random.fork_rng(**_generators(module)))
        stack.callback(torch.backends.mha.set_fastpath_enabled, _fast_path())
        torch.backends.mha.set_fastpath_enabled(False)
        if _has_compiled(module):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        if training is not None:
            for part in module.modules():
                part.training = training  # not `train`, which some modules override to do more
        yield


def _fast_path() -> bool:
    return bool(torch.backends.mha.get_fastpath_enabled())


def _generators(module: nn.Module) -> dict[str, Any]:
    """The arguments of `fork_rng`: the devices, all of one kind, that hold the module."""
    tensors = (*module.parameters(), *module.buffers())
    devices = {tensor.device for tensor in tensors if tensor.device.type != "cpu"}
    if not devices:
        return {"devices": []}
    kind = min(device.type for device in devices)
    return {
        "device_type": kind,
        "devices": sorted(device.index or 0 for device in devices if device.type == kind),
    }


def _has_compiled(module: nn.Module) -> bool:
    return any(
        "_orig_mod" in part._modules or part._compiled_call_impl is not None
        for part in module.modules()
    )


Buffers: TypeAlias = tuple[nn.Module, dict[str, torch.Tensor | None], dict[str, torch.Tensor]]
"""A module, its buffers, and a copy of the values of each."""


def _buffers_of(part: nn.Module) -> Buffers:
    copies = {name: buffer.clone() for name, buffer in part._buffers.items() if buffer is not None}
    return part, dict(part._buffers), copies


@torch.no_grad()
def _put_back_buffers(saved: list[Buffers]) -> None:
    for part, buffers, copies in saved:
        part._buffers.clear()
        part._buffers.update(buffers)
        for name, copy in copies.items():
            buffer = part._buffers[name]
            if buffer is not None and not torch.equal(buffer, copy):
                buffer.copy_(copy)


def _put_back_flags(saved: list[tuple[nn.Module, bool]]) -> None:
    for part, training in saved:
        part.training = training


def _put_back_requirements(saved: list[tuple[nn.Parameter, bool]]) -> None:
    for parameter, required in saved:
        parameter.requires_grad_(required)


@contextmanager
def kept_on_failure(tensors: Iterable[torch.Tensor]) -> Iterator[None]:
    """Give the tensors back the values that they have now, if anything inside fails."""
    saved = [(tensor, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for tensor, copy in saved:
                tensor.copy_(copy)
        raise
