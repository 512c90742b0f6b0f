# SPDX-License-Identifier: MIT
"""The command `write`: a checkpoint of a source, or what it would be."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click

import fastinit
from fastinit import program
from fastinit.checkpoints import Layout, WriteReport, layout_of
from fastinit.checkpoints.dispatching.engine import ENGINES, check, started
from fastinit.checkpoints.formats import DEFAULT, FORMATS
from fastinit.checkpoints.plans import check_apart
from fastinit.checkpoints.targets import Url, located
from fastinit.cli.bars import bar
from fastinit.cli.options import with_durability, with_json, with_threads
from fastinit.cli.output import in_bytes, in_rate, json_text, put_report
from fastinit.cli.sources import GivenSource, with_source
from fastinit.plans import Plan
from fastinit.program import put
from fastinit.texts import printable


@click.command()
@with_source
@click.argument("folder", metavar="DIR")
@click.option("--seed", default=0, show_default=True, help="0 <= seed < 2**64.")
@click.option(
    "--max-shard-size", default="5GB", show_default=True, help="Maximum bytes of values per file."
)
@with_threads
@click.option(
    "--engine", type=click.Choice(list(ENGINES)), help="Who draws: see docs/howto/engines.md."
)
@click.option("--workers", type=int, help="Number of the engine's workers; --threads is of each.")
@click.option("--address", help="Address of the cluster, for the engines ray and dask.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
@click.option("--overwrite", is_flag=True, help="Replace an existing checkpoint.")
@with_durability
@click.option(
    "--format",
    type=click.Choice(list(FORMATS)),
    default=DEFAULT,
    show_default=True,
    help="File format: safetensors, or npy, a NumPy file per tensor.",
)
@with_json
def write(
    source: GivenSource,
    folder: str,
    seed: int,
    max_shard_size: str,
    threads: int | None,
    engine: str | None,
    workers: int | None,
    address: str | None,
    dry_run: bool,
    overwrite: bool,
    durability: str,
    format: str,
    as_json: bool,
) -> None:
    """Write a checkpoint of SOURCE into DIR, a folder, or a URL such as s3://bucket/prefix.

    By default the files are safetensors in the layout of the Hugging Face hub.  After an
    interruption, run the same command again to carry on.
    """
    target = located(folder)
    layout: dict[str, Any] = {"seed": seed, "max_shard_size": max_shard_size, "format": format}
    count = check(engine, target, workers, threads, address)
    if dry_run:
        plan = _plan(source, target, overwrite)
        _show_layout(layout_of(plan, dtype=source.dtype, **layout), target, as_json)
        return

    def work() -> str:
        plan = _plan(source, target, overwrite)
        with bar(plan.size(source.dtype), "writing") as progress:
            report = fastinit.write(
                plan,
                target,
                dtype=source.dtype,
                threads=threads,
                overwrite=overwrite,
                durability=durability,
                progress=progress,
                engine=running,
                **layout,
            )
        return _text(report, as_json)

    with program.unwinding(), started(engine, count, threads, address) as running:
        if running and not running.leads:
            program.silence(sys.stdout)
            program.silence(sys.stderr)
        text = running.lead(work) if running else work()
    put_report(text, "the checkpoint is complete")


def _plan(source: GivenSource, target: Path | Url, overwrite: bool) -> Plan:
    if overwrite and isinstance(target, Path):
        check_apart(source.text, target)
    return source.plan()


def _text(report: WriteReport, as_json: bool) -> str:
    """What is printed at the end."""
    if as_json:
        return json_text(dataclasses.asdict(report))
    resumed = f", {len(report.resumed)} of them found finished" if report.resumed else ""
    by = f" by the engine {report.engine} with workers: {report.workers}" if report.engine else ""
    return (
        f"{printable(report.folder)}: {report.parameters:,} parameters in {report.tensors:,} "
        f"tensors, {in_bytes(report.size)} in {len(report.files)} files{resumed}{by}, "
        f"{report.seconds:.2f} s, {report.cpu_seconds:.2f} s of CPU time, "
        f"{in_rate(report.size, report.seconds)}"
    )


def _show_layout(layout: Layout, target: Path | Url, as_json: bool) -> None:
    if as_json:
        put(json_text({"folder": target, "files": layout.files, "size": layout.size}))
        return
    for name, size in layout.files.items():
        put(f"{printable(target / name)}  {in_bytes(size)}")
    put(
        f"would write {layout.parameters:,} parameters in {layout.tensors:,} tensors, "
        f"{in_bytes(layout.size)} in {len(layout.files)} files"
    )
