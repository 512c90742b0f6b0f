# SPDX-License-Identifier: MIT
"""FSDP2: every process fills its own shards, and together they are what one process makes.

    python examples/sharded/fsdp2.py
    torchrun --nproc-per-node 4 examples/sharded/fsdp2.py

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
    """Shard a model that has no memory yet, give it memory and weights, and take one step."""
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    with torch.device("meta"):
        model = Decoder()  # shapes only
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)

    model.to_empty(device=device)  # each process allocates its shards
    ft.initialize_(model, seed=0)  # and fills them, without communication
    ft.verify(model, seed=0)

    with ft.deferred():
        single = Decoder()
    ft.materialize(single, seed=0, device=device)  # the same model, whole
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.full_tensor(), single.get_parameter(name)), name
    say(f"{dist.get_world_size()} processes hold the weights that one process makes")

    tokens = torch.arange(64, device=device).reshape(2, 32)
    loss = model(tokens).square().mean()
    loss.backward()
    say(f"loss {loss.item():.4f}")


if __name__ == "__main__":
    launch(main)
