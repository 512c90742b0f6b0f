# SPDX-License-Identifier: MIT
"""The command line: write, plan, verify, info, bench.  Data on stdout, bars and errors on stderr.

A mistake gives one line and exit code 2, a failed verify exit code 1; neither a traceback.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, get_args

import click

import fastinit
from fastinit import instruction_sets, plans
from fastinit.checkpoints import Layout, layout_of
from fastinit.checkpoints.files import Durability
from fastinit.dtypes import DTYPES
from fastinit.parallel import thread_count
from fastinit.stream import VERSION

FAILED, USAGE, INTERRUPTED = 1, 2, 130

_seed = click.option("--seed", default=0, show_default=True, help="0 <= seed < 2**64.")
_dtype = click.option(
    "--dtype", help=f"Of tensors without one of their own: {', '.join(DTYPES)}.  [default: plan's]"
)
_shard = click.option(
    "--max-shard-size", default="5GB", show_default=True, help="Bytes of values in a file."
)
_threads = click.option("--threads", type=int, help="[default: FASTINIT_THREADS or all CPUs]")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


class _Folder(click.Path):
    """A folder's path; '' is a forgotten variable rather than this folder."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "":
            self.fail("it is empty; name a folder, or '.' for this one", param, ctx)
        return super().convert(value, param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fastinit.__version__, prog_name="fastinit")
def cli() -> None:
    """Fill the weights of very large models, with the same bits everywhere."""


@cli.command()
@click.argument("source")
@click.argument("folder", metavar="DIR", type=_Folder(path_type=Path))
@_seed
@_dtype
@_shard
@_threads
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.option("--overwrite", is_flag=True, help="Replace a checkpoint that is there.")
@click.option(
    "--durability",
    type=click.Choice(get_args(Durability)),
    default="full",
    show_default=True,
    help="What is flushed to disk: nothing, files, or their folder too.",
)
@_json
def write(
    source: str,
    folder: Path,
    seed: int,
    dtype: str | None,
    max_shard_size: str,
    threads: int | None,
    dry_run: bool,
    overwrite: bool,
    durability: str,
    as_json: bool,
) -> None:
    """Write a checkpoint of SOURCE, a preset or a .toml plan, into DIR.

    The files are safetensors as the Hugging Face hub lays them out.  An interrupted write is
    carried on by the same command.
    """
    plan = plans.plan(source)
    if dry_run:
        layout = layout_of(plan, seed=seed, dtype=dtype, max_shard_size=max_shard_size)
        _show_layout(layout, folder, as_json)
        return
    with _bar(plan.size(dtype), "writing") as progress:
        report = fastinit.write(
            plan,
            folder,
            seed=seed,
            dtype=dtype,
            max_shard_size=max_shard_size,
            threads=threads,
            overwrite=overwrite,
            durability=durability,
            progress=progress,
        )
    if as_json:
        _print_json(dataclasses.asdict(report))
        return
    resumed = f", {len(report.resumed)} of them found finished" if report.resumed else ""
    click.echo(
        f"{folder}: {report.parameters:,} parameters in {report.tensors:,} tensors, "
        f"{_bytes(report.size)} in {len(report.files)} files{resumed}, "
        f"{report.seconds:.2f} s, {report.cpu_seconds:.2f} s of CPU time, "
        f"{_rate(report.size, report.seconds)}"
    )


@cli.command()
@click.argument("source")
@_dtype
@click.option("--all", "every", is_flag=True, help="One row a tensor, layers not gathered.")
@_json
def plan(source: str, dtype: str | None, every: bool, as_json: bool) -> None:
    """Print the tensors of SOURCE, a preset or a .toml plan, their sizes, and why `auto` chose."""
    found = plans.plan(source)
    total = found.size(dtype)
    if as_json:
        form = {"plan": found.to_json(), "parameters": found.parameters, "size": total}
        reasons = {row.name: row.scheme.reason for row in found if row.scheme.reason}
        _print_json({**form, "reasons": reasons} if reasons else form)
        return
    rows = list(_rows(found, dtype, every))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    click.echo(f"{len(found):,} tensors, {found.parameters:,} parameters, {_bytes(total)}")


@cli.command()
@click.argument("path", metavar="DIR", type=_Folder(path_type=Path))
@_threads
@_json
def verify(path: Path, threads: int | None, as_json: bool) -> None:
    """Make every value of the checkpoint in DIR again and compare every byte.

    Exit code 1 if anything differs, is missing or damaged.
    """
    with _bar(_size_on_disk(path), "verifying") as progress:
        try:
            report = fastinit.verify(path, threads=threads, progress=progress)
        except fastinit.CheckpointError as error:
            if not os.path.lexists(path):
                raise
            _stop(str(error), FAILED)
    if as_json:
        _print_json(dataclasses.asdict(report))
        return
    rounded = f" ({report.rounded:,} by linear algebra, to rounding)" if report.rounded else ""
    click.echo(
        f"{path}: all {report.tensors:,} tensors, {_bytes(report.size)}, are plan "
        f"{report.plan!r}, seed {report.seed}, stream {report.stream}, to the last byte{rounded}; "
        f"{report.seconds:.2f} s, {_rate(report.size, report.seconds)}"
    )


@cli.command()
@_json
def info(as_json: bool) -> None:
    """Print the versions, the instruction sets and the presets."""
    import ml_dtypes
    import numpy as np

    found = {
        "fastinit": fastinit.__version__,
        "stream": VERSION,
        "instruction set": instruction_sets.active(),
        "available": list(instruction_sets.available()),
        "threads": thread_count(),
        "dtypes": list(DTYPES),
        "presets": list(plans.presets()),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "ml_dtypes": ml_dtypes.__version__,
        "platform": platform.platform(),
    }
    if as_json:
        _print_json(found)
        return
    for key, value in found.items():
        click.echo(f"{key:16} {', '.join(value) if isinstance(value, list) else value}")


@cli.command()
@click.option("--size", help="Bytes of the large buffer.  [default: 256 MiB, or less if need be]")
@_threads
@_json
def bench(size: str | None, threads: int | None, as_json: bool) -> None:
    """Measure this machine: fastinit against memset and the generators that are installed.

    It takes up to half a minute.
    """
    from fastinit.bench import command

    found = command.run(size, threads, (lambda line: None) if as_json else click.echo)
    if as_json:
        _print_json(found)


def main() -> None:
    """Run the command line, and turn every expected error into one line."""
    signal.signal(signal.SIGTERM, _terminate)  # clean up first, as for Ctrl-C
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(USAGE)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see {context.command_path} --help" if context else ""
        _stop(f"{error.format_message().rstrip('.')}{hint}", USAGE)
    except (click.Abort, KeyboardInterrupt):
        hint = "; the same command carries on" if sys.argv[1:2] == ["write"] else ""
        _stop(f"interrupted{hint}", INTERRUPTED)
    except MemoryError as error:
        _stop(f"out of memory: {str(error) or 'no more could be allocated'}", USAGE)
    except (fastinit.FastinitError, ValueError, TypeError, OSError) as error:
        _stop(str(error), USAGE)
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(signal_number: int, _: object) -> NoReturn:
    sys.exit(128 + signal_number)


def _stop(message: str, code: int) -> NoReturn:
    print(f"fastinit: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _show_layout(layout: Layout, folder: Path, as_json: bool) -> None:
    if as_json:
        _print_json({"folder": folder, "files": layout.files, "size": layout.size})
        return
    for name, size in layout.files.items():
        click.echo(f"{folder / name}  {_bytes(size)}")
    click.echo(
        f"would write {layout.parameters:,} parameters in {layout.tensors:,} tensors, "
        f"{_bytes(layout.size)} in {len(layout.files)} files"
    )


def _rows(found: plans.Plan, dtype: str | None, every: bool) -> Iterator[tuple[str, ...]]:
    """Rows of a table: neighbours that differ in nothing but numbers in their names gathered."""
    chosen = any(tensor.scheme.reason for tensor in found)
    yield ("tensor", "shape", "dtype", "init", "tensors", "bytes", *(["why"] if chosen else []))
    gathered: dict[tuple[str, str, str, str, str], tuple[int, int]] = {}
    for tensor in found:
        kind = found.resolved_dtype(tensor, dtype)
        name = tensor.name if every else re.sub(r"(?<=\.)\d+(?=\.)", "*", tensor.name)
        key = (name, str(tensor.shape), kind, str(tensor.scheme), tensor.scheme.reason)
        count, size = gathered.get(key, (0, 0))
        gathered[key] = count + 1, size + tensor.count * DTYPES[kind].size
    for (*shown, why), (count, size) in gathered.items():
        yield *shown, f"{count:,}", _bytes(size), *([why] if chosen else [])


@contextmanager
def _bar(total: int, doing: str) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if that is a terminal; yields what to call with bytes done."""
    from tqdm import tqdm

    with tqdm(total=total, desc=doing, unit="B", unit_scale=True, disable=None) as bar:
        yield lambda size: bar.update(size) and None


def _size_on_disk(path: Path) -> int:
    """Bytes of the weight files, as far as they can be seen; `verify` says what is wrong."""
    files = path.glob("*.safetensors") if path.is_dir() else [path]
    with suppress(OSError):
        return sum(file.stat().st_size for file in files)
    return 0


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.2f} {unit}"


def _rate(size: int, seconds: float) -> str:
    return f"{size / max(seconds, 1e-9) / 1e9:.2f} GB/s"


def _print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps(content, indent=2, default=str))
