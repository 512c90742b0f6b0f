# SPDX-License-Identifier: MIT
"""From what was recorded of a module to a recipe for each of its tensors, or the reason why not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from fastinit import schemes
from fastinit.errors import ModuleError
from fastinit.numerics.dtypes import resolve
from fastinit.schemes import Scheme
from fastinit.texts import quoted
from fastinit.torch.recording.boxes import IndexBox
from fastinit.torch.recording.events import Read
from fastinit.torch.recording.formulas import (
    ConstantElement,
    DrawnElement,
    NormElement,
    TableElement,
    UnknownElement,
)
from fastinit.torch.recording.layers import Layer, TensorLayers
from fastinit.torch.recording.merging import apart
from fastinit.torch.recording.replay import replayed
from fastinit.torch.recording.simplified import scheme_of
from fastinit.torch.recordings import RECORDED, Recorded
from fastinit.torch.slots import Slot, overlaps, slots_of
from fastinit.values.distributions import Distribution

LAZY = (
    "its shape is not known yet: run one forward pass without deferred(), and then "
    "fastinit.torch.initialize_"
)
Clones = Literal["distinct", "equal"]


@dataclass(frozen=True, slots=True)
class TensorRecipe:
    """How one tensor of a module is made: by a scheme, as a table of values, or not at all.

    A tensor that is `kept` was made elsewhere, and has the values that it has.
    """

    slot: Slot
    shape: tuple[int, ...]
    dtype: torch.dtype
    default_dtype: bool = True
    scheme: Scheme | None = None
    table: Read | None = None
    problem: str = ""
    kept: bool = False

    @property
    def name(self) -> str:
        """The tensor's name."""
        return self.slot.name

    def by(self, scheme: Scheme, reason: str) -> TensorRecipe:
        """The same tensor by another scheme."""
        made = replace(scheme, reason=reason)
        return replace(self, scheme=made, table=None, problem="", kept=False)

    def without(self, problem: str) -> TensorRecipe:
        """The same tensor, which cannot be made."""
        return replace(self, scheme=None, table=None, problem=problem)

    def cast(self, dtype: torch.dtype | None) -> TensorRecipe:
        """The same tensor in another floating-point dtype, unless its constructor asked for one."""
        if dtype is None or not self.default_dtype or not self.dtype.is_floating_point:
            return self
        return replace(self, dtype=dtype)

    def values(self) -> torch.Tensor:
        """The values of a table, or of a tensor that is kept.

        Raises:
            ModuleError: they cannot be computed.
        """
        if self.kept:
            return self.slot.tensor.detach()
        assert self.table is not None
        try:
            return replayed(self.table)
        except (ValueError, RuntimeError) as error:
            raise ModuleError(f"{quoted(self.name)}: {error}", {self.name: str(error)}) from error


@dataclass(frozen=True, slots=True)
class _Known:
    slot: Slot
    read: Read
    layers: TensorLayers


def remembered(owner: torch.nn.Module) -> Recorded | None:
    """What was recorded of a module under `deferred`."""
    return owner.__dict__.get(RECORDED)


def recipes_of(
    module: torch.nn.Module,
    *,
    clones: Clones = "distinct",
    prefix: str = "",
    recorded: Callable[[torch.nn.Module], Recorded | None] = remembered,
) -> list[TensorRecipe]:
    """A recipe for each tensor of a module, in the module's order."""
    if clones not in get_args(Clones):
        raise ValueError(f"clones is {quoted(clones)}: choose 'distinct' or 'equal'")
    slots = slots_of(module, prefix=prefix)
    shared = overlaps(slots)
    found = [_known(slot, recorded) for slot in slots]
    owners = _owners([known for known in found if isinstance(known, _Known)])
    recipes = [
        _recipe(known, owners, clones) if isinstance(known, _Known) else known for known in found
    ]
    return [r.without(shared[r.name]) if r.name in shared else r for r in recipes]


def _known(
    slot: Slot, recorded: Callable[[torch.nn.Module], Recorded | None]
) -> _Known | TensorRecipe:
    if isinstance(slot.tensor, UninitializedParameter | UninitializedBuffer):
        return TensorRecipe(slot, (), slot.tensor.dtype, problem=LAZY)
    inside = False
    for place in slot.places:
        found = recorded(place.module)
        inside = inside or found is not None
        if found is not None and place.key in found.reads:
            return _of_read(slot, place.key, found)
    shape, dtype = slot.shape, slot.tensor.dtype
    if inside and not slot.tensor.is_meta:
        return TensorRecipe(slot, shape, dtype, default_dtype=False, kept=True)
    problem = "it was not made under fastinit.torch.deferred()"
    return TensorRecipe(slot, shape, dtype, problem=problem)


def _of_read(slot: Slot, key: str, found: Recorded) -> _Known | TensorRecipe:
    """What is known of a tensor, if it is still the one that was recorded."""
    read = found.reads[key]
    problem = ""
    if slot.shape != read.shape:
        problem = (
            f"its shape is {slot.shape}, and {read.shape} was recorded: put it into the module "
            "under fastinit.torch.deferred()"
        )
    elif found.changed(key, slot.tensor):
        problem = "it was written to after fastinit.torch.deferred(): do that inside"
    if problem:
        return TensorRecipe(slot, slot.shape, slot.tensor.dtype, problem=problem)
    return _Known(slot, read, found.known.layers(read))


Owner = tuple[str, Layer, tuple[int, ...], torch.dtype]
"""A tensor that shows elements of a draw: name, layer, shape and dtype."""
Owners = dict[int, list[Owner]]
"""Those of each draw."""


def _owners(found: Sequence[_Known]) -> Owners:
    owners: Owners = defaultdict(list)
    for known in found:
        for layer in known.layers:
            if isinstance(layer.element, DrawnElement):
                owner = known.slot.name, layer, known.read.shape, known.read.dtype
                for draw in layer.element.draws:
                    owners[draw].append(owner)
    return owners


def _recipe(known: _Known, owners: Owners, clones: Clones) -> TensorRecipe:
    read = known.read
    now = known.slot.tensor.dtype
    dtype = now if now.is_floating_point and read.dtype.is_floating_point else read.dtype
    recipe = TensorRecipe(known.slot, read.shape, dtype, read.storage.default_dtype)
    if not read.dtype.is_floating_point or _is_table(known.layers):
        return _from_table(recipe, known)
    try:
        made = _composed(known, owners, clones)
        made.distribution(read.shape)
    except (TypeError, ValueError) as error:
        return replace(recipe, problem=str(error))
    reasons = dict.fromkeys(str(layer.origin) for layer in known.layers[::-1])
    return replace(recipe, scheme=replace(made, reason="; ".join(reasons)))


def _composed(known: _Known, owners: Owners, clones: Clones) -> Scheme:
    """One scheme for all layers.

    Raises:
        ValueError: there is none.
    """
    ground, *others = (_scheme(known, layer, owners, clones) for layer in known.layers)
    if not others:
        return ground
    rest: list[str | Scheme] = []
    for layer, scheme in zip(known.layers[1:], others, strict=True):
        rest += region_text(layer.box), scheme
    return schemes.parts(ground, *rest)


def _is_table(layers: TensorLayers) -> bool:
    """Whether no layer is random, and not all of them are plain constants."""
    kinds = [type(layer.element) for layer in layers]
    return TableElement in kinds and set(kinds) <= {TableElement, ConstantElement}


def _from_table(recipe: TensorRecipe, known: _Known) -> TensorRecipe:
    """Values that need no random numbers; equal ones are a constant."""
    for layer in known.layers:
        if isinstance(layer.element, UnknownElement):
            return replace(recipe, problem=_with_origin(layer.element.why, layer))
        if isinstance(layer.element, DrawnElement | NormElement):
            why = f"its dtype is {recipe.dtype}, which is not drawn"
            return replace(recipe, problem=_with_origin(why, layer))
    return replace(recipe, table=known.read)


def _with_origin(why: str, layer: Layer) -> str:
    return f"{why} ({layer.origin})" if layer.origin.file else why


def _scheme(known: _Known, layer: Layer, owners: Owners, clones: Clones) -> Scheme:
    """The scheme of one layer.

    Raises:
        ValueError: there is none.
    """
    match layer.element:
        case ConstantElement(value):
            return {0.0: schemes.zeros(), 1.0: schemes.ones()}.get(value) or schemes.constant(value)
        case DrawnElement() as drawn:
            return _drawn(known, layer, drawn, owners, clones)
        case NormElement() as norms:
            return _norms(norms, known, layer, owners)
        case TableElement():
            raise ValueError(_with_origin("a part of it is a table, which no scheme makes", layer))
        case UnknownElement(why):
            raise ValueError(_with_origin(why, layer))


def _drawn(
    known: _Known, layer: Layer, drawn: DrawnElement, owners: Owners, clones: Clones
) -> Scheme:
    try:
        scheme = _for_part(drawn, layer, known.read.dtype)
    except ValueError as error:
        raise ValueError(_with_origin(str(error), layer)) from None
    for name, earlier, shape, dtype in _earlier(drawn, known, layer, owners):
        first = earlier.element
        if not isinstance(first, DrawnElement) or apart(first, drawn):
            continue
        if drawn.copied and clones == "distinct":
            return scheme
        if {dtype, known.read.dtype} > {torch.float64}:  # whose draws are others
            why = f"it is computed from {name}, in {known.read.dtype} instead of {dtype}"
            raise ValueError(_with_origin(why, layer))
        equal = shape == known.read.shape and len(known.layers) == 1
        if equal and first == replace(drawn, copied=first.copied):
            return schemes.same_as(name, scheme)
        why = f"it is computed from the same draw as {name}, and not a copy of it"
        raise ValueError(_with_origin(why, layer))
    return scheme


def _earlier(drawn: DrawnElement, known: _Known, layer: Layer, owners: Owners) -> Iterator[Owner]:
    """The tensors that show elements of the same draws and come before a layer of this one."""
    for draw in sorted(drawn.draws):
        for owner in owners[draw]:
            if owner[0] == known.slot.name and owner[1] is layer:
                break
            yield owner


def _for_part(drawn: DrawnElement, layer: Layer, dtype: torch.dtype) -> Scheme:
    """The scheme of a draw for a layer of another shape than the one that its function saw."""
    scheme = scheme_of(drawn, resolve(dtype))
    shape, seen = layer.shape, layer.seen
    if seen is None or seen == shape:
        return scheme
    if drawn.whole:
        return _stacked(scheme, shape, seen)
    if drawn.numbers is None or drawn.formula != "x":
        return scheme
    return scheme if _has(scheme, shape, drawn.numbers.distribution(shape)) else drawn.numbers


def _has(scheme: Scheme, shape: tuple[int, ...], numbers: Distribution) -> bool:
    """Whether a scheme whose scale follows from the shape has these numbers."""
    try:
        return scheme.distribution(shape) == numbers
    except ValueError:  # it has no fans
        return False


def _stacked(scheme: Scheme, shape: tuple[int, ...], seen: tuple[int, ...]) -> Scheme:
    """The scheme of a matrix that is one of a stack.

    Raises:
        ValueError: the scheme makes no stacks.
    """
    outer = len(shape) - len(seen)
    if shape == seen[::-1] or (shape[:1] == seen[:1] and _long(shape) == _long(seen)):
        return scheme
    make = {"orthogonal": schemes.orthogonal, "identity": schemes.identity}.get(scheme.name)
    if make is None or shape != (*(1,) * outer, *seen):
        raise ValueError(f"it is a part of shape {shape} that {scheme} made of shape {seen}")
    return make(**dict(scheme.arguments), batch_axis=tuple(range(outer)))


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of more than one element."""
    return tuple(size for size in shape if size != 1)


def _norms(norms: NormElement, known: _Known, layer: Layer, owners: Owners) -> Scheme:
    """weight_norm's magnitude: the kept axes are those that have the direction's size."""
    own = known.read.shape
    for name, other, shape, _ in owners.get(min(norms.of.draws), []):
        drawn = other.element
        plain = isinstance(drawn, DrawnElement) and drawn.formula == "x"
        whole = math.prod(shape) == math.prod(norms.shape)
        if plain and whole and len(own) in (0, len(shape)):
            assert isinstance(drawn, DrawnElement)
            kept = [d for d in range(len(own)) if own[d] == shape[d]]
            axes = tuple(d for d in kept if shape[d] > 1) or tuple(kept[:1])
            init = _for_part(drawn, other, known.read.dtype)
            return schemes.norms_of(name, shape=shape, axes=axes, init=init)
    raise ValueError(_with_origin("it holds norms of a tensor that the module lacks", layer))


def region_text(box: IndexBox) -> str:
    """A box as a region is written: '0:768, :'."""
    return ", ".join(
        f"{part.start}:{part.stop}" + (f":{part.step}" if part.step != 1 else "") for part in box
    )
