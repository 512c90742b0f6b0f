# SPDX-License-Identifier: MIT
"""Which elements of a whole tensor this process holds, for plain tensors and for DTensors.

Nothing here communicates, writes to memory or knows what is drawn.  flat.py has the flat parameters
of FullyShardedDataParallel.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fastinit.texts import quoted
from fastinit.torch.tensors import check_class, check_whole, is_named

if TYPE_CHECKING:
    from torch.distributed.tensor.placement_types import Placement


@dataclass(frozen=True, eq=False, slots=True)
class LocalPart:
    """A view of this process's memory, and the region of the whole tensor that it holds.

    The region is one slice per axis, with bounds inside the tensor and step 1, or a range of
    row-major element numbers; `fastinit.fill` takes both.
    """

    local: torch.Tensor
    region: tuple[slice, ...] | range


def whole_shape(tensor: torch.Tensor) -> tuple[int, ...]:
    """The shape of the whole tensor of which `tensor` holds a part, or all.

    Args:
        tensor: a tensor, a parameter or a DTensor, on any device.

    Raises:
        TypeError: `tensor` is not a tensor, or of a class that keeps its elements elsewhere.
        ValueError: `tensor` is part of a flat parameter, whose own shape says nothing.

    >>> import torch
    >>> whole_shape(torch.empty(3, 4))
    (3, 4)
    """
    _check(tensor)
    return tuple(tensor.shape)


def parts_of(tensor: torch.Tensor) -> list[LocalPart]:
    """The parts of the whole tensor that this process holds, without communication.

    A plain tensor is one part.  A DTensor is cut by its placements, as torch cuts it: along each
    axis of the tensor, ``Shard`` takes a chunk of ``torch.chunk`` from what the mesh dimensions
    before it have left, ``_StridedShard`` a chunk of each of its `split_factor` chunks, and
    ``Replicate`` everything.  What is left of an axis is a few runs of indices, and a part is one
    run of every axis.  Torch's own ``compute_local_shape_and_global_offset`` gives the first
    offset only.

    Each process sees its own tensor only.  If ``DTensor.from_local`` inferred the shape of uneven
    shards, processes disagree about the whole tensor, and none of them can notice: pass `shape`
    and `stride` there.

    Args:
        tensor: a tensor, a parameter or a DTensor, on any device; on the meta device the parts
            serve to plan.

    Returns:
        Parts that do not overlap and together are the local tensor; their `local` tensors are
        detached views of it.  The list is empty if this process holds no element: its shard is
        empty, or the mesh leaves it out.

    Raises:
        TypeError: `tensor` is not a tensor, or of a class that keeps its elements elsewhere.
        ValueError: a placement such as ``Partial``, with which no process holds an element; a
            local tensor whose shape is not that of its shard; a piece of a flat parameter.

    >>> import torch
    >>> [part.region for part in parts_of(torch.empty(3, 4))]
    [(slice(0, 3, None), slice(0, 4, None))]
    """
    _check(tensor)
    if not is_named(tensor, "DTensor"):
        return [LocalPart(tensor.detach(), tuple(slice(0, size) for size in tensor.shape))]
    sharded: Any = tensor  # a DTensor, whose class need not be importable
    mesh, placements = sharded.device_mesh, tuple(sharded.placements)
    coordinate = mesh.get_coordinate()
    _check_placements(placements, mesh.mesh_dim_names)
    if coordinate is None:
        return []
    shape, order = tuple(tensor.shape), _order(sharded._spec, placements)
    axes = held(shape, placements, tuple(mesh.shape), tuple(coordinate), order)
    local: torch.Tensor = sharded._local_tensor.detach()
    _check(local)
    expected = tuple(sum(map(len, runs)) for runs in axes)
    if tuple(local.shape) != expected:
        raise ValueError(
            f"out is a DTensor of shape {shape} with placements {placements}, so the process at "
            f"{tuple(coordinate)} of a mesh of shape {tuple(mesh.shape)} holds a shard of shape "
            f"{expected}, but its local tensor has shape {tuple(local.shape)}: give "
            "DTensor.from_local the chunk of torch.chunk, and shape= and stride= of the whole "
            "tensor"
        )
    return list(_parts(local, axes))


def held(
    shape: tuple[int, ...],
    placements: Sequence[Placement],
    sizes: Sequence[int],
    coordinate: Sequence[int],
    order: Iterable[int],
) -> list[list[range]]:
    """For each axis of a tensor, the runs of indices that the process at `coordinate` holds.

    Args:
        shape: of the whole tensor.
        placements: one per mesh dimension, without ``Partial``.
        sizes: of the mesh dimensions.
        coordinate: where in the mesh the process is; 0 <= coordinate[i] < sizes[i].
        order: the mesh dimensions, in the order in which they cut.

    Returns:
        Per axis, ranges of step 1 that are not empty, in the order of the local tensor.
    """
    axes = [[range(size)] if size else [] for size in shape]
    for dimension in order:
        placement = placements[dimension]
        if placement.is_replicate():
            continue
        axis = placement.dim % len(shape)
        count = sum(map(len, axes[axis]))
        positions = spans(placement, count, sizes[dimension], coordinate[dimension])
        axes[axis] = _taken(axes[axis], positions)
    return axes


def spans(placement: Placement, count: int, chunks: int, number: int) -> list[range]:
    """Which of `count` positions a placement gives to process `number` of `chunks`, as runs."""
    from torch.distributed.tensor.placement_types import Shard, _StridedShard

    if type(placement) is Shard:
        return [_chunk(range(count), chunks, number)]
    if type(placement) is _StridedShard:
        factor = int(placement.split_factor)
        groups = (_chunk(range(count), factor, group) for group in range(factor))
        return [_chunk(group, chunks, number) for group in groups]
    # a subclass: its own way to split, which torch calls as well
    axis = placement.dim
    indices = torch.arange(count, device="cpu").reshape([1] * axis + [count])
    pieces, _ = placement._split_tensor(indices, chunks, with_padding=False, contiguous=False)
    return _runs(pieces[number].reshape(-1))


def _chunk(positions: range, chunks: int, number: int) -> range:
    """Chunk `number` of `torch.chunk`, which may be short or empty."""
    size = -(-len(positions) // chunks)
    return positions[number * size : (number + 1) * size]


def _runs(positions: torch.Tensor) -> list[range]:
    """Consecutive positions as ranges; the loop is over ranges, not over positions."""
    if not len(positions):
        return []
    breaks = (positions.diff() != 1).nonzero().reshape(-1)
    firsts = torch.cat([positions[:1], positions[breaks + 1]]).tolist()
    lasts = torch.cat([positions[breaks], positions[-1:]]).tolist()
    return [range(first, last + 1) for first, last in zip(firsts, lasts, strict=True)]


def _taken(runs: list[range], positions: Iterable[range]) -> list[range]:
    """The indices at `positions` of the concatenated `runs`, with neighbouring runs merged."""
    ends = list(itertools.accumulate(map(len, runs)))
    kept: list[range] = []
    for span in positions:
        first, at = span.start, bisect_right(ends, span.start)
        while first < span.stop:
            begin = ends[at] - len(runs[at])
            run = runs[at][first - begin : span.stop - begin]
            if kept and kept[-1].stop == run.start:
                kept[-1] = range(kept[-1].start, run.stop)
            else:
                kept.append(run)
            first, at = first + len(run), at + 1
    return kept


def _parts(local: torch.Tensor, axes: list[list[range]]) -> Iterator[LocalPart]:
    """One part per combination of runs, in row-major order of the local tensor."""
    if all(len(runs) == 1 for runs in axes):  # nearly always
        yield LocalPart(local, tuple(slice(run.start, run.stop) for (run,) in axes))
        return
    placed = [list(zip(runs, itertools.accumulate(map(len, runs)), strict=True)) for runs in axes]
    for combination in itertools.product(*placed):
        view = local[tuple(slice(end - len(run), end) for run, end in combination)]
        yield LocalPart(view, tuple(slice(run.start, run.stop) for run, _ in combination))


def _order(spec: Any, placements: Sequence[Placement]) -> list[int]:
    """The order in which mesh dimensions cut: left to right, unless the spec has another one.

    Strided shards express another order themselves, and cut from left to right.
    """
    entries = getattr(spec, "shard_order", None) or ()
    if any(hasattr(placement, "split_factor") for placement in placements):
        entries = ()
    named = [dimension for entry in entries for dimension in entry.mesh_dims]
    return [*named, *(number for number in range(len(placements)) if number not in named)]


def _check_placements(placements: tuple[Placement, ...], names: tuple[str, ...] | None) -> None:
    for dimension, placement in enumerate(placements):
        where = f"mesh dimension {quoted(names[dimension]) if names else dimension}"
        if placement.is_partial():
            raise ValueError(
                f"out is a DTensor with placement {placement!r} on {where}: its elements are a "
                "reduction over processes, none of which holds them; redistribute it to Shard or "
                "Replicate first"
            )
        splits = hasattr(placement, "dim") and hasattr(placement, "_split_tensor")
        if not placement.is_replicate() and not splits:
            raise ValueError(
                f"out is a DTensor with placement {quoted(placement)} on {where}, which does "
                "not say how it splits: need Shard, _StridedShard or Replicate; redistribute it "
                "first"
            )


def _check(tensor: Any) -> None:
    """Refuse what is not a tensor, and tensors whose shape or memory is not their own."""
    if not is_named(tensor, "DTensor"):
        check_class(tensor)
        check_whole(tensor)
