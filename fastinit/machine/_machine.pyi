# SPDX-License-Identifier: MIT
import threading
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")

def in_default_floats(
    function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> R: ...

class DefaultFloats:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...

def holding(lock: threading.Lock, function: Callable[..., R], *args: Any) -> R: ...
def work_together(
    work: Callable[[], None],
    join: Callable[[], None],
    lock: threading.Lock,
    errors: list[BaseException],
    helping: list[threading.Lock],
) -> None: ...
def dependent_adds(count: int, step: int = 1) -> int: ...
