# SPDX-License-Identifier: MIT
"""Checkpoints that are not what they should be: spoilt files, and folders full of strange things.

Whatever is in them: opening and verifying end in an error of fastinit's, or in success; the command
line says the same in one line; and what opens, opens equally with the safetensors library.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import mutations
import processes
from points import Point, Result, generator
from promises import ending, one_line
from scenes import NEW, OLD, SHARDED, WHOLE, Contents, checkpoint, refilling, writing

from fastinit.checkpoints import open_checkpoint, verify
from fastinit.errors import FastinitError

_idle: list[subprocess.Popen[str]] = []
"""Processes that have a verdict on whatever they are asked; each is asked by one thread a time."""


def ask(path: Path) -> dict[str, Any]:
    """What fastinit and safetensors make of a checkpoint."""
    process = _idle.pop() if _idle else _start()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(str(path)) + "\n")
    process.stdin.flush()
    said: dict[str, Any] = json.loads(process.stdout.readline())
    _idle.append(process)
    return said


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("verdicts.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=processes.environment(),
        text=True,
    )


def dismiss() -> None:
    """End the processes that `ask` has started."""
    while _idle:
        _idle.pop().communicate()


atexit.register(dismiss)


def broken(said: Mapping[str, Any], good: Mapping[str, Any]) -> Iterator[str]:
    """The promises that a verdict breaks; `good` has the values of the checkpoint it came from.

    Only their digests: no recipe says which shape they have, so that is not verified.
    """
    if "end" in said:
        yield f"a process that {said['end']}"
        return
    for call in ("open", "verify"):
        if not said[call].get("ours", True):
            yield f"{call} raises {said[call]['error']}: {said[call]['text'][:100]}"
    if "theirs" in said:
        if "value" not in said["theirs"]:
            yield f"opens what safetensors refuses: {said['theirs']['text'][:100]}"
        else:
            yield from _alike(said["open"]["value"], said["theirs"]["value"])
    if "value" in said["verify"]:
        files = said["open"].get("value", {}).values()
        digests = {name: tensor[1][1] for tensors in files for name, tensor in tensors.items()}
        if any(digest != good.get(name, digest) for name, digest in digests.items()):
            yield "verify passes what has other values"
    yield from _command(said)


def _alike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """What opens, opens equally."""
    for file, tensors in ours.items():
        for name, tensor in tensors.items():
            if theirs[file].get(name) != tensor:
                yield "opens a tensor otherwise than safetensors"


def _command(said: Mapping[str, Any]) -> Iterator[str]:
    """`fastinit verify` says what `verify` does: 1 for a wrong checkpoint, 2 for all else."""
    verdict = said["verify"]
    right = 0 if "value" in verdict else 1 if verdict["invalid"] else 2
    if "value" not in said["command"]:
        yield f"the command raises {said['command']['error']}: {said['command']['text'][:100]}"
        return
    code, err = said["command"]["value"]["code"], said["command"]["value"]["err"]
    if code != right:
        yield f"exit code {code}, and {right} is what the error means"
    if code != 0:
        yield from one_line(err)


@cache
def digests_of(size: str) -> Mapping[str, Any]:
    """Tensor -> digest of the values of a good checkpoint."""
    return _digests(checkpoint(NEW, size))


@cache
def digests_of_refilled() -> Mapping[str, Any]:
    """The same of one with refilled tensors."""
    return _digests(refilling().after)


def _digests(files: Contents) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for file, data in files.items():
            Path(name, file).write_bytes(data)
        for tensors in ask(Path(name))["open"]["value"].values():
            found.update({name: tensor[1][1] for name, tensor in tensors.items()})
    return found


def spoilt(count: int, seed: int) -> Iterator[Point]:
    """`count` spoilt checkpoints of every kind, of one file, several, and refilled ones in turn."""
    bases = checkpoint(NEW, WHOLE), checkpoint(NEW, SHARDED), refilling().after
    good = digests_of(WHOLE), digests_of(SHARDED), digests_of_refilled()
    for kind, mutation in mutations.MUTATIONS.items():
        for number in range(count):
            which = 1 if mutation is mutations.index else number % 3
            yield _spoilt(kind, mutation, bases[which], good[which], number, seed)
    other = checkpoint(OLD, SHARDED, 9)
    for number in range(count):

        def mixed(random: Random, files: Contents) -> dict[str, bytes]:
            return mutations.mixture(random, files, other)

        yield _spoilt("two checkpoints mixed", mixed, bases[1], None, number, seed)


def _spoilt(
    kind: str,
    mutation: mutations.Mutation,
    base: Contents,
    good: Mapping[str, Any] | None,
    number: int,
    seed: int,
) -> Point:
    name = f"malformed/{kind}/{number}"

    def attempt(place: Path) -> Result:
        return examine(place, mutation(generator(seed, name), base), good)

    return Point(f"malformed: {kind}", name, attempt)


def examine(place: Path, files: Contents, good: Mapping[str, Any] | None) -> Result:
    """What comes of a checkpoint of those files, put into an empty folder."""
    for file, data in files.items():
        (place / file).write_bytes(data)
    said = ask(place)
    end = "crash" if "end" in said else str(said["command"].get("value", {}).get("code"))
    return Result(end, tuple(broken(said, good or {})))


def truncations(step: int = 1) -> Iterator[Point]:
    """A checkpoint of one file, cut at every `step`-th length."""
    base = checkpoint(NEW, WHOLE)
    (file,) = (name for name in base if name.endswith(".safetensors"))
    good = digests_of(WHOLE)
    for length in range(0, len(base[file]), step):
        yield _truncation({**base, file: base[file][:length]}, length, good)


def _truncation(files: Contents, length: int, good: Mapping[str, Any]) -> Point:
    def attempt(place: Path) -> Result:
        result = examine(place, files, good)
        passes = ["a file cut short passes"] if result.end == "0" else []
        return Result(result.end, (*result.broken, *passes))

    return Point("malformed: cut at every length", f"malformed/cut at/{length}", attempt)


# --- strange things in the place of files --------------------------------------------------------


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{here}/{path.name}")  # a path of a socket may not be long
        finally:
            os.close(here)


def _sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write((10**6).to_bytes(8, "little") + b"{")
        stream.truncate(2**40)


THINGS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a FIFO": lambda path: os.mkfifo(path),
    "a socket": _socket,
    "an empty file": lambda path: path.touch(),
    "seven bytes": lambda path: path.write_bytes(b"1234567"),
    "a sparse file of 1 TiB": _sparse,
    "spaces": lambda path: path.write_bytes(b" " * (10 * 2**20 + 1)),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /dev/null": lambda path: path.symlink_to("/dev/null"),
    "a link to a file of others": lambda path: path.symlink_to("../precious"),
}
PRECIOUS = b"what no write may touch"


def strange(size: str) -> Iterator[Point]:
    """Each file of a checkpoint, and the folder itself, with each strange thing in its place."""
    for file in [*sorted(checkpoint(NEW, size)), "."]:
        for thing in THINGS:
            for command in ("verify", "write", "overwrite"):
                yield _strange(size, file, thing, command)


def _strange(size: str, file: str, thing: str, command: str) -> Point:
    overwrite = ("--overwrite",) if command == "overwrite" else ()
    scene = writing(command, *overwrite, size=size, before=checkpoint(NEW, size))
    number = f"of {len(scene.after)} files"

    def attempt(place: Path) -> Result:
        (place / "precious").write_bytes(PRECIOUS)
        folder = scene.prepare(place)
        if file == ".":
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            THINGS[thing](folder)
        else:
            (folder / file).unlink()
            THINGS[thing](folder / file)
        line = scene.line(place) if command != "verify" else processes.command("verify", folder)
        outcome = processes.run(line)
        codes = {0, 1, 2} if command == "verify" else {0, 2}
        found = [*ending(outcome, codes)]
        if (place / "precious").read_bytes() != PRECIOUS:
            found.append("a file of others is overwritten")
        if folder.is_dir() and any(path.suffix == ".fastinit" for path in folder.iterdir()):
            found.append("leaves a temporary file")
        if outcome.code == 0:
            found += _really(folder)
        return Result(outcome.end, tuple(found))

    return Point(
        "strange things as files",
        f"strange/{command} {number}/{file}/{thing}",
        attempt,
    )


def _really(folder: Path) -> Iterator[str]:
    """What a command has called good is good, config.json apart, which no recipe covers."""
    try:
        verify(folder)
        tuple(open_checkpoint(folder).values())
    except FastinitError as error:
        yield f"exit code 0 for what is not a checkpoint: {type(error).__name__}"
