# SPDX-License-Identifier: MIT
"""Runs the command line: every error is one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from click.shell_completion import shell_complete

import fastinit
from fastinit import program
from fastinit.cli.group import cli
from fastinit.cli.output import stop
from fastinit.program import OutputError, Signalled

COMPLETE = "_FASTINIT_COMPLETE"
"""The variable through which shells ask click for completions."""
RESUMABLE = (["write"], ["refill"], ["regenerate"])
"""The commands that finish the work of an interrupted one."""
_OURS = (fastinit.errors.BackendWarning, fastinit.errors.VersionWarning)


def main() -> NoReturn:
    """Run the command line, and turn every error into one line and an exit code."""
    try:
        with _notices():
            _run(sys.argv[1:])
    except Signalled as signalled:
        hint = "; the same command carries on" if sys.argv[1:2] in RESUMABLE else ""
        program.say_at_once(program.interrupted(signalled.number, hint))
        raise
    except KeyboardInterrupt:  # only in a process that `program` did not begin
        stop("interrupted", program.SIGNALLED + signal.SIGINT)
    except Exception as error:  # noqa: BLE001 - the last place where it can be explained
        program.show_traceback(error)
        stop(_explained(error), program.REFUSED)
    sys.exit(0)


@contextmanager
def _notices() -> Iterator[None]:
    """Print a warning of ours as one line, without the line of code that it came from."""
    with warnings.catch_warnings():
        other = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, _OURS):
                program.say(program.one_line(str(message)))
            else:
                other(message, category, *rest, **named)

        warnings.showwarning = show
        yield


def _run(arguments: list[str]) -> None:
    if COMPLETE in os.environ:
        failed = shell_complete(cli, {}, "fastinit", COMPLETE, os.environ[COMPLETE])
        sys.exit(program.REFUSED if failed else 0)
    try:
        with cli.make_context("fastinit", arguments) as context:
            cli.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        program.say(error.format_message())
        sys.exit(program.REFUSED)
    except click.exceptions.Exit as end:  # after --help and --version
        sys.exit(end.exit_code)
    except BrokenPipeError:  # click's own output: its reader closed the pipe
        program.silence(sys.stdout)


def _explained(error: Exception) -> str:
    match error:
        case click.ClickException():
            context = getattr(error, "ctx", None)
            hint = f"; see {context.command_path} --help" if context else ""
            return f"{error.format_message().rstrip('.')}{hint}"
        case MemoryError():
            return f"out of memory: {str(error) or 'no more could be allocated'}"
        case fastinit.FastinitError() | OutputError() | ImportError() | OSError():
            return str(error)
        case ValueError() | TypeError():  # of an argument
            return str(error)
        case _:
            return program.unexpected(error)
