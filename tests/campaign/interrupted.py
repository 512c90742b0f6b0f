# SPDX-License-Identifier: MIT
"""A program that survives Ctrl-C: writes, is interrupted, and writes again.  Never imported.

    python interrupted.py PLAN FOLDER OTHER [SECONDS]

It writes FOLDER again and again for a while and until nothing interrupts, in the main thread;
another thread does the same with OTHER meanwhile, which no signal may disturb.  With SECONDS, so
long after the beginning a child that only sleeps is made, and outlives the program.  The last line
of its output says how often it was interrupted, which descriptors and threads it has more than
before, and what failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from types import FrameType

import fastinit

SEED, SIZE = 3, "2500"
armed = False


def interrupt(number: int, frame: FrameType | None) -> None:
    """As Python's own handler does, but only inside a write: the program itself must survive."""
    if armed:
        raise KeyboardInterrupt


def write(folder: str) -> bool:
    """Write into the folder; False if that was interrupted."""
    global armed
    try:
        armed = True
        try:
            fastinit.write(plan, folder, seed=SEED, max_shard_size=SIZE, threads=2, overwrite=True)
        finally:
            armed = False
    except KeyboardInterrupt:
        armed = False
        return False
    return True


def held() -> list[str]:
    """What the open descriptors lead to."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that listed them
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(found)


def child() -> None:
    """A process that has inherited whatever was open, and does nothing."""
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(60)
        os._exit(0)


def undisturbed() -> None:
    """What the other thread does."""
    options = {"max_shard_size": SIZE, "threads": 2, "overwrite": True}
    try:
        while not over.is_set():
            fastinit.write(plan, sys.argv[3], seed=SEED, **options)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        failures.append(f"{type(error).__name__}: {error}")


def survive(seconds: float) -> int:
    """Write until the time is over and nothing interrupts; how often something did."""
    interrupts, deadline = 0, time.monotonic() + seconds
    while True:
        try:
            done = write(sys.argv[2])
        except KeyboardInterrupt:  # at the very moment at which the first one was dealt with
            done = False
        interrupts += not done
        if done and time.monotonic() > deadline:
            return interrupts


failures: list[str] = []
interrupts = 0
over = threading.Event()
signal.signal(signal.SIGINT, interrupt)
plan = fastinit.plan(sys.argv[1])
with tempfile.TemporaryDirectory() as first:
    fastinit.write(plan, first, seed=SEED, max_shard_size=SIZE)  # what stays open is open now
before, threads = held(), threading.active_count()
print("begin", flush=True)

thread = threading.Thread(target=undisturbed)
thread.start()
if sys.argv[4:]:
    fork = threading.Timer(float(sys.argv[4]), child)
    fork.start()
try:
    interrupts = survive(0.9)
except fastinit.FastinitError as error:
    failures.append(f"{type(error).__name__}: {error}")
signal.signal(signal.SIGINT, signal.SIG_IGN)  # what comes now finds nothing to interrupt
over.set()
thread.join()
if sys.argv[4:]:
    fork.join()
spare = [path for path in held() if path not in before]
if threading.active_count() != threads:
    spare.append(f"{threading.active_count() - threads} threads")
print(json.dumps({"interrupts": interrupts, "spare": spare, "failures": failures}))
