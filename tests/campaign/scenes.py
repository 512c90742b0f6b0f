# SPDX-License-Identifier: MIT
"""What is disturbed: commands, the folders they find, and what must be there when they are done.

A scene says nothing of faults, and what may be left after one is `promises`' affair.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import processes

from fastinit.checkpoints import (
    layout_of,
    open_checkpoint,
    refill,
    regenerate,
    verify,
    write,
    write_shard,
)
from fastinit.plans import Plan, plan

Contents = Mapping[str, bytes]
"""File name -> bytes of everything in a folder."""

SEED = 3
STALE = f".model-00001-of-00004.safetensors.{'0' * 32}.fastinit"
"""The temporary file of a writer that was killed."""

NEW = """
name = "new"

[[tensor]]
name = "wte.weight"
shape = "(12, 40)"
init = "normal(std=0.02)"

[[tensor]]
name = "h.{i}.bias"
repeat = 40
shape = "(3,)"
init = "uniform(-1, 1)"
dtype = "float16"

[[tensor]]
name = "empty"
shape = "(0, 7)"
init = "zeros()"

[[tensor]]
name = "double"
shape = "(100,)"
init = "normal(std=0.02)"
dtype = "float64"

[[tensor]]
name = "brain"
shape = "(33, 11)"
init = "truncated_normal(std=0.02)"
dtype = "bfloat16"

[[tensor]]
name = "eight"
shape = "(77, 30)"
init = "normal(std=0.02)"
dtype = "float8_e4m3fn"

[[tensor]]
name = "norm.weight"
shape = "(64,)"
init = "ones()"

[config]
model_type = "new"
"""
"""A few files, with every kind of tensor that has gone wrong somewhere."""

OLD = NEW.replace('"new"', '"old"')
"""Another checkpoint under the same file names, of the same sizes."""

OTHER = """
name = "other"

[[tensor]]
name = "w.{i}"
repeat = 6
shape = "(600,)"
init = "normal(std=1)"

[config]
model_type = "other"
"""
"""A checkpoint of more files."""

LONG = """
name = "long"

[[tensor]]
name = "block.{i}.weight"
repeat = 6
shape = "(1024, 512)"
init = "truncated_normal(std=0.02)"

[[tensor]]
name = "block.{i}.norm.{j}"
repeat = [6, 5000]
shape = "(3,)"
init = "normal(std=0.02)"
dtype = "float16"

[config]
model_type = "long"
"""
"""Long enough to be interrupted, with many small tensors."""

SHARDED, WHOLE, MEGABYTES = "2500", "5GB", "3MB"


@dataclass(frozen=True)
class Scene:
    """A command and the folder it works on, `weights` beside its plan in the folder of a point.

    `before` is what `weights` holds at first, None if it is not there; `after` is what it holds
    when the command is done.  `again` does in this process what the command does, and `eventually`
    is what is there then.  If it goes `by_file`, old and new files may be there side by side, and
    `verdict` says what is wrong with them.
    """

    name: str
    line: Callable[[Path], list[str]]
    before: Contents | None
    after: Contents
    again: Callable[[Path], object]
    plan: str = NEW
    eventually: Contents = field(default_factory=dict)
    overwrites: bool = False
    by_file: bool = False
    verdict: Callable[[Path], Iterable[str]] = lambda folder: ()
    tampering: tuple[str, ...] = ()  # options of strace that hold for the whole run

    def __post_init__(self) -> None:
        if not self.eventually:
            object.__setattr__(self, "eventually", self.after)

    def prepare(self, place: Path) -> Path:
        """Make what the command finds, and return the folder it works on."""
        (place / "plan.toml").write_text(self.plan)
        (place / "shard.json").write_text(json.dumps(_description()))
        folder = place / "weights"
        if self.before is not None:
            folder.mkdir()
            for name, data in self.before.items():
                (folder / name).write_bytes(data)
        return folder


def contents(folder: Path) -> dict[str, bytes]:
    """File name -> bytes of everything in a folder; of no folder, nothing."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@cache
def parsed(text: str) -> Plan:
    """The plan that a TOML text describes."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "plan.toml")
        path.write_text(text)
        return plan(str(path))


@cache
def checkpoint(text: str, size: str, seed: int = SEED) -> Contents:
    """What an undisturbed `write` makes of a plan; `verify` has seen it."""
    with tempfile.TemporaryDirectory() as place:
        write(parsed(text), place, seed=seed, max_shard_size=size)
        verify(place)
        return contents(Path(place))


def _description() -> dict[str, object]:
    """The second shard of `NEW`, for a worker of an engine."""
    return layout_of(parsed(NEW), seed=SEED, max_shard_size=SHARDED).shards[1].to_json()


def writing(
    name: str,
    *options: str,
    text: str = NEW,
    size: str = SHARDED,
    before: Contents | None = None,
    tampering: tuple[str, ...] = (),
) -> Scene:
    """`fastinit write`, of one thread unless the options say otherwise."""
    overwrites = "--overwrite" in options
    if "--threads" not in options:
        options = (*options, "--threads", "1")

    def line(place: Path) -> list[str]:
        paths = place / "plan.toml", place / "weights"
        fixed = "--seed", SEED, "--max-shard-size", size
        return processes.command("write", *paths, *fixed, *options)

    def again(folder: Path) -> None:
        write(parsed(text), folder, seed=SEED, max_shard_size=size, overwrite=overwrites)

    after = checkpoint(text, size)
    return Scene(name, line, before, after, again, text, overwrites=overwrites, tampering=tampering)


def _begun() -> Contents:
    """What a `write` that was killed has left: a config, a shard, and a temporary file."""
    whole = checkpoint(NEW, SHARDED)
    shard = sorted(name for name in whole if name.startswith("model-"))[1]
    return {name: whole[name] for name in ("config.json", shard)} | {STALE: b"half"}


def small_writes() -> tuple[Scene, ...]:
    """The commands whose every system call is tried in CI."""
    return (
        writing("write"),
        writing("overwrite", "--overwrite", before=checkpoint(OLD, SHARDED, 9)),
        refilling(),
    )


REFILLED = ("h.1*.bias", "double", "brain")
"""Tensors of several files; others are there, too."""


@cache
def refilling(name: str = "refill", *options: str, size: str = SHARDED) -> Scene:
    """`fastinit refill`, of one thread unless the options say otherwise."""
    how = {"scheme": "uniform(low=-1, high=1)", "seed": 7}
    if "--threads" not in options:
        options = (*options, "--threads", "1")
    before = checkpoint(NEW, size)
    with tempfile.TemporaryDirectory() as place:
        for file, data in before.items():
            Path(place, file).write_bytes(data)
        refill(place, REFILLED, **how)
        anew = verify(place).refilled
        after = contents(Path(place))

    def line(place: Path) -> list[str]:
        fixed = "--scheme", how["scheme"], "--seed", how["seed"]
        return processes.command("refill", place / "weights", *REFILLED, *fixed, *options)

    def verdict(folder: Path) -> Iterable[str]:
        """`verify` passes, and says exactly which tensors are new."""
        there = open_checkpoint(folder)
        new = {file for file in there.files if (folder / file).read_bytes() == after[file]}
        expected = {n: 7 for n in anew if there.weight_map[n] in new & after.keys()}
        if dict(verify(folder).refilled) != expected:
            yield "verify does not say which tensors are new"

    return Scene(
        *(name, line, before, after, lambda folder: refill(folder, REFILLED, **how)),
        by_file=True,
        verdict=verdict,
    )


def regenerating() -> Scene:
    """`fastinit regenerate` where a shard and the index are lost, and another shard is damaged."""
    whole = checkpoint(NEW, SHARDED)
    lost, damaged, *_ = sorted(name for name in whole if name.startswith("model-"))
    index = "model.safetensors.index.json"
    before = {name: data for name, data in whole.items() if name not in (lost, index)}
    before[damaged] = before[damaged][:-1] + bytes([before[damaged][-1] ^ 1])

    def line(place: Path) -> list[str]:
        paths = place / "weights", "--plan", place / "plan.toml"
        return processes.command("regenerate", *paths, "--threads", "1")

    def again(folder: Path) -> None:
        regenerate(folder, plan=parsed(NEW))

    return Scene("regenerate", line, before, whole, again, by_file=True)


def other_writes() -> tuple[Scene, ...]:
    """The other ways in which a folder is written."""
    one, several = checkpoint(OLD, WHOLE, 9), checkpoint(OLD, SHARDED, 9)
    unallocated = ("-e", "inject=fallocate:error=EOPNOTSUPP")
    return (
        writing("write, carried on", before=_begun()),
        writing("write, one file", size=WHOLE),
        writing("write, durability none", "--durability", "none"),
        writing("write, durability file", "--durability", "file"),
        writing("write, no preallocation", tampering=unallocated),
        writing("overwrite, of more files", "--overwrite", before=checkpoint(OTHER, SHARDED, 9)),
        writing("overwrite, one file by more", "--overwrite", before=one),
        writing("overwrite, more files by one", "--overwrite", size=WHOLE, before=several),
        writing("overwrite, one file by one", "--overwrite", size=WHOLE, before=one),
        shard_task(),
        refilling("refill, one file", size=WHOLE),
        regenerating(),
    )


def shard_task() -> Scene:
    """`write_shard` in a worker; a `write` puts the index on top in the end."""
    whole = checkpoint(NEW, SHARDED)
    description = _description()
    file = str(description["file"])

    def line(place: Path) -> list[str]:
        program = Path(__file__).with_name("shard_task.py")
        return [sys.executable, *map(str, (program, place / "shard.json", place / "weights"))]

    def again(folder: Path) -> None:
        write_shard(description, folder)
        write(parsed(NEW), folder, seed=SEED, max_shard_size=SHARDED)

    return Scene("write_shard", line, None, {file: whole[file]}, again, eventually=whole)


def readers() -> tuple[Scene, ...]:
    """The commands that only read."""
    sharded, whole = checkpoint(NEW, SHARDED), checkpoint(NEW, WHOLE)
    return (
        reading("verify", ("verify", "weights", "--threads", "1"), sharded, verify),
        reading("verify, one file", ("verify", "weights", "--threads", "1"), whole, verify),
        reading("plan", ("plan", "plan.toml"), None, lambda folder: parsed(NEW)),
        reading("open", (), sharded, lambda folder: tuple(open_checkpoint(folder).values())),
    )


def reading(
    name: str,
    arguments: Iterable[str],
    before: Contents | None,
    again: Callable[[Path], object],
    text: str = NEW,
) -> Scene:
    """A command that changes nothing; without arguments, the program that opens a checkpoint."""

    def line(place: Path) -> list[str]:
        if arguments:
            at = (place / part if (place / part).exists() else part for part in arguments)
            return processes.command(*at)
        return [sys.executable, str(Path(__file__).with_name("reader.py")), str(place / "weights")]

    return Scene(name, line, before, before or {}, again, text)


def crowded() -> tuple[Scene, ...]:
    """Commands of several threads; `writing` with `--threads` makes others."""
    sharded = checkpoint(NEW, SHARDED)
    return (
        writing("overwrite, 4 threads", "--overwrite", "--threads", "4", before=sharded),
        reading("verify, 4 threads", ("verify", "weights", "--threads", "4"), sharded, verify),
    )


def long_scenes() -> tuple[Scene, ...]:
    """Commands that take long enough for a signal to come meanwhile."""
    new, old = checkpoint(LONG, MEGABYTES), checkpoint(LONG, MEGABYTES, 9)
    two = "--threads", "2"
    return (
        writing("write", *two, text=LONG, size=MEGABYTES),
        writing("overwrite", "--overwrite", *two, text=LONG, size=MEGABYTES, before=old),
        reading("verify", ("verify", "weights"), new, verify, LONG),
        reading("plan", ("plan", "plan.toml"), None, lambda folder: parsed(LONG), LONG),
    )
