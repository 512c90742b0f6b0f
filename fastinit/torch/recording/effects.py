# SPDX-License-Identifier: MIT
"""What PyTorch's operators do to storages, by their schemas.  Nothing here looks at a tensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from fastinit.torch.recording.events import HIDDEN_WRITES

EMPTY = frozenset({"empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided"})
MAKES_NO_VALUES = frozenset({"set_", "resize_", "resize_as_", "requires_grad_"})
LIFT = "lift_fresh"
TRAINING = 5
"""The argument of native_batch_norm that says whether it updates running statistics."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What an operator does to storages."""

    written_arguments: tuple[tuple[int, str], ...]
    makes_no_values: bool
    only_allocates: bool
    draws_in_place: bool
    lifts: bool
    """Whether it makes a tensor of values that exist, such as a NumPy array's."""
    in_training: bool
    """Whether it writes only if its argument `TRAINING` is true."""

    def written(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
        """The tensors that a call writes to."""
        found: list[torch.Tensor] = []
        if self.in_training and not args[TRAINING]:
            return found
        for index, name in self.written_arguments:
            value = args[index] if index < len(args) else kwargs.get(name)
            tensors = value if isinstance(value, list | tuple) else (value,)
            found += (tensor for tensor in tensors if isinstance(tensor, torch.Tensor))
        return found


@cache
def effect_of(func: torch._ops.OpOverload) -> Effect:
    """The effect of an operator, from its schema."""
    schema = func._schema
    name = schema.name.partition("::")[2]
    written = tuple(
        (index, argument.name)
        for index, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    hidden = HIDDEN_WRITES.get(name, ())
    written += tuple((index, schema.arguments[index].name) for index in hidden)
    views = not written and any(result.alias_info is not None for result in schema.returns)
    draws = torch.Tag.nondeterministic_seeded in func.tags
    in_place = len(written) == 1 and written[0][0] == 0
    return Effect(
        written,
        views or name in MAKES_NO_VALUES,
        name in EMPTY,
        draws and in_place,
        name == LIFT,
        bool(hidden),
    )
