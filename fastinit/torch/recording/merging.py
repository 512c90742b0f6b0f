# SPDX-License-Identifier: MIT
"""Independent draws of one distribution, side by side in a tensor, as one draw.

So a tensor of experts that are drawn one by one has one scheme.  What is not elementwise, as an
orthogonal matrix, is never merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastinit.torch.recording import boxes
from fastinit.torch.recording.boxes import IndexBox
from fastinit.torch.recording.formulas import Composition, ConstantElement, DrawnElement
from fastinit.torch.recording.layers import Layer, TensorLayers


def merged(found: TensorLayers, everything: IndexBox) -> TensorLayers:
    """The layers, of which together all elements are visible, with all draws as one if they can be.

    Constants may lie on top.
    """
    drawn = [layer for layer in found if isinstance(layer.element, DrawnElement)]
    on_top = found[len(drawn) :]
    constant = all(isinstance(layer.element, ConstantElement) for layer in on_top)
    if len(drawn) < 2 or not constant or tuple(drawn) != tuple(found[: len(drawn)]):
        return found
    elements = [layer.element for layer in drawn if isinstance(layer.element, DrawnElement)]
    first = _alike(elements[0])
    if any(element.whole or _alike(element) != first for element in elements):
        return found
    if not _independent(elements):
        return found
    parts = tuple((layer.box, layer.element) for layer in drawn)
    one = replace(
        first, draws=frozenset().union(*(e.draws for e in elements)), view=(Composition(parts),)
    )
    return (Layer(everything, one, drawn[0].origin), *on_top)


def _alike(element: DrawnElement) -> DrawnElement:
    """What is equal for draws of the same distribution."""
    scheme = element.numbers or element.scheme
    return replace(element, draws=frozenset(), scheme=scheme, numbers=None, view=())


def _independent(elements: list[DrawnElement]) -> bool:
    """Whether no two share a draw, apart from different elements of it."""
    seen: dict[int, list[DrawnElement]] = {}
    for element in elements:
        for draw in element.draws:
            if not all(apart(element, other) for other in seen.get(draw, ())):
                return False
            seen.setdefault(draw, []).append(element)
    return True


def apart(first: DrawnElement, second: DrawnElement) -> bool:
    """Whether two tensors show different elements of the draws that they share."""
    for one, other in zip(first.view, second.view, strict=False):
        if one == other:
            continue
        if isinstance(one, Composition) or isinstance(other, Composition):
            return False
        return boxes.overlap(one.box, other.box) is None
    return False


def side_by_side(found: Sequence[Layer], everything: IndexBox) -> bool:
    """Whether the layers follow each other along one axis and make up all elements."""
    if not found:
        return False
    cut = [axis for axis, whole in enumerate(everything) if found[0].box[axis] != whole]
    if len(cut) != 1:
        return False
    axis, *_ = cut
    rest = (*everything[:axis], *everything[axis + 1 :])
    if any((*layer.box[:axis], *layer.box[axis + 1 :]) != rest for layer in found):
        return False
    along = sorted((layer.box[axis].start, layer.box[axis].stop) for layer in found)
    steps = {layer.box[axis].step for layer in found}
    ends = [everything[axis].start, *(stop for _, stop in along)]
    return (
        steps == {1}
        and [start for start, _ in along] == ends[:-1]
        and ends[-1] == len(everything[axis])
    )
