# SPDX-License-Identifier: MIT
"""The layouts of FullyShardedDataParallel (FSDP1), and what every process finds out about each.

A layout is a function (dtype) -> wrapped module, whose parameters are their element numbers.
"""

from __future__ import annotations

import traceback
import warnings

from shard_layouts import numbered
from shard_reports import DTYPES, SEED, digest_of, examine, same, scheme_of, whole_of

import fastinit as fi

FLAT_LAYOUTS = {}


def flat_layout(*sizes):
    """Register a layout for groups of these sizes."""

    def register(build):
        FLAT_LAYOUTS[build.__name__] = build, sizes
        return build

    return register


def wrapped(module, **options):
    import torch
    from torch.distributed.fsdp import FullyShardedDataParallel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that FSDP1 is deprecated, or needs a GPU
        return FullyShardedDataParallel(module, device_id=torch.device("cpu"), **options)


def two_layers(dtype):
    from torch import nn

    return numbered(nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3)), dtype)


@flat_layout(2, 3, 4)
def original_parameters(dtype):
    return wrapped(two_layers(dtype), use_orig_params=True)


@flat_layout(2, 3, 4)
def flat_parameters(dtype):
    return wrapped(two_layers(dtype), use_orig_params=False)


@flat_layout(4)
def nested_wrappers(dtype):
    """Each layer has a flat parameter; the root has one for what is left."""
    from torch import nn
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    policy = ModuleWrapPolicy({nn.Linear})
    return wrapped(two_layers(dtype), use_orig_params=True, auto_wrap_policy=policy)


@flat_layout(3)
def inside_another_module(dtype):
    from torch import nn

    module = nn.Module()
    module.body = wrapped(two_layers(dtype), use_orig_params=False)
    return module


@flat_layout(3)
def not_sharded(dtype):
    from torch.distributed.fsdp import ShardingStrategy

    strategy = ShardingStrategy.NO_SHARD
    return wrapped(two_layers(dtype), use_orig_params=True, sharding_strategy=strategy)


@flat_layout(4)
def replicas_of_shards(dtype):
    from shard_layouts import mesh_of
    from torch.distributed.fsdp import ShardingStrategy

    mesh = mesh_of(2, 2, names=("replicate", "shard"))
    strategy = ShardingStrategy.HYBRID_SHARD
    return wrapped(
        two_layers(dtype), use_orig_params=True, sharding_strategy=strategy, device_mesh=mesh
    )


@flat_layout(3, 4)
def channels_last(dtype):
    """Convolutions whose memory, and so whose flat parameter, has the channels last."""
    import torch
    from torch import nn

    module = nn.Sequential(nn.Conv2d(3, 4, (2, 3)), nn.Conv2d(4, 5, 1))
    module = module.to(memory_format=torch.channels_last)
    return wrapped(numbered(module, dtype), use_orig_params=True)


def reports_of_flat(module, dtype):
    import torch
    from torch.distributed.fsdp import FullyShardedDataParallel

    from fastinit.torch.flat import flat_parts
    from fastinit.torch.memory import array_of

    reports = {}
    with torch.no_grad():
        try:
            for name, shape, parts, _ in flat_parts(module):
                report = examine(name, parts, shape, dtype)
                for part in parts:
                    options = {"shape": shape, "region": part.region}
                    fi.fill(part.local, scheme_of(shape), seed=SEED, name=name, **options)
                reports[name] = report | {"digest": digest_of(parts)}
        except Exception:  # noqa: BLE001 - other processes wait for this one below
            reports["all"] = {"error": traceback.format_exc()}
        with FullyShardedDataParallel.summon_full_params(module):
            for name, parameter in module.named_parameters():
                name = name.replace("_fsdp_wrapped_module.", "")
                if "flat_param" not in name:
                    want = whole_of(name, tuple(parameter.shape), dtype)
                    reports.setdefault(name, {})["equal"] = same(array_of(parameter), want)
    return reports


def examine_flat(rank, size):
    """(layout, dtype) -> name -> report, for all layouts of groups of this size."""
    import torch.distributed as dist

    found = {}
    for name, (build, sizes) in FLAT_LAYOUTS.items():
        for dtype in DTYPES if size in sizes else ():
            found[name, dtype] = reports_of_flat(build(dtype), dtype)
    dist.barrier()
    return found
