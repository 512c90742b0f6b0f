# SPDX-License-Identifier: MIT
"""Schemes of tables: no randomness, the same values under every seed and name."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from fastinit.numerics.checks import Shape, check_finite, check_multiplier
from fastinit.schemes.arguments import FormulaOfIndices, NumberTable
from fastinit.schemes.formulas import INDEX_OR_SIZE, formula_of
from fastinit.schemes.maker import maker
from fastinit.schemes.scheme import Rule
from fastinit.values.distributions import Distribution
from fastinit.values.tables import Column, Formulated, Line, Literals, Sinusoids

SinusoidKind = Literal["halves", "interleaved"]


def _axis_of(what: str, axis: int, dims: Shape) -> int:
    if not -len(dims) <= axis < len(dims):
        raise ValueError(f"{what}: axis is {axis}, but shape {dims} has {len(dims)} axes")
    return axis % len(dims)


@maker
def linspace(start: float, end: float, *, axis: int = -1) -> Rule:
    r"""Evenly spaced numbers along an axis, both ends included.

    .. math:: w_i = \text{start} + (\text{end} - \text{start}) \frac{i}{n - 1}

    with i and n the index along `axis` and its size; each number is rounded once.  A single number
    is `start`.

    Args:
        start, end: the first and the last number; they may fall.
        axis: the axis along which they lie; along all others values are equal.

    Raises:
        ValueError: an end is not finite; the shape lacks the axis.

    Source:
        ``torch.linspace``, ``numpy.linspace``; stochastic depth and decay rates.  Who differs:
        both round each step, so their last bits may differ.

    >>> import fastinit as fi
    >>> fi.array((5,), fi.schemes.linspace(0, 1), seed=0, name="w").tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    check_finite("start", start)
    check_finite("end", end)

    def rule(dims: Shape) -> Distribution:
        return Line(dims, _axis_of("linspace", axis, dims), start, end)

    return rule


@maker
def log_arange(start: float = 1.0, step: float = 1.0, *, axis: int = -1) -> Rule:
    r"""The logarithms of evenly spaced numbers along an axis: ``A_log`` of Mamba.

    .. math:: w_i = \ln(\text{start} + \text{step} \cdot i)

    Every operation is rounded correctly to float64: for whole numbers the result is the exact
    logarithm, rounded once.

    Args:
        start, step: of the numbers, all of which must be above 0.
        axis: the axis along which they lie; along all others values are equal.

    Raises:
        ValueError: start or step is not finite; a number is not above 0; the shape lacks the axis.

    The same as table('log(start + step * i)'), with i the index along `axis`.

    Source:
        Gu, Dao (2023), "Mamba", arXiv:2312.00752; transformers 5.24, ``A_log`` in
        ``modeling_mamba.py`` and ``modeling_jamba.py``, of shape (intermediate, state), and in
        ``modeling_mamba2.py``, of shape (heads,).  Who differs: Qwen3-Next draws ``A_log`` as the
        logarithm of a uniform, which is `mapped`.

    >>> import fastinit as fi
    >>> fi.array((2, 4), fi.schemes.log_arange(), seed=0, name="A_log")[:, [0, 3]].tolist()
    [[0.0, 1.3862943649291992], [0.0, 1.3862943649291992]]
    """
    check_finite("start", start)
    check_finite("step", step)

    def rule(dims: Shape) -> Distribution:
        index = f"i{_axis_of('log_arange', axis, dims)}"
        return _formulated(f"log({start!r} + {step!r} * {index})", dims)

    return rule


def _formulated(text: str, dims: Shape) -> Formulated:
    found = Formulated(dims, formula_of(text, INDEX_OR_SIZE))
    found.bounds()
    return found


@maker
def sinusoid(
    kind: SinusoidKind,
    *,
    base: float = 10000.0,
    endpoint: bool = False,
    padding: int | None = None,
) -> Rule:
    r"""Sinusoidal position embeddings, of shape (..., positions, width).

    .. math:: w_{p, s_j} = \sin(p \, \omega_j), \quad w_{p, c_j} = \cos(p \, \omega_j), \quad
              \omega_j = \text{base}^{-2 j / d} \text{ or, with endpoint, }
              \text{base}^{-j / (h - 1)}

    with d the width and h = d // 2.  Each number is the exact one, rounded once to float64.  All
    axes before the last two repeat the table.

    Args:
        kind: "halves" has all sines first, then all cosines; "interleaved" has sines in the even
            columns and cosines in the odd ones.  Of an odd width, sines have the middle column or
            the last one.
        base: the longest wavelength is base \* 2 pi, or nearly so; above 0.
        endpoint: True makes the lowest frequency 1 / base.  Then there are h sines and h cosines,
            and the last column of an odd width is zero.
        padding: a row that is zero; a negative one counts from the end.

    Raises:
        ValueError: an unknown kind; base is not above 0; fewer than two axes; a width below 4 with
            endpoint; padding beyond the rows.

    Which models: kind "interleaved" is Vaswani et al.'s, XLM's and DistilBERT's; "halves" Marian's,
    Pegasus's, Informer's and Autoformer's; "halves" with endpoint Whisper's and, with padding=1,
    that of M2M100, XGLM, SpeechT5, Speech2Text and FSMT, whose tables have 2 rows more than
    positions.

    Source:
        Vaswani et al. (2017), "Attention is all you need", arXiv:1706.03762; tensor2tensor
        (endpoint); transformers 5.24, ``modeling_marian.py``, ``modeling_whisper.py``,
        ``modeling_m2m_100.py``.  Who differs: their tables are computed in float32, or in NumPy's
        float64, so last bits differ, and at high positions more of float32's.

    >>> import fastinit as fi
    >>> table = fi.schemes.sinusoid("halves", endpoint=True)
    >>> fi.array((2, 4), table, seed=0, name="positions").round(6).tolist()[0]
    [0.0, 0.0, 1.0, 1.0]
    """
    check_multiplier("base", base)

    def rule(dims: Shape) -> Distribution:
        if len(dims) < 2:
            raise ValueError(
                f"shape {dims} has {len(dims)} axes: sinusoid needs (positions, width), and may "
                "have more before them"
            )
        rows, width = dims[-2:]
        if padding is not None and not -rows <= padding < rows:
            raise ValueError(
                f"padding is {padding}: shape {dims} has {rows} rows, so need {-rows} <= padding < "
                f"{rows}"
            )
        if endpoint and width < 4:
            raise ValueError(
                f"shape {dims}: with endpoint=True sinusoid needs a width of 4 or more"
            )
        zeros = None if padding is None else padding % rows
        return Sinusoids(dims, base, _columns(kind, width, endpoint), zeros)

    return rule


def _columns(kind: str, width: int, endpoint: bool) -> tuple[Column, ...]:
    half = width // 2
    if endpoint:
        exponents = [Fraction(j, half - 1) for j in range(half)]
        sines = cosines = half
    else:
        exponents = [Fraction(2 * j, width) for j in range(width - half)]
        sines, cosines = width - half, half
    waves = [[Column(e, 0) for e in exponents[:sines]], [Column(e, 1) for e in exponents[:cosines]]]
    if kind == "halves":
        return (*waves[0], *waves[1])
    return tuple(waves[column % 2][column // 2] for column in range(sines + cosines))


@maker
def literal(values: NumberTable) -> Rule:
    """Numbers that are written out.

    It is w(i) = values[i].

    Args:
        values: a number for a tensor of no axes, a tuple of numbers for one axis, a tuple of such
            tuples for two, and so on.  The text may have 1,000 characters.

    Raises:
        ValueError: a number is not finite; tuples of different lengths side by side; more numbers
            than a text can hold; a shape other than that of the values.

    Source:
        ``torch.tensor``, ``keras.initializers.Constant`` with a table.  Who differs: `constant` has
        one value for any shape, such as CLIP's ``logit_scale``, constant(2.6592).

    >>> import fastinit as fi
    >>> fi.array((2, 2), fi.schemes.literal(((1, 0.5), (0, -1))), seed=0, name="w").tolist()
    [[1.0, 0.5], [0.0, -1.0]]
    """
    shape, flat = _shape_of(values), tuple(_flat(values))

    def rule(dims: Shape) -> Distribution:
        if dims != shape:
            raise ValueError(f"shape {dims}: the values of literal have shape {shape}")
        return Literals(dims, flat)

    return rule


def _shape_of(values: Any) -> Shape:
    if not isinstance(values, tuple):
        return ()
    shapes = {_shape_of(value) for value in values}
    if len(shapes) > 1:
        raise ValueError(
            f"values has items of the shapes {', '.join(map(str, sorted(shapes)))} side by side: "
            "need equal ones"
        )
    return (len(values), *(shapes.pop() if shapes else ()))


def _flat(values: Any) -> list[float]:
    return (
        [each for value in values for each in _flat(value)]
        if isinstance(values, tuple)
        else [values]
    )


@maker
def table(expression: FormulaOfIndices) -> Rule:
    r"""A formula of the indices.

    .. math:: w_{i_0, i_1, \ldots} = f(i_0, i_1, \ldots, n_0, n_1, \ldots)

    Every operation of f is rounded correctly to float64, and the result once to float32, so it is
    the same number on every machine.

    Args:
        expression: of the indices `i0`, `i1`, ... along the axes, which count from 0, and of their
            sizes `n0`, `n1`, ...: numbers, ``+ - * / // % **``, pi, and exp, log, expm1, log1p,
            sqrt, sin, cos, abs, minimum(a, b), maximum(a, b).  ``//`` and ``%`` take whole numbers,
            indices and sizes, and their sums, differences and products.

    Raises:
        ValueError: the expression is no such formula; the shape lacks an axis; some element may
            have no finite value, or overflow the dtype.

    Source:
        Ours.  RWKV's ``time_decay`` is ``-5 + 8 * (i0 / (n0 - 1)) ** 0.7`` in the first layer
        (transformers 5.24, ``modeling_rwkv.py``).  Who differs: the C library's functions, whose
        last bits vary.

    >>> import fastinit as fi
    >>> decay = fi.schemes.table("-5 + 8 * (i0 / (n0 - 1)) ** 0.7")
    >>> fi.array((3,), decay, seed=0, name="time_decay").round(4).tolist()
    [-5.0, -0.07540000230073929, 3.0]
    """
    formula = formula_of(expression, INDEX_OR_SIZE)
    last = max((int(name[1:]) for name in formula.variables), default=-1)

    def rule(dims: Shape) -> Distribution:
        if last >= len(dims):
            raise ValueError(
                f"shape {dims} has {len(dims)} axes: the formula {expression!r} needs {last + 1}"
            )
        return _formulated(expression, dims)

    return rule
