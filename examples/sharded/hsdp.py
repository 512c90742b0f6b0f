# SPDX-License-Identifier: MIT
"""HSDP: replicas of sharded models, and every replica has the same weights without a broadcast.

    python examples/sharded/hsdp.py
    torchrun --nproc-per-node 4 examples/sharded/hsdp.py

It needs torch.  The first command starts four processes itself.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from decoder import Decoder
from processes import launch, say
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import fastinit.torch as ft


def main(device: torch.device) -> None:
    """Shard over one mesh dimension, replicate over the other; two replicas, if possible."""
    size = dist.get_world_size()
    replicas = 2 if size % 2 == 0 else 1
    names = ("replicate", "shard")
    mesh = init_device_mesh(device.type, (replicas, size // replicas), mesh_dim_names=names)
    with torch.device("meta"):
        model = Decoder().to(torch.bfloat16)
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)

    model.to_empty(device=device)
    ft.initialize_(model, seed=0)
    ft.verify(model, seed=0)

    group = mesh.get_group("replicate")
    for name, parameter in model.named_parameters():
        mine = parameter.to_local().float()
        least, most = mine.clone(), mine.clone()
        dist.all_reduce(least, dist.ReduceOp.MIN, group)
        dist.all_reduce(most, dist.ReduceOp.MAX, group)
        assert torch.equal(least, most), name
    say(f"{replicas} replicas of {size // replicas} shards are equal, and nobody sent anything")


if __name__ == "__main__":
    launch(main)
