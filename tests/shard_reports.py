# SPDX-License-Identifier: MIT
"""What every process of a group finds out about its parts of sharded tensors.

The tests compare the reports of the processes; nothing here asserts.
"""

from __future__ import annotations

import hashlib
import math
import traceback

from shard_layouts import LAYOUTS, numbers

import fastinit as fi

SEED = 7
DTYPES = ("float32", "bfloat16")


def regions_of(parts):
    """Regions that can be compared and pickled."""
    return [
        ("range", part.region.start, part.region.stop)
        if isinstance(part.region, range)
        else tuple((axis.start, axis.stop) for axis in part.region)
        for part in parts
    ]


def part_of(whole, region):
    return (
        whole.reshape(-1)[region.start : region.stop]
        if isinstance(region, range)
        else whole[region]
    )


def same(left, right):
    return left.shape == right.shape and left.tobytes() == right.tobytes()


def examine(name, parts, shape, dtype):
    """What can be said of the element numbers in `parts`."""
    from fastinit.torch.memory import array_of

    counted = numbers(shape, dtype)
    pairs = [(array_of(part.local), part_of(array_of(counted), part.region)) for part in parts]
    numbered = name.startswith("?") or all(same(*pair) for pair in pairs)
    return {"regions": regions_of(parts), "numbers": numbered}


def digest_of(parts):
    from fastinit.torch.memory import array_of

    drawn = b"".join(array_of(part.local).tobytes() for part in parts)
    return hashlib.sha256(drawn).hexdigest()


def scheme_of(shape):
    return fi.he_normal() if len(shape) > 1 else fi.normal(std=0.02)


def whole_of(name, shape, dtype):
    """The whole tensor, as one process makes it."""
    return fi.array(shape, scheme_of(shape), seed=SEED, name=name, dtype=dtype)


def report_of(name, tensor, dtype):
    """Examine a DTensor, and fill it."""
    from fastinit.torch.shards import parts_of, whole_shape

    shape, local, parts = whole_shape(tensor), tensor.to_local(), parts_of(tensor)
    report = examine(name, parts, shape, dtype)
    report["count"] = sum(part.local.numel() for part in parts) == local.numel()
    local.fill_(math.nan)
    fi.fill(tensor, scheme_of(shape), seed=SEED, name=name)
    report["covers"] = not bool(local.isnan().any())
    return report | {"digest": digest_of(parts)}


def reports_of(tensors, dtype):
    import torch

    from fastinit.torch.memory import array_of

    reports = {}
    for name, tensor in tensors.items():
        with torch.no_grad():
            try:
                report = report_of(name, tensor, dtype)
            except Exception:  # noqa: BLE001 - other processes wait for this one below
                report = {"error": traceback.format_exc()}
            if tensor.device_mesh.get_coordinate() is not None:
                whole = tensor.full_tensor()
                report["equal"] = same(array_of(whole), whole_of(name, tuple(tensor.shape), dtype))
            reports[name] = report
    return reports


def examine_all(rank, size):
    """(layout, dtype) -> name -> report, for all layouts of groups of this size."""
    import torch.distributed as dist

    found = {}
    for name, layout in LAYOUTS.items():
        for dtype in DTYPES if size in layout.sizes else ():
            found[name, dtype] = reports_of(layout.build(dtype), dtype)
    dist.barrier()
    return found
