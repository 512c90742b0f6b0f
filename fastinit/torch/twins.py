# SPDX-License-Identifier: MIT
"""Meta twins: a module's own functions that reset it, recorded without touching the module.

A twin has the module's classes and attributes, but its tensors are on the meta device.  What is
recorded of it is what `reset_parameters`, `_reset_parameters` and `_init_weights` would do.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from fastinit.errors import ModuleError
from fastinit.torch.recording.calls import recorded
from fastinit.torch.recording.events import Read, Uninitialised
from fastinit.torch.recording.formulas import DrawnElement
from fastinit.torch.recording.layers import TensorLayers
from fastinit.torch.recording.literals import LiteralMode
from fastinit.torch.recording.recorder import Recorder
from fastinit.torch.recording.understanding import Understanding
from fastinit.torch.recordings import RECORDED, Recorded, attach_to
from fastinit.torch.signatures import INIT, RESETS
from fastinit.torch.slots import Slot, memory_of, slots_of

UNREACHED = "no reset_parameters or _init_weights of its module writes to it"
PLAIN_CONTAINERS = (list, tuple, dict)


class Twins:
    """The twin of a module and of all modules in it."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.originals = list(module.modules())
        self._modules: dict[int, torch.nn.Module] = {}
        self._tensors: dict[int, torch.Tensor] = {}
        self._memories: dict[Any, torch.Tensor] = {}
        for original in self.originals:
            twin = object.__new__(type(original))
            twin.__dict__.update(original.__dict__)
            self._modules[id(original)] = twin
        for original in self.originals:
            self._connect(original)
        for slot in slots_of(module):
            if slot.flat is not None:
                self._unflatten(slot)
        self.root = self._modules[id(module)]

    def of(self, original: torch.nn.Module) -> torch.nn.Module:
        """The twin of a module."""
        return self._modules[id(original)]

    def _connect(self, original: torch.nn.Module) -> None:
        twin = self.of(original)
        state = twin.__dict__
        state.pop(RECORDED, None)
        for key, value in list(state.items()):
            state[key] = self._map(value, 0)
        for key in ("_parameters", "_buffers", "_modules"):
            held = original.__dict__[key].items()
            state[key] = {name: self._map(value, 0) for name, value in held}
        for key in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"):
            if key in state:
                state[key] = type(state[key])()

    def _unflatten(self, slot: Slot) -> None:
        """Give a twin the parameter that lies in a flat one, as it was before."""
        for holder in slot.places:
            twin = self.of(holder.module)
            whole = torch.empty(slot.shape, dtype=slot.tensor.dtype, device="meta")
            twin.__dict__.pop(holder.key, None)
            twin._parameters[holder.key] = torch.nn.Parameter(whole)

    def _map(self, value: Any, depth: int) -> Any:
        """A value in which the module's own tensors and modules are replaced by their twins."""
        if isinstance(value, torch.nn.Module):
            return self._modules.get(id(value), value)
        if isinstance(value, torch.Tensor):
            return self.twin_of(value)
        if type(value) in PLAIN_CONTAINERS and depth < 4:
            if isinstance(value, dict):
                return {key: self._map(item, depth + 1) for key, item in value.items()}
            return type(value)(self._map(item, depth + 1) for item in value)
        return value

    def twin_of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The twin of a tensor."""
        twin = self._tensors.get(id(tensor))
        if twin is None:
            twin = self._memories.get(memory_of(tensor))
            if twin is None:
                twin = torch.empty_strided(
                    tuple(tensor.shape), tensor.stride(), dtype=tensor.dtype, device="meta"
                )
                self._memories[memory_of(tensor)] = twin
            if isinstance(tensor, torch.nn.Parameter):
                twin = torch.nn.Parameter(twin, requires_grad=tensor.requires_grad)
            self._tensors[id(tensor)] = twin
        return twin


def record(module: torch.nn.Module) -> dict[int, Recorded]:
    """What a module's own functions would do to it, by the id of each module that holds tensors.

    Raises:
        ModuleError: one of these functions fails on the meta device.
    """
    twins = Twins(module)
    recorder, known = Recorder(of_twins=True), Understanding(UNREACHED)
    with ExitStack() as stack:
        stack.enter_context(recorded(recorder))
        stack.enter_context(recorder)
        stack.enter_context(torch.device("meta"))
        stack.enter_context(LiteralMode(recorder))
        stack.enter_context(torch.no_grad())
        shared = Shared(module, twins, recorder)
        for original, name, call in _resets(twins):
            _run(name, call)
            shared.notice(original, name)
        shared.dispute(known)
        for name, call in _inits(twins, twins.originals[0], None):
            _run(name, call)
    return {
        id(original): attach_to(twins.of(original), recorder, known) for original in twins.originals
    }


def _run(name: str, call: Callable[[], Any]) -> None:
    """Call a function of a twin.

    Raises:
        ModuleError: it fails.
    """
    try:
        call()
    except PermissionError as error:
        raise ModuleError(f"{name}: {error}; give schemes by rules", {}) from None
    except Exception as error:
        raise ModuleError(
            f"{name} fails on the meta device, where it has to show what it does: "
            f"{type(error).__name__}: {error}.  Give schemes by rules, or construct the "
            "module under fastinit.torch.deferred()",
            {},
        ) from error


class Shared:
    """Tensors that several modules hold, and which resets wrote to them.

    Modules are tied after they were made, so that a tensor has what the module made that it came
    from; but which one that was is not known.  So the resets of all of them have to agree.
    """

    def __init__(self, module: torch.nn.Module, twins: Twins, recorder: Recorder) -> None:
        self.recorder = recorder
        self.slots = [slot for slot in slots_of(module) if len(_owners(slot)) > 1]
        self.tensors = [twins.twin_of(slot.tensor) for slot in self.slots]
        self.writes: list[list[tuple[str, Read]]] = [[] for _ in self.slots]
        self.counts = [0 for _ in self.slots]

    def notice(self, original: torch.nn.Module, name: str) -> None:
        """Remember what a reset of `original` did; that of a module around all owners decides."""
        for number, tensor in enumerate(self.tensors):
            read = self.recorder.read(tensor)
            if read.count == self.counts[number]:
                continue
            self.counts[number] = read.count
            if _owners(self.slots[number]) <= {id(inner) for inner in original.modules()}:
                self.writes[number].clear()
            self.writes[number].append((name, read))

    def dispute(self, known: Understanding) -> None:
        """Log that the value of a tensor is not known if resets made it differently."""
        for tensor, writes in zip(self.tensors, self.writes, strict=True):
            found = {name: _kinds(known.layers(read)) for name, read in writes}
            if len(set(found.values())) > 1:
                why = f"modules share it, and {' and '.join(found)} make it differently"
                self.recorder.log(tensor, Uninitialised(why))


def _owners(slot: Slot) -> set[int]:
    return {id(holder.module) for holder in slot.places}


def _kinds(layers: TensorLayers) -> tuple[Any, ...]:
    """What layers are, whichever draw they come from."""
    return tuple(
        (layer.box, replace(layer.element, draws=frozenset(), view=()))
        if isinstance(layer.element, DrawnElement)
        else (layer.box, layer.element)
        for layer in layers
    )


def _resets(twins: Twins) -> Iterator[tuple[torch.nn.Module, str, Callable[[], Any]]]:
    """The calls that reset a module, inner modules first, as constructors run."""
    for original in _inner_first(twins.originals[0]):
        twin = twins.of(original)
        for name in RESETS:
            reset = getattr(twin, name, None)
            if callable(reset) and not _needs_arguments(reset):
                yield original, f"{type(original).__name__}.{name}", reset
                break


def _inits(
    twins: Twins, original: torch.nn.Module, init: Callable[..., Any] | None
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """`_init_weights(module)` of the nearest module that has one, for each module inside it."""
    twin = twins.of(original)
    own = getattr(twin, INIT, None)
    if callable(own) and _needs_arguments(own):
        init = own
    for child in original.children():
        yield from _inits(twins, child, init)
    if init is not None:
        name = f"{type(getattr(init, '__self__', twin)).__name__}.{INIT}"
        yield name, lambda: init(twin)
    elif callable(own):
        yield f"{type(original).__name__}.{INIT}", own


def _inner_first(module: torch.nn.Module) -> list[torch.nn.Module]:
    seen: set[int] = set()
    order: list[torch.nn.Module] = []

    def walk(owner: torch.nn.Module) -> None:
        if id(owner) in seen:
            return
        seen.add(id(owner))
        for child in owner.children():
            walk(child)
        order.append(owner)

    walk(module)
    return order


def _needs_arguments(function: Callable[..., Any]) -> bool:
    empty = inspect.Parameter.empty
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return any(p.default is empty and p.kind in kinds for p in parameters)
