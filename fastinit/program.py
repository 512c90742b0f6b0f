# SPDX-License-Identifier: MIT
"""The process of the command line: its descriptors, streams, signals and exit codes.

What the commands do is in `cli`.  `import fastinit` imports this file first, so that Ctrl-C prints
one line while the rest is imported; so this file imports only what Python has loaded already.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` imports more, and Ctrl-C may come then
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any, NoReturn, TextIO

FAILED, REFUSED, SIGNALLED = 1, 2, 128
"""Exit codes: a wrong checkpoint; a mistake or a refusal; what is added to a signal's number."""

SIGNALS = {
    _signal.SIGINT: "interrupted",
    _signal.SIGTERM: "ended by SIGTERM",
    getattr(_signal, "SIGHUP", None): "ended by SIGHUP",
}
"""The signals that are handled, and what the last line says about them."""
SIGNALS.pop(None, None)  # Windows has no SIGHUP

LONGEST_LINE = 1900
"""Characters of a message at most, without the name that it begins with."""

DEBUG = "FASTINIT_DEBUG"
"""The variable that asks for the traceback of an error."""


class Signalled(SystemExit):
    """A signal came during work; raised so that unfinished files are cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(SIGNALLED + number)
        self.number = number


class OutputError(Exception):
    """Standard output does not take what was printed."""


def is_this_process() -> bool:
    """Whether this process was started as `fastinit` or `python -m fastinit`.

    A script is known by its name alone: so another's program that is called `fastinit` and imports
    this package is taken for ours, and its signals are answered by `_end` until it sets its own.
    """
    arguments: list[str] = getattr(sys, "argv", [])
    if not arguments:
        return False
    if arguments[0] == "-m":  # while Python looks for the module
        return sys.orig_argv[-len(arguments)] in ("fastinit", "fastinit.__main__", "-mfastinit")
    return os.path.basename(arguments[0]) in ("fastinit", "fastinit.exe")


def begin() -> None:
    """Prepare the process; may be repeated."""
    handle_signals(_end)
    sys.excepthook = _unexpected
    import fastinit.texts  # noqa: F401 - for `one_line`, should a later import fail

    _open_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _open_descriptors() -> None:
    """Open descriptors 0 to 2 if they are closed, or the next files get them, and our messages."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


# --- signals ---------------------------------------------------------------------------------


def handle_signals(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Let `handler` handle SIGNALS, except those that the parent process set to be ignored."""
    for number in SIGNALS:
        if _signal.getsignal(number) not in (_signal.SIG_IGN, None):
            _set(number, handler)


def _set(number: int, handler: Any) -> None:
    try:
        _signal.signal(number, handler)
    except ValueError:  # this is not the main thread, which alone handles signals
        return


class unwinding:  # noqa: N801 - used as a context manager
    """Inside the block a signal raises `Signalled`; after it the former handlers are back."""

    def __enter__(self) -> None:
        self.before = {number: _signal.getsignal(number) for number in SIGNALS}
        handle_signals(_raise)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            if handler is not None:
                _set(number, handler)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """End at once: nothing is half done.  A second signal ends it without a word."""
    try:
        handle_signals(_exit)
        say_at_once(interrupted(number))
    finally:
        os._exit(SIGNALLED + number)


def _exit(number: int, _: FrameType | None) -> NoReturn:
    os._exit(SIGNALLED + number)


def say_at_once(line: str) -> None:
    """Print a line on stderr, unless it would have to wait: for a pipe that nobody reads."""
    try:
        if _takes(2):
            os.write(2, f"{line}\n".encode(errors="backslashreplace"))
    except OSError:
        return


def _takes(number: int) -> bool:
    """Whether a descriptor takes a line now: of a pipe, so much that is shorter than 4096 bytes."""
    import select  # of C

    if not hasattr(select, "poll"):  # Windows: consoles and pipes cannot be asked
        return True
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(events & select.POLLOUT for _, events in poll.poll(0))


def _raise(number: int, _: FrameType | None) -> NoReturn:
    raise Signalled(number)


def ignore_signals() -> None:
    """Everything is done: from now on no signal changes the exit code."""
    for number in SIGNALS:
        _set(number, _signal.SIG_IGN)


def interrupted(number: int, hint: str = "") -> str:
    """The last line of a process that a signal ended; on a terminal it overwrites the ^C."""
    start = "\r" if os.isatty(2) else ""
    return f"{start}fastinit: {SIGNALS[number]}{hint}"


# --- streams ---------------------------------------------------------------------------------


def put(line: str) -> None:
    """Print a line on stdout, at once.

    If the reader has closed the pipe, it wants no more: the process ends with exit code 0.

    Raises:
        OutputError: stdout is closed, or what is behind it is full.
    """
    if sys.stdout is None:
        raise OutputError("cannot write to stdout: it is closed")
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        raise SystemExit(0) from None
    except (OSError, ValueError) as error:
        silence(sys.stdout)
        raise OutputError(f"cannot write to stdout: {error}") from error


def say(line: str) -> None:
    """Print a line on stderr, if that is possible."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Discard what is still buffered: Python would try to write it again at exit, and fail."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # a test's
        return
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, number)
        os.close(nowhere)
    except OSError:  # no descriptor is left, or there is no /dev/null: Python fails as it ends
        return


# --- errors ----------------------------------------------------------------------------------


def one_line(message: str) -> str:
    """A message as the one line that the command line prints."""
    if "fastinit.texts" not in sys.modules:
        import fastinit.texts  # noqa: F401 - looked up below
    texts = sys.modules["fastinit.texts"]  # of a package that failed, nothing can be imported
    return f"fastinit: {texts.printable(' '.join(message.split()), LONGEST_LINE - 1)}"


def unexpected(error: BaseException) -> str:
    """The message for an error that is not expected."""
    name = type(error).__name__
    return f"unexpected {name}: {error}; please report it, with the traceback that {DEBUG}=1 gives"


def show_traceback(error: BaseException) -> None:
    """Print the traceback of an error, if the environment asks for it."""
    if os.environ.get(DEBUG):
        import traceback

        say("".join(traceback.format_exception(error)).rstrip("\n"))


def _unexpected(_: type[BaseException], error: BaseException, __: TracebackType | None) -> NoReturn:
    """Report what nobody caught, such as a failed import: no traceback, and exit code 2."""
    try:
        show_traceback(error)
        say(one_line(str(error) if isinstance(error, ImportError) else unexpected(error)))
    finally:
        os._exit(REFUSED)
