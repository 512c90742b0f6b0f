# SPDX-License-Identifier: MIT
"""Slots: where a module holds its tensors, and what they are called.  Nothing here draws."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from fastinit.texts import quoted
from fastinit.torch.classes import has_memory
from fastinit.torch.flat import FlatTensor, flat_parts
from fastinit.torch.names import joined, modules_of
from fastinit.torch.recording import boxes
from fastinit.torch.shards import LocalPart, parts_of
from fastinit.torch.views import Geometry, slices_of

FLAT = "_flat_param"
"""The key under which FSDP1 holds a flat parameter."""

MACHINERY = frozenset({"_parameters", "_buffers", "_modules"})
"""Attributes of a module that hold what else it has."""

SlotKind = Literal["parameter", "buffer", "attribute"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Where one module holds a tensor."""

    module: torch.nn.Module
    key: str
    kind: SlotKind

    def _container(self) -> tuple[Any, Any]:
        """What holds the tensor, and under which key or index."""
        if self.kind == "attribute":
            key, *path = self.key.split(".")
            container: Any = self.module.__dict__
            for part in path:
                container, key = container[_index(container, key)], part
            return container, _index(container, key)
        return (self.module._parameters, self.module._buffers)[self.kind == "buffer"], self.key

    def get(self) -> torch.Tensor:
        """The tensor that is held."""
        container, key = self._container()
        held: torch.Tensor = container[key]
        return held

    def put(self, tensor: torch.Tensor) -> None:
        """Hold another tensor instead."""
        container, key = self._container()
        container[key] = tensor


def _index(container: Any, key: str) -> Any:
    return int(key) if isinstance(container, list | tuple) else key


@dataclass(slots=True)
class Slot:
    """One tensor, its name, and all places that hold it."""

    name: str
    kind: SlotKind
    tensor: torch.Tensor
    places: list[Holder] = field(default_factory=list)
    tied: list[str] = field(default_factory=list)
    """Its other names."""
    flat: FlatTensor | None = None
    """For a parameter of FSDP1: where it lies in the flat parameter, which is `tensor`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole tensor."""
        return self.flat.shape if self.flat else tuple(self.tensor.shape)

    def parts(self) -> list[LocalPart]:
        """The parts of the whole tensor that this process holds."""
        return self.flat.parts if self.flat else parts_of(self.tensor)


def check_module(module: object, prefix: object = "") -> None:
    """Raise TypeError for what is not a module, or a prefix that is not a text."""
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module is a {type(module).__name__}: need a torch.nn.Module, whose tensors have names"
        )
    if not isinstance(prefix, str):
        raise TypeError(f"prefix is {quoted(prefix)}: need a text, such as 'encoder'")


def slots_of(module: torch.nn.Module, *, prefix: str = "") -> list[Slot]:
    """All tensors of a module, each once, by the name at which it is found first.

    Parameters over the same memory, as one made of another's ``data``, are one tensor.
    """
    paths = list(modules_of(module, prefix))
    flats = {joined(prefix, flat.name): flat for flat in flat_parts(module)}
    found: dict[Any, Slot] = {}
    for path, owner in paths:
        for key, kind, tensor in tensors_of(owner):
            name = joined(path, key)
            if key == FLAT or name in flats:
                continue
            slot = found.setdefault(memory_of(tensor), Slot(name, kind, tensor))
            if slot.name != name:
                slot.tied.append(name)
            slot.places.append(Holder(owner, key, kind))
    return [*found.values(), *_flat_slots(flats, dict(paths))]


def _flat_slots(flats: dict[str, FlatTensor], owners: dict[str, torch.nn.Module]) -> Iterator[Slot]:
    """The parameters that lie in flat parameters, each held by the module that it came from."""
    for name, flat in flats.items():
        path, _, key = name.rpartition(".")
        holder = Holder(owners[path], key, "parameter")
        yield Slot(name, "parameter", flat.flat, [holder], flat=flat)


def tensors_of(owner: torch.nn.Module) -> Iterator[tuple[str, SlotKind, torch.Tensor]]:
    """The tensors that a module itself holds: parameters, buffers, and attributes made on meta.

    Attributes may be lists, tuples and dictionaries of tensors: their keys are like "anchors.0".
    """
    for key, parameter in owner._parameters.items():
        if parameter is not None:
            yield key, "parameter", parameter
    for key, buffer in owner._buffers.items():
        if buffer is not None:
            yield key, "buffer", buffer
    for key, value in list(owner.__dict__.items()):
        if key not in MACHINERY:
            yield from ((name, "attribute", tensor) for name, tensor in _attributes(key, value))


def _attributes(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors on meta in an attribute."""
    if isinstance(value, torch.Tensor):
        if value.is_meta:
            yield name, value
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            yield from _attributes(f"{name}.{index}", item)
    elif type(value) is dict:
        for key, item in value.items():
            if isinstance(key, str) and "." not in key:
                yield from _attributes(f"{name}.{key}", item)


def overlaps(slots: Iterable[Slot]) -> dict[str, str]:
    """Of the tensors that share elements with an earlier one, in another shape, what is wrong."""
    storages: dict[int, list[Slot]] = defaultdict(list)
    problems = {}
    for slot in slots:
        key = memory_of(slot.tensor)
        if slot.flat is not None or not isinstance(key, tuple):
            continue
        for other in storages[key[0]]:
            if _overlap(other.tensor, slot.tensor):
                problems[slot.name] = (
                    f"it is another view of the memory of {quoted(other.name)}, which fastinit "
                    "cannot keep together; make it by a property or in forward()"
                )
                break
        storages[key[0]].append(slot)
    return problems


def _overlap(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors over one storage may have common elements."""
    if one.dtype != other.dtype:
        return True
    first, second = Geometry.of(one), Geometry.of(other)
    if first.end <= second.offset or second.end <= first.offset:
        return False
    frame = _frame(first, max(first.end, second.end))
    boxes_of = [slices_of(geometry, frame) for geometry in (first, second)] if frame else [None]
    if None in boxes_of:
        return True
    inside = [boxes.canonical(slices.box) for slices in boxes_of if slices is not None]
    return boxes.overlap(*inside) is not None


def _frame(geometry: Geometry, count: int) -> Geometry | None:
    """A row-major tensor of at least `count` elements in which a tensor may be slices."""
    sizes: list[int] = []
    for stride in sorted({s for s in geometry.strides if s > 1}, reverse=True):
        if count % stride and sizes:
            return None
        sizes.append(-(-count // stride))
        count = stride
    return Geometry.dense((*sizes, count))


def memory_of(tensor: torch.Tensor) -> Any:
    """What is equal for tensors whose elements are the same memory, one for one."""
    if not has_memory(type(tensor)) or tensor.layout is not torch.strided or not tensor.numel():
        return id(tensor)
    storage = tensor.untyped_storage()._cdata
    return storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype
