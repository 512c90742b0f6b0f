# SPDX-License-Identifier: MIT
"""Torch's dtypes and ours, which have the same names.  What a dtype does is in numerics/dtypes.py.

The way back needs no torch: `fastinit.numerics.dtypes.resolve` takes torch's dtypes, too.
"""

from __future__ import annotations

from typing import Any

import torch

from fastinit.numerics.dtypes import DTYPES, DType, resolve

TORCH_DTYPES: dict[torch.dtype, DType] = {getattr(torch, name): row for name, row in DTYPES.items()}
"""The dtypes that fastinit draws, by torch's."""


def torch_dtype(dtype: Any) -> torch.dtype:
    """Torch's dtype for a name such as "bfloat16", or for a dtype of NumPy or torch.

    Raises:
        ValueError: fastinit draws no such dtype.

    >>> torch_dtype("bfloat16")
    torch.bfloat16
    """
    return getattr(torch, resolve(dtype).name)
