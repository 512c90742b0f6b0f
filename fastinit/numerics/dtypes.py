# SPDX-License-Identifier: MIT
"""The element types fastinit can fill, one row each.  Nothing here knows of memory or files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from fastinit.properties import cached_property
from fastinit.texts import home, quoted


@dataclass(frozen=True, eq=False, repr=False)
class DType:
    """One element type: its name and its NumPy type."""

    name: str
    numpy: np.dtype[Any]

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

    @cached_property
    def least(self) -> float:
        """The smallest value above 0, which is also the distance between denormals."""
        return float(ml_dtypes.finfo(self.numpy).smallest_subnormal)  # type: ignore[no-untyped-call]

    def round(self, value: float) -> float:
        """`value` rounded as the kernels round: to float32 first, then to this type.

        float64 keeps the value.  The result can be infinite; see `fits`.
        """
        if self.name == "float64":
            return float(value)
        with np.errstate(all="ignore"):
            return float(np.float32(value).astype(self.numpy))

    def fits(self, value: float) -> bool:
        """Whether `value` rounds to a finite number of this type."""
        return math.isfinite(self.round(value))

    def word(self, value: float, what: str) -> Any:
        """The bits of `value`, rounded to this type; raises if the result is not finite."""
        if not self.fits(value):
            raise ValueError(
                f"{what} {value!r} is not a {self.name} number: the largest is {self.largest:.6g}; "
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
        DType("float32", np.dtype(np.float32)),
        DType("float16", np.dtype(np.float16)),
        DType("bfloat16", np.dtype(ml_dtypes.bfloat16)),
        DType("float8_e4m3fn", np.dtype(ml_dtypes.float8_e4m3fn)),
        DType("float8_e5m2", np.dtype(ml_dtypes.float8_e5m2)),
        DType("float64", np.dtype(np.float64)),
    )
}


def wide(dtype: DType) -> DType:
    """The type that values of `dtype` are computed in: float64 for itself, else float32."""
    return DTYPES["float64" if dtype.name == "float64" else "float32"]


OTHER_NAMES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("fp32", "f32", "single"), ("float32",)),
    **dict.fromkeys(("fp16", "f16", "half"), ("float16",)),
    **dict.fromkeys(("bf16", "bfloat"), ("bfloat16",)),
    **dict.fromkeys(("fp64", "f64", "double"), ("float64",)),
    **dict.fromkeys(("float8_e4m3", "fp8_e4m3", "f8_e4m3", "e4m3"), ("float8_e4m3fn",)),
    **dict.fromkeys(("fp8_e5m2", "f8_e5m2", "e5m2"), ("float8_e5m2",)),
    **dict.fromkeys(("fp8", "float8"), ("float8_e4m3fn", "float8_e5m2")),
    "float": ("float32", "float64"),  # torch's and Python's
}
"""What people and files call these types; a message says which of our names to write."""


def resolve(dtype: Any) -> DType:
    """The row for a name such as "bfloat16", a dtype of NumPy or torch, or a NumPy scalar type."""
    try:
        found = _resolve(dtype)
    except TypeError:  # not hashable
        found = None
    if found is None:
        known = ", ".join(DTYPES)
        raise ValueError(
            f"dtype {quoted(dtype)} is not supported: choose from {known}{_meant(dtype)}"
        )
    return found


def _meant(dtype: Any) -> str:
    """What to write instead of another name of one of our types."""
    name = dtype.lower().removeprefix("torch.") if isinstance(dtype, str) else ""
    names = (name,) if name in DTYPES else OTHER_NAMES.get(name, ())
    return f"; write {' or '.join(map(repr, names))}" if names else ""


@lru_cache(maxsize=64)
def _resolve(dtype: Any) -> DType | None:
    if isinstance(dtype, DType):
        return dtype
    if home(dtype) == "torch" and type(dtype).__name__ == "dtype":  # its names are ours
        return DTYPES.get(str(dtype).removeprefix("torch."))
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
    return None
