# SPDX-License-Identifier: MIT
"""Runs a function in every process of a gloo group on loopback, and returns what each returns.

pytest's own process joins no group and forks nothing.  It starts one interpreter, which imports
torch once and forks the processes of all groups that a test needs, one group after the other.
Whatever happens, no process is left behind.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

TESTS = Path(__file__).parent
SETTINGS = {
    "GLOO_SOCKET_IFNAME": "lo",
    "OMP_NUM_THREADS": "1",
    "FASTINIT_THREADS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


class GroupError(AssertionError):
    """A process that failed, or was still at work when the time was over."""


@dataclass(frozen=True)
class Task:
    """``module.function(rank, size)``, of a module in tests/, in every process of a group."""

    module: str
    function: str
    size: int


def run(tasks, *, timeout, killed=()):
    """Run tasks one after the other, each in a group of new processes.

    Args:
        timeout: seconds for all of it.
        killed: ranks that end by SIGKILL, and therefore return nothing.

    Returns:
        task -> rank -> what the function returned, for ranks that were not killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = _output([folder, *map(asdict, tasks)], timeout)
        found = {}
        for number, task in enumerate(tasks):
            found[task] = {}
            for rank in range(task.size):
                result = Path(folder, f"{number}-{rank}")
                if result.exists():
                    found[task][rank] = pickle.loads(result.read_bytes())
                elif rank not in killed:
                    raise GroupError(f"{task}: rank {rank} returned nothing\n{output[-4000:]}")
        return found


def _output(arguments, timeout):
    """What the interpreter that runs the tasks prints.  No process of its session survives it."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, __file__, json.dumps(arguments)],
        env={**os.environ, **SETTINGS, "PYTHONPATH": path},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        return process.communicate(timeout=timeout)[0]
    except subprocess.TimeoutExpired:
        _kill_session(process.pid)
        output, _ = process.communicate()
        raise GroupError(f"not finished after {timeout} s\n{output[-4000:]}") from None
    finally:
        _kill_session(process.pid)


def _kill_session(session):
    """The forked processes belong to the session of the interpreter that forked them."""
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return


def _main(folder, *tasks):
    import torch
    import torch._dynamo
    import torch._inductor._functionalize_collectives
    import torch.distributed.fsdp
    import torch.distributed.tensor.parallel  # all here, once, and not in every process

    torch.set_num_threads(1)
    for number, task in enumerate(tasks):
        function = getattr(importlib.import_module(task["module"]), task["function"])
        ranks = {}
        for rank in range(task["size"]):
            child = os.fork()
            if not child:
                os._exit(_rank(function, rank, task["size"], Path(folder, str(number))))
            ranks[child] = rank
        _wait(ranks)


def _wait(ranks):
    """Wait for one group; a process that fails takes the others with it, which wait for it."""
    while ranks:
        child, status = os.wait()
        del ranks[child]
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            time.sleep(0.5)  # the others may fail too, and say why
            for other in ranks:
                os.kill(other, signal.SIGKILL)


def _rank(function, rank, size, stem):
    import torch.distributed as dist

    try:
        store = f"file://{stem}-store"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
        partial = Path(f"{stem}-{rank}.partial")
        partial.write_bytes(pickle.dumps(function(rank, size)))
        partial.rename(f"{stem}-{rank}")
    except BaseException:  # noqa: BLE001 - this process ends here, and its parent shows the text
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0  # without destroying the group: that waits for processes that a test has killed


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
