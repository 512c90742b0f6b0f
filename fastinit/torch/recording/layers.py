# SPDX-License-Identifier: MIT
"""Layers: which elements of a tensor are what, and how other views see them.

Later layers lie on top of earlier ones.  What an element is, is in formulas.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastinit.torch.recording import boxes
from fastinit.torch.recording.boxes import IndexBox
from fastinit.torch.recording.events import Origin
from fastinit.torch.recording.formulas import DrawnElement, Element, Selection, UnknownElement
from fastinit.torch.views import Geometry, slices_of


@dataclass(frozen=True, slots=True)
class Layer:
    """Some elements of a tensor: where they are, what they are, and who wrote them."""

    box: IndexBox
    element: Element
    origin: Origin
    seen: tuple[int, ...] | None = None
    """The shape from which the scale of `element` follows, if it is not that of `box`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the box."""
        return tuple(map(len, self.box))


TensorLayers = tuple[Layer, ...]
"""All elements of a tensor: the first layer has all of them."""


def one_layer(shape: tuple[int, ...], element: Element, origin: Origin) -> TensorLayers:
    """A tensor whose elements are all the same."""
    return (Layer(boxes.whole(shape), element, origin),)


def reshaped(found: TensorLayers, old: tuple[int, ...], new: tuple[int, ...]) -> TensorLayers:
    """The layers of a tensor that has the same elements, in row-major order, in another shape."""
    if old == new:
        return found
    there, here = Geometry.dense(old), Geometry.dense(new)
    seen = (seen_from(layer, there, here, boxes.whole(new), here) for layer in found)
    return tuple(layer for layer in seen if layer is not None)


def seen_from(
    layer: Layer, there: Geometry, base: Geometry, here: IndexBox, geometry: Geometry
) -> Layer | None:
    """A layer of the view `there` as one of a tensor; None if they have nothing in common."""
    part = there.part(layer.box)
    slices = slices_of(part, base)
    if slices is None:
        unknown = UnknownElement("a part of it was written through a reshaped view")
        return Layer(boxes.whole(geometry.shape), unknown, layer.origin)
    box = boxes.canonical(slices.box)
    shared = boxes.overlap(box, here)
    if shared is None:
        return None
    seen = slices_of(base.part(shared), geometry)
    if seen is None:
        unknown = UnknownElement("a part of it was written that is no slice of it")
        return Layer(boxes.whole(geometry.shape), unknown, layer.origin)
    element = layer.element
    if isinstance(element, DrawnElement):
        if element.whole and (shared != box or not _keeps(element, part, geometry)):
            element = UnknownElement(f"it is another view of what {element.scheme} made")
        else:
            element = _selected(element, part, geometry.part(seen.box))
    return Layer(boxes.canonical(seen.box), element, layer.origin, layer.seen or layer.shape)


def _selected(element: DrawnElement, part: Geometry, view: Geometry) -> Element:
    """A draw of which a view has some elements, perhaps in another order."""
    slices = slices_of(view, part)
    if slices is None:
        return UnknownElement("a part of it was written through a reshaped view")
    selection = Selection(boxes.canonical(slices.box), slices.order, view.shape)
    everything = boxes.whole(part.shape)
    same = selection == Selection(everything, tuple(sorted(slices.order)), part.shape)
    return element if same else replace(element, view=(*element.view, selection))


def _keeps(element: DrawnElement, part: Geometry, geometry: Geometry) -> bool:
    """Whether a matrix, seen in a tensor of other axes, is one by the same scheme.

    The transpose of an orthogonal matrix or of an identity is one, too.
    """
    slices = slices_of(part, geometry)
    if slices is None:
        return False
    if list(slices.order) == sorted(slices.order):
        return True
    turned = len(part.shape) == 2 and tuple(slices.order) == (1, 0)
    return turned and element.scheme.name in ("orthogonal", "identity")
