# SPDX-License-Identifier: MIT
"""Schemes made of other schemes: mapped elements, parts of a tensor, values of another tensor."""

from __future__ import annotations

from fastinit.numerics.checks import Shape, check_shape
from fastinit.schemes.arguments import FormulaOfX, Pairs, RegionText, TensorName
from fastinit.schemes.fans import Axes
from fastinit.schemes.formulas import X, formula_of
from fastinit.schemes.maker import maker
from fastinit.schemes.regions import box_of
from fastinit.schemes.scheme import Rule, Scheme
from fastinit.values.distributions import Distribution
from fastinit.values.mapped import Elementwise, Mapped
from fastinit.values.matrices import Norms, Overlay, Slice
from fastinit.values.renamed import Renamed


def _elements_of(what: str, init: Scheme, dims: Shape) -> Elementwise:
    """The distribution of a scheme whose elements each come from their own word."""
    found = init.distribution_of(dims)
    if not isinstance(found, Elementwise):
        raise ValueError(
            f"{what} needs a scheme whose elements are independent and alike, such as normal() or "
            f"he_uniform(); the elements of {init} depend on their places, or on each other"
        )
    return found


@maker
def mapped(init: Scheme, expression: FormulaOfX) -> Rule:
    r"""Each element of another scheme, mapped by a formula.

    .. math:: w_i = f(x_i)

    where x_i is the element that `init` draws, in float32 (for float64, in float64).  Every
    operation of f is rounded correctly to float64, and the result once to float32, so it is the
    same number on every machine.

    Args:
        init: a scheme whose elements are independent and alike, or another mapped one.  It keeps
            its words: ``mapped(init, 'x')`` is `init`.
        expression: of `x`: numbers, ``+ - * / **``, pi, and exp, log, expm1, log1p, sqrt, sin, cos,
            abs, minimum(a, b), maximum(a, b).  Clamping is both of the last two.

    Raises:
        ValueError: the expression is no such formula; the elements of `init` depend on their
            places; the formula may have no finite value, such as the logarithm of a number that
            may be negative; the result may overflow the dtype.

    `mean` and `std` of the distribution are computed by quadrature, to nearly float64's accuracy,
    as far as they exist.

    Source:
        Ours.  For what models do: Qwen3-Next's ``A_log`` is ``uniform_(0.01, 16).log_()``
        (transformers 5.24, ``modeling_qwen3_next.py``), RecurrentGemma's ``recurrent_param`` a
        chain of five operations (``modeling_recurrent_gemma.py``).  Who differs: PyTorch computes
        in the tensor's dtype, with the C library's functions, so its last bits vary.

    >>> import fastinit as fi
    >>> a_log = fi.schemes.mapped(fi.uniform(0, 16), "log(x)")
    >>> print(a_log)
    mapped(init=uniform(low=0, high=16), expression='log(x)')
    >>> round(a_log.distribution((32,)).mean, 12)  # log(16) - 1
    1.77258872224
    """
    formula = formula_of(expression, X)
    return lambda dims: Mapped(_elements_of("mapped", init, dims), formula)


@maker
def parts(init: Scheme, *pairs: Pairs) -> Rule:
    r"""A tensor whose parts have schemes of their own.

    .. math:: w_i = w_i^{(k)}, \quad k \text{ the last part that holds } i

    The whole tensor is `init`; then each scheme in turn overwrites its region.

    Args:
        init: the scheme of all elements that are in no region.
        pairs: a region and its scheme, again and again.  A region is written as NumPy indexes, in
            quotes: indices and slices with steps of 1 or more, such as ``'0:768, :'`` or ``'-1'``.
            A scheme sees the region's shape, so its scale is the region's.

    Elements that are independent keep the words of their indices in the whole tensor, so parts of
    one scheme are the parts of one tensor.  Schemes whose values depend on places or on each
    other, such as `orthogonal`, are drawn as a tensor of the region's shape, from a stream of their
    own; docs/stream.md, section 18.2, has its name.

    Raises:
        ValueError: no region, or no scheme for one; a region that is not one of the shape (slices
            are not cut short, as NumPy would); a scheme that does not suit its region.

    Source:
        Ours.  For what models do: packed q-k-v projections that are drawn one by one, rows of
        embeddings set to zero, the forget gate's bias of an LSTM set to one.  Who differs:
        ``torch.nn.init`` on a view does the same, in the order in which it is called.

    >>> import fastinit as fi
    >>> bias = fi.schemes.parts(fi.zeros(), "2:4", fi.ones())
    >>> print(bias)
    parts(zeros(), '2:4', ones())
    >>> fi.array((6,), bias, seed=0, name="bias").tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    """
    regions: tuple[str, ...] = pairs[::2]
    schemes: tuple[Scheme, ...] = pairs[1::2]

    def rule(dims: Shape) -> Distribution:
        found = [(box_of("", dims), init.distribution_of(dims))]
        for region, scheme in zip(regions, schemes, strict=True):
            box = box_of(region, dims)
            try:
                found.append((box, scheme.distribution_of(box.shape)))
            except ValueError as error:
                raise ValueError(f"region {region!r} of shape {dims}: {error}") from None
        return Overlay(dims, tuple(found))

    return rule


@maker
def same_as(of: TensorName, init: Scheme) -> Rule:
    """The values of another tensor of the same shape: a copy of it, if `init` is its scheme.

    It is w(of): the stream is that of the name `of`, not of the tensor's own name.

    Args:
        of: the other tensor's name; characters from space to ~, without quotes and backslashes.
        init: the other tensor's scheme.  Nothing checks that it is.

    Raises:
        ValueError: a name that a text cannot hold; a shape that does not suit `init`.

    Source:
        Ours.  ``torch.nn.TransformerEncoder`` copies its first layer, so all of its layers start
        equal (pytorch issue 86274).  Tied weights need no copy: they are one tensor.

    >>> import fastinit as fi
    >>> copy = fi.schemes.same_as("layers.0.linear1.weight", fi.schemes.torch_linear())
    >>> ours = fi.array((4, 3), copy, seed=0, name="layers.1.linear1.weight")
    >>> theirs = fi.array((4, 3), "torch_linear", seed=0, name="layers.0.linear1.weight")
    >>> bool((ours == theirs).all())
    True
    """
    return lambda dims: Renamed(of, init.distribution_of(dims))


@maker
def slice_of(of: TensorName, shape: Axes, region: RegionText, init: Scheme) -> Rule:
    """The values of a region of another tensor: one stream, two layouts.

    It is w[region] of the tensor w with the name `of`, the shape `shape` and the scheme `init`.  So
    its scale is that of the whole w, and the tensor's own name changes nothing.

    Args:
        of: as for `same_as`.
        shape: of the whole of the other tensor.
        region: an index, which drops its axis, or a slice for each axis, in quotes, as in `parts`.
        init: as for `same_as`.

    The tensor has the region's shape.  A region costs what its elements cost, but linear algebra,
    as `orthogonal` needs, is done for the whole of w, again for each tensor that is a slice of it.

    `mean` and `std` of the distribution are those of the whole of w.

    Raises:
        ValueError: another shape than the region's; a region that is not one of `shape` (slices are
            not cut short, as NumPy would); a shape that does not suit `init`.

    Source:
        Ours.  For mixtures of experts, whose weights are one tensor in a model and one for each
        expert in files (transformers 5.24, ``conversion_mapping.py``): ``experts.3.w1.weight`` is
        ``experts.gate_up_proj[3, :n]``.

    >>> import fastinit as fi
    >>> init, fused = fi.normal(std=0.02), "experts.gate_up_proj"
    >>> scheme = fi.schemes.slice_of(fused, (8, 64, 16), "3, 0:32", init)
    >>> w1 = fi.array((32, 16), scheme, seed=0, name="experts.3.w1.weight")
    >>> whole = fi.array((8, 64, 16), init, seed=0, name=fused)
    >>> bool((w1 == whole[3, 0:32]).all())
    True
    """
    whole = check_shape(shape)
    box = box_of(region, whole)

    def rule(dims: Shape) -> Distribution:
        if dims != box.shape:
            raise ValueError(
                f"shape {dims}: region {region!r} of shape {whole} has shape {box.shape}"
            )
        return Slice(dims, of, whole, box, init.distribution_of(whole))

    return rule


@maker
def norms_of(of: TensorName, shape: Axes, axes: Axes, init: Scheme) -> Rule:
    r"""The norms of another tensor's slices: the magnitudes g of weight normalisation.

    .. math:: g_k = \sqrt{\textstyle\sum_{i \text{ in slice } k} v_i^2}

    rounded once to float64 from the exact value, then to the dtype.

    Args:
        of: the name of the other tensor, v.
        shape: of the whole of v.
        axes: the axes of v that are kept; the norms are over all others.  () gives one norm, of no
            axes.
        init: v's scheme.  v's values are those of the dtype that g has.

    The tensor has v's shape with all axes but the kept ones 1, or no axes if none is kept.

    `mean` and `std` of the distribution are right to first order in 1 / n, for norms of n
    elements.

    Raises:
        ValueError: another shape; an axis that v does not have; elements of v that depend on their
            places or on each other; a norm that may overflow the dtype.

    Source:
        Salimans and Kingma (2016), "Weight Normalization", arXiv:1602.07868;
        ``torch.norm_except_dim``, which ``torch.nn.utils.weight_norm`` and
        ``torch.nn.utils.parametrizations.weight_norm`` call: their ``dim`` is the kept axis, and
        None keeps none.  Who differs: PyTorch adds in the tensor's dtype, so its last bits vary.

    >>> import fastinit as fi
    >>> v, g = fi.schemes.torch_linear(), "conv.parametrizations.weight.original"
    >>> scheme = fi.schemes.norms_of(g + "1", (64, 32, 3), 0, v)
    >>> fi.array((64, 1, 1), scheme, seed=0, name=g + "0").shape
    (64, 1, 1)
    """
    whole = check_shape(shape)
    kept = _kept_axes(axes, whole)
    expected = tuple(dim if axis in kept else 1 for axis, dim in enumerate(whole)) if kept else ()

    def rule(dims: Shape) -> Distribution:
        if dims != expected:
            raise ValueError(
                f"shape {dims}: the norms of {whole} over all axes but {kept} have shape {expected}"
            )
        return Norms(dims, of, whole, kept, _elements_of("norms_of", init, whole))

    return rule


def _kept_axes(axes: int | tuple[int, ...], whole: Shape) -> tuple[int, ...]:
    """The axes, each once, none negative, in the order of the shape."""
    given = (axes,) if isinstance(axes, int) else axes
    for axis in given:
        if not -len(whole) <= axis < len(whole):
            raise ValueError(f"axes is {axes}: shape {whole} has {len(whole)} axes")
    kept = sorted({axis % len(whole) for axis in given})
    if len(kept) != len(given):
        raise ValueError(f"axes is {axes}: an axis of shape {whole} is named twice")
    return tuple(kept)
