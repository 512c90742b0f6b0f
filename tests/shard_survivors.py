# SPDX-License-Identifier: MIT
"""What fills of shards need, which is neither other processes nor memory, and that they last."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from flat_layouts import two_layers, wrapped
from shard_layouts import Perceptron, mesh_of, tensor_parallel
from shard_reports import part_of, same

import fastinit as fi

DEAD = 1
"""The rank that is killed."""


def module_of(count, size):
    """A module on meta, sharded by FSDP2 over all processes."""
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.distributed.fsdp import fully_shard

    with torch.device("meta"):
        module = nn.Sequential(*[nn.Linear(size, size, bias=False) for _ in range(count)])
    fully_shard(module, mesh=mesh_of(dist.get_world_size()))
    return module


def survive(rank, size):
    """Fill eight tensors; one process is killed after the first.  Seconds, and what is right."""
    import torch.distributed as dist

    from fastinit.torch.memory import array_of
    from fastinit.torch.shards import parts_of

    module = module_of(8, 512).to_empty(device="cpu")
    dist.barrier()
    start, right = time.perf_counter(), []
    for name, parameter in module.named_parameters():
        fi.fill(parameter, fi.he_normal(), seed=7, name=name)
        if rank == DEAD:
            os.kill(os.getpid(), signal.SIGKILL)
        whole = fi.array((512, 512), fi.he_normal(), seed=7, name=name)
        (part,) = parts_of(parameter)
        right.append(same(array_of(part.local), part_of(whole, part.region)))
    return {"right": right, "seconds": time.perf_counter() - start}


def hang(rank, size):
    print(f"process {os.getpid()} sleeps", flush=True)
    time.sleep(1000)


def memory_of_process(kind):
    """VmRSS or VmHWM, its highest, in bytes."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.partition(f"{kind}:")[2].split()[0])


def footprint(rank, size):
    """Highest memory while a tensor of 1 GiB is made and filled, above what there was before."""
    import torch.distributed as dist

    small = module_of(1, 64).to_empty(device="cpu")
    fi.fill(small[0].weight, fi.he_normal(), seed=7, name="warm-up")
    module = module_of(1, 2**14)
    dist.barrier()
    before = memory_of_process("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    module.to_empty(device="cpu")
    fi.fill(module[0].weight, fi.he_normal(), seed=7, name="weight")
    grown = memory_of_process("VmHWM") - before
    local = module[0].weight.to_local()
    return {"shard": local.nbytes, "grown": grown, "set": bool(local[-1].all())}


def last(rank, size):
    """After a forward and a backward pass, which parameters still have what was drawn."""
    import torch
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    from fastinit.torch.flat import flat_parts
    from fastinit.torch.memory import array_of

    def still(name, whole):
        want = fi.array(tuple(whole.shape), "normal(0.02)", seed=7, name=name)
        return same(array_of(whole.detach()), want)

    mesh, kept = mesh_of(2, 2, names=("dp", "tp")), {}
    with torch.device("meta"):
        sharded = tensor_parallel(Perceptron(12, 10), mesh["tp"])
    fully_shard(sharded, mesh=mesh["dp"])
    sharded.to_empty(device="cpu")
    for name, parameter in sharded.named_parameters():
        fi.fill(parameter, "normal(0.02)", seed=7, name=name)
    sharded(torch.ones(2, 4, 12)).sum().backward()
    for name, parameter in sharded.named_parameters():
        kept[f"fsdp2 {name}"] = still(name, parameter.full_tensor())

    flat = wrapped(two_layers("float32"), use_orig_params=True)
    for name, shape, parts, _ in flat_parts(flat):
        for part in parts:
            options = {"shape": shape, "region": part.region}
            fi.fill(part.local, "normal(0.02)", seed=7, name=name, **options)
    flat(torch.ones(2, 5)).sum().backward()
    with FullyShardedDataParallel.summon_full_params(flat):
        for name, parameter in flat.named_parameters():
            kept[f"fsdp1 {name}"] = still(name, parameter)
    return kept
