# SPDX-License-Identifier: MIT
"""The recorder: logs every write to every storage while it is active.  It understands nothing.

Three nets hang together.  A dispatch mode sees the operators; calls.py sees the functions of
torch.nn.init, some of which do nothing on the meta device; literals.py sees tensors made of Python
numbers, for which no operator runs.
"""

from __future__ import annotations

import copy
import itertools
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from fastinit.torch.classes import has_memory
from fastinit.torch.recording.constructed import Modules
from fastinit.torch.recording.effects import effect_of
from fastinit.torch.recording.events import (
    Computed,
    LiteralValues,
    Origin,
    Read,
    Storage,
    Uninitialised,
    What,
    Write,
)
from fastinit.torch.recording.foreign import RandomStates
from fastinit.torch.recording.replay import computed, replayed
from fastinit.torch.views import Geometry

TORCH = str(Path(torch.__file__).parent)
OURS = str(Path(__file__).parents[1])
PLUMBING = tuple(
    f"{TORCH}/{name}"
    for name in (
        "nn/init.py",
        "nn/functional.py",
        "_ops.py",
        "overrides.py",
        "utils/",
        "_tensor.py",
        "functional.py",
        "_dynamo/",
        "_compile.py",
    )
)
"""Files whose frames say nothing about who wants a write."""

FORWARDING = "/transformers/initialization.py"
"""How the path of a file ends that hands calls on to torch.nn.init, and says nothing either."""


_numbers = itertools.count(1)
"""Numbers of writes, of all recordings."""
_storages: weakref.WeakValueDictionary[int, Storage] = weakref.WeakValueDictionary()
"""The storages of all recordings that somebody still holds, each as long as its memory."""


class Recorder(TorchDispatchMode):
    """Logs what constructors write, and lets everything happen that happens without it.

    Args:
        of_twins: whether the functions of twins run (twins.py) instead of constructors.  They may
            write to nothing that was there before, and who called them says nothing.
    """

    def __init__(self, *, of_twins: bool = False) -> None:
        super().__init__()
        self.of_twins = of_twins
        self.storages: dict[int, Storage] = {}
        self.states = RandomStates()
        self.modules = Modules()
        self._suspended = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Leave torch.compile out of this: to import it takes a second."""
        return False

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Log nothing for a while."""
        self._suspended += 1
        try:
            yield
        finally:
            self._suspended -= 1

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        effect = effect_of(func)
        if self._suspended or not all(map(has_memory, types)):
            return self._called(func, args, kwargs)
        if effect.lifts:
            lifted = func(*args, **kwargs)
            self.storage_of(lifted)
            return lifted
        if effect.makes_no_values:
            return func(*args, **kwargs)
        written = effect.written(args, kwargs)
        for tensor in written:
            self.check_target(tensor)
        what = None
        if not effect.only_allocates:
            frozen = {key: _frozen(value, self.read) for key, value in kwargs.items()}
            what = Computed(func, _frozen(args, self.read), frozen)
        try:
            out = self._called(func, args, kwargs)
        except (NotImplementedError, RuntimeError) as error:
            if what is None or not _devices((*args, *kwargs.values())) >= {"meta"}:
                raise
            if _devices((*args, *kwargs.values())) > {"meta"}:
                out = self._called_on_meta(func, args, kwargs)
                if written:
                    out = written[0]
            else:
                return self._by_values(what, error)
        if written:
            self._log_all(written, what)
            return out
        outputs = out if isinstance(out, list | tuple) else (out,)
        default_dtype = self._has_default_dtype(kwargs, what)
        for storage in self._log_all(outputs, what):
            storage.default_dtype = default_dtype
        return out

    def _called(
        self, func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call an operator.  One that draws has nothing to do on the meta device."""
        if effect_of(func).draws_in_place and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            return args[0]  # PyTorch would import for seconds to find that out
        return func(*args, **kwargs)

    def _called_on_meta(
        self, func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call an operator on tensors of which some are on the CPU."""
        with self.suspended():
            moved = tree_map_only(torch.Tensor, on_meta, (args, kwargs))
        return self._called(func, *moved)

    def _log_all(self, tensors: Sequence[Any], what: Computed | None) -> list[Storage]:
        """Log an operator's outputs, or the tensors that it writes to."""
        return [
            self.log(
                tensor, replace(what, output=index) if what and index else what or Uninitialised()
            )
            for index, tensor in enumerate(tensors)
            if isinstance(tensor, torch.Tensor)
        ]

    def _by_values(self, what: Computed, error: Exception) -> Any:
        """What an operator makes that needs values, as `item()` does, of those that are not drawn.

        Raises:
            RuntimeError: the values are drawn; or `error`, if the operator fails on the CPU, too.
        """
        if any(read.random for read in what.reads()):
            raise self.refusal(what.name) from error
        try:
            with self.suspended():
                made = computed(what)
        except (ValueError, RuntimeError):
            raise error from None
        return tree_map_only(torch.Tensor, self.literal, made)

    def literal(self, values: torch.Tensor) -> torch.Tensor:
        """A tensor on the meta device whose values are known."""
        with self.suspended():
            out = on_meta(values)
        self.log(out, LiteralValues(values, self.states.changed()))
        return out

    def values_of(self, tensor: torch.Tensor, wanted: str) -> torch.Tensor:
        """The values of a tensor, for a function called `wanted`.

        Raises:
            RuntimeError: they are drawn.
        """
        if not tensor.is_meta:
            return tensor
        read = self.read(tensor)
        if read.random:
            raise self.refusal(wanted)
        return replayed(read)

    def refusal(self, wanted: str) -> RuntimeError:
        """The error of a constructor that looks at what it drew."""
        name = "item" if wanted == "_local_scalar_dense" else wanted
        where = origin(inner_alone=self.of_twins)
        return RuntimeError(
            f"torch's {name} needs the values of a tensor that is drawn, and nothing is drawn on "
            f"the meta device, where constructors are recorded ({where})"
        )

    def _has_default_dtype(self, kwargs: dict[str, Any], what: Computed | None) -> bool:
        if kwargs.get("dtype") is not None:
            return False
        return all(read.storage.default_dtype for read in what.reads()) if what else True

    def check_target(self, tensor: torch.Tensor) -> None:
        """Raise for a write to memory that was there before, if twins run."""
        if self.of_twins and not tensor.is_meta and not self.knows(tensor):
            raise PermissionError("it writes to a tensor that is not its own module's")

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether something happened to a tensor's storage in this recording."""
        return tensor.untyped_storage()._cdata in self.storages

    def storage_of(self, tensor: torch.Tensor) -> Storage:
        """The log of a tensor's storage; a new one begins with what is there."""
        check_strided(tensor)
        known = self.knows(tensor)
        storage = self._storage(tensor)
        if not known and tensor.device.type != "meta":  # never seen: it comes from outside
            with self.suspended(), torch._C.DisableTorchFunction():
                whole = _whole(tensor)
                values = LiteralValues(whole.clone(), self.states.changed())
                self._append(storage, whole, values)
            storage.default_dtype = False
        return storage

    def read(self, tensor: torch.Tensor) -> Read:
        """The tensor as it is now."""
        storage = self.storage_of(tensor)
        return Read(storage, len(storage.writes), Geometry.of(tensor), tensor.dtype)

    def log(self, tensor: torch.Tensor, what: What) -> Storage:
        """Append a write to the tensor's storage."""
        check_strided(tensor)
        storage = self._storage(tensor)
        self._append(storage, tensor, what)
        return storage

    def _storage(self, tensor: torch.Tensor) -> Storage:
        """The log of a tensor's storage, perhaps of an earlier recording; or an empty one."""
        memory = tensor.untyped_storage()
        storage = self.storages.get(memory._cdata)
        if storage is None:
            storage = _storages.get(memory._cdata) if tensor.is_meta else None
            storage = self.storages[memory._cdata] = storage or Storage(memory)
            _storages[memory._cdata] = storage
        return storage

    def _append(self, storage: Storage, tensor: torch.Tensor, what: What) -> None:
        number = next(_numbers)
        copied = isinstance(what, Computed) and what.name == "clone" and _in_deepcopy()
        where = origin(inner_alone=self.of_twins)
        geometry, dtype = Geometry.of(tensor), tensor.dtype
        random = storage.is_random_after(what, geometry, dtype)
        write = Write(what, geometry, dtype, where, number, random, copied)
        storage.writes.append(write)


def on_meta(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor on the meta device of the same shape, strides and dtype."""
    if tensor.is_meta:
        return tensor
    check_strided(tensor)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def check_strided(tensor: torch.Tensor) -> None:
    """Raise for a tensor that is not a view of plain memory."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else str(tensor.layout)
        raise NotImplementedError(
            f"a {kind} tensor cannot be recorded, only strided ones of plain numbers; make it "
            f"after fastinit.torch.deferred() ({origin(inner_alone=False)})"
        )


def _devices(arguments: Any) -> set[str]:
    """The kinds of devices on which tensors among the arguments are."""
    return {a.device.type for a in tree_leaves(arguments) if isinstance(a, torch.Tensor)}


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor's storage, as one axis of its dtype."""
    count = tensor.untyped_storage().nbytes() // tensor.itemsize
    return tensor.detach().as_strided((count,), (1,), 0)


def _frozen(value: Any, read: Callable[[torch.Tensor], Read]) -> Any:
    """Arguments that nobody changes later: tensors as they were read, lists as tuples."""
    if isinstance(value, torch.Tensor):
        return read(value)
    if isinstance(value, list | tuple):
        return tuple(_frozen(item, read) for item in value)
    return value


def origin(*, inner_alone: bool) -> Origin:
    """Which line of a constructor is running."""
    frame: FrameType | None = sys._getframe(1)
    inner = None
    while frame is not None:
        file = frame.f_code.co_filename
        if not (file.startswith(OURS) or file.startswith(PLUMBING) or file.endswith(FORWARDING)):
            if inner is None:
                inner = (file, frame.f_lineno, frame.f_code.co_name)
            if inner_alone:
                return Origin(*inner)
            if not file.startswith(TORCH):
                return Origin(*inner, file, frame.f_lineno)
        frame = frame.f_back
    return Origin(*(inner or ("", 0, "")))


def _in_deepcopy() -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is copy.deepcopy.__code__:
            return True
        frame = frame.f_back
    return False
