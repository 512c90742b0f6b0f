# SPDX-License-Identifier: MIT
"""`copies.py`: which elements of which tensors another one shows, against tensors that have values.

The same operators run on tensors whose elements are all different, on the CPU: an oracle that knows
nothing of places.
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fastinit.transformers import copies  # noqa: E402 - only where torch is
from fastinit.transformers.copies import CopyLog, UntoldError  # noqa: E402

SHAPES = {"a": (6, 4), "b": (6, 4), "c": (3, 8, 2), "d": (12,)}
FIRST = dict(zip(SHAPES, itertools.accumulate([1, 24, 24, 48]), strict=True))


def values():
    """The originals, whose elements are all different."""
    return {
        name: torch.arange(FIRST[name], FIRST[name] + torch.Size(shape).numel()).reshape(shape)
        for name, shape in SHAPES.items()
    }


def told(program):
    """What becomes of the originals by a function of them: by copies.py, and by their values."""
    log = CopyLog()
    followed = {name: log.original(name, shape, torch.int64) for name, shape in SHAPES.items()}
    with log:
        moved = program(**followed)
    known, real = values(), program(**values())
    found = torch.zeros_like(real)
    assert tuple(moved.shape) == tuple(real.shape)
    pieces = log.pieces(moved)
    for box, name, place in pieces:
        view = torch.as_strided(known[name], place.shape, place.strides, place.offset)
        index = tuple(slice(part.start, part.stop, part.step) for part in box)
        assert not found[index].any(), "pieces overlap"
        found[index] = view
    return found, real, pieces


PROGRAMS = {
    "itself": lambda a, b, c, d: a,
    "a view": lambda a, b, c, d: c[1, ::2],
    "transposed": lambda a, b, c, d: a.t().contiguous(),
    "a chunk": lambda a, b, c, d: a.chunk(2, dim=1)[1].contiguous()[2:4],
    "joined": lambda a, b, c, d: torch.cat([b, a, d.reshape(3, 4)]),
    "joined, and cut across": lambda a, b, c, d: torch.cat([a, b], dim=1)[2:5, 3:6],
    "stacked": lambda a, b, c, d: torch.stack([a, b], dim=1),
    "stacked, and cut": lambda a, b, c, d: torch.stack([a, b], 2)[1:3, :, 1],
    "joined twice": lambda a, b, c, d: torch.cat([torch.cat([a, b]), torch.cat([b, a])], 1)[4:9],
    "interleaved": lambda a, b, c, d: c.reshape(3, 2, 4, 2).transpose(1, 2).reshape(3, 8, 2),
    "of a copy of a copy": lambda a, b, c, d: c.transpose(0, 2).contiguous().clone()[0, 2:5],
    "permuted as for rotary positions": lambda a, b, c, d: (
        c.reshape(24, 2).view(2, 2, 6, 2).transpose(1, 2).reshape(24, 2)
    ),
    "with what is empty": lambda a, b, c, d: torch.cat([a[:0], b, a[3:3]]),
    "repeated": lambda a, b, c, d: a[:, :1].expand(6, 3).contiguous()[1:],
    "with zeros": lambda a, b, c, d: torch.cat([a, a.new_zeros(2, 4), b])[3:],
    "of one element": lambda a, b, c, d: torch.stack([a[1, 2], d[5]]),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_pieces_are_the_elements(program):
    found, real, _ = told(program)
    assert torch.equal(found, real)


def test_there_are_few_pieces():
    for name, count in {"transposed": 1, "joined": 3, "stacked": 2, "interleaved": 2}.items():
        assert len(told(PROGRAMS[name])[2]) == count
    assert len(told(PROGRAMS["permuted as for rotary positions"])[2]) == 4


def steps(name):
    """A random operator that only moves elements."""
    number = st.integers(0, 3)
    operators = {
        "transpose": lambda t, i, j: t.transpose(i % t.ndim, j % t.ndim) if t.ndim else t,
        "contiguous": lambda t, i, j: t.contiguous(),
        "clone": lambda t, i, j: t.clone(),
        "chunk": lambda t, i, j: t.chunk(2, i % t.ndim)[-1] if t.numel() and t.ndim else t,
        "select": lambda t, i, j: t.select(i % t.ndim, -1) if t.numel() and t.ndim > 1 else t,
        "step": lambda t, i, j: t[i % 2 :: 1 + j % 2] if t.ndim else t,
        "flatten": lambda t, i, j: t.flatten(),
        "halve": lambda t, i, j: t.unflatten(0, (2, -1)) if t.ndim and t.shape[0] % 2 == 0 else t,
        "twice": lambda t, i, j: torch.cat([t, t], i % t.ndim) if t.ndim else t,
        "stack": lambda t, i, j: torch.stack([t, t.clone()], i % (t.ndim + 1)),
    }
    return st.tuples(st.just(operators[name]), number, number)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(SHAPES)),
    st.lists(
        st.sampled_from(
            [
                *("transpose", "contiguous", "clone", "chunk", "select"),
                *("step", "flatten", "halve", "twice", "stack"),
            ]
        ).flatmap(steps),
        max_size=7,
    ),
)
def test_whatever_moves_elements_is_followed_or_refused(original, program):
    def run(**tensors):
        tensor = tensors[original]
        for step, i, j in program:
            if tensor.numel() < 500:
                tensor = step(tensor, i, j)
        return tensor

    try:
        found, real, _ = told(run)
    except UntoldError:
        return  # a view that no slices are
    assert torch.equal(found, real)


UNTOLD = [
    (lambda a, b, c, d: a + b, "^torch's add computes it$"),
    (lambda a, b, c, d: torch.cat([a, a.new_ones(2, 4)]), "^torch's new_ones computes it$"),
    (lambda a, b, c, d: a[[0, 1], [2, 3]], "^torch's index computes it$"),
    (lambda a, b, c, d: a.clone().mul_(2)[1:], "^torch's mul_ writes to it$"),
    (lambda a, b, c, d: torch.cat([b, (a * 2).clone()])[1:], "^torch's mul computes it$"),
    (lambda a, b, c, d: a.to(torch.float32), "^it is turned from torch.int64 into torch.float32$"),
    (
        lambda a, b, c, d: torch.stack([a, b.to(torch.int32).long()]),
        "it is turned from torch.int64",
    ),
    (lambda a, b, c, d: a.clone().diagonal(), "^its elements are no slices of what was copied$"),
    (
        lambda a, b, c, d: a.t().reshape(3, 8),
        "^it is reshaped in a way that no slices",
    ),
]


@pytest.mark.parametrize(("program", "words"), UNTOLD, ids=range(len(UNTOLD)))
def test_what_is_not_moved_is_refused_with_the_reason(program, words):
    with pytest.raises(UntoldError, match=words):
        told(program)


def test_more_pieces_than_anyone_wants_are_refused(monkeypatch):
    monkeypatch.setattr(copies, "MOST_PIECES", 3)
    copies._traced.cache_clear()
    with pytest.raises(UntoldError, match=r"^it is made of more than 3 pieces$"):
        told(PROGRAMS["permuted as for rotary positions"])


def test_a_tensor_from_elsewhere_is_refused():
    log = CopyLog()
    other = torch.empty(3, device="meta")
    with log:
        copied = other.clone()
    with pytest.raises(UntoldError, match=r"^it was there before the conversion$"):
        log.pieces(copied)
    with pytest.raises(UntoldError, match=r"^it was there before the conversion$"):
        log.pieces(torch.empty(2, device="meta"))


def test_nothing_is_followed_outside_and_nothing_has_memory():
    log = CopyLog()
    with log:
        tensor = log.original("huge", (2**30, 2**20), torch.float64)
        half = tensor.chunk(2, dim=1)[1].contiguous()
    assert half.is_meta
    ((box, name, place),) = log.pieces(half[5])
    assert (box, name) == ((range(2**19),), "huge")
    assert place.offset == 5 * 2**20 + 2**19
