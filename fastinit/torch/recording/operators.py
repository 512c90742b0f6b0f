# SPDX-License-Identifier: MIT
"""What PyTorch's operators make of elements that are understood."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from fastinit.torch.recording import boxes
from fastinit.torch.recording.draws import drawn
from fastinit.torch.recording.events import Computed, Read, Write
from fastinit.torch.recording.formulas import (
    ConstantElement,
    DrawnElement,
    Element,
    NormElement,
    TableElement,
    UnknownElement,
    applied,
)
from fastinit.torch.recording.layers import Layer, TensorLayers, one_layer, reshaped
from fastinit.torch.recording.steps import MappedStep, step_of

if TYPE_CHECKING:
    from fastinit.torch.recording.understanding import Understanding

COPIES = frozenset(
    {
        "clone",
        "_to_copy",
        "copy",
        "contiguous",
        "lift",
        "lift_fresh_copy",
        "detach_copy",
        "alias_copy",
    }
)
RESHAPES = frozenset({"_unsafe_view", "view_copy", "_reshape_copy", "reshape"})
FILLS: dict[str, float] = {
    "zero": 0.0,
    "zeros": 0.0,
    "zeros_like": 0.0,
    "new_zeros": 0.0,
    "ones": 1.0,
    "ones_like": 1.0,
    "new_ones": 1.0,
}
FILLS_WITH = {"full": 1, "full_like": 1, "new_full": 2, "fill": 1, "scalar_tensor": 0}
"""The position of the value."""
REPEATED = "one draw is repeated over several elements"


def layers(computed: Computed, write: Write, known: Understanding) -> TensorLayers:
    """What an operator wrote, in the axes of the tensor that it wrote to."""
    name, shape = computed.name, write.geometry.shape
    source = computed.args[1 if computed.in_place else 0] if name in COPIES else None
    if isinstance(source, Read):
        return _cast(_of_shape(known.layers(source), source, write), source.dtype, write.dtype)
    if name in RESHAPES:
        return reshaped(known.layers(computed.args[0]), computed.args[0].shape, shape)
    if name in ("cat", "stack"):
        return _joined(computed, write, known)
    step = step_of(computed, known)
    if step is None:
        return one_layer(shape, _element(computed, write, known), write.origin)
    mapped = tuple(
        replace(layer, element=_mapped(layer.element, step)) for layer in known.layers(step.source)
    )
    return _cast(_of_shape(mapped, step.source, write), step.source.dtype, write.dtype)


def _mapped(element: Element, step: MappedStep) -> Element:
    """An element after an elementwise operator; what is not random is left to be computed."""
    match element:
        case ConstantElement(value):
            return ConstantElement(step.of_constant(value))
        case NormElement():
            return UnknownElement("norms of another tensor are changed afterwards")
    return applied(element, step.function)


def _of_shape(found: TensorLayers, source: Read, write: Write) -> TensorLayers:
    """The layers of a source as those of what was written, which may repeat it."""
    shape = write.geometry.shape
    if source.geometry.count == write.geometry.count:
        return reshaped(found, source.shape, shape)
    if all(isinstance(layer.element, ConstantElement | TableElement) for layer in found):
        return one_layer(shape, TableElement(), write.origin)
    unknown = (layer.element for layer in found if isinstance(layer.element, UnknownElement))
    return one_layer(shape, next(unknown, UnknownElement(REPEATED)), write.origin)


def _cast(found: TensorLayers, old: torch.dtype, new: torch.dtype) -> TensorLayers:
    """Layers in another dtype: a draw in a narrow one stays coarse in a wide one."""
    if not old.is_floating_point or not new.is_floating_point:
        return found
    if old.itemsize >= 4 or torch.finfo(new).eps >= torch.finfo(old).eps:
        return found
    coarse = UnknownElement(f"it has the coarse values of {old}, in {new}")
    return tuple(
        replace(layer, element=coarse) if isinstance(layer.element, DrawnElement) else layer
        for layer in found
    )


def _joined(computed: Computed, write: Write, known: Understanding) -> TensorLayers:
    """Layers of torch.cat and torch.stack: those of the inputs, side by side."""
    inputs = computed.args[0]
    shape = write.geometry.shape
    given = computed.args[1] if len(computed.args) > 1 else computed.kwargs.get("dim", 0)
    axis = given % len(shape)
    stacked = computed.name == "stack"
    placed: list[Layer] = [Layer(boxes.whole(shape), ConstantElement(0.0), write.origin)]
    at = 0
    for read in inputs:
        if read.geometry.count == 0 and not stacked:
            continue
        for layer in _cast(known.layers(read), read.dtype, write.dtype):
            if stacked:
                box = (*layer.box[:axis], range(at, at + 1), *layer.box[axis:])
            else:
                along = layer.box[axis]
                moved = range(along.start + at, along.stop + at, along.step)
                box = (*layer.box[:axis], moved, *layer.box[axis + 1 :])
            seen = layer.seen or layer.shape
            placed.append(replace(layer, box=box, seen=seen))
        at += 1 if stacked else read.shape[axis]
    return tuple(placed)


def _element(computed: Computed, write: Write, known: Understanding) -> Element:
    """What all elements are, where an operator makes them all alike."""
    name = computed.name
    if name in FILLS:
        return ConstantElement(FILLS[name])
    if name in FILLS_WITH:
        return _filled(computed.args[FILLS_WITH[name]], known)
    if computed.hidden:
        return UnknownElement(f"torch's {name} changes it")
    if torch.Tag.nondeterministic_seeded in computed.operator.tags:
        return drawn(computed, write, known)
    elements = [known.element(read) for read in computed.reads()]
    if all(isinstance(element, ConstantElement | TableElement) for element in elements):
        return TableElement()
    norms = _norms(computed, known)
    if norms is not None:
        return norms
    for element in elements:
        if isinstance(element, UnknownElement):
            return element
    if write.geometry.count > max((read.geometry.count for read in computed.reads()), default=0):
        return UnknownElement(REPEATED)
    return UnknownElement(f"it is computed from a draw by torch's {name}, and no scheme does that")


def _filled(value: Any, known: Understanding) -> Element:
    """What a tensor is that one value fills."""
    if isinstance(value, Read):
        element = known.element(value)
        random = isinstance(element, DrawnElement | NormElement)
        return UnknownElement("one draw fills it all") if random else element
    return TableElement() if isinstance(value, complex) else ConstantElement(float(value))


def _norms(computed: Computed, known: Understanding) -> Element | None:
    """Euclidean norms, as weight_norm's magnitude is."""
    if computed.name not in ("norm", "linalg_vector_norm"):
        return None
    source = computed.args[0]
    order = computed.args[1] if len(computed.args) > 1 else 2
    element = known.element(source)
    if (
        order not in (None, 2, 2.0)
        or not isinstance(element, DrawnElement)
        or element.formula != "x"
    ):
        return None
    given = computed.args[2] if len(computed.args) > 2 else computed.kwargs.get("dim")
    ndim = len(source.shape)
    reduced = {d % ndim for d in given} if given else set(range(ndim))
    return NormElement(element, source.shape, tuple(d for d in range(ndim) if d not in reduced))
