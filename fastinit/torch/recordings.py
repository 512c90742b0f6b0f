# SPDX-License-Identifier: MIT
"""Recordings of constructors, which each module keeps for its own tensors.

What was recorded stays with the module that holds the tensor, under the tensor's own key.  So it
survives whatever replaces the tensors, as sharding does, and a module's place in a larger one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from fastinit.torch.classes import has_memory
from fastinit.torch.recording.calls import active, let_transformers_initialise, recorded
from fastinit.torch.recording.constructed import Modules
from fastinit.torch.recording.events import Read
from fastinit.torch.recording.literals import LiteralMode
from fastinit.torch.recording.recorder import Recorder
from fastinit.torch.recording.understanding import Understanding
from fastinit.torch.slots import tensors_of

RECORDED = "_fastinit_recorded"


class Recorded:
    """What was recorded of one module's own tensors."""

    def __init__(
        self, reads: dict[str, Read], versions: dict[str, int], known: Understanding
    ) -> None:
        self.reads = reads
        self.versions = versions
        self.known = known

    def changed(self, key: str, tensor: torch.Tensor) -> bool:
        """Whether a tensor that is still on meta was written to after the recording."""
        memory = self.reads[key].storage.memory._cdata
        same = tensor.is_meta and tensor.untyped_storage()._cdata == memory
        return same and tensor._version != self.versions[key]

    def __deepcopy__(self, memo: Any) -> Recorded:
        return self

    def __reduce__(self) -> Any:
        return _nothing, ()


def _nothing() -> None:
    """A recording does not outlive its process."""


@contextmanager
def recording() -> Iterator[Modules]:
    """Run constructors on the meta device and record what they do to tensors.

    Inside another recording of this thread it is a part of that one.
    """
    outer = active()
    if outer is not None and not outer.of_twins:
        yield outer.modules
        return
    recorder, known = Recorder(), Understanding()
    modules = recorder.modules
    with ExitStack() as stack:
        for handle in _hooks(modules):
            stack.callback(handle.remove)
        stack.enter_context(recorded(recorder))
        stack.enter_context(recorder)
        stack.enter_context(torch.device("meta"))
        stack.enter_context(LiteralMode(recorder))
        yield modules
    attach(modules, recorder, known)


def _hooks(modules: Modules) -> Iterator[Any]:
    def registered(module: torch.nn.Module, name: str, tensor: Any) -> None:
        let_transformers_initialise()
        modules.add(module)

    def nested(module: torch.nn.Module, name: str, child: Any) -> None:
        let_transformers_initialise()
        modules.add(module)
        if isinstance(child, torch.nn.Module):
            modules.add(child)

    yield register_module_parameter_registration_hook(registered)
    yield register_module_buffer_registration_hook(registered)
    yield register_module_module_registration_hook(nested)


def attach(modules: Modules, recorder: Recorder, known: Understanding) -> None:
    """Leave with each module what was recorded of its tensors."""
    for module in {id(m): m for root in modules for m in root.modules()}.values():
        module.__dict__[RECORDED] = attach_to(module, recorder, known)


def attach_to(module: torch.nn.Module, recorder: Recorder, known: Understanding) -> Recorded:
    """What was recorded of a module's own tensors; those from outside that it has are kept."""
    reads, versions = {}, {}
    for key, _, tensor in tensors_of(module):
        if has_memory(type(tensor)) and (tensor.is_meta or recorder.knows(tensor)):
            reads[key], versions[key] = recorder.read(tensor), tensor._version
    return Recorded(reads, versions, known)
