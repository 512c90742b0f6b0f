# SPDX-License-Identifier: MIT
"""The element types fastinit can fill, one row each.  Nothing here knows of memory or files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class DType:
    """One element type: its name, its C code, its NumPy type and its name in safetensors."""

    name: str
    code: int
    numpy: np.dtype[Any]
    safetensors: str

    @cached_property
    def size(self) -> int:
        """Bytes an element takes."""
        return self.numpy.itemsize

    @cached_property
    def words(self) -> np.dtype[Any]:
        """The unsigned integer of the same size: for copies, NumPy need not know bfloat16."""
        return np.dtype(f"u{self.size}")

    @cached_property
    def largest(self) -> float:
        """The largest finite value."""
        return float(ml_dtypes.finfo(self.numpy).max)  # type: ignore[no-untyped-call]

    def round(self, value: float) -> float:
        """`value` rounded as the kernels round: to float32 first, then to this type.

        float64 keeps the value.  The result can be infinite; see `fits`.
        """
        if self.name == "float64":
            return float(value)
        with np.errstate(over="ignore"):
            return float(np.float32(value).astype(self.numpy))

    def fits(self, value: float) -> bool:
        """Whether `value` rounds to a finite number of this type."""
        return math.isfinite(self.round(value))

    def word(self, value: float, what: str) -> Any:
        """The bits of `value`, rounded to this type; raises if it is no finite number there."""
        if not self.fits(value):
            raise ValueError(
                f"{what} {value!r} is no {self.name} number: the largest is {self.largest:.6g}; "
                "take a smaller one or a wider dtype"
            )
        return np.array(self.round(value)).astype(self.numpy).view(self.words)[()]

    def cast(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Finite float32 or float64 values rounded once to this type; float8 saturates."""
        if self.size == 1 and values.size and max(-values.min(), values.max()) > self.largest:
            values = values.clip(-self.largest, self.largest)
        return values.astype(self.numpy, copy=False)

    def at_least(self, bound: float) -> float:
        """The smallest value of this type that is not below `bound`."""
        return -self.at_most(-bound) + 0.0

    def at_most(self, bound: float) -> float:
        """The largest value of this type that is not above `bound`; -inf where there is none."""
        if bound >= self.largest:
            return self.largest
        if bound < -self.largest:
            return -math.inf
        value = self.numpy.type(self.round(bound))
        if not float(value) <= bound:
            value = np.nextafter(value, self.numpy.type(-self.largest))
        return float(value) + 0.0  # +0.0 turns -0.0 into 0.0


DTYPES: dict[str, DType] = {
    row.name: row
    for row in (
        DType("float32", 0, np.dtype(np.float32), "F32"),
        DType("float16", 1, np.dtype(np.float16), "F16"),
        DType("bfloat16", 2, np.dtype(ml_dtypes.bfloat16), "BF16"),
        DType("float8_e4m3fn", 3, np.dtype(ml_dtypes.float8_e4m3fn), "F8_E4M3"),
        DType("float8_e5m2", 4, np.dtype(ml_dtypes.float8_e5m2), "F8_E5M2"),
        DType("float64", 5, np.dtype(np.float64), "F64"),
    )
}


def resolve(dtype: Any) -> DType:
    """The row for a name such as "bfloat16", or for a NumPy dtype or scalar type."""
    try:
        return _resolve(dtype)
    except TypeError:  # not hashable
        raise ValueError(
            f"dtype {dtype!r} is not supported: choose from {', '.join(DTYPES)}"
        ) from None


@lru_cache(maxsize=64)
def _resolve(dtype: Any) -> DType:
    if isinstance(dtype, DType):
        return dtype
    if isinstance(dtype, str) and dtype in DTYPES:
        return DTYPES[dtype]
    if dtype is not None and not isinstance(dtype, str):
        try:
            numpy_dtype = np.dtype(dtype)
        except TypeError:
            numpy_dtype = None
        for row in DTYPES.values():
            if numpy_dtype is not None and numpy_dtype == row.numpy:
                return row
    raise ValueError(f"dtype {dtype!r} is not supported: choose from {', '.join(DTYPES)}")
