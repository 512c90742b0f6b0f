# SPDX-License-Identifier: MIT
"""Tensors that do not say which elements a process holds, and the errors that they get."""

from __future__ import annotations

import warnings

from flat_layouts import two_layers, wrapped
from shard_layouts import Perceptron, mesh_of, tensor_parallel


def partial():
    import torch
    from torch.distributed.tensor import DTensor, Partial

    from fastinit.torch.shards import parts_of

    parts_of(DTensor.from_local(torch.empty(4, 4), mesh_of(2, names=("tp",)), [Partial()]))


def short_local_tensor():
    """As `from_local` makes it of shards that are not those of torch.chunk."""
    import torch
    from torch.distributed.tensor import DTensor, Shard

    from fastinit.torch.shards import parts_of

    mesh = mesh_of(2)
    rows = (2, 5)[mesh.get_local_rank()]
    local = torch.empty(rows, 4)
    parts_of(DTensor.from_local(local, mesh, [Shard(0)], shape=torch.Size((7, 4)), stride=(4, 1)))


def unknown_placement():
    import torch
    from torch.distributed.tensor import DTensor, Shard
    from torch.distributed.tensor.placement_types import Placement

    from fastinit.torch.shards import parts_of

    class Ragged(Placement):
        def __repr__(self):
            return "Ragged()"

    tensor = DTensor.from_local(torch.empty(2, 4), mesh_of(2), [Shard(0)])
    tensor._spec.placements = (Ragged(),)
    parts_of(tensor)


def wrapped_local_tensor():
    import torch
    from torch.distributed.tensor import DTensor, Shard
    from torch.testing._internal.two_tensor import TwoTensor

    from fastinit.torch.shards import parts_of

    local = TwoTensor(torch.empty(2, 4), torch.empty(2, 4))
    parts_of(DTensor.from_local(local, mesh_of(2), [Shard(0)]))


def flat_piece():
    from fastinit.torch.shards import parts_of

    module = wrapped(two_layers("float32"), use_orig_params=True)
    parts_of(next(module.parameters()))


def fill_of_a_flat_piece():
    """Unless it is told which elements these are; the first process holds a whole parameter."""
    import fastinit as fi

    module = wrapped(two_layers("float32"), use_orig_params=True)
    pieces = [piece for piece in module.parameters() if piece.numel()]
    options = {"seed": 7, "name": "w"}
    fi.fill(pieces[0], "normal(0.02)", shape=(99,), region=range(pieces[0].numel()), **options)
    fi.fill(pieces[0], "normal(0.02)", **options)


def flat_parameter():
    from fastinit.torch.shards import whole_shape

    module = wrapped(two_layers("float32"), use_orig_params=False)
    whole_shape(next(module.parameters()))


def gathered_flat_parameter():
    from torch.distributed.fsdp import FullyShardedDataParallel

    from fastinit.torch.flat import flat_parts

    module = wrapped(two_layers("float32"), use_orig_params=True)
    with FullyShardedDataParallel.summon_full_params(module):
        flat_parts(module)


def flat_parameter_of_dtensors():
    from fastinit.torch.flat import flat_parts

    mesh = mesh_of(1, 2, names=("dp", "tp"))
    module = tensor_parallel(Perceptron(6, 4), mesh["tp"])
    flat_parts(wrapped(module, use_orig_params=True, device_mesh=mesh["dp"]))


def flat_parameter_with_gaps():
    import torch
    from torch import nn

    from fastinit.torch.flat import flat_parts

    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros(6, 8)[:, ::2])
    module.more = nn.Parameter(torch.zeros(100))  # or torch notices that the first one leaves it
    flat_parts(wrapped(module, use_orig_params=True))


def gathered_parameters():
    """A forward pass leaves the parameters of the root gathered."""
    import torch
    from torch import nn
    from torch.distributed.fsdp import fully_shard

    from fastinit.torch.gathered import check_sharded

    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    fully_shard(module[0], mesh=mesh_of(2))
    fully_shard(module, mesh=mesh_of(2))
    check_sharded(module)
    with torch.no_grad():
        module(torch.ones(1, 4))
    try:
        check_sharded(module)
    finally:
        module.reshard()
        check_sharded(module)  # an error here would hide the one above


REFUSALS = {
    case.__name__: case
    for case in (
        partial,
        short_local_tensor,
        unknown_placement,
        wrapped_local_tensor,
        flat_piece,
        fill_of_a_flat_piece,
        flat_parameter,
        gathered_flat_parameter,
        flat_parameter_of_dtensors,
        flat_parameter_with_gaps,
        gathered_parameters,
    )
}


def refuse_all(rank, size):
    """The name of each case -> the type and text of its error."""
    import torch.distributed as dist

    found = {}
    for name, case in REFUSALS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                case()
            except (TypeError, ValueError) as error:
                found[name] = type(error).__name__, str(error)
        dist.barrier()
    return found
