# SPDX-License-Identifier: MIT
"""What must hold after any fault.  Knows scenes and outcomes, not what was done to the process.

Each function returns the promises that were broken, in words that do not depend on the point: so
the same fault of the library has the same words wherever it shows.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Collection, Iterator
from pathlib import Path

from points import Result
from processes import Outcome
from scenes import Contents, Scene, contents

from fastinit.errors import CheckpointError
from fastinit.program import LONGEST_LINE

MARKS = ("model.safetensors.index.json", "model.safetensors")
"""The files that make a folder a checkpoint."""

CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
REASONS = re.compile("|".join(re.escape(os.strerror(code)) for code in sorted(errno.errorcode)))
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.fastinit")
WAITING = re.compile(r"\.(.+)\.complete\.fastinit")
"""Files that are being written, and complete ones that an overwrite has not put in place yet."""


def judge(
    scene: Scene,
    place: Path,
    outcome: Outcome,
    codes: Collection[int] | None,
    *,
    leftovers: bool = False,
    mute: bool = False,
) -> Result:
    """Everything that must hold after `scene` was disturbed in `place`.

    Args:
        scene: what was running.
        place: the point's folder.
        outcome: how it ended.
        codes: the exit codes that the fault allows; 0 only ever if the work is done.  None where
            they are not fastinit's affair: then it may do anything but crash.
        leftovers: whether a temporary file may be left, as nothing could remove it.
        mute: whether standard error may lack its line, or have one though the work is done: that
            the report is lost.  A standard stream was out of order, or a second signal came.
    """
    broken = [
        *ending(outcome, codes, mute=mute),
        *state(scene, place / "weights", outcome, leftovers=leftovers),
        *verdict(scene, place / "weights"),
        *repetition(scene, place / "weights"),
    ]
    return Result(outcome.end, tuple(broken))


def ending(outcome: Outcome, codes: Collection[int] | None, *, mute: bool = False) -> Iterator[str]:
    """The exit code is one that the fault allows; an error is one line, and success is silent."""
    if outcome.code is None:
        yield "does not end"
        return
    if codes is None:
        if -outcome.code in CRASHES:
            yield f"crashes with {outcome.end}"
        return
    lines = outcome.err.splitlines()
    if outcome.code not in codes:
        yield f"ends with {outcome.end}: {_plain(lines[-1]) if lines else 'nothing on stderr'}"
    if "Traceback" in outcome.err:
        yield f"a traceback: {_plain(lines[-1])}"
    elif outcome.code == 0 and lines and not mute:
        yield f"exit code 0 with something on stderr: {_plain(lines[0])}"
    elif outcome.code > 0 and not mute:
        yield from one_line(outcome.err)


def one_line(err: str) -> Iterator[str]:
    """A message of the command line is one line that any terminal shows as it is."""
    line = err.removeprefix("\n").removesuffix("\n")  # a new line after the ^C of a terminal
    if not line.startswith("fastinit: "):
        yield f"an error without a message: {_plain(line) or 'nothing on stderr'}"
    elif not line.isprintable():
        yield f"a message with what a terminal may not show: {ascii(_plain(line))[:200]}"
    elif len(line) > len("fastinit: ") + LONGEST_LINE:
        yield f"a message of more than {LONGEST_LINE:,} characters: {_plain(line)[:100]}"


def state(
    scene: Scene, folder: Path, outcome: Outcome, *, leftovers: bool = False
) -> Iterator[str]:
    """What is on disk is right or absent, nothing is a mixture, and no checkpoint is lost."""
    there, before = contents(folder), scene.before or {}
    final, waiting, temporary = sorted_out(there)
    killed = outcome.code is not None and outcome.code < 0
    if temporary and not killed and not leftovers:
        yield "leaves a temporary file"
    for name, data in final.items():
        if data not in (before.get(name), scene.after.get(name)):
            yield f"wrong bytes under the name {_plain(name)}"
    if any(data != scene.after.get(name) for name, data in waiting.items()):
        yield "wrong bytes in a file that waits to be put in place"
    if outcome.code == 0 and final != scene.after:
        yield "exit code 0, and the work is not done"
    marks = [mark for mark in MARKS if mark in final]
    if len(marks) > 1:
        yield "two checkpoints in one folder"
    for mark in marks:
        if not scene.by_file and not any(
            _whole(mark, final, checkpoint) for checkpoint in (before, scene.after)
        ):
            yield f"{mark} stands for a mixture, or for files that are not there"
    if not scene.overwrites:
        for name in sorted_out(before)[0].keys() - final.keys():
            yield f"{_plain(name)} has disappeared"
    elif not any(_whole(mark, final, before) for mark in marks) and any(
        data not in (final.get(name), waiting.get(name)) for name, data in scene.after.items()
    ):
        yield "neither the old checkpoint nor the new one is on disk"


def verdict(scene: Scene, folder: Path) -> Iterator[str]:
    """What the scene itself finds wrong."""
    try:
        yield from scene.verdict(folder)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        yield f"looking at it raises {type(error).__name__}: {_plain(str(error))}"


def sorted_out(there: Contents) -> tuple[Contents, Contents, Contents]:
    """Files under their final names, those that wait for them, by these too, and all others."""
    waiting = {match[1]: there[name] for name in there if (match := WAITING.fullmatch(name))}
    temporary = {name: data for name, data in there.items() if TEMPORARY.fullmatch(name)}
    hidden = {f".{name}.complete.fastinit" for name in waiting} | temporary.keys()
    return {name: there[name] for name in there.keys() - hidden}, waiting, temporary


def _whole(mark: str, there: Contents, checkpoint: Contents) -> bool:
    """Whether a checkpoint with that file is there completely."""
    final, _, _ = sorted_out(checkpoint)
    return mark in final and all(there.get(name) == data for name, data in final.items())


def repetition(scene: Scene, folder: Path) -> Iterator[str]:
    """The folder is free, and the same command makes what it would have made."""
    done = contents(folder) == scene.eventually
    try:
        scene.again(folder)
    except CheckpointError as error:
        if not (done and "already holds a checkpoint" in str(error)):
            yield f"the same command then says: {_plain(str(error).replace(str(folder), 'DIR'))}"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        yield f"the same command then raises {type(error).__name__}: {_plain(str(error))}"
    else:
        there = contents(folder)
        if there != scene.eventually:
            spare = sorted(there.keys() - scene.eventually.keys())
            kind = "leaves a temporary file" if spare else "leaves other bytes"
            yield f"the same command then {kind}"


def _plain(line: str) -> str:
    """A message without what differs from point to point."""
    line = re.sub(r"(/[^/ ]+)*/point-\w+/", "", line)
    line = re.sub(r"\b[0-9a-f]{32}\b", "*", line)
    line = re.sub(r"model-\d{5}-of-\d{5}", "model-*", line)
    return REASONS.sub("(why)", line)[:300]
