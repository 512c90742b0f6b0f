# SPDX-License-Identifier: MIT
"""Processes for the examples: those of torchrun, or else four on this machine.

It knows nothing of models or of fastinit.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import torch
import torch.distributed as dist

HERE = 4
"""Processes to start without torchrun."""


def launch(main: Callable[[torch.device], None]) -> None:
    """Call ``main(device)`` in every process of a group."""
    if "RANK" in os.environ:  # torchrun has set this, and the address
        _join(main)
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_start, (main, port), nprocs=HERE)


def _start(rank: int, main: Callable[[torch.device], None], port: int) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": HERE, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    _join(main)


def _join(main: Callable[[torch.device], None]) -> None:
    local = int(os.environ["LOCAL_RANK"])
    if torch.cuda.device_count() > local:
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        torch.set_num_threads(1)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        main(device)
    finally:
        dist.destroy_process_group()


def say(text: str) -> None:
    """Print once, not once per process."""
    if dist.get_rank() == 0:
        print(text, flush=True)
