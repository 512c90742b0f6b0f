# SPDX-License-Identifier: MIT
"""What does it take from nothing to a saved checkpoint of a model, against transformers?

    python benchmarks/bench_model.py [--plan gpt2-xl] [--dtype DTYPE] [--folder DIR] [--rounds 3]
        [--toy] [--json FILE]

Both end with safetensors on disk, flushed (os.sync), and are removed again.  transformers builds
the model from the plan's own config with its own initialisation, then saves it; fastinit writes the
values as it makes them.  "zeros" is fastinit with every tensor zero: what the disk, the page cache
and, in a virtual machine, the memory that its host first has to find take by themselves.  Each runs
in a process of its own, imports aside: wall and CPU seconds, the program's and the system's, and
the most memory that was resident, imports included.  transformers runs if it and torch are
installed and the model fits into memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from saving import save

import fastinit as fi
from fastinit.bench import measure
from fastinit.bench.command import free_memory
from fastinit.bench.peers import is_installed

STEPS = ("initialise", "save")
"""What a candidate's own process times; fastinit does both at once."""
SPARE = 1.2
"""Memory that transformers needs, in sizes of the model."""

Step = Callable[[], object]


# ---- in the process of a candidate ---------------------------------------------------------------


def fastinit_steps(source: str, folder: Path, dtype: str) -> Iterator[tuple[str, Step]]:
    """One step: the values are written as they are made."""
    plan = fi.plan(source)
    yield "write", lambda: fi.write(plan, folder, seed=0, dtype=dtype)


def zeros_steps(source: str, folder: Path, dtype: str) -> Iterator[tuple[str, Step]]:
    """The ceiling: as many bytes through the same calls, and nothing drawn."""
    tensors = [fi.Tensor(t.name, t.shape, fi.zeros()) for t in fi.plan(source)]
    yield "write", lambda: fi.write(fi.Plan(tensors), folder, seed=0, dtype=dtype)


def transformers_steps(source: str, folder: Path, dtype: str) -> Iterator[tuple[str, Step]]:
    """The model initialised, then saved."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**(fi.plan(source).config or {}))
    torch.manual_seed(0)
    models = []
    number = getattr(torch, dtype)
    yield (
        "initialise",
        lambda: models.append(AutoModelForCausalLM.from_config(config, dtype=number)),
    )
    yield "save", lambda: models[0].save_pretrained(folder)


CANDIDATES = {
    "zeros": zeros_steps,
    "fastinit": fastinit_steps,
    "transformers": transformers_steps,
}


def child(candidate: str, source: str, folder: str, dtype: str) -> None:
    """Print the figures of one candidate as JSON.  The last step ends when the disk has it all."""
    form: dict[str, float] = {}
    user = system = 0.0
    os.sync()
    for name, step in CANDIDATES[candidate](source, Path(folder), dtype):
        began, before = time.perf_counter(), os.times()
        step()
        if name != "initialise":
            os.sync()
        form[name] = time.perf_counter() - began
        after = os.times()
        user, system = user + after.user - before.user, system + after.system - before.system
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    cpu = {"user": user, "system": system}
    print(json.dumps({**form, "total": sum(form.values()), **cpu, "peak_bytes": peak}))


# ---- in the process that compares ----------------------------------------------------------------


def candidates(size: int) -> Iterator[str]:
    """Who can run here; says who cannot, and why."""
    yield from ("zeros", "fastinit")
    missing = [name for name in ("torch", "transformers") if not is_installed(name)]
    free = free_memory()
    if missing:
        print(f"transformers: not run, for there is no {' and no '.join(missing)}")
    elif size * SPARE > free:
        print(
            f"transformers: not run, for it needs {size * SPARE:,.0f} bytes and {free:,} are free"
        )
    else:
        yield "transformers"


def measured(candidate: str, source: str, folder: Path, dtype: str) -> dict[str, float]:
    """The figures of one candidate, once; what it wrote is removed."""
    command = [sys.executable, __file__, "--child", candidate, source, str(folder), dtype]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(source: str, dtype: str, rounds: int, folder: Path) -> dict[str, dict[str, float]]:
    """The median of every figure of every candidate; they take turns."""
    size = fi.plan(source).size(dtype)
    if shutil.disk_usage(folder).free < size:
        raise SystemExit(f"{folder} has no room for {size:,} bytes: pass --folder")
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in candidates(size)}
    for _ in range(rounds):
        for name, found in rows.items():
            found.append(measured(name, source, folder / "checkpoint", dtype))
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in rows.items()
    }


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plan", default="gpt2-xl", help="a preset, or a .toml plan with a config")
    parser.add_argument("--dtype", help="[default: the plan's, or float32]")
    parser.add_argument("--folder", help="where to write and remove [default: the system's]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    source, rounds = ("gpt2", 1) if options.toy else (options.plan, options.rounds)
    plan = fi.plan(source)
    dtype = options.dtype or plan.dtype or "float32"
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        rows = compare(source, dtype, rounds, Path(name))
    print(f"{source}, {plan.parameters:,} parameters, {dtype}, {plan.size(dtype):,} bytes")
    heads = ("initialise s", "save s", "total s", "user s", "system s", "peak MB")
    print(f"{'':14}" + "".join(f"{head:>14}" for head in heads))
    for label, row in rows.items():
        print(f"{label:14}" + "".join(f"{cell:>14}" for cell in cells(row)))
    head: dict[str, Any] = {"plan": source, "dtype": dtype, "rounds": rounds}
    save(options.json, {"machine": measure.header(), **head, "rows": rows})


def cells(row: dict[str, float]) -> list[str]:
    """A row of the table; fastinit's two steps are one."""
    steps = [f"{row[step]:.2f}" if step in row else "-" for step in STEPS]
    times = [f"{row[time]:.2f}" for time in ("total", "user", "system")]
    return [*steps, *times, f"{row['peak_bytes'] / 1e6:,.0f}"]


if __name__ == "__main__":
    main()
