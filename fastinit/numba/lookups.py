# SPDX-License-Identifier: MIT
"""Quantiles of a tile of tail probabilities, with the octave table in vector registers.

LLVM makes a gather of the look-up in a plain loop, half as fast as a permute of registers.  So this
one step is written in LLVM's vectors where the target has such a permute; elsewhere it is a plain
loop too.  src_c/kernels/quantile.h has the idea.  What a tile is for is not known here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from fastinit.numba.compiling import OPTIONS
from fastinit.numba.octaves import octave_table
from fastinit.numba.planes import address
from fastinit.numba.quantiles import quantile
from fastinit.numba.targets import LANES

BATCH = 4
"""How many vectors are computed side by side, to hide the latency of the look-ups."""

AT_ONCE = LANES * BATCH
LEAST_EXPONENT_IN_REGISTERS = 143 if LANES == 16 else 150
"""The biased exponent of the deepest octave that the registers have."""

DEEP_TAIL = np.float32(2.0 ** (LEAST_EXPONENT_IN_REGISTERS - 127))
ROWS_OF_TABLE = 160 + LANES


def _upside_down() -> Any:
    """The table as one run of floats, a column after the other, with the deepest row first.

    The zeros after it are there to be loaded, never to be used.
    """
    table = octave_table()
    columns = np.zeros((8, ROWS_OF_TABLE), np.float32)
    columns[:, :160] = table[::-1].T
    return np.ascontiguousarray(columns).ravel()


TABLE_BY_COLUMN = _upside_down()


@intrinsic  # type: ignore[untyped-decorator]
def _vectors(typing: Any, z: Any, tails: Any, rows: Any) -> Any:
    """AT_ONCE quantiles; whether a tail lies deeper than the registers reach."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _vector_code(builder, *arguments)

    return types.boolean(z, tails, rows), generate


def _vector_code(b: Any, z: Any, tails: Any, rows: Any) -> Any:
    """The code of `_vectors`."""
    word, real = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.FloatType(), LANES)

    def every(kind: Any, number: Any) -> Any:
        return ir.Constant(kind, [number] * LANES)

    def call(name: str, *given: Any) -> Any:
        shape = ir.FunctionType(real, [each.type for each in given])
        return b.call(b.module.globals.get(name) or ir.Function(b.module, shape, name), given)

    def place(pointer: Any, floats: int) -> Any:
        return b.bitcast(b.gep(pointer, [ir.IntType(64)(4 * floats)]), ir.PointerType(real))

    def load(pointer: Any, floats: int) -> Any:
        loaded = b.load(place(pointer, floats))
        loaded.align = 4
        return loaded

    def fraction(bits: Any) -> Any:
        m = b.or_(b.and_(bits, every(word, 0x7FFFFF)), every(word, 0x3F800000))
        return b.fsub(b.bitcast(m, real), every(real, 1.5))

    permute = "llvm.x86.avx512.permvar.sf.512" if LANES == 16 else "llvm.x86.avx2.permps"
    columns = [load(rows, ROWS_OF_TABLE * column) for column in range(8)]
    bits = [b.bitcast(load(tails, n * LANES), word) for n in range(BATCH)]
    d = [fraction(each) for each in bits]
    lowest = every(word, LEAST_EXPONENT_IN_REGISTERS)
    row = [b.sub(b.lshr(each, every(word, 23)), lowest) for each in bits]
    sums = [call(permute, columns[7], each) for each in row]
    for column in columns[6::-1]:
        for n in range(BATCH):
            c = call(permute, column, row[n])
            sums[n] = call(f"llvm.fma.v{LANES}f32", sums[n], d[n], c)
    for n in range(BATCH):
        b.store(sums[n], place(z, n * LANES)).align = 4
    least = bits[0]
    for other in bits[1:]:
        least = b.select(b.icmp_unsigned("<", other, least), other, least)
    deep = b.icmp_unsigned("<", least, every(word, LEAST_EXPONENT_IN_REGISTERS << 23))
    return b.icmp_unsigned("!=", b.bitcast(deep, ir.IntType(LANES)), ir.IntType(LANES)(0))


def _plain(z: Any, tails: Any, octave: Any) -> None:
    for i in range(z.size):
        z[i] = quantile(tails[i], octave)


def _in_registers(z: Any, tails: Any, octave: Any) -> None:
    rows = address(TABLE_BY_COLUMN, np.int64(LEAST_EXPONENT_IN_REGISTERS + 2) - np.int64(octave))
    whole = z.size // AT_ONCE * AT_ONCE
    for at in range(0, whole, AT_ONCE):
        if _vectors(address(z, at), address(tails, at), rows):
            for i in range(at, at + AT_ONCE):
                if tails[i] < DEEP_TAIL:
                    z[i] = quantile(tails[i], octave)
    for i in range(whole, z.size):
        z[i] = quantile(tails[i], octave)


quantiles_into = njit(**{**OPTIONS, "forceinline": False})(_plain if LANES == 1 else _in_registers)
"""``quantiles_into(z, tails, octave)``: what `quantile` makes of each tail probability."""
