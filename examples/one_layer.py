# SPDX-License-Identifier: MIT
"""One layer on 1, 2 and 4 processes: each fills its own rows, and the whole is always the same.

    python examples/one_layer.py

It needs torch.  No process sends a value to another one before the weights are compared.  For whole
models on FSDP2, tensor parallelism and HSDP, see examples/sharded.
"""

from __future__ import annotations

import hashlib
import tempfile

import torch
import torch.distributed as dist

import fastinit as fi

SHAPE = (4096, 1024)


def rows_of(rank: int, size: int) -> torch.Tensor:
    """The rows of the layer that one process holds, filled without any other."""
    first, end = SHAPE[0] * rank // size, SHAPE[0] * (rank + 1) // size
    rows = torch.empty(end - first, SHAPE[1], dtype=torch.bfloat16)
    return fi.fill(
        rows,
        fi.kaiming_normal(nonlinearity="relu"),  # its scale follows from the whole shape
        seed=0,
        name="mlp.up.weight",
        shape=SHAPE,
        region=(slice(first, end), slice(None)),
        threads=1,
    )


def work(rank: int, size: int, meeting: str) -> None:
    """What each process does."""
    store = dist.FileStore(meeting, size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
    rows = rows_of(rank, size)
    parts = [torch.empty_like(rows) for _ in range(size)]
    dist.all_gather(parts, rows)  # only to compare
    if rank == 0:
        whole = torch.cat(parts).view(torch.uint8).numpy()
        found = hashlib.sha256(whole).hexdigest()[:16]
        print(f"{size} processes, {len(rows)} rows each: digest {found}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    for size in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.start_processes(
                work, (size, f"{folder}/meeting"), nprocs=size, start_method="fork"
            )
