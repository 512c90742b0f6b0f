# SPDX-License-Identifier: MIT
"""From the writes of a recording to what each element of a tensor is.

A tensor is described by layers: boxes of elements, each with an `Element`; later ones lie on top.
What is not understood becomes `UnknownElement` with its reason, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from fastinit.torch.recording import boxes, initialisers, operators
from fastinit.torch.recording.boxes import IndexBox
from fastinit.torch.recording.events import (
    Computed,
    Initialised,
    LiteralValues,
    Origin,
    Read,
    Uninitialised,
    Write,
)
from fastinit.torch.recording.formulas import (
    ConstantElement,
    DrawnElement,
    Element,
    NormElement,
    TableElement,
    UnknownElement,
)
from fastinit.torch.recording.layers import Layer, TensorLayers, one_layer, seen_from
from fastinit.torch.recording.merging import merged, side_by_side
from fastinit.torch.recording.replay import replayed
from fastinit.torch.views import Geometry, slices_of

MOST_LAYERS = 64
"""Layers of one tensor; more are not worth a scheme."""
MOST_PARTS = 4096
"""Parts of one tensor that are looked at, in case that they are one draw."""
NEVER = "it was never initialised"


class Understanding:
    """Understands the tensors of one recording; it remembers what it found.

    Args:
        unwritten: what to say of elements that nothing wrote to.
    """

    def __init__(self, unwritten: str = "it was made before the recording") -> None:
        self.unwritten = unwritten
        self._found: dict[tuple[int, int, Geometry], TensorLayers] = {}
        self._depth = 0

    def layers(self, read: Read) -> TensorLayers:
        """What the elements of a tensor are, bottom first; the first layer has all of them."""
        key = (id(read.storage), read.count, read.geometry)
        if key not in self._found:
            self._found[key] = _or_table(read, self._bounded(read))
        return self._found[key]

    def _bounded(self, read: Read) -> TensorLayers:
        """The layers, unless they follow from more steps than Python's stack has room for."""
        self._depth += 1
        try:
            return self._layers(read)
        except RecursionError:
            if self._depth > 1:
                raise
            unknown = UnknownElement("it was computed in too many steps")
            return one_layer(read.shape, unknown, read.storage.writes[read.count - 1].origin)
        finally:
            self._depth -= 1

    def element(self, read: Read) -> Element:
        """What all elements of a tensor are, if they are all the same."""
        layers = self.layers(read)
        if len(layers) == 1:
            return layers[0].element
        if all(isinstance(layer.element, ConstantElement | TableElement) for layer in layers):
            return TableElement()
        unknown = (layer.element for layer in layers if isinstance(layer.element, UnknownElement))
        return next(unknown, UnknownElement("parts of it are drawn differently"))

    def _layers(self, read: Read) -> TensorLayers:
        shape = read.shape
        writes = read.storage.writes[: read.count]
        everything = boxes.whole(shape)
        if not writes:
            return one_layer(shape, UnknownElement(self.unwritten), Origin("", 0, ""))
        writes = [w for w in writes if w.what != Uninitialised() or w.dtype == read.dtype]
        other = next((w for w in writes if w.dtype != read.dtype), None)
        if other is not None:
            unknown = UnknownElement(f"it was written as {other.dtype}, and is {read.dtype}")
            return one_layer(shape, unknown, other.origin)
        if not writes:
            origin = read.storage.writes[0].origin
            return one_layer(shape, UnknownElement(NEVER), origin)
        if read.geometry.count == 0:
            return one_layer(shape, ConstantElement(0.0), writes[-1].origin)
        if _repeats(read.geometry):
            return self._repeated(read)
        base = _base(writes, read.geometry)
        here = slices_of(read.geometry, base)
        if here is None:
            unknown = UnknownElement("it is no slice of what was allocated")
            return one_layer(shape, unknown, writes[-1].origin)
        box = boxes.canonical(here.box)
        found: list[Layer] = []
        complete = False
        for write in reversed(writes):
            layers, complete = self._seen(write, base, box, read.geometry)
            found[:0] = layers
            if complete or len(found) > MOST_PARTS:
                break
        if complete and side_by_side(found[1:], everything):  # such as experts
            found = list(merged(tuple(found[1:]), everything))
        if len(found) > MOST_LAYERS:
            why = f"it was written in more than {MOST_LAYERS} parts"
            return one_layer(shape, UnknownElement(why), found[-1].origin)
        if not complete:
            found.insert(0, Layer(everything, UnknownElement(self.unwritten), writes[0].origin))
        return _tidied(found, everything)

    def _repeated(self, read: Read) -> TensorLayers:
        """The layers of an expanded tensor, in which one element is at several places."""
        sizes = zip(read.shape, read.geometry.strides, strict=True)
        shape = tuple(n if stride else 1 for n, stride in sizes)
        once = replace(read, geometry=replace(read.geometry, shape=shape))
        return tuple(_repeat(layer, read.geometry) for layer in self.layers(once))

    def _seen(
        self, write: Write, base: Geometry, here: IndexBox, geometry: Geometry
    ) -> tuple[list[Layer], bool]:
        """The layers that one write lays on a tensor, and whether they hide all before.

        The tensor has this geometry, and is the box `here` of `base`.
        """
        if write.geometry.count == 0:
            return [], False
        if write.geometry == geometry:  # the usual case: the tensor itself
            return list(self._written(write)), True
        there = slices_of(write.geometry, base)
        if there is None:
            unknown = UnknownElement("it was written through a view that is not a slice of it")
            return list(one_layer(geometry.shape, unknown, write.origin)), True
        common = boxes.overlap(boxes.canonical(there.box), here)
        if common is None:
            return [], False
        layers = []
        for layer in self._written(write):
            seen = seen_from(layer, write.geometry, base, here, geometry)
            if seen is not None:
                layers.append(seen)
        return layers, common == here

    def _written(self, write: Write) -> TensorLayers:
        """What a write makes of the tensor that it writes to, in that tensor's own axes."""
        found = [
            replace(one, element=_rounded(one.element, write.dtype))
            for one in self._computed(write)
        ]
        return _tidied(found, boxes.whole(write.geometry.shape)) if len(found) > 1 else tuple(found)

    def _computed(self, write: Write) -> TensorLayers:
        """What a write makes, before it is rounded to the tensor's dtype."""
        shape = write.geometry.shape

        def all_of(element: Element) -> TensorLayers:
            return one_layer(shape, element, write.origin)

        match write.what:
            case LiteralValues(values, foreign):
                return all_of(_literal(values, foreign))
            case Uninitialised(why):
                return all_of(UnknownElement(why or NEVER))
            case Initialised() as call:
                return all_of(initialisers.element(call, shape, write.number))
            case Computed() as computed:
                layers = operators.layers(computed, write, self)
                if write.copied:
                    layers = tuple(_copied(layer) for layer in layers)
                return layers


def _or_table(read: Read, found: TensorLayers) -> TensorLayers:
    """The layers; or a table, if they were not understood but can be computed."""
    unknown = next((one for one in found if isinstance(one.element, UnknownElement)), None)
    if unknown is None or read.random or not read.count:
        return found
    try:
        replayed(read)
    except (ValueError, RuntimeError):
        return found
    return one_layer(read.shape, TableElement(), unknown.origin)


def _rounded(element: Element, dtype: torch.dtype) -> Element:
    """An element in the dtype that it was written in."""
    if isinstance(element, ConstantElement):
        value = torch.full((), element.value, dtype=torch.float64, device="cpu").to(dtype)
        if dtype.is_complex or not value.isfinite():
            return TableElement()
        return ConstantElement(float(value))
    if isinstance(element, DrawnElement | NormElement) and not dtype.is_floating_point:
        return UnknownElement(f"a draw is turned into {dtype}")
    return element


def _literal(values: torch.Tensor, foreign: str) -> Element:
    if foreign and values.numel() and bool((values != values.reshape(-1)[0]).any()):
        return UnknownElement(
            f"its values were drawn by {foreign}, other ones in each run; draw them by PyTorch"
        )
    if values.numel() and values.dtype.is_floating_point and values.unique().numel() == 1:
        return ConstantElement(float(values.reshape(-1)[0]))
    return TableElement()


def _repeats(geometry: Geometry) -> bool:
    return any(n > 1 and not s for n, s in zip(geometry.shape, geometry.strides, strict=True))


def _repeat(layer: Layer, geometry: Geometry) -> Layer:
    element = layer.element
    if isinstance(element, DrawnElement | NormElement):
        element = UnknownElement("one draw is repeated over several elements")
    axes = zip(layer.box, geometry.shape, geometry.strides, strict=True)
    return replace(
        layer, box=tuple(part if stride else range(n) for part, n, stride in axes), element=element
    )


def _copied(layer: Layer) -> Layer:
    if isinstance(layer.element, DrawnElement):
        return replace(layer, element=replace(layer.element, copied=True))
    return layer


def _base(writes: list[Write], geometry: Geometry) -> Geometry:
    """The axes in which all writes to a storage are compared: those of its allocation."""
    first = writes[0].geometry
    return first if first.count >= geometry.count else geometry


def _tidied(layers: Sequence[Layer], everything: IndexBox) -> TensorLayers:
    """Without the layers that others hide.  The first layer has all elements, even hidden ones."""
    visible: list[Layer] = []
    for index, layer in enumerate(layers):
        above = [other.box for other in layers[index + 1 :] if boxes.within(other.box, layer.box)]
        if not boxes.covered(layer.box, above):
            visible.append(layer)
    visible = list(merged(tuple(visible), everything))
    if visible and visible[0].box == everything:
        return tuple(visible)
    bottom = next((v for v in visible if isinstance(v.element, ConstantElement)), None)
    ground = bottom.element if bottom else ConstantElement(0.0)
    kept: list[Layer] = []
    for layer in visible:
        hides = any(boxes.overlap(layer.box, below.box) for below in kept)
        if layer.element != ground or hides:
            kept.append(layer)
    return (Layer(everything, ground, (bottom or visible[0]).origin), *kept)
