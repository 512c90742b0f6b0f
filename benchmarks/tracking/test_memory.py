# SPDX-License-Identifier: MIT
"""The public calls, all threads: times what a memset, NumPy or a write of zeros takes.

A buffer is 256 MiB, well past the caches, but for the one small tensor.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import fastinit as fi
from fastinit.bench import measure
from fastinit.machine import parallel
from fastinit.numerics.dtypes import DTYPES
from tracking import machine
from tracking.results import NUMPY, TIMES, ZEROS

NORMAL = fi.normal(std=0.02)
FILLS = {
    "uniform float32": fi.uniform(-0.02, 0.02),
    "normal float32": NORMAL,
    "truncated -2..2 float32": fi.truncated_normal(std=0.02),
    "constant float32": fi.constant(0.5),
    "normal bfloat16": NORMAL,
}
MEMSET = f"{TIMES}memset"
ROUNDS = 21


def memset(out: np.ndarray) -> None:
    """With as many threads as a fill has."""
    measure.memset(out, parallel.thread_count())


@pytest.fixture
def size(track) -> int:
    """Bytes of a buffer."""
    return 2**20 if track.toy else 2**28


@pytest.mark.parametrize("row", [("memory", name) for name in FILLS])
def test_fill(row, track, size):
    scheme, dtype = FILLS[row[1]], DTYPES[row[1].rpartition(" ")[2]]
    out = np.ones(size // dtype.size, dtype.numpy)
    beside_memset(track, row, out, lambda: fi.fill(out, scheme, seed=0, name="w"))


@pytest.mark.parametrize("row", [("memory", "column shard, rows of 512")])
def test_column_shard(row, track, size):
    out = np.ones((size // 2048, 512), np.float32)
    shape, region = (len(out), 4096), np.s_[:, 512:1024]
    beside_memset(
        track,
        row,
        out,
        lambda: fi.fill(out, NORMAL, seed=0, name="w", shape=shape, region=region),
    )


@pytest.mark.parametrize("row", [("memory", "two columns of three in memory")])
def test_narrow_output(row, track, size):
    out = np.ones((size // 12, 3), np.float32)[:, :2]
    beside_memset(track, row, out, lambda: fi.fill(out, NORMAL, seed=0, name="w"))


@pytest.mark.parametrize("row", [("memory", "one column of 4,096")])
def test_narrow_region(row, track, size):
    out = np.ones((size // 16, 1), np.float32)
    shape, region = (len(out), 4096), np.s_[:, :1]
    beside_memset(
        track,
        row,
        out,
        lambda: fi.fill(out, NORMAL, seed=0, name="w", shape=shape, region=region),
    )


@pytest.mark.parametrize("row", [("memory", "transposed output")])
def test_transposed_output(row, track, size):
    out = np.ones((size // 2**14, 4096), np.float32)
    beside_memset(track, row, out, lambda: fi.fill(out.T, NORMAL, seed=0, name="w"))


def beside_memset(track, row, out: np.ndarray, call: Callable[[], object]) -> None:
    beside = np.ones(out.nbytes, np.uint8)
    track(
        row,
        call,
        samples=out.size,
        beside=("memset", lambda: memset(beside)),
        unit=MEMSET,
        rounds=ROUNDS,
        all_threads=True,
    )


@pytest.mark.parametrize("row", [("calls", "new array of 256 MiB")])
def test_new_array(row, track, size):
    """Against a memset of new memory: the pages are the larger part of both."""
    count = size // 4
    track(
        row,
        lambda: fi.array((count,), NORMAL, seed=0, name="w"),
        samples=count,
        beside=(
            "memset of new memory",
            lambda: memset(np.empty(size, np.uint8)),
        ),
        unit=f"{TIMES}memset of new memory",
        rounds=ROUNDS,
        all_threads=True,
    )


@pytest.mark.parametrize("row", [("calls", "new array of 1,000")])
def test_small_array(row, track):
    """What a call costs, for most of a small tensor's time is not the drawing of it."""
    times = 10 if track.toy else 500
    generator = np.random.Generator(np.random.SFC64(0))

    def ours() -> None:
        for _ in range(times):
            fi.array((1000,), NORMAL, seed=0, name="w")

    def numpys() -> None:
        for _ in range(times):
            generator.standard_normal(1000, np.float32)

    track(
        row,
        ours,
        samples=1000 * times,
        beside=(NUMPY, numpys),
        unit=TIMES + NUMPY,
        rounds=3 * ROUNDS,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=machine.files()[1]) as name:
        yield Path(name) / "checkpoint"


def write_zeros(folder: Path, size: int) -> None:
    """The plainest way to a file of so many bytes; nothing of it is fastinit's."""
    piece = bytes(2**20)
    folder.mkdir()
    descriptor = os.open(folder / "temporary", os.O_WRONLY | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, size)
    for at in range(0, size, len(piece)):
        os.pwrite(descriptor, piece, at)
    os.close(descriptor)
    os.rename(folder / "temporary", folder / "zeros")


@pytest.mark.parametrize("row", [("calls", "checkpoint of 256 MiB")])
def test_checkpoint(row, track, size, folder):
    """Nothing is flushed, for a flush would be the larger part of both."""
    side = 512 if track.toy else 4096
    layers = range(size // (4 * side * side))
    plan = fi.Plan([fi.Tensor(f"h.{i}.weight", (side, side), NORMAL) for i in layers])

    def ours() -> None:
        fi.write(plan, folder, seed=0, dtype="float32", durability="none")
        shutil.rmtree(folder)

    def plain() -> None:
        write_zeros(folder, size)
        shutil.rmtree(folder)

    track(
        row,
        ours,
        samples=size // 4,
        beside=(ZEROS, plain),
        unit=TIMES + ZEROS,
        rounds=ROUNDS,
        all_threads=True,
    )
