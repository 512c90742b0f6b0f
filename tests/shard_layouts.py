# SPDX-License-Identifier: MIT
"""The layouts in which torch shards tensors, each built in every process of a group.

A layout is a function (dtype) -> name -> sharded tensor, whose elements are their own row-major
numbers in the whole tensor (`numbered`), so that torch itself says which elements a process holds.
Tensors that torch leaves unset, as after `to_empty`, are named with a leading "?".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

MODULUS = {"float32": 2**24, "bfloat16": 2**8}
"""Integers below are exact."""


@dataclass(frozen=True)
class Layout:
    build: Any
    sizes: tuple[int, ...]


LAYOUTS: dict[str, Layout] = {}


def layout(*sizes):
    """Register a layout for groups of these sizes."""

    def register(build):
        LAYOUTS[build.__name__] = Layout(build, sizes)
        return build

    return register


def numbers(shape, dtype):
    """A torch tensor of element numbers."""
    import torch

    count = torch.arange(math.prod(shape)) % MODULUS[dtype]
    return count.reshape(shape).to(getattr(torch, dtype))


def numbered(module, dtype):
    """`module` with every parameter set to its element numbers."""
    import torch

    module = module.to(getattr(torch, dtype))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(numbers(tuple(parameter.shape), dtype))
    return module


def mesh_of(*shape, names=None):
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh("cpu", shape, mesh_dim_names=names)


def distributed(shape, dtype, mesh, placements):
    """A DTensor that torch splits in this process, without communication."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(numbers(shape, dtype), mesh, placements, src_data_rank=None)


def world():
    import torch.distributed as dist

    return dist.get_world_size()


class Perceptron:
    """A maker of modules: a class of torch's cannot be written before torch is imported."""

    def __new__(cls, width, hidden):
        from torch import nn

        module = nn.Module()
        module.norm = nn.LayerNorm(width)
        module.up = nn.Linear(width, hidden)
        module.down = nn.Linear(hidden, width)
        module.forward = lambda x: module.down(module.up(module.norm(x)))
        return module


def tensor_parallel(module, mesh):
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        SequenceParallel,
        parallelize_module,
    )

    styles = {"up": ColwiseParallel(), "down": RowwiseParallel(), "norm": SequenceParallel()}
    return parallelize_module(module, mesh, styles)


@layout(2, 3, 4)
def shard_on_every_axis(dtype):
    from torch.distributed.tensor import Shard

    mesh = mesh_of(world())
    shapes = [(7,), (10, 7), (6, 7, 5), (2, 3, 4, 5)]
    return {
        f"{shape} {axis}": distributed(shape, dtype, mesh, [Shard(axis)])
        for shape in shapes
        for axis in range(-len(shape), len(shape))
    }


@layout(3, 4)
def empty_shards(dtype):
    from torch.distributed.tensor import Shard

    mesh = mesh_of(world())
    shapes = [(1, 4), (2, 3), (0, 3), (3, 0)]
    return {str(shape): distributed(shape, dtype, mesh, [Shard(0)]) for shape in shapes}


@layout(2, 4)
def replicated(dtype):
    from torch.distributed.tensor import Replicate

    mesh = mesh_of(world())
    return {
        str(shape): distributed(shape, dtype, mesh, [Replicate()])
        for shape in [(), (1,), (5, 3), (0,)]
    }


@layout(2, 3, 4)
def strided_alone(dtype):
    from torch.distributed.tensor.placement_types import _StridedShard

    mesh = mesh_of(world())
    return {
        f"{rows} {factor} {axis}": distributed(
            (rows, 6) if axis == 0 else (6, rows),
            dtype,
            mesh,
            [_StridedShard(axis, split_factor=factor)],
        )
        for rows in (24, 11, 5)
        for factor in (1, 3)
        for axis in (0, 1)
    }


@layout(2, 3, 4)
def submesh(dtype):
    """The last process has no coordinate."""
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import Shard

    mesh = DeviceMesh("cpu", list(range(world() - 1)))
    return {"rows": distributed((7, 3), dtype, mesh, [Shard(0)])}


@layout(4)
def two_submeshes(dtype):
    """Each process has a coordinate in its own mesh dimension of a larger mesh."""
    from torch.distributed.tensor import Shard

    mesh = mesh_of(2, 2, names=("dp", "tp"))
    return {
        name: distributed((7, 3), dtype, mesh[name], [Shard(axis)])
        for name in ("dp", "tp")
        for axis in (0, 1)
    }


@layout(4)
def two_dimensions(dtype):
    from torch.distributed.tensor import Replicate, Shard

    mesh = mesh_of(2, 2)
    kinds = [Shard(0), Shard(1), Replicate()]
    return {
        f"{shape} {left} {right}": distributed(shape, dtype, mesh, [left, right])
        for shape in [(11, 6), (3, 2)]
        for left in kinds
        for right in kinds
    }


@layout(4)
def strided_and_shard(dtype):
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.placement_types import _StridedShard

    mesh = mesh_of(2, 2)

    def strided(axis, factor):
        return _StridedShard(axis, split_factor=factor)

    pairs = [
        [strided(0, 2), Shard(0)],
        [Shard(0), strided(0, 2)],
        [strided(0, 3), Replicate()],
        [Replicate(), strided(1, 3)],
        [strided(1, 2), Shard(1)],
        [strided(0, 2), Shard(1)],
        [strided(0, 2), strided(1, 3)],
        [strided(-1, 2), Shard(-2)],
    ]
    return {
        f"{rows} {pair}": distributed((rows, 6), dtype, mesh, pair)
        for rows in (7, 8, 10)
        for pair in pairs
    }


@layout(4)
def three_dimensions(dtype):
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.placement_types import _StridedShard

    found = {}
    for sizes in [(2, 1, 2), (1, 2, 2), (2, 2, 1)]:
        mesh = mesh_of(*sizes)
        for placements in (
            [Replicate(), Shard(0), Shard(0)],
            [Shard(1), Shard(0), Shard(1)],
            [Replicate(), _StridedShard(0, split_factor=2), Shard(0)],
            [Shard(2), Shard(1), Shard(0)],
        ):
            found[f"{sizes} {placements}"] = distributed((7, 6, 5), dtype, mesh, placements)
    return found


@layout(4)
def flattened_mesh_dimensions(dtype):
    from torch.distributed.tensor import Shard

    mesh = mesh_of(2, 2, names=("dp", "cp"))
    flat = mesh["dp", "cp"]._flatten("dp_cp")
    return {f"{rows}": distributed((rows, 3), dtype, flat, [Shard(0)]) for rows in (3, 10, 12)}


@layout(2, 4)
def views_of_shards(dtype):
    """Flattening a tensor sharded on its last axis makes a strided shard of many runs."""
    from torch.distributed.tensor import Shard

    mesh = mesh_of(world())
    return {
        "flatten": distributed((4, 8), dtype, mesh, [Shard(1)]).flatten(),
        "transpose": distributed((8, 1), dtype, mesh, [Shard(0)]).t(),
    }


@layout(4)
def another_shard_order(dtype):
    """The second mesh dimension cuts first, as a DTensor's spec can say without strided shards."""
    from torch.distributed.tensor import DTensor, Shard
    from torch.distributed.tensor._dtensor_spec import DTensorSpec, ShardOrderEntry, TensorMeta

    mesh = mesh_of(2, 2)
    found = {}
    for rows in (7, 8, 10):
        whole = numbers((rows, 3), dtype)
        first, second = mesh.get_coordinate()
        local = whole.chunk(2)[second].chunk(2)[first].contiguous()
        meta = TensorMeta(whole.shape, whole.stride(), whole.dtype)
        order = (ShardOrderEntry(tensor_dim=0, mesh_dims=(1, 0)),)
        spec = DTensorSpec(mesh, (Shard(0), Shard(0)), meta, shard_order=order)
        found[str(rows)] = DTensor(local, spec, requires_grad=False)
    return found


@layout(2, 3, 4)
def fsdp2(dtype):
    from torch import nn
    from torch.distributed.fsdp import fully_shard

    mesh = mesh_of(world())
    layers = [nn.Linear(10, 7), nn.Linear(7, 5), nn.LayerNorm(5), nn.Embedding(3, 4)]
    module = numbered(nn.Sequential(*layers), dtype)
    for layer in module:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return dict(module.named_parameters())


@layout(2, 4)
def fsdp2_from_meta(dtype):
    import torch
    from torch import nn
    from torch.distributed.fsdp import fully_shard

    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(10, 7), nn.LayerNorm(7), nn.Linear(7, 3, bias=False))
    module.to(getattr(torch, dtype))
    for layer in module:
        fully_shard(layer, mesh=mesh_of(world()))
    module.to_empty(device="cpu")
    return {f"?{name}": parameter for name, parameter in module.named_parameters()}


@layout(2, 4)
def fsdp2_on_the_second_axis(dtype):
    from torch import nn
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard

    module = numbered(nn.Linear(8, 6), dtype)

    def place(parameter):
        return Shard(1) if parameter.ndim == 2 else None

    fully_shard(module, mesh=mesh_of(world()), shard_placement_fn=place)
    return dict(module.named_parameters())


@layout(2, 3)
def tensor_parallel_alone(dtype):
    found = {}
    for hidden in (12, 7):
        module = tensor_parallel(numbered(Perceptron(6, hidden), dtype), mesh_of(world()))
        found |= {f"{hidden} {name}": value for name, value in module.named_parameters()}
    return found


@layout(2)
def vocabulary_parallel(dtype):
    from torch import nn
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import RowwiseParallel, parallelize_module

    module = numbered(nn.Sequential(nn.Embedding(9, 4)), dtype)
    style = {"0": RowwiseParallel(input_layouts=Replicate())}
    return dict(parallelize_module(module, mesh_of(2), style).named_parameters())


@layout(4)
def fsdp2_over_tensor_parallel(dtype):
    from torch.distributed.fsdp import fully_shard

    mesh = mesh_of(2, 2, names=("dp", "tp"))
    found = {}
    for hidden in (7, 8, 10):
        module = tensor_parallel(numbered(Perceptron(12, hidden), dtype), mesh["tp"])
        fully_shard(module, mesh=mesh["dp"])
        found |= {f"{hidden} {name}": value for name, value in module.named_parameters()}
    return found


@layout(4)
def hsdp(dtype):
    from torch import nn
    from torch.distributed.fsdp import fully_shard

    module = numbered(nn.Linear(6, 7), dtype)
    fully_shard(module, mesh=mesh_of(2, 2, names=("replicate", "shard")))
    return dict(module.named_parameters())


@layout(4)
def hsdp_over_tensor_parallel(dtype):
    from torch.distributed.fsdp import fully_shard

    found = {}
    for sizes in [(2, 1, 2), (1, 2, 2)]:
        mesh = mesh_of(*sizes, names=("replicate", "dp", "tp"))
        module = tensor_parallel(numbered(Perceptron(12, 10), dtype), mesh["tp"])
        fully_shard(module, mesh=mesh["replicate", "dp"])
        found |= {f"{sizes} {name}": value for name, value in module.named_parameters()}
    return found


@layout(4)
def experts(dtype):
    """A stack of experts: sharded over the mesh dimension "ep", then by FSDP2 on either axis."""
    from torch import nn
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard

    mesh = mesh_of(2, 2, names=("dp", "ep"))
    found = {}
    for count, axis in [(4, 0), (8, 0), (6, 0), (2, 1), (4, 2)]:
        module = nn.Module()
        stack = distributed((count, 6, 4), dtype, mesh["ep"], [Shard(0)])
        module.stack = nn.Parameter(stack)
        found[f"{count}"] = module.stack.detach()
        fully_shard(module, mesh=mesh["dp"], shard_placement_fn=lambda _, axis=axis: Shard(axis))
        found[f"{count} {axis}"] = module.stack
    return found
