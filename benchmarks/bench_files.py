# SPDX-License-Identifier: MIT
"""Which calls write a file fastest whose bytes are made on the way?

    python benchmarks/bench_files.py [--folder DIR] [--size 512] [--rounds 5] [--toy] [--json FILE]

Every way writes the same bfloat16 normals, and zeros in their place as the ceiling, all in turn and
each in a process of its own, whose CPU time and peak memory are reported.  The first way is the
library's; the others differ from it in what their names say.
"""

from __future__ import annotations

import argparse
import errno
import mmap
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from saving import save
from usage import Usage, in_a_child

from fastinit.bench import measure
from fastinit.machine.parallel import run
from fastinit.numerics.dtypes import DTYPES
from fastinit.schemes.sampling import sampler
from fastinit.values.samplers import Sampler
from fastinit.values.stream import Stream

DTYPE = "bfloat16"
TITLES = ("GB/s", "of zeros", "of library", "user s/GB", "sys s/GB", "peak MiB")
ZEROS, NORMAL = "zeros()", "normal(std=0.02)"


@dataclass(frozen=True)
class Way:
    """How the bytes get into the files."""

    call: str = "pwrite"  # or direct (O_DIRECT), or map
    chunk: int = 2**20
    files: int = 1
    allocate: bool = True  # by fallocate, else only the size is set
    early: int = 2**24  # bytes after which the disk is told to begin, if any
    flush: int = 2**28  # bytes after which it is waited for
    durability: str = "full"
    threads: int = 2


LIBRARY = Way()
NONE = replace(LIBRARY, durability="none")
WAYS = {
    "as the library": LIBRARY,
    "O_DIRECT, 1 MiB": replace(LIBRARY, call="direct"),
    "O_DIRECT, 4 MiB": replace(LIBRARY, call="direct", chunk=2**22),
    "map": replace(LIBRARY, call="map"),
    "256 KiB chunks": replace(LIBRARY, chunk=2**18),
    "512 KiB chunks": replace(LIBRARY, chunk=2**19),
    "2 MiB chunks": replace(LIBRARY, chunk=2**21),
    "4 MiB chunks": replace(LIBRARY, chunk=2**22),
    "8 MiB chunks": replace(LIBRARY, chunk=2**23),
    "4 files in turn": replace(LIBRARY, files=4),
    "ftruncate": replace(LIBRARY, allocate=False),
    "fsync every 256 MiB alone": replace(LIBRARY, early=0),
    "fsync every 64 MiB alone": replace(LIBRARY, early=0, flush=2**26),
    "fsync at the end alone": replace(LIBRARY, early=0, flush=2**60),
    "1 thread": replace(LIBRARY, threads=1),
    "durability none": NONE,
    "none, 256 KiB chunks": replace(NONE, chunk=2**18),
    "none, 4 MiB chunks": replace(NONE, chunk=2**22),
    "none, map": replace(NONE, call="map"),
    "none, 4 files in turn": replace(NONE, files=4),
    "none, ftruncate": replace(NONE, allocate=False),
    "none, 1 thread": replace(NONE, threads=1),
}


class Output:
    """One file being written in some way."""

    def __init__(self, folder: Path, number: int, size: int, way: Way) -> None:
        self.temporary, self.final = folder / f".{number}", folder / f"{number}"
        self.way = way
        flags = os.O_RDWR | os.O_CREAT | (os.O_DIRECT if way.call == "direct" else 0)
        self.descriptor = os.open(self.temporary, flags)
        if way.allocate:
            os.posix_fallocate(self.descriptor, 0, size)
        else:
            os.ftruncate(self.descriptor, size)
        self.map = None
        if way.call == "map":
            self.map = np.frombuffer(mmap.mmap(self.descriptor, size), np.uint8)
        self.lock = threading.Lock()
        self.unflushed = 0

    def put(self, source: Sampler, start: int, buffer: np.ndarray, at: int) -> None:
        """Make one chunk and write it."""
        if self.map is not None:
            source.draw(self.map[at : at + buffer.size], start)
        else:
            source.draw(buffer, start)
            if os.pwrite(self.descriptor, buffer, at) != buffer.size:
                raise OSError("a short write")
        if self.way.durability != "none":
            self.flush(at, buffer.size)

    def flush(self, at: int, size: int) -> None:
        """What is done about unflushed data on the way."""
        early = self.way.early
        with self.lock:
            before, self.unflushed = self.unflushed, self.unflushed + size
            begins = early and self.unflushed // early > before // early
            due = self.unflushed >= self.way.flush
            self.unflushed %= self.way.flush
        if due:
            os.fsync(self.descriptor)
        elif begins:  # DONTNEED starts writing back and does not wait
            begin = max(0, at + size - early)
            os.posix_fadvise(self.descriptor, begin, early, os.POSIX_FADV_DONTNEED)

    def finish(self) -> None:
        """Make it last, and visible."""
        if self.way.durability != "none":
            os.fsync(self.descriptor)
        os.close(self.descriptor)
        os.rename(self.temporary, self.final)


def direct_works(parent: str | None) -> bool:
    """Whether the file system lets a file be opened past its cache."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        try:
            os.close(os.open(Path(name, "file"), os.O_RDWR | os.O_CREAT | os.O_DIRECT))
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False
            raise
    return True


def write(way: Way, folder: Path, init: str, size: int) -> None:
    """`size` bytes, spread over the files, which are written one after the other chunk by chunk."""
    source = sampler(init, (size // 2,), Stream(0, "w"), DTYPES[DTYPE])
    outputs = [Output(folder, number, size // way.files, way) for number in range(way.files)]
    local = threading.local()

    def tasks() -> Iterator[tuple[Output, int, int]]:
        for at in range(0, size // way.files, way.chunk):
            for number, output in enumerate(outputs):
                yield output, number * (size // way.files) + at, at

    def work(task: tuple[Output, int, int]) -> None:
        if not hasattr(local, "buffer"):  # of whole pages, as O_DIRECT wants it
            local.buffer = np.frombuffer(mmap.mmap(-1, way.chunk), np.uint8)
        output, start, at = task
        output.put(source, start // 2, local.buffer, at)

    run(tasks(), work, way.threads)
    for output in outputs:
        output.finish()
    if way.durability == "full":
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where to write and remove [default: the system's]")
    parser.add_argument("--size", type=int, default=512, help="MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="ways whose names hold this, and the library's")
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.size < 8 or options.size % 8:
        parser.error(f"--size is {options.size}: pass a multiple of 8, which every chunk divides")
    size, rounds = (2**23, 1) if options.toy else (options.size * 2**20, options.rounds)
    ways = {name: way for name, way in WAYS.items() if way == LIBRARY or options.only in name}
    if not direct_works(options.folder):
        print("no O_DIRECT: this file system refuses it")
        ways = {name: way for name, way in ways.items() if way.call != "direct"}
    runs: dict[tuple[str, str], list[Usage]] = {}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            for init in (ZEROS, NORMAL):
                found = one(way, options.folder, init, size)
                if turn:
                    runs.setdefault((name, init), []).append(found)
    print(" " * 30, *map("{:>9}".format, TITLES))
    rows = {name: row(name, runs, size) for name in ways}
    save(options.json, {"machine": measure.header(), "rows": rows})


def one(way: Way, parent: str | None, init: str, size: int) -> Usage:
    """What one write takes; removing the files is not counted."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        return in_a_child(lambda: write(way, Path(name), init, size))


def row(name: str, runs: dict[tuple[str, str], list[Usage]], size: int) -> dict[str, float]:
    """Print and return one line of the table."""
    zeros, normals = runs[name, ZEROS], runs[name, NORMAL]
    library = runs["as the library", NORMAL]
    used = Usage.median(normals)
    found = {
        "gb_per_second": size / used.seconds / 1e9,
        "of_zeros": measure.ratio(seconds_of(zeros), seconds_of(normals)),
        "of_library": measure.ratio(seconds_of(library), seconds_of(normals)),
        "user_seconds_per_gb": used.user / size * 1e9,
        "system_seconds_per_gb": used.system / size * 1e9,
        "peak_mib": used.peak,
    }
    print(f"{name:30}", *(f"{value:9.2f}" for value in found.values()))
    return {key: round(value, 3) for key, value in found.items()}


def seconds_of(usages: list[Usage]) -> list[float]:
    """The seconds of every round."""
    return [used.seconds for used in usages]


if __name__ == "__main__":
    main()
