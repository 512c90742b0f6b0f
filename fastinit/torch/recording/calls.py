# SPDX-License-Identifier: MIT
"""Calls of the functions of torch.nn.init, whoever imported them under whatever name.

`trunc_normal_`, `orthogonal_`, `dirac_` and `sparse_` do nothing on the meta device, so no mode
sees them.  Other libraries hold these functions in their own modules and tables.  So the functions
themselves are changed while something records: the code of each is exchanged for code that calls
`hook`, which calls the old code.  Nothing needs to be searched for, and nothing is missed.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

import torch

from fastinit.torch.classes import has_memory
from fastinit.torch.recording.events import Initialised
from fastinit.torch.recording.recorder import Recorder

INITIALISERS = (
    "uniform_",
    "normal_",
    "trunc_normal_",
    "_no_grad_trunc_normal_",
    "constant_",
    "ones_",
    "zeros_",
    "eye_",
    "dirac_",
    "xavier_uniform_",
    "xavier_normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
    "orthogonal_",
    "sparse_",
)

TRANSFORMERS = "transformers.modeling_utils"
DEVICE_QUERY = "get_torch_context_manager_or_global_device"
"""The function by which transformers finds out that a model is made on the meta device."""

_local = threading.local()
_lock = threading.Lock()
_codes: dict[FunctionType, CodeType] = {}
"""The functions that are exchanged, with their own code."""
_users = 0


def active() -> Recorder | None:
    """The recorder of this thread, if something records."""
    return getattr(_local, "recorder", None)


@contextmanager
def recorded(recorder: Recorder) -> Iterator[None]:
    """Log the calls that this thread makes."""
    outer = active()
    _install()
    _local.recorder = recorder
    try:
        yield
    finally:
        _local.recorder = outer
        _uninstall()


def _install() -> None:
    global _users
    with _lock:
        _users += 1
        if _users > 1:
            return
        for name in INITIALISERS:
            function = getattr(torch.nn.init, name, None)
            if isinstance(function, FunctionType):
                _exchange(function, _hook_of)
        _exchange(torch.nn.Module.__setstate__, _state_hook_of)


def let_transformers_initialise() -> None:
    """Let models of Hugging Face's transformers initialise themselves although they are on meta.

    Their constructors leave that out, and the order of its steps is theirs, if what they ask for
    the device says that it is meta.  They may be imported at any time: call this early and often.
    """
    function = getattr(sys.modules.get(TRANSFORMERS), DEVICE_QUERY, None)
    if isinstance(function, FunctionType) and function not in _codes:
        with _lock:
            if _users and function not in _codes:
                _exchange(function, _device_hook_of)


def _device_hook_of(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def hook(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return None if active() is not None else original(*args, **kwargs)

    return hook


def _exchange(
    function: FunctionType, hook_of: Callable[[str, Callable[..., Any]], Callable[..., Any]]
) -> None:
    name = function.__name__
    original = FunctionType(
        function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__
    key = f"_fastinit_{name}"
    function.__globals__[key] = hook_of(name, original)
    _codes[function] = function.__code__
    function.__code__ = _code(name, key, function.__code__.co_freevars)


def _code(name: str, key: str, free: tuple[str, ...]) -> CodeType:
    """The code of a function that calls what `key` stands for, with the variables of a closure."""
    source = (
        f"def outer({', '.join(free)}):\n"
        f"    def {name}(*args, **kwargs):\n"
        f"        return {key}(args, kwargs)\n"
        f"        ({', '.join(free)})\n"
    )
    made = compile(source, __file__, "exec")  # a text of ours: only the names vary
    for _ in range(2):
        made = next(c for c in made.co_consts if isinstance(c, CodeType))
    return made


def _uninstall() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users:
            return
        for function, code in _codes.items():
            function.__code__ = code
            function.__globals__.pop(f"_fastinit_{function.__name__}", None)
        _codes.clear()


def _state_hook_of(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """`Module.__setstate__` is what `copy.deepcopy` calls in place of a constructor."""

    def hook(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recorder = active()
        if recorder is not None:
            recorder.modules.add(args[0])
        return original(*args, **kwargs)

    return hook


def _hook_of(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)
    public = name.removeprefix("_no_grad")

    def hook(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recorder = active()
        if recorder is None or recorder._suspended:
            return original(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        tensor = arguments.pop("tensor")
        arguments.pop("generator", None)  # fastinit's seed stands in for it
        recorder.check_target(tensor)
        with recorder.suspended():
            out = original(*args, **kwargs)
        if isinstance(tensor, torch.Tensor) and has_memory(type(tensor)):
            recorder.storage_of(tensor)
            recorder.log(tensor, Initialised(public, arguments))
        return out

    return hook
