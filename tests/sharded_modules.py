# SPDX-License-Identifier: MIT
"""Sharded modules in the processes of a group: initialised, verified, and compared with one whole.

Each function returns, for each way of sharding, whether this process's parameters are byte for
byte parts of the module that one process makes.
"""

from __future__ import annotations

import contextlib


def whole(kind, seed=0):
    """The module that one process makes."""
    import fastinit.torch as ft

    with ft.deferred():
        module = kind()
    return ft.materialize(module, seed=seed)


def decoder():
    """A small model with norms, an embedding, tied weights, a table and a buffer."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(24)
            self.up, self.down = nn.Linear(24, 40), nn.Linear(40, 24)

        def forward(self, x):
            return x + self.down(torch.relu(self.up(self.norm(x))))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(50, 24, padding_idx=3)
            self.blocks = nn.ModuleList(Block() for _ in range(2))
            self.ramp = nn.Parameter(torch.arange(24.0) / 32)
            self.register_buffer("frequencies", 1 / 10 ** (torch.arange(12.0) / 12))
            self.head = nn.Linear(24, 50, bias=False)
            nn.init.normal_(self.head.weight, std=0.02)

        def forward(self, tokens):
            x = self.embed(tokens) * self.ramp
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    return Decoder()


def equal(module, reference):
    """Whether the parameters and buffers are the reference's, gathered where they are sharded."""
    import torch
    from torch.distributed.tensor import DTensor

    def gathered(tensor):
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    same = True
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        other = reference.get_parameter(name) if "freq" not in name else reference.get_buffer(name)
        same &= torch.equal(gathered(tensor.detach()), other.detach())
    return same


def fully_sharded(rank, size):
    """FSDP2: deferred, sharded, then materialised, or moved by to_empty and initialised."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    import fastinit.torch as ft

    mesh = init_device_mesh("cpu", (size,))
    reference, found = whole(decoder), {}
    for way in ("materialize", "to_empty, initialize_", "twin"):
        if way == "twin":
            with torch.device("meta"):
                module = decoder()
        else:
            with ft.deferred():
                module = decoder()
        for block in module.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(module, mesh=mesh)
        if way == "materialize":
            ft.materialize(module, seed=0)
        else:
            module.to_empty(device="cpu")
            if way == "twin":
                module.frequencies = reference.frequencies.clone()
                rules = {"ramp": "table('i0 / 32')", "head.weight": "normal(std=0.02)"}
                ft.initialize_(module, seed=0, rules=rules)
                found[way] = equal(module, reference)
                continue
            ft.initialize_(module, seed=0)
        ft.verify(module, seed=0)
        found[way] = equal(module, reference)
        module(torch.zeros(1, 3, dtype=torch.int64)).sum().backward()
        found[f"{way}: a step"] = all(p.grad is not None for p in module.parameters())
    return found


def tensor_parallel(rank, size):
    """TP, and FSDP2 over TP on a mesh of two dimensions."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    import fastinit.torch as ft

    styles = {
        "embed": RowwiseParallel(input_layouts=Replicate()),
        "blocks.*.up": ColwiseParallel(),
        "blocks.*.down": RowwiseParallel(),
    }
    reference, found = whole(decoder), {}
    meshes = {"tp": init_device_mesh("cpu", (size,), mesh_dim_names=("tp",))}
    if size == 4:
        meshes["dp, tp"] = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    for way, mesh in meshes.items():
        with ft.deferred():
            module = decoder()
        parallelize_module(module, mesh["tp"], styles)
        if "dp" in way:
            for block in module.blocks:
                fully_shard(block, mesh=mesh["dp"])
            fully_shard(module, mesh=mesh["dp"])
        ft.materialize(module, seed=0)
        found[way] = equal(module, reference) and ft.verify(module, seed=0) > 0
        with contextlib.suppress(StopIteration):
            local = next(p for p in module.parameters() if hasattr(p, "to_local")).to_local()
            with torch.no_grad():
                local.view(-1)[:1].add_(1)
    return found


def flat(rank, size):
    """FSDP1, whose flat parameters hold runs of elements."""
    import torch
    from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy

    import fastinit.torch as ft
    from fastinit.errors import ModuleError

    reference, found = whole(decoder), {}
    for original in (False, True):
        module = FullyShardedDataParallel(
            decoder(),
            use_orig_params=original,
            device_id=torch.device("cpu"),
            sharding_strategy=ShardingStrategy.FULL_SHARD,
        )
        rules = {"ramp": "table('i0 / 32')", "head.weight": "normal(std=0.02)"}
        ft.initialize_(module, seed=0, rules=rules)
        ft.verify(module, seed=0, rules=rules)
        with FullyShardedDataParallel.summon_full_params(module, writeback=False):
            inner = module._fsdp_wrapped_module
            found[f"use_orig_params={original}"] = all(
                torch.equal(inner.get_parameter(name), parameter)
                for name, parameter in reference.named_parameters()
            )
        try:
            ft.verify(module, seed=1, rules=rules)
            found[f"use_orig_params={original}: another seed"] = False
        except ModuleError:
            found[f"use_orig_params={original}: another seed"] = True
    return found
