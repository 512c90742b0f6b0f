# SPDX-License-Identifier: MIT
"""A user's function of draws as a compiled loop over tiles.  What the draws are is not known here.

A loop is compiled once for float32 and once for float64, for the types of tiles alone, so no call
compiles anything later.  It is not cached on disk: Numba would not notice that a function which it
calls has changed, and every run would leave a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numba
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError

from fastinit.numba.compiling import exact
from fastinit.numba.fills import LOOP
from fastinit.numerics.dtypes import DTYPES, DType
from fastinit.values.draws import type_of


def compiled_function(function: Callable[..., Any]) -> Any:
    """The user's function for use in a loop; one that is compiled already keeps its options."""
    return function if hasattr(function, "py_func") else exact(function)


_RANDOM = re.compile(r"@numba_get_(np|py)_random_state\b")


class MapLoop:
    """A function over tiles of one width.

    Raises:
        TypeError: the function cannot be compiled, or is not one of its draws alone.
    """

    def __init__(
        self,
        label: str,
        one: Any,
        kinds: tuple[str, ...],
        numbers: int,
        width: DType,
        derived: int = 0,
    ):
        self.in_place = type_of(kinds[0], width) == width.numpy
        written = _written(one, kinds, numbers + derived, self.in_place, width)
        self.loop = numba.njit(**LOOP)(written)
        with global_compiler_lock:
            try:
                self.loop.compile(_types(kinds, numbers, derived, self.in_place, width))
            except NumbaError as error:
                raise TypeError(_explained(label, one, width, error)) from error
        self.loop.disable_compile()
        if _RANDOM.search(self.llvm()):
            raise TypeError(
                f"{label} uses a random generator of Numba's, so no seed would decide its values: "
                "take draws instead, by parameters z, s, u or w"
            )

    def __call__(self, out: Any, draws: Any, numbers: Any, limits: Any) -> bool:
        """Map a tile."""
        tiles = draws if self.in_place else (out, *draws)
        return bool(self.loop(*tiles, *numbers, *limits))

    def llvm(self) -> str:
        """The code as LLVM left it."""
        (text,) = self.loop.inspect_llvm().values()
        return str(text)


def _types(
    kinds: tuple[str, ...], numbers: int, derived: int, in_place: bool, width: DType
) -> tuple[Any, ...]:
    tiles = [type_of(kind, width) for kind in kinds]
    if not in_place:
        tiles.insert(0, width.numpy)
    arrays = [types.Array(numba.from_dtype(tile), 1, "C") for tile in tiles]
    own, limits = [numba.from_dtype(width.numpy)] * numbers, [numba.from_dtype(width.numpy)] * 2
    return (*arrays, *own, *[types.float64] * derived, *limits)


def _written(one: Any, kinds: tuple[str, ...], numbers: int, in_place: bool, width: DType) -> Any:
    """The loop, for Numba cannot unpack arrays of several types in a call.

    The result is rounded to the width before anything else; `inside` is false for NaN.  The loop
    writes into its first draw where it can, so that LLVM need not prove that tiles are apart.
    """
    draws, given = [f"d{n}" for n in range(len(kinds))], [f"p{n}" for n in range(numbers)]
    out = draws[0] if in_place else "out"
    tiles = draws if in_place else [out, *draws]
    call = ", ".join([*(f"{draw}[i]" for draw in draws), *given])
    text = (
        f"def loop({', '.join([*tiles, *given])}, most, bound):\n"
        f"    good = True\n"
        f"    for i in range({out}.size):\n"
        f"        x = real(one({call}))\n"
        f"        good &= abs(x) <= most\n"
        f"        {out}[i] = -bound if x < -bound else bound if x > bound else x\n"
        f"    return good\n"
    )
    scope: dict[str, Any] = {"one": one, "real": width.numpy.type}
    exec(compile(text, "<a loop of fastinit.numba>", "exec"), scope)
    return scope["loop"]


def _explained(label: str, one: Any, width: DType, error: NumbaError) -> str:
    """Numba's message, with the line of the function."""
    code, text = one.py_func.__code__, str(error)
    lines = re.findall(rf"{re.escape(code.co_filename)} \((\d+)\)", text)
    where = f"{code.co_filename}, line {lines[0] if lines else code.co_firstlineno}"
    return f"{label} cannot be compiled for {width.name} tensors ({where}): {text}"


WIDTHS = DTYPES["float32"], DTYPES["float64"]
"""What values are computed in."""
