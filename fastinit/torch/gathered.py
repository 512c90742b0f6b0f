# SPDX-License-Identifier: MIT
"""Notices that FSDP2 has gathered the parameters of a module, so that writing to them is lost.

Nothing here reshards or writes.  FSDP1's flat parameters are checked where they are read, in
flat.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from fastinit.texts import listed


def check_sharded(module: torch.nn.Module) -> None:
    """Raise if `module` shows gathered parameters in place of its shards.

    After a forward pass that does not reshard, as the root module's does not, and after
    ``unshard()``, FSDP2 registers whole parameters, which look like plain tensors.  They are a
    copy: the next ``reshard()`` drops them, and the shards keep their old values.

    Args:
        module: any module; without ``fully_shard`` there is nothing to find.

    Raises:
        ValueError: there are gathered parameters; the message names their modules.

    >>> import torch
    >>> check_sharded(torch.nn.Linear(2, 3))
    """
    names = [
        path or "the module itself"
        for path, part in module.named_modules()
        if not all(group.is_sharded for group in _groups(part))
    ]
    if names:
        raise ValueError(
            f"parameters are gathered by fully_shard in {listed(names)}: what is written to them "
            "is lost when they are resharded; call reshard() on each of these modules first"
        )


def _groups(part: torch.nn.Module) -> Iterator[Any]:
    """FSDP2's groups of parameters that belong to this very module."""
    state_of = getattr(part, "_get_fsdp_state", None)
    if state_of is None:
        return
    state = state_of()
    groups = getattr(state, "_fsdp_param_groups", None)
    if groups is None:  # an earlier PyTorch, with at most one per module
        groups = [state._fsdp_param_group]
    yield from (group for group in groups if group is not None)
