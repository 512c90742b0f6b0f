# SPDX-License-Identifier: MIT
"""Running the command line as users do, in a process that may be limited.  Judges nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

PATIENCE = 120  # seconds: a loaded machine is slow, a process that hangs is slower

LIMITED = """
import os, resource, sys
for limit in sys.argv[1].split():
    name, value = limit.split("=")
    number = getattr(resource, "RLIMIT_" + name)
    resource.setrlimit(number, (int(value), int(value)))
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Outcome:
    """How a process ended: `code` is negative after a signal, and None if it did not end at all."""

    code: int | None
    out: str
    err: str

    @property
    def end(self) -> str:
        """The exit code, or the signal's name."""
        if self.code is None:
            return "hangs"
        return signal.Signals(-self.code).name if self.code < 0 else str(self.code)


def command(*arguments: object) -> list[str]:
    """`fastinit ARGUMENTS`."""
    return [sys.executable, "-m", "fastinit", *map(str, arguments)]


def limited(line: Sequence[str], **limits: int) -> list[str]:
    """The same under resource limits, such as NOFILE=20."""
    text = " ".join(f"{name}={value}" for name, value in limits.items())
    return [sys.executable, "-ISc", LIMITED, text, *line]


def environment() -> dict[str, str]:
    """This one, without what would make one run differ from the next."""
    kept = {key: value for key, value in os.environ.items() if key != "FASTINIT_THREADS"}
    return {**kept, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def start(line: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process in a group of its own, whose current folder holds nothing for it to import."""
    return subprocess.Popen(
        line,
        cwd="/",
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes]) -> Outcome:
    """Wait for it; one that does not end is killed, with all that it started."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return Outcome(None, _text(out), _text(err))
    return Outcome(process.returncode, _text(out), _text(err))


def run(line: Sequence[str]) -> Outcome:
    """Start it and wait for it."""
    return finish(start(line))


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def restore_signals() -> None:
    """Children inherit that a signal is ignored, as under nohup: then none of them would get it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
