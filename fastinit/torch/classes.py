# SPDX-License-Identifier: MIT
"""Classes of tensors: which have memory.  What memory.py can fill is settled in tensors.py."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter


def has_memory(kind: Any) -> bool:
    """Whether tensors of a class have memory of their own; other classes wrap tensors."""
    wraps = kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__
    return not wraps and not issubclass(kind, UninitializedBuffer | UninitializedParameter)
