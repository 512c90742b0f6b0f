# SPDX-License-Identifier: MIT
"""Views as slices of their base, against torch's own indexing on random chains of views.

A base holds its elements' row-major numbers, so a view's values say which elements it has.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
views = pytest.importorskip("fastinit.torch.views")
Geometry = views.Geometry


def numbered(base):
    """The base with the row-major numbers of its elements."""
    with torch.no_grad():
        return base.copy_(torch.arange(base.numel(), dtype=base.dtype).view(base.shape))


def sliced(base, box):
    return base[tuple(slice(along.start, along.stop, along.step) for along in box)]


def is_made_of(view, base, slices):
    """Whether the slices describe the view."""
    box, split, order = slices
    found = sliced(base, box).reshape(split).permute(order).reshape(view.shape)
    return torch.equal(found, view)


def numbers(region):
    """The numbers of a region's elements."""
    found = np.full(region.shape, region.start)
    for axis, (count, step) in enumerate((along.count, along.step) for along in region.axes):
        ahead = np.arange(count) * step
        found = found + ahead.reshape([-1 if other == axis else 1 for other in range(found.ndim)])
    return found


def has_numbers(view, numbering):
    """Whether a numbering has the values of the view, in its order and in its memory."""
    mine = numbers(numbering.region)
    assert mine.shape == numbering.shape
    again = view.as_strided(numbering.shape, numbering.strides)
    return np.array_equal(mine.reshape(view.shape), view) and np.array_equal(mine, again)


# --- examples ----------------------------------------------------------------------------------

WEIGHT = (12, 8)
EXAMPLES = {
    "itself": (lambda w: w, ((0, 12, 1), (0, 8, 1)), (12, 8), (0, 1)),
    "transposed": (lambda w: w.T, ((0, 12, 1), (0, 8, 1)), (12, 8), (1, 0)),
    "padding row": (lambda w: w[3], ((3, 4, 1), (0, 8, 1)), (8,), (0,)),
    "column": (lambda w: w[:, 5], ((0, 12, 1), (5, 6, 1)), (12,), (0,)),
    "chunk": (lambda w: w.chunk(3)[1], ((4, 8, 1), (0, 8, 1)), (4, 8), (0, 1)),
    "one element": (lambda w: w[2, 3], ((2, 3, 1), (3, 4, 1)), (), ()),
    "every other": (lambda w: w[1::3, ::2], ((1, 11, 3), (0, 7, 2)), (4, 4), (0, 1)),
    "heads": (lambda w: w.view(4, 3, 8)[1], ((3, 6, 1), (0, 8, 1)), (3, 8), (0, 1)),
    "head of each": (lambda w: w.view(4, 3, 8)[:, 1], ((1, 11, 3), (0, 8, 1)), (4, 8), (0, 1)),
    "split": (lambda w: w.view(4, 3, 8), ((0, 12, 1), (0, 8, 1)), (4, 3, 8), (0, 1, 2)),
    "split and moved": (
        lambda w: w.view(4, 3, 8).transpose(1, 2),
        ((0, 12, 1), (0, 8, 1)),
        (4, 3, 8),
        (0, 2, 1),
    ),
    "flat rows": (lambda w: w.flatten()[16:32], ((2, 4, 1), (0, 8, 1)), (2, 8), (0, 1)),
    "flat row": (lambda w: w.flatten()[10:14], ((1, 2, 1), (2, 6, 1)), (4,), (0,)),
    "regrouped": (lambda w: w[:6].view(16, 3), ((0, 6, 1), (0, 8, 1)), (6, 8), (0, 1)),
    "more axes": (lambda w: w[None, :, None], ((0, 12, 1), (0, 8, 1)), (12, 8), (0, 1)),
}
NO_SLICES = {
    "diagonal": lambda w: w.diagonal(),
    "flat, uneven": lambda w: w.flatten()[3:19],
    "half of each group": lambda w: w.view(4, 3, 8)[:, :2],
    "expanded": lambda w: w[:, None].expand(12, 3, 8),
    "windows": lambda w: w.unfold(0, 4, 2),
    "flat, every third": lambda w: w.flatten()[::3],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_view_is_slices_of_its_base(name):
    make, box, split, order = EXAMPLES[name]
    base = numbered(torch.empty(WEIGHT))
    view = make(base)
    slices = views.slices_of(Geometry.of(view), Geometry.of(base))
    assert slices == (tuple(range(*bounds) for bounds in box), split, order)
    assert is_made_of(view, base, slices)


@pytest.mark.parametrize("name", NO_SLICES)
def test_a_view_that_is_no_slice_is_none(name):
    base = numbered(torch.empty(WEIGHT))
    view = NO_SLICES[name](base)
    assert views.slices_of(Geometry.of(view), Geometry.of(base)) is None
    assert has_numbers(view, views.numbers_of(Geometry.of(view), Geometry.of(base)))


def test_what_lies_outside_is_none():
    whole = torch.empty(20, 8)
    base = Geometry.of(whole[4:10])
    for view in (whole, whole[3:5], whole[9:11], whole[12], whole[:, 0]):
        assert views.slices_of(Geometry.of(view), base) is None
        assert views.numbers_of(Geometry.of(view), base) is None
    between = torch.empty(6, 8)[:, :5]
    for view in (between._base[0, 6:7], between._base[0, 4:6], between._base[:2]):
        assert views.slices_of(Geometry.of(view), Geometry.of(between)) is None
        assert views.numbers_of(Geometry.of(view), Geometry.of(between)) is None


def test_a_base_whose_elements_overlap_has_no_slices():
    base = torch.empty(3, 1).expand(3, 4)
    assert views.slices_of(Geometry.of(base[1]), Geometry.of(base)) is None
    windows = torch.empty(9).unfold(0, 3, 2)
    assert views.numbers_of(Geometry.of(windows[1]), Geometry.of(windows)) is None


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (0,), (3, 0), (0, 3)])
def test_the_smallest_bases(shape):
    base = numbered(torch.empty(shape))
    for view in (base, base[None], base.flatten()):
        slices = views.slices_of(Geometry.of(view), Geometry.of(base))
        assert is_made_of(view, base, slices)
        assert has_numbers(view, views.numbers_of(Geometry.of(view), Geometry.of(base)))
    nothing = base.reshape(-1)[:0]
    slices = views.slices_of(Geometry.of(nothing), Geometry.of(base))
    assert slices is None if base.ndim == 0 else is_made_of(nothing, base, slices)


def test_a_geometry_knows_its_parts():
    base = numbered(torch.empty(12, 8))
    for view in (base, base.T, base[1::2, ::3], base.view(4, 3, 8)):
        box = tuple(range(min(1, dim - 1), dim, 2) for dim in view.shape)
        assert Geometry.of(view).part(box) == Geometry.of(sliced(view, box))
    assert Geometry.of(base).count == 96
    assert Geometry.of(base).contiguous
    assert not Geometry.of(base.T).contiguous
    assert Geometry.of(base[:, :1].T[:, :1]).contiguous


# --- random chains -----------------------------------------------------------------------------


def a_base(chance):
    """A base in one of the layouts that parameters have."""
    shape = [chance.choice([1, 2, 3, 4, 6, 8]) for _ in range(chance.randint(0, 4))]
    kind = chance.choice(["plain", "plain", "permuted", "sliced"])
    if kind == "permuted":
        order = chance.sample(range(len(shape)), len(shape))
        return torch.empty([shape[axis] for axis in order]).permute(list(np.argsort(order)))
    if kind == "sliced":
        wide = torch.empty([2 * dim + 1 for dim in shape])
        return wide[tuple(slice(1, None, 2) if dim % 2 else slice(0, dim) for dim in shape)]
    return torch.empty(shape)


def slice_axis(view, chance):
    axis = chance.randrange(view.ndim)
    first = chance.randrange(view.shape[axis])
    stop = chance.randint(first + 1, view.shape[axis])
    index = [slice(None)] * view.ndim
    index[axis] = slice(first, stop, chance.choice([1, 1, 2, 3]))
    return view[tuple(index)]


def select(view, chance):
    axis = chance.randrange(view.ndim)
    return view.select(axis, chance.randrange(view.shape[axis]))


def transpose(view, chance):
    return view.transpose(chance.randrange(view.ndim), chance.randrange(view.ndim))


def unsqueeze(view, chance):
    return view.unsqueeze(chance.randint(0, view.ndim))


def squeeze(view, chance):
    return view.squeeze()


def split(view, chance):
    axis = chance.randrange(view.ndim)
    parts = [n for n in range(1, view.shape[axis] + 1) if view.shape[axis] % n == 0]
    return view.unflatten(axis, (chance.choice(parts), -1))


def merge(view, chance):
    first = chance.randrange(view.ndim)
    last = chance.randint(first, view.ndim - 1)
    shape = [*view.shape[:first], -1, *view.shape[last + 1 :]]
    try:
        return view.view(shape)
    except RuntimeError:  # its elements are not a step apart
        return view


def diagonal(view, chance):
    return view.diagonal(dim1=0, dim2=1) if view.ndim > 1 else view


def window(view, chance):
    axis = chance.randrange(view.ndim)
    return view.unfold(axis, chance.randint(1, view.shape[axis]), chance.randint(1, 3))


SIMPLE = [slice_axis, select, transpose, unsqueeze, squeeze]
RESHAPING = [*SIMPLE, split, merge, merge]
EVERY = [*RESHAPING, diagonal, window]


def chain(base, chance, steps):
    view = base
    for _ in range(chance.randint(0, 6)):
        step = chance.choice(steps)
        if view.ndim or step in (unsqueeze, squeeze):
            view = step(view, chance)
    return view


@pytest.mark.parametrize("steps", [SIMPLE, RESHAPING, EVERY], ids=["simple", "reshaping", "every"])
@pytest.mark.parametrize("seed", range(8))
def test_random_chains_of_views(seed, steps):
    chance = random.Random(f"{seed} {len(steps)}")
    found, left_out = 0, 0
    for _ in range(400):
        base = numbered(a_base(chance))
        view = chain(base, chance, steps)
        slices = views.slices_of(Geometry.of(view), Geometry.of(base))
        numbering = views.numbers_of(Geometry.of(view), Geometry.of(base))
        if slices is not None:
            assert is_made_of(view, base, slices)
            assert numbering is not None
        if numbering is not None:
            assert has_numbers(view, numbering)
        assert slices is not None or steps is not SIMPLE
        assert numbering is not None or not base.is_contiguous()
        found, left_out = found + (slices is not None), left_out + (numbering is None)
    assert found > 200
    assert left_out < 100


@pytest.mark.parametrize("seed", range(4))
def test_views_of_other_views_are_seen_from_them(seed):
    """Geometry goes both ways: which part of one view another one holds."""
    chance = random.Random(seed)
    for _ in range(200):
        base = numbered(torch.empty(4, 6, 8))
        first = chain(base, chance, SIMPLE)
        part = chain(first, chance, SIMPLE)
        slices = views.slices_of(Geometry.of(part), Geometry.of(first))
        assert is_made_of(part, first, slices)
