# SPDX-License-Identifier: MIT
"""Tensors made of Python numbers or NumPy arrays on the meta device, and what reads them back.

No operator runs for either there, so that the dispatch mode in recorder.py does not see them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes

from fastinit.torch.recording.events import LiteralValues
from fastinit.torch.recording.recorder import Recorder

MAKERS = frozenset({torch.tensor, torch.as_tensor, torch.asarray, torch.scalar_tensor})
READERS = frozenset({torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__})
"""Functions that look at the values of a tensor without an operator."""
MOVERS = frozenset({torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda})
INDEXERS = frozenset({torch.Tensor.__getitem__, torch.Tensor.__setitem__})


class LiteralMode(TorchFunctionMode):
    """The innermost mode, so that it sees a call before a device is chosen for it."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function; keep what it was given if it makes a tensor of it."""
        kwargs = kwargs or {}
        if func in MOVERS and _on_meta(args[0]):
            return _moved(func, args, kwargs)
        if func in READERS and _on_meta(args[0]):
            args = (self.recorder.values_of(args[0], func.__name__), *args[1:])
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                return func(*args, **kwargs)
        if func in INDEXERS:
            args = (args[0], self._as_tensors(args[1]), *args[2:])
        if func in MAKERS or getattr(func, "__name__", "") == "new_tensor":
            return self._made(func, args, kwargs)
        return func(*args, **kwargs)

    def _made(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function that makes a tensor of data, and keep the data."""
        position = 0 if func in MAKERS else 1
        key = position if len(args) > position else "obj" if "obj" in kwargs else "data"
        given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        data = given[key] = self._numbers(given[key])
        args = tuple(given.pop(index) for index in range(len(args)))
        out = func(*args, **given)
        if isinstance(out, torch.Tensor) and out.is_meta and not isinstance(data, torch.Tensor):
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                values = torch.tensor(data, dtype=out.dtype, device="cpu")
            storage = self.recorder.log(out, LiteralValues(values, self.recorder.states.changed()))
            storage.default_dtype = kwargs.get("dtype") is None and not hasattr(data, "dtype")
        return out

    def _numbers(self, data: Any, inside: bool = False) -> Any:
        """Data in which the tensors in lists have values, for they become one tensor."""
        if inside and isinstance(data, torch.Tensor):
            return self.recorder.values_of(data, "tensor")
        if isinstance(data, list | tuple) and any(
            isinstance(item, torch.Tensor | list | tuple) for item in data
        ):
            return [self._numbers(item, True) for item in data]
        return data

    def _as_tensors(self, index: Any) -> Any:
        """An index in which lists and arrays are tensors; PyTorch makes them where none sees it."""
        if isinstance(index, tuple):
            return tuple(map(self._as_tensors, index))
        if isinstance(index, np.ndarray) or _are_integers(index):
            with torch._C.DisableTorchFunction(), _disable_current_modes():
                values = torch.tensor(index, device="cpu")
            return self.recorder.literal(values)
        return index


def _are_integers(index: Any) -> bool:
    return isinstance(index, list) and bool(index) and all(isinstance(i, int) for i in index)


def _on_meta(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_meta


def _moved(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A tensor in another dtype or layout: on whatever device, it stays on meta to be recorded."""
    if func is not torch.Tensor.to:
        return args[0]
    wanted: list[Any] = []
    for argument in args[1:]:
        if isinstance(argument, torch.Tensor):
            wanted += "meta", argument.dtype
        else:
            device = isinstance(argument, torch.device | str) or type(argument) is int
            wanted.append("meta" if device else argument)
    if "device" in kwargs:
        kwargs = {**kwargs, "device": "meta"}
    return func(args[0], *wanted, **kwargs)
