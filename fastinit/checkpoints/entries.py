# SPDX-License-Identifier: MIT
"""A tensor that is to be written, and its size.  It does not say where in a file it lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fastinit.numerics.checks import is_plain_shape, size_of
from fastinit.numerics.dtypes import resolve
from fastinit.plans.tensors import MAX_AXES, check_name
from fastinit.texts import quoted


def tensor_size(shape: Iterable[object], item_size: int) -> int:
    """Bytes of a tensor.  A dimension of 0 hides no overflow of the others."""
    shape = tuple(shape)
    if not is_plain_shape(shape):
        raise ValueError(f"shape {quoted(shape)} is not valid: use whole numbers of 0 or more")
    if len(shape) > MAX_AXES:
        raise ValueError(f"the shape has {len(shape):,} axes: NumPy reads at most {MAX_AXES}")
    size = size_of(shape, item_size)
    if size is None:
        raise ValueError(f"shape {quoted(shape)} takes more bytes than a file can hold, 2**63 - 1")
    return size


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor in a file: `dtype` by fastinit's name, `init` the text of its scheme."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    init: str
    size: int = field(init=False, compare=False)  # bytes of its values

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "size", tensor_size(self.shape, resolve(self.dtype).size))

    @property
    def count(self) -> int:
        """Elements."""
        return self.size // resolve(self.dtype).size
