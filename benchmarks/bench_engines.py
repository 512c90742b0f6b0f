# SPDX-License-Identifier: MIT
"""What do engines cost, against threads of one process with as many threads in all?

    python benchmarks/bench_engines.py [--folder DIR] [--gb 1] [--rounds 3] [--toy] [--json FILE]

Every write gives the same checkpoint; the digests of its values are compared.  The start of an
engine is counted apart.  Memory is anonymous memory: of the coordinator, and of its largest worker,
sampled while it works.  The baseline `threads` computes no digests.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from saving import save

import fastinit as fi
from fastinit.bench import measure

LIBRARIES = {"threads": "fastinit", "local": "fastinit", "ray": "ray", "dask": "distributed"}
PROGRAM = Path(__file__)


def plan_of(size: int) -> fi.Plan:
    """Matrices of 64 MiB in float32, and the rest in one smaller matrix."""
    whole, rest = divmod(size, 2**26)
    shapes = [(4096, 4096)] * whole + [(rest // 4,)] * bool(rest)
    scheme = fi.normal(std=0.02)
    return fi.Plan([fi.Tensor(f"h.{i}", shape, scheme) for i, shape in enumerate(shapes)])


def anonymous(pid: int) -> float:
    """MiB of a process that no file backs."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    found = (line.split()[1] for line in lines if line.startswith("RssAnon"))
    return int(next(found, "0")) / 1024


def descendants() -> list[int]:
    """Processes that this one started, and those started by them."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


class Memory:
    """The peak of this process and of its largest descendant, sampled by a thread."""

    def __init__(self) -> None:
        self.own = self.worker = 0.0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)

    def sample(self) -> None:
        while not self.stopped.wait(0.1):
            self.own = max(self.own, anonymous(os.getpid()))
            self.worker = max([self.worker, *map(anonymous, descendants())])

    def __enter__(self) -> Memory:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()


def one(engine: str, size: int, parent: str | None, workers: int, threads: int) -> dict[str, Any]:
    """One write, in a fresh process."""
    from fastinit.checkpoints.dispatching.engine import started

    name = None if engine == "threads" else engine
    begin = time.perf_counter()
    with (
        Memory() as memory,
        started(name, workers if name else None, threads if name else None, None) as running,
        tempfile.TemporaryDirectory(dir=parent) as folder,
    ):
        if running:
            list(map(_result, [running.submit(os.path.basename, "x") for _ in range(4 * workers)]))
        start = time.perf_counter() - begin
        report = fi.write(
            plan_of(size),
            folder,
            seed=0,
            durability="none",
            engine=running,
            threads=None if name else workers * threads,
        )
    return {
        "start": start,
        "seconds": report.seconds,
        "coordinator_mib": memory.own,
        "worker_mib": memory.worker,
        "digests": dict(report.digests),
    }


def _result(future: Any) -> str:
    text: str = future.result()
    return text


def measured(engine: str, options: argparse.Namespace, size: int) -> dict[str, Any]:
    """The same in a new process."""
    import json

    arguments = [engine, size, options.folder or "", options.workers, options.threads]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--one", *map(str, arguments)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="where to write and remove [default: the system's]")
    parser.add_argument("--gb", type=float, default=1.0, help="size of the checkpoint")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    size = 2**24 if options.toy else int(options.gb * 1e9) // 4 * 4
    engines = [name for name, library in LIBRARIES.items() if find_spec(library)]
    if options.toy:
        engines = ["threads", "local"]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    for _ in range(1 if options.toy else options.rounds):
        for engine in engines:
            runs[engine].append(measured(engine, options, size))
    digests = [run["digests"] for name in engines[1:] for run in runs[name]]
    if any(found != digests[0] for found in digests):
        raise ValueError("the digests of the engines differ")
    print(
        f"{'':8}", *map("{:>16}".format, ("start s", "write s", "of threads", "MiB", "worker MiB"))
    )
    rows = {}
    for engine in engines:
        found = {
            key: statistics.median(run[key] for run in runs[engine])
            for key in ("start", "seconds", "coordinator_mib", "worker_mib")
        }
        seconds = [[run["seconds"] for run in runs[name]] for name in ("threads", engine)]
        ratio = measure.ratio(*seconds)
        values = found["start"], found["seconds"], ratio
        memory = found["coordinator_mib"], found["worker_mib"]
        print(f"{engine:8}", *(f"{value:16.2f}" for value in (*values, *memory)))
        rows[engine] = {key: round(value, 3) for key, value in {**found, "ratio": ratio}.items()}
    content = {"machine": measure.header(("numpy", "ray", "distributed")), "size": size}
    save(options.json, {**content, "workers": options.workers, "rows": rows})


def run_one(engine: str, size: str, parent: str, workers: str, threads: str) -> None:
    """What that process does."""
    import json

    print(json.dumps(one(engine, int(size), parent or None, int(workers), int(threads))))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_one(*sys.argv[2:])
    else:
        main()
