# SPDX-License-Identifier: MIT
"""The index walk alone, without a process group: against torch's own split of element numbers."""

from __future__ import annotations

import importlib
import itertools
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest

import fastinit as fi

pytestmark = pytest.mark.frameworks

torch = pytest.importorskip("torch")
kinds = pytest.importorskip("torch.distributed.tensor.placement_types")
flat = importlib.import_module("fastinit.torch.flat")
gathered = importlib.import_module("fastinit.torch.gathered")
shards = importlib.import_module("fastinit.torch.shards")

Replicate, Shard, StridedShard = kinds.Replicate, kinds.Shard, kinds._StridedShard


class Interleaved(Shard):
    """A placement of a user's own: process i takes the positions i, i + chunks, ..."""

    def _split_tensor(self, tensor, num_chunks, *, with_padding=True, contiguous=True):
        assert not with_padding
        index = [slice(None)] * self.dim
        return [tensor[(*index, slice(i, None, num_chunks))] for i in range(num_chunks)], []


def split(placement, tensor, chunks, number):
    return placement._split_tensor(tensor, chunks, with_padding=False, contiguous=False)[0][number]


def indices(runs):
    return [index for run in runs for index in run]


PLACEMENTS = [Shard(0), Interleaved(0), *(StridedShard(0, split_factor=n) for n in range(1, 7))]


@pytest.mark.parametrize("placement", PLACEMENTS, ids=repr)
def test_spans_are_where_torch_splits(placement):
    for count, chunks in itertools.product([*range(26), 97, 100], range(1, 8)):
        for number in range(chunks):
            want = split(placement, torch.arange(count), chunks, number).tolist()
            assert indices(shards.spans(placement, count, chunks, number)) == want


def random_layout(rng):
    shape = tuple(rng.choice([1, 2, 5, 7, 8, 12, 13]) for _ in range(rng.randint(1, 3)))
    sizes = tuple(rng.choice([1, 2, 3, 4]) for _ in range(rng.randint(1, 4)))
    placements = []
    for _ in sizes:
        axis = rng.randrange(len(shape))
        strided = StridedShard(axis, split_factor=rng.choice([1, 2, 3, 5]))
        placements.append(rng.choice([Shard(axis), strided, Replicate(), Interleaved(axis)]))
    return shape, sizes, placements


@pytest.mark.parametrize("seed", range(60))
def test_a_walk_is_torchs_splits_one_after_the_other(seed):
    """In any order of the mesh dimensions, at every coordinate of the mesh."""
    rng = random.Random(seed)
    shape, sizes, placements = random_layout(rng)
    order = rng.sample(range(len(sizes)), len(sizes))
    for coordinate in itertools.product(*map(range, sizes)):
        local = torch.arange(math.prod(shape)).reshape(shape)
        for dimension in order:
            if not placements[dimension].is_replicate():
                number = coordinate[dimension]
                local = split(placements[dimension], local, sizes[dimension], number)
        axes = shards.held(shape, placements, sizes, coordinate, order)
        grid = np.ix_(*(np.array(indices(runs), int) for runs in axes))
        whole = np.arange(math.prod(shape)).reshape(shape)
        assert (whole[grid] == local.numpy()).all()
        assert all(run.step == 1 and len(run) for runs in axes for run in runs)
        for runs in axes:  # neighbours are merged
            assert all(one.stop != other.start for one, other in itertools.pairwise(runs))


def test_a_long_axis_is_a_few_ranges():
    """A vocabulary, cut by FSDP2 over tensor parallelism."""
    placements = [StridedShard(0, split_factor=8), Shard(0)]
    axes = shards.held((200_000, 8192), placements, (16, 8), (3, 5), (0, 1))
    assert axes == [[range(129_689, 131_252)], [range(8192)]]


def test_strided_shards_cut_from_left_to_right():
    """Earlier versions of torch also list the order that strided shards stand for."""
    entry = SimpleNamespace(tensor_dim=0, mesh_dims=(2, 0))
    spec = SimpleNamespace(shard_order=(entry,))
    assert shards._order(spec, [Shard(0), Replicate(), Shard(0)]) == [2, 0, 1]
    strided = StridedShard(0, split_factor=2)
    assert shards._order(spec, [strided, Replicate(), Shard(0)]) == [0, 1, 2]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.empty(()),
        torch.empty(0),
        torch.empty(3, 4),
        torch.empty(3, 4).t(),
        torch.empty(5, device="meta"),
        torch.nn.Parameter(torch.empty(2, 3)),
        torch.nn.Buffer(torch.empty(2)),
    ],
    ids=lambda tensor: f"{type(tensor).__name__}{tuple(tensor.shape)}",
)
def test_a_plain_tensor_is_one_part(tensor):
    (part,) = shards.parts_of(tensor)
    assert part.region == tuple(slice(0, size) for size in tensor.shape)
    assert part.local.shape == tensor.shape == torch.Size(shards.whole_shape(tensor))
    assert part.local.stride() == tensor.stride()
    assert part.local.device == tensor.device
    assert not part.local.requires_grad
    assert part.local.data_ptr() == tensor.data_ptr()
    assert part.local._version == tensor._version


def test_a_flat_range_is_filled_as_a_range():
    """What other frameworks shard: a buffer that holds a run of a tensor's elements."""
    whole = fi.array((6, 7), fi.he_normal(), seed=7, name="w")
    buffer = torch.empty(20)
    (part,) = shards.parts_of(buffer[3:15])
    fi.fill(part.local.numpy(), fi.he_normal(), seed=7, name="w", shape=(6, 7), region=range(9, 21))
    assert buffer[3:15].tolist() == whole.reshape(-1)[9:21].tolist()


@pytest.mark.parametrize("given", [[1.0], np.empty(2), None])
def test_only_a_tensor_has_parts(given):
    with pytest.raises(TypeError, match="need a torch tensor or parameter"):
        shards.parts_of(given)
    with pytest.raises(TypeError, match=f"out is a {type(given).__name__}"):
        shards.whole_shape(given)


def test_a_tensor_made_of_tensors_is_refused():
    from torch.testing._internal.two_tensor import TwoTensor

    with pytest.raises(TypeError, match="TwoTensor, which keeps its elements in other tensors"):
        shards.parts_of(TwoTensor(torch.empty(2), torch.empty(2)))


def test_a_plain_module_has_no_flat_and_no_gathered_parameters():
    assert flat.flat_parts(torch.nn.Linear(2, 3)) == []
    gathered.check_sharded(torch.nn.Linear(2, 3))


@pytest.mark.parametrize("sharded", [True, False])
def test_earlier_versions_of_fsdp2_have_one_group(sharded):
    """Or none, where a module has no parameters; newer ones have a list, as test_shards.py sees."""
    module = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(2, 3))
    groups = [None, SimpleNamespace(is_sharded=sharded)]
    for child, group in zip(module, groups, strict=True):
        state = SimpleNamespace(_fsdp_param_group=group)
        child._get_fsdp_state = lambda state=state: state
    if sharded:
        gathered.check_sharded(module)
    else:
        with pytest.raises(ValueError, match=r"gathered by fully_shard in 1: what is written"):
            gathered.check_sharded(module)


@pytest.mark.parametrize("shape", [[1], [7], [3, 4], [2, 3, 4], [1, 5, 1, 2]])
def test_boxes_are_a_run_in_order(shape):
    whole = np.arange(math.prod(shape)).reshape(shape)
    for start, stop in itertools.combinations_with_replacement(range(whole.size + 1), 2):
        boxes = list(flat._boxes(shape, start, stop))
        found = [number for box in boxes for number in whole[box].reshape(-1)]
        assert found == list(range(start, stop))
        assert len(boxes) <= 2 * len(shape) - 1


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3, 4), (2, 1, 3), (0, 2)])
def test_memory_order_is_that_of_the_strides(shape):
    for axes in itertools.permutations(range(len(shape))):
        tensor = torch.empty([shape[axis] for axis in axes])
        back = [axes.index(axis) for axis in range(len(axes))]
        order = flat._memory_order(shape, tensor.permute(back).stride())
        long = [axis for axis in axes if shape[axis] > 1]
        assert sorted(order) == list(range(len(shape)))
        assert math.prod(shape) == 0 or [axis for axis in order if shape[axis] > 1] == long


@pytest.mark.parametrize(("shape", "strides"), [((3,), (2,)), ((2, 3), (0, 1)), ((2, 3), (4, 1))])
def test_gaps_have_no_memory_order(shape, strides):
    assert flat._memory_order(shape, strides) is None
