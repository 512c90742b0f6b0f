# SPDX-License-Identifier: MIT
"""What a recording consists of: the writes to each storage.  Nothing here records or understands.

A storage is the memory behind tensors and their views.  On the meta device it has no bytes, but
an identity, by which the recorder tells storages apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from fastinit.torch.views import Geometry


@dataclass(frozen=True, slots=True)
class Origin:
    """The line that caused a write: the innermost one, and the innermost outside PyTorch."""

    file: str
    line: int
    function: str
    user_file: str = ""
    user_line: int = 0

    def __str__(self) -> str:
        inner = f"{_short(self.file)}:{self.line} in {self.function}"
        if not self.user_file or (self.user_file, self.user_line) == (self.file, self.line):
            return inner
        return f"{inner}, from {_short(self.user_file)}:{self.user_line}"


@cache
def _short(file: str) -> str:
    """The last three parts of a path: enough to recognise a file by."""
    return "/".join(Path(file).parts[-3:])


@dataclass(frozen=True, slots=True)
class Read:
    """A tensor as it was read: its part of a storage, after the first `count` writes to it."""

    storage: Storage
    count: int
    geometry: Geometry
    dtype: torch.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return self.geometry.shape

    @property
    def random(self) -> bool:
        """Whether anything in the storage may be random by then."""
        return self.count > 0 and self.storage.writes[self.count - 1].random


@dataclass(frozen=True, slots=True)
class LiteralValues:
    """Values that exist: made of Python numbers or of a NumPy array, or computed on the CPU."""

    values: torch.Tensor
    foreign: str = ""
    """The random generator, not PyTorch's, that ran before the values were made; "" if none."""


@dataclass(frozen=True, slots=True)
class Uninitialised:
    """Memory that was allocated and not written, or of which it is not known what wrote to it."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Initialised:
    """A call of a function of torch.nn.init, with its arguments.

    Those that say where to draw and from what generator are left out.
    """

    function: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Computed:
    """Output number `output` of an operator, whose tensor arguments are `Read`."""

    operator: torch._ops.OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: int = 0

    @property
    def name(self) -> str:
        """The operator's name, without the underscore of those that work in place."""
        name = self.operator._schema.name.partition("::")[2]
        return name[:-1] if name.endswith("_") and not name.endswith("__") else name

    @property
    def in_place(self) -> bool:
        """Whether the operator overwrites its first argument."""
        first = self.operator._schema.arguments[:1]
        return any(a.alias_info is not None and a.alias_info.is_write for a in first)

    @property
    def hidden(self) -> bool:
        """Whether its schema does not say that it writes, or it writes to several tensors."""
        return self.name in HIDDEN_WRITES or self.name.startswith("_foreach_")

    def reads(self) -> Iterator[Read]:
        """All tensors that it reads."""
        for key, value in (*enumerate(self.args), *self.kwargs.items()):
            if key != "out":
                yield from (v for v in _items(value) if isinstance(v, Read))


OVERWRITES = frozenset({"copy", "fill", "zero"})
"""Operators that do not read what they overwrite."""
HIDDEN_WRITES = {"native_batch_norm": (3, 4)}
"""Operators that write to arguments of which their schema does not say so."""


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


What = LiteralValues | Uninitialised | Initialised | Computed
FIXED = frozenset({"constant_", "ones_", "zeros_", "eye_", "dirac_"})
"""The functions of torch.nn.init that draw nothing."""


def is_random(what: What) -> bool:
    """Whether what is written may be random."""
    match what:
        case LiteralValues(_, foreign):
            return bool(foreign)
        case Initialised(function):
            return function not in FIXED
        case Computed(operator):
            draws = torch.Tag.nondeterministic_seeded in operator.tags
            return draws or any(read.random for read in what.reads())
    return False


@dataclass(frozen=True, slots=True)
class Write:
    """Something written to a part of a storage."""

    what: What
    geometry: Geometry
    dtype: torch.dtype
    origin: Origin
    number: int
    """The position among all writes of the recording."""
    random: bool
    """Whether anything in the storage may be random after it."""
    copied: bool = False
    """Whether `copy.deepcopy` made it."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Storage:
    """The writes to one storage, in order."""

    memory: torch.UntypedStorage = field(repr=False)
    """Kept, so that no other storage takes its place."""
    writes: list[Write] = field(default_factory=list, repr=False)
    default_dtype: bool = True
    """Whether its tensors have the default dtype because nothing asked for another."""

    def is_random_after(self, what: What, geometry: Geometry, dtype: torch.dtype) -> bool:
        """Whether anything in it may be random after a write."""
        if is_random(what) or not self.writes or not self.writes[-1].random:
            return is_random(what)
        keeps = isinstance(what, Computed) and what.in_place and what.name not in OVERWRITES
        covers = geometry.count * dtype.itemsize == self.memory.nbytes()
        return keeps or not covers
