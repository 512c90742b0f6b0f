# SPDX-License-Identifier: MIT
"""The tensors that `save_pretrained` writes of a model, and which of the module's they show.

transformers itself makes them, of tensors without memory; copies.py follows the elements.  Their
values are for scheme_for to say, from the schemes of the module's tensors.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any

import torch
import transformers

from fastinit.errors import ModuleError
from fastinit.schemes import Scheme, parts, same_as, slice_of, zeros
from fastinit.texts import quoted
from fastinit.torch.recording import boxes
from fastinit.torch.recording.boxes import IndexBox
from fastinit.torch.slots import slots_of
from fastinit.torch.views import Geometry, slices_of
from fastinit.transformers.copies import CopyLog, MovedPiece, UntoldError

KNOWN_VERSIONS = "5.8 and 5.24"
"""The versions of transformers whose private functions are known to be what is used here."""

MOST_LISTED_NAMES = 20
"""Tensors that a message lists; an error has all of them."""

_NAMELESS = ("zeros", "ones", "constant")
"""Schemes whose values depend neither on the name nor on the shape."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """Some elements of a tensor in a file, which are a region of a tensor of the module.

    Regions are written as for `fastinit.schemes.parts`; "" is everything.
    """

    place: str
    """The region of the tensor in the file; it has the shape of `region`."""
    of: str
    """The name of the module's tensor."""
    shape: tuple[int, ...]
    """The whole shape of the module's tensor."""
    region: str
    """Which elements of it."""


@dataclass(frozen=True, slots=True)
class FileTensor:
    """One tensor that `save_pretrained` writes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    parts: tuple[FilePart, ...]
    """Together all of its elements, each once, but for those that are 0."""


def file_tensors(model: torch.nn.Module) -> list[FileTensor]:
    """The tensors that ``model.save_pretrained`` would write, in the order in which it does.

    Tied tensors are there once, under the name that it keeps; what the model's class leaves out is
    not there; integer buffers are.  Names of the module's tensors are those of
    `fastinit.torch.plan`.  The model is not changed, and need not have memory.

    Args:
        model: of transformers, on any device.

    Raises:
        TypeError: another module.
        ImportError: transformers lacks a private function that tells the names; the message has the
            versions that are known to work.
        ModuleError: of some tensors it cannot be told which elements they show; all are listed.  Or
            the model has quantised weights or adapters, which are written in other ways.

    >>> import transformers
    >>> import fastinit.torch as ft
    >>> config = transformers.MixtralConfig(num_hidden_layers=1, num_local_experts=4)
    >>> with ft.deferred():
    ...     model = transformers.MixtralForCausalLM(config)
    >>> found = {tensor.name: tensor for tensor in file_tensors(model)}
    >>> expert = found["model.layers.0.block_sparse_moe.experts.3.w1.weight"]
    >>> expert.parts[0].of, expert.parts[0].region
    ('model.layers.0.mlp.experts.gate_up_proj', '3, 0:14336')
    """
    _check_model(model)
    remove_tied = _function("modeling_utils", "remove_tied_weights_from_state_dict")
    revert = _function("core_model_loading", "revert_weight_conversion")
    log = CopyLog()
    state, shapes = _state_of(model, log)
    with log:
        written: dict[str, torch.Tensor] = revert(model, remove_tied(state, _Tied(model, state)))
    found, problems = [], []
    for name, tensor in written.items():
        try:
            pieces = [_part(piece, tensor, shapes[piece.name]) for piece in log.pieces(tensor)]
            found.append(FileTensor(name, tuple(tensor.shape), tensor.dtype, tuple(pieces)))
        except UntoldError as error:
            problems.append((name, str(error)))
    if problems:
        raise _error(_UNTOLD, problems)
    return found


def _check_model(model: torch.nn.Module) -> None:
    """Raise for a module that `save_pretrained` does not write in the usual way."""
    if not isinstance(model, transformers.PreTrainedModel):
        raise TypeError(f"model is a {type(model).__name__}: need a transformers.PreTrainedModel")
    for attribute, what in (
        ("hf_quantizer", "is quantised"),
        ("_hf_peft_config_loaded", "has adapters"),
    ):
        if getattr(model, attribute, None):
            raise ModuleError(
                f"the model {what}, and transformers writes such tensors in other ways: take the "
                "model without, or the names of its module",
                {},
            )


def _function(module: str, name: str) -> Any:
    """A private function of transformers."""
    try:
        return getattr(importlib.import_module(f"transformers.{module}"), name)
    except (ImportError, AttributeError):
        raise ImportError(
            f"transformers {transformers.__version__} has no {module}.{name}, which tells under "
            f"which names save_pretrained writes tensors: versions known to work are "
            f"{KNOWN_VERSIONS}; or take the names of the module, which from_pretrained loads too",
            name="transformers",
        ) from None


def _state_of(
    model: torch.nn.Module, log: CopyLog
) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, ...]]]:
    """What `save_pretrained` starts from, without memory; tied tensors are one.

    Also the shape of each tensor of the module, by its name.
    """
    owners = {name: slot.name for slot in slots_of(model) for name in (slot.name, *slot.tied)}
    stand_ins: dict[str, torch.Tensor] = {}
    state: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name in (getattr(model, "_keys_to_ignore_on_save", None) or ()):
            continue
        owner = owners.get(name)
        if owner is None or not isinstance(tensor, torch.Tensor):
            raise _error(_UNTOLD, [(name, "it is in the state_dict, but no parameter or buffer")])
        if owner not in stand_ins:
            stand_ins[owner] = log.original(owner, tuple(tensor.shape), tensor.dtype)
        state[name] = stand_ins[owner]
    return state, {name: tuple(tensor.shape) for name, tensor in stand_ins.items()}


class _Tied:
    """A model whose tied tensors are those of one stand-in, as on a CPU those of one memory."""

    def __init__(self, model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
        self._model = model
        self._state = state

    def get_parameter_or_buffer(self, name: str) -> torch.Tensor:
        """What transformers compares tensors without memory by."""
        return self._state[name]

    get_parameter = get_parameter_or_buffer  # by which versions before 5.24 compare them

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


_UNTOLD = "it cannot be told which elements these tensors have, which save_pretrained writes:"
_NO_SCHEME = "there is no scheme for a tensor that save_pretrained writes:"


def _error(what: str, problems: list[tuple[str, str]]) -> ModuleError:
    """An error that names tensors."""
    lines = [f"  {quoted(name)}: {why}" for name, why in problems[:MOST_LISTED_NAMES]]
    if len(problems) > len(lines):
        lines.append(f"  and {len(problems) - len(lines)} more")
    instead = "Take the names of the module instead, which from_pretrained loads too."
    return ModuleError("\n".join([what, *lines, instead]), dict(problems))


# ---- regions ------------------------------------------------------------------------------------


def _part(piece: MovedPiece, tensor: torch.Tensor, shape: tuple[int, ...]) -> FilePart:
    """A piece as regions of the tensor in the file and of the module's."""
    place, region = _regions(piece.box, tuple(tensor.shape), piece.geometry, shape)
    return FilePart(place, piece.name, shape, region)


@lru_cache(maxsize=2**13)  # the experts of all layers are alike
def _regions(
    place: IndexBox, outer: tuple[int, ...], geometry: Geometry, shape: tuple[int, ...]
) -> tuple[str, str]:
    """The texts of two regions of equal shape: of a tensor of `outer`, and of one of `shape`."""
    slices = slices_of(geometry, Geometry.dense(shape))
    if slices is None:
        raise UntoldError("its elements are no slices of a tensor of the module")
    if list(slices.order) != sorted(slices.order):
        raise UntoldError("it is transposed")
    box = boxes.canonical(slices.box)
    if slices.split != tuple(len(indices) for indices in box if len(indices) > 1):
        raise UntoldError("it has another shape than the tensor of the module")
    kept_here, kept_there = _matched(place, box)
    if place == boxes.whole(outer) and all(kept_here):
        return "", _text(box, kept_there, shape)
    return _text(place, kept_here, outer), _text(box, kept_there, shape)


def _matched(here: IndexBox, there: IndexBox) -> tuple[list[bool], list[bool]]:
    """Which axes of two boxes are kept, so that they have one shape: all of several elements.

    Axes of one element are kept while the other box has one in the same place.
    """
    kept_here: list[bool] = []
    kept_there: list[bool] = []
    while len(kept_here) < len(here) or len(kept_there) < len(there):
        first = len(here[len(kept_here)]) if len(kept_here) < len(here) else 0
        second = len(there[len(kept_there)]) if len(kept_there) < len(there) else 0
        if first == second:
            kept_here.append(True)
            kept_there.append(True)
        elif first == 1:
            kept_here.append(False)
        elif second == 1:
            kept_there.append(False)
        else:
            raise UntoldError("it has another shape than the tensor of the module")
    return kept_here, kept_there


def _text(box: IndexBox, kept: list[bool], shape: tuple[int, ...]) -> str:
    """The text of a region; axes that are not kept have one index."""
    items = []
    for indices, keep, dim in zip(box, kept, shape, strict=True):
        step = f":{indices.step}" if len(indices) > 1 and indices.step > 1 else ""
        if not keep:
            items.append(str(indices.start))
        elif indices == range(dim):
            items.append(":")
        else:
            items.append(f"{indices.start}:{indices.stop}{step}")
    while items and items[-1] == ":":
        items.pop()
    return ", ".join(items)


def scheme_for(tensor: FileTensor, module_schemes: Mapping[str, Scheme]) -> Scheme:
    """The scheme by which a tensor in a file has the values of the module's tensors.

    Args:
        tensor: one of `file_tensors`.
        module_schemes: the scheme of each tensor of the module, by its name.

    Raises:
        ModuleError: a tensor of the module has no scheme, such as a buffer of integers; or the text
            of the tensor's own scheme would be too long for a file.

    >>> import fastinit as fi
    >>> part = FilePart("", "experts.gate_up_proj", (8, 64, 16), "3, 0:32")
    >>> tensor = FileTensor("experts.3.w1.weight", (32, 16), torch.float32, (part,))
    >>> print(scheme_for(tensor, {"experts.gate_up_proj": fi.normal(std=0.02)}))
    slice_of(of='experts.gate_up_proj', shape=(8, 64, 16), region='3, 0:32', init=normal(std=0.02))
    """
    found: list[Scheme] = []
    for part in tensor.parts:
        if part.of not in module_schemes:
            why = f"{quoted(part.of)}, the module's tensor that it shows, has no scheme"
            raise _error(_NO_SCHEME, [(tensor.name, why)])
        found.append(_scheme_of(tensor.name, part, module_schemes[part.of]))
    if all(scheme.name in _NAMELESS and scheme == found[0] for scheme in found):
        return found[0] if found else zeros()
    if len(found) == 1 and not tensor.parts[0].place:
        return found[0]
    places = [part.place for part in tensor.parts]
    try:
        joined = parts(zeros(), *chain.from_iterable(zip(places, found, strict=True)))
    except ValueError as error:
        raise _error(_NO_SCHEME, [(tensor.name, f"of {len(found)} parts, {error}")]) from None
    return replace(joined, reason="; ".join(dict.fromkeys(scheme.reason for scheme in found)))


def _scheme_of(name: str, part: FilePart, init: Scheme) -> Scheme:
    """The scheme of one part, as short as it can be."""
    whole = not part.region
    if init.name in _NAMELESS or (whole and part.of == name and not part.place):
        return init
    if whole:
        return replace(same_as(part.of, init), reason=init.reason)
    return replace(slice_of(part.of, part.shape, part.region, init), reason=init.reason)
