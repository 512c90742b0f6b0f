# SPDX-License-Identifier: MIT
"""Arithmetic of floats that keeps its bits under any caller's options.

No distribution is known here.  Every sum, product, quotient, root and comparison of floats that a
value depends on is written with these words, each rounded once, denormals kept.  On a CPU they are
the plain instructions of LLVM, without fast-math flags.

In a CUDA kernel the operators of Python are not enough.  NVVM compiles a kernel and all that it
calls as one module, under the options of the kernel: by default it fuses a product and a sum, and
with `fastmath` it also flushes denormals, in comparisons and negations too.  So there each of these
operations is one instruction of PTX, inline, which neither NVVM nor the assembler may change: the
instructions named `.rn` are never fused, and without `.ftz` nothing is flushed (PTX ISA,
"Floating-Point Instructions").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

Generate = Callable[[Any, list[Any]], Any]
"""From a builder and its arguments to the result."""


def _is_cuda(builder: Any) -> bool:
    return str(builder.module.triple).startswith("nvptx")


def _ptx(text: str) -> Generate:
    """One instruction of PTX, or a few in braces; TYPE in `text` is f32 or f64."""

    def generate(builder: Any, arguments: list[Any]) -> Any:
        real = arguments[0].type
        short, register = ("f32", "f") if isinstance(real, ir.FloatType) else ("f64", "d")
        shape = ir.FunctionType(real, [real] * len(arguments))
        constraint = ",".join([f"={register}"] + [register] * len(arguments))
        return builder.asm(shape, text.replace("TYPE", short), constraint, arguments, False)

    return generate


def _of_same_type(arguments: tuple[Any, ...]) -> bool:
    """Whether all are float32, or all are float64."""
    return arguments[0] in (types.float32, types.float64) and len(set(arguments)) == 1


def _one(on_cpu: Generate, on_cuda: Generate) -> Callable[[Any], Any]:
    """A function of one float."""

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(typing: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return (on_cuda if _is_cuda(builder) else on_cpu)(builder, list(arguments))

        return (a(a), generate) if _of_same_type((a,)) else None

    found: Callable[[Any], Any] = operation
    return found


def _two(on_cpu: Generate, on_cuda: Generate) -> Callable[[Any, Any], Any]:
    """A function of two floats of one type."""

    @intrinsic  # type: ignore[untyped-decorator]
    def operation(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return (on_cuda if _is_cuda(builder) else on_cpu)(builder, list(arguments))

        return (a(a, b), generate) if _of_same_type((a, b)) else None

    found: Callable[[Any, Any], Any] = operation
    return found


def _chosen(comparison: str) -> Generate:
    def generate(builder: Any, arguments: list[Any]) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)

    return generate


def _chosen_on_cuda(comparison: str) -> Generate:
    """No `min` or `max`: they take -0 for less than 0, and a number rather than a NaN."""
    compare = f"setp.{comparison}.TYPE holds, $1, $2;"
    return _ptx(f"{{ .reg .pred holds; {compare} selp.TYPE $0, $1, $2, holds; }}")


def _intrinsic(name: str) -> Generate:
    def generate(builder: Any, arguments: list[Any]) -> Any:
        real = arguments[0].type
        shape = ir.FunctionType(real, [real] * len(arguments))
        return builder.call(builder.module.declare_intrinsic(name, [real], shape), arguments)

    return generate


plus = _two(lambda builder, x: builder.fadd(*x), _ptx("add.rn.TYPE $0, $1, $2;"))
minus = _two(lambda builder, x: builder.fsub(*x), _ptx("sub.rn.TYPE $0, $1, $2;"))
times = _two(lambda builder, x: builder.fmul(*x), _ptx("mul.rn.TYPE $0, $1, $2;"))
over = _two(lambda builder, x: builder.fdiv(*x), _ptx("div.rn.TYPE $0, $1, $2;"))
"""A + b, a - b, a * b and a / b, of two float32 or of two float64 numbers."""

smaller = _two(_chosen("<"), _chosen_on_cuda("lt"))
larger = _two(_chosen(">"), _chosen_on_cuda("gt"))
"""``a if a < b else b`` and ``a if a > b else b``: b if they are equal, or one is a NaN."""

negative = _one(lambda builder, x: builder.fneg(*x), _ptx("neg.TYPE $0, $1;"))
square_root = _one(_intrinsic("llvm.sqrt"), _ptx("sqrt.rn.TYPE $0, $1;"))
"""-a, and the root of a number that is not negative."""


@intrinsic  # type: ignore[untyped-decorator]
def nearest_float32(typing: Any, number: Any) -> Any:
    """A real number of any type, rounded to float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if number == types.float64 and _is_cuda(builder):
            shape = ir.FunctionType(ir.FloatType(), [ir.DoubleType()])
            return builder.asm(shape, "cvt.rn.f32.f64 $0, $1;", "=f,d", arguments, False)
        return context.cast(builder, arguments[0], number, types.float32)

    if not isinstance(number, types.Integer | types.Float):
        return None
    return types.float32(number), generate


_fused_on_cpu, _fused_on_cuda = _intrinsic("llvm.fma"), _ptx("fma.rn.TYPE $0, $1, $2, $3;")


@intrinsic  # type: ignore[untyped-decorator]
def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """A b + c in float32, rounded once: one instruction, or the C library's fmaf without it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return (_fused_on_cuda if _is_cuda(builder) else _fused_on_cpu)(builder, list(arguments))

    return types.float32(types.float32, types.float32, types.float32), generate
