# SPDX-License-Identifier: MIT
"""Which elements of which tensors other tensors show, after views, copies and joins of them.

Everything is on the meta device: the operators run, and only places are kept.  Nothing here knows
models or names of files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fastinit.torch.recording import boxes
from fastinit.torch.recording.boxes import IndexBox
from fastinit.torch.recording.effects import effect_of
from fastinit.torch.views import Geometry, moved, slices_of

FROM_NOTHING = -1
"""The number of the original that zeros come from."""

MOST_PIECES = 4096
"""Pieces of one tensor; a provenance of more is not looked at further."""


class UntoldError(ValueError):
    """It cannot be told which elements a tensor shows; the message says why."""


@dataclass(frozen=True, eq=False, slots=True)
class Provenance:
    """Where the elements of a storage come from.  Equal ones are one object.

    A storage has the elements of originals, which are numbered.
    """

    memory: Geometry
    """Of the tensor that was allocated."""
    copies: tuple[tuple[Geometry, Provenance, Geometry, int], ...] = ()
    """Where elements are, the provenance of the storage that they were copied from, where they are
    there, and the number of its first original among this storage's."""
    zeros: bool = False
    """Whether all of its elements are 0, and come from nowhere."""


@dataclass(slots=True)
class MetaStorage:
    """What is known of the memory behind some tensors."""

    tensor: torch.Tensor
    """Kept, so that no other storage takes its place."""
    provenance: Provenance
    originals: tuple[str, ...] = ()
    """The names of the tensors that its elements come from."""
    unknown: str = ""
    """Why it is not known what it holds."""


class MovedPiece(NamedTuple):
    """The elements of a box of a tensor, at their places in the storage of an original tensor."""

    box: IndexBox
    name: str
    geometry: Geometry


class CopyLog(TorchDispatchMode):
    """Follows the elements of some original tensors through operators that only move them."""

    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[int, MetaStorage] = {}
        self._provenances: dict[Any, Provenance] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Leave torch.compile out of this: to import it takes a second."""
        return False

    def original(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """A dense tensor on meta, whose elements are followed."""
        tensor = torch.empty(shape, dtype=dtype, device="meta")
        self._storages[_key(tensor)] = MetaStorage(tensor, self._provenance(tensor), (name,))
        return tensor

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        effect = effect_of(func)
        for tensor in effect.written(args, kwargs):
            self._storage(tensor).unknown = f"torch's {_name(func)} writes to it"
        if not effect.makes_no_values:
            for tensor in out if isinstance(out, list | tuple) else (out,):
                if isinstance(tensor, torch.Tensor) and _key(tensor) not in self._storages:
                    self._storages[_key(tensor)] = self._made(tensor, _name(func), args, kwargs)
        return out

    def _storage(self, tensor: torch.Tensor) -> MetaStorage:
        """What is known of a tensor's storage."""
        key = _key(tensor)
        if key not in self._storages:
            why = "it was there before the conversion"
            self._storages[key] = MetaStorage(tensor, self._provenance(tensor), unknown=why)
        return self._storages[key]

    def _provenance(
        self,
        tensor: torch.Tensor,
        *copies: tuple[Geometry, Provenance, Geometry, int],
        zeros: bool = False,
    ) -> Provenance:
        key = Geometry.of(tensor), copies, zeros
        return self._provenances.setdefault(key, Provenance(*key))

    def _made(
        self, out: torch.Tensor, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> MetaStorage:
        """What an operator put into new memory."""
        if name in ("zeros", "new_zeros"):
            return MetaStorage(out, self._provenance(out, zeros=True))
        sources = _sources(out, name, args, kwargs)
        if sources is None:
            return MetaStorage(out, self._provenance(out), unknown=f"torch's {name} computes it")
        copies = []
        originals: tuple[str, ...] = ()
        unknown = ""
        for here, source in sources:
            storage = self._storage(source)
            unknown = unknown or storage.unknown
            if source.dtype != out.dtype:
                unknown = unknown or f"it is turned from {source.dtype} into {out.dtype}"
            if source.numel():
                copies.append((here, storage.provenance, Geometry.of(source), len(originals)))
                originals += storage.originals
        return MetaStorage(out, self._provenance(out, *copies), originals, unknown)

    def pieces(self, tensor: torch.Tensor) -> list[MovedPiece]:
        """The elements of a tensor as boxes of it that lie in original tensors; zeros left out.

        Raises:
            UntoldError: something else than moving was done to them.
        """
        storage = self._storage(tensor)
        if storage.unknown:
            raise UntoldError(storage.unknown)
        found = _traced(storage.provenance, Geometry.of(tensor)) if tensor.numel() else ()
        return [
            MovedPiece(box, storage.originals[number], place)
            for box, number, place in found
            if number != FROM_NOTHING
        ]


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _name(func: torch._ops.OpOverload) -> str:
    return func._schema.name.partition("::")[2]


def _sources(
    out: torch.Tensor, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[Geometry, torch.Tensor]] | None:
    """What an operator copies into new memory, and where to; None if it does something else."""
    whole = Geometry.of(out)
    if name in ("clone", "_to_copy"):
        return [(whole, args[0])]
    if name in ("cat", "stack"):
        axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.ndim
        return list(zip(_places(args[0], whole, axis, name), args[0], strict=True))
    return None


def _places(parts: list[torch.Tensor], whole: Geometry, axis: int, name: str) -> Iterator[Geometry]:
    """Where torch.cat or torch.stack puts each tensor."""
    at = 0
    for part in parts:
        dim = 1 if name == "stack" else part.shape[axis] if part.ndim > axis else 0
        box = [*boxes.whole(whole.shape)]
        box[axis] = range(at, at + dim)
        place = whole.part(box)
        yield _without(place, axis) if name == "stack" else place
        at += dim


def _without(geometry: Geometry, axis: int) -> Geometry:
    """The geometry without an axis of one element."""
    shape, strides = list(geometry.shape), list(geometry.strides)
    del shape[axis], strides[axis]
    return Geometry(geometry.offset, tuple(shape), tuple(strides))


# ---- geometry; the experts of all layers are alike, so results are kept -------------------------


@lru_cache(maxsize=2**13)
def _traced(
    provenance: Provenance, geometry: Geometry
) -> tuple[tuple[IndexBox, int, Geometry], ...]:
    """The elements of a tensor: boxes of it, each with an original and the places there."""
    everything = boxes.whole(geometry.shape)
    if not provenance.copies:
        return ((everything, FROM_NOTHING if provenance.zeros else 0, geometry),)
    found = []
    for here, source, there, first in provenance.copies:
        for box, place in _seen(geometry, provenance.memory, here, there):
            for inside, number, origin in _traced(source, place):
                number = FROM_NOTHING if number == FROM_NOTHING else first + number
                found.append((_part_of(box, inside), number, origin))
    if sum(boxes.count(box) for box, _, _ in found) != geometry.count:
        raise UntoldError("some of its elements come from nowhere")
    return tuple(found)


def _part_of(box: IndexBox, inside: IndexBox) -> IndexBox:
    """A box of a box."""
    return tuple(o[i.start : i.stop : i.step] for o, i in zip(box, inside, strict=True))


def _seen(
    geometry: Geometry, memory: Geometry, here: Geometry, there: Geometry
) -> Iterator[tuple[IndexBox, Geometry]]:
    """What a tensor shows of the elements at `here`, which were copied from `there`.

    Args:
        geometry: of the tensor.
        memory: of the tensor that was allocated, in the same storage.
        here, there: of equal shapes, in that storage and in another.

    Yields:
        Boxes of the tensor, and where their elements lie in the other storage.
    """
    place = moved(geometry, here, there)
    if place is not None:
        yield from _folded(place, geometry.shape)
        return
    common = boxes.overlap(_box(geometry, memory), _box(here, memory))
    if common is None:
        return
    box = _box(memory.part(common), geometry)
    part = geometry.part(box)
    place = moved(part, here, there)
    if place is None:
        raise UntoldError("its elements are no slices of what was copied")
    for inside, origin in _folded(place, part.shape):
        yield _part_of(box, inside), origin


def _box(view: Geometry, base: Geometry) -> IndexBox:
    slices = slices_of(view, base)
    if slices is None:
        raise UntoldError("its elements are no slices of what was copied")
    return boxes.canonical(slices.box)


def _folded(fine: Geometry, shape: tuple[int, ...]) -> Iterator[tuple[IndexBox, Geometry]]:
    """Boxes of a tensor of `shape`, each with one stride per axis.

    `fine` has its elements in their order, with axes that split those of the shape.  Of the parts
    of an axis, boxes have all elements of the longest, and one of each other.
    """
    axes = list(_axes_of(fine, shape))
    if math.prod(count for parts in axes for count, _ in _shorter(parts)) > MOST_PIECES:
        raise UntoldError(f"it is made of more than {MOST_PIECES} pieces")
    for choice in product(*(list(_runs(parts)) for parts in axes)):
        offset = fine.offset + sum(offset for _, offset, _ in choice)
        box = tuple(indices for indices, _, _ in choice)
        strides = tuple(stride for _, _, stride in choice)
        yield box, Geometry(offset, tuple(map(len, box)), strides)


AxisParts = list[tuple[int, int]]
"""An axis as (count, stride) of the parts that it is split in, outermost first."""


def _axes_of(fine: Geometry, shape: tuple[int, ...]) -> list[AxisParts]:
    """The parts of each axis of `shape`, those merged over which one stride goes on."""
    left = list(zip(fine.shape, fine.strides, strict=True))
    found: list[AxisParts] = []
    for dim in reversed(shape):
        parts: AxisParts = []
        while dim > 1:
            count, stride = left.pop()
            taken = math.gcd(count, dim)
            if taken == 1 or taken not in (count, dim):
                raise UntoldError("it is reshaped in a way that no slices have")
            if taken < count:
                left.append((count // taken, stride * taken))
            if parts and parts[0][0] * parts[0][1] == stride:
                parts[0] = (parts[0][0] * taken, parts[0][1])
            else:
                parts.insert(0, (taken, stride))
            dim //= taken
        found.insert(0, parts)
    return found


def _longest(parts: AxisParts) -> int:
    return max(range(len(parts)), key=lambda n: parts[n][0])


def _shorter(parts: AxisParts) -> AxisParts:
    """All parts of an axis but the longest."""
    return [part for n, part in enumerate(parts) if n != _longest(parts)]


def _runs(parts: AxisParts) -> Iterator[tuple[range, int, int]]:
    """An axis as ranges of its indices, with the offset and the stride of each."""
    if not parts:
        yield range(1), 0, 0
        return
    long = _longest(parts)
    steps = [math.prod(count for count, _ in parts[n + 1 :]) for n in range(len(parts))]
    count, stride = parts[long]
    for index in product(*(range(1 if n == long else c) for n, (c, _) in enumerate(parts))):
        first = sum(i * step for i, step in zip(index, steps, strict=True))
        offset = sum(i * s for i, (_, s) in zip(index, parts, strict=True))
        yield range(first, first + (count - 1) * steps[long] + 1, steps[long]), offset, stride
