# SPDX-License-Identifier: MIT
"""A program that writes by an engine, for tests that need a process: engine_calls.py FOLDER JSON.

It prints "range" for each range, and what the write reports or raises.  Workers may be made to die.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

TESTS = Path(__file__).parent
SEED = 3


def main(folder, options):
    """Write the large plan in ranges of 1 MiB."""
    from checkpoint_plans import large_plan
    from engine_stubs import Deadly

    import fastinit as fi
    from fastinit.checkpoints.dispatching import dispatch
    from fastinit.checkpoints.dispatching.engine import started

    dispatch.RANGE = 2**20
    sizes = options.pop("sizes", [8, 2**18])
    name, workers = options.pop("engine"), options.pop("workers", None)
    threads, markers = options.pop("threads", None), options.pop("markers", [])
    when, address = options.pop("when", "before"), options.pop("address", None)
    try:
        with started(name, workers, threads, address) as engine:
            report = fi.write(
                large_plan(*sizes),
                folder,
                seed=SEED,
                max_shard_size="5MB",
                engine=Deadly(engine, markers, when) if markers else engine,
                threads=threads,
                progress=lambda size: size and print("range", flush=True),
                **options,
            )
        found = {"engine": report.engine, "workers": report.workers, "digests": report.digests}
        print(json.dumps(found), flush=True)
    except fi.errors.CheckpointError as error:
        print(f"error {error}", flush=True)
        sys.exit(2)


def call(folder, *, prefix=(), **options):
    """The command of this program, and its environment."""
    paths = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, **mpi_environment()}
    command = [*prefix, sys.executable, __file__, str(folder), json.dumps(options)]
    return command, environment


def mpi_environment():
    """Where the libraries and programs of MPI are that pip installed, if it did."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        paths = [Path(path.locate()).resolve() for path in files("mpich") or ()]
    except PackageNotFoundError:
        return {}
    library = next(path for path in paths if path.name == "libmpi.so.12")
    programs = next(path for path in paths if path.name == "mpiexec").parent
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    return {"MPI4PY_LIBMPI": str(library), "PATH": path}


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
