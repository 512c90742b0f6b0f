# SPDX-License-Identifier: MIT
"""Repeats one thing many times in this process, and prints what the process holds as it goes on.

    steady.py WHAT TIMES     WHAT is a function of LOOPS, which takes the number of the turn

A line of JSON has the bytes resident, the blocks of memory of the interpreter, the descriptors and
the threads after a tenth of the turns, after half, when every cache is full, and after all.
Nothing is judged here.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import fastinit as fi

DTYPES = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"]
SCHEMES = [fi.he_normal(), fi.normal(0.02), fi.zeros(), fi.truncated_normal(), "orthogonal()"]
NAMES = [f"h.{number}.weight" for number in range(3000)]  # more than are remembered
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
FOLDER = tempfile.TemporaryDirectory(prefix="fastinit-steady-", dir=MEMORY)
PLACE = Path(FOLDER.name)


def fills(turn: int) -> None:
    """New and strided arrays of many sizes, by one to three threads."""
    side = 1 + turn * 7 % 61
    array = fi.array(
        (side, 1 + turn % 13),
        SCHEMES[turn % 4],
        seed=turn,
        name=NAMES[turn % 3000],
        dtype=DTYPES[turn % 6],
        threads=1 + turn % 3,
    )
    fi.fill(array[::2, ::-1], SCHEMES[turn % 3], seed=turn, name="w", threads=1 + turn % 3)
    if turn % 500 == 0:
        fi.array((1100, 1000), "normal()", seed=turn, name="w", threads=3)
        fi.array((9, 5), "orthogonal()", seed=turn, name="w")


def plan_of(turn: int) -> fi.Plan:
    shape = (1 + turn % 40, 3)
    rows = [fi.Tensor(f"{name}.{turn % 700}", shape, fi.normal(0.02)) for name in "ab"]
    return fi.Plan(rows)


def writes(turn: int) -> None:
    """Tiny checkpoints, of one file and of two."""
    fi.write(
        plan_of(turn),
        PLACE / "written",
        seed=turn,
        overwrite=True,
        durability="none",
        max_shard_size=200 if turn % 2 else "5GB",
        threads=1 + turn % 2,
    )


def readings(turn: int) -> None:
    """A checkpoint is opened, looked at, verified, measured and made anew in part."""
    if turn == 0:
        fi.write(plan_of(0), PLACE / "read", seed=0, max_shard_size=8)
    checkpoint = fi.open(PLACE / "read")
    assert all(np.isfinite(array).all() for array in checkpoint.values())
    fi.verify(PLACE / "read")
    fi.stats(PLACE / "read")
    if turn % 10 == 0:
        fi.refill(PLACE / "read", "a.*", seed=turn, durability="none")


def maps(turn: int) -> None:
    """Files that are mapped to be written, and flushed."""
    path = PLACE / "map.bin"
    array = fi.memmap(
        path, (1 + turn % 50, 5), "normal()", seed=turn, name="w", dtype="float32", overwrite=True
    )
    array[0] = 1
    array.flush()


def errors(turn: int) -> None:
    """Calls that fail, before and after memory is there, and files that are none."""
    out = np.empty((300, 300), np.float32)
    path = PLACE / f"bad.{turn % 50}.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0" + b'{"a":{"dtype":1}' + bytes(turn % 9))
    for call in (
        lambda: fi.fill(out, "nope()", seed=0, name="w"),
        lambda: fi.fill(out, fi.constant(1e39), seed=0, name=NAMES[turn % 3000]),
        lambda: fi.fill(out, "normal()", seed=-1, name="w"),
        lambda: fi.array((10, 2**62), "normal()", seed=0, name="w"),
        lambda: fi.array((300, 300), "normal()", seed=0, name="w", region=np.s_[0 : 301 + turn]),
        lambda: fi.open(path),
        lambda: fi.verify(path),
        lambda: fi.plan(f"{path}.toml"),
        lambda: fi.write(plan_of(turn), PLACE / "a.file" / "below", seed=0),
    ):
        (PLACE / "a.file").touch()
        with contextlib.suppress(fi.errors.FastinitError, ValueError, IndexError, MemoryError):
            call()
            raise AssertionError("no error")


LOOPS: dict[str, Callable[[int], None]] = {
    loop.__name__: loop for loop in (fills, writes, readings, maps, errors)
}


def threads_now() -> int:
    """The threads of the system: one that was joined may still be about to end."""
    time.sleep(0.01)
    return len(os.listdir("/proc/self/task"))


def held() -> dict[str, int]:
    """What this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident": pages * os.sysconf("SC_PAGESIZE"),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "blocks": sys.getallocatedblocks(),
        "threads": min(threads_now() for _ in range(20)),
        "python threads": threading.active_count(),
    }


def main(what: str, times: int) -> None:
    """Repeat, and print a line after a tenth, a half and all of the turns."""
    lines = {times // 10, times // 2, times}
    for turn in range(times):
        LOOPS[what](turn)
        if turn + 1 in lines:
            print(json.dumps({"turns": turn + 1, **held()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
