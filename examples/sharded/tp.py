# SPDX-License-Identifier: MIT
"""Tensor parallelism: the columns and rows of each layer lie in different processes.

    python examples/sharded/tp.py
    torchrun --nproc-per-node 4 examples/sharded/tp.py

It needs torch.  The first command starts four processes itself.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from decoder import Decoder
from processes import launch, say
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import fastinit.torch as ft


def main(device: torch.device) -> None:
    """Cut the layers of a model that has no memory yet, then give it memory and weights."""
    mesh = init_device_mesh(device.type, (dist.get_world_size(),), mesh_dim_names=("tp",))
    with torch.device("meta"):
        model = Decoder()
    styles = {
        "embed": RowwiseParallel(input_layouts=Replicate()),
        "blocks.*.up": ColwiseParallel(),
        "blocks.*.down": RowwiseParallel(),
        "head": ColwiseParallel(output_layouts=Replicate()),
    }
    parallelize_module(model, mesh, styles)

    model.to_empty(device=device)
    ft.initialize_(model, seed=0)  # scales follow from the whole layer, not from a process's part
    ft.verify(model, seed=0)

    with ft.deferred():
        single = Decoder()
    ft.materialize(single, seed=0, device=device)
    for name, parameter in model.named_parameters():
        whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        assert torch.equal(whole, single.get_parameter(name)), name
    say(f"{dist.get_world_size()} processes hold the weights that one process makes")

    tokens = torch.arange(64, device=device).reshape(2, 32)
    difference = (model(tokens) - single(tokens)).abs().max().item()
    say(f"largest difference between their outputs {difference:.1e}")


if __name__ == "__main__":
    launch(main)
