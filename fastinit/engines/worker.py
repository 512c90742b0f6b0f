# SPDX-License-Identifier: MIT
"""What a process of the engine `local` runs: calls from stdin, results to stdout, both pickled.

It ends at once when stdin ends, so that it never outlives the process that started it.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from typing import Any, BinaryIO

LENGTH = 8
"""Bytes of the number that precedes a message: its length."""


def send(stream: BinaryIO, message: bytes) -> None:
    """Write a message."""
    stream.write(len(message).to_bytes(LENGTH, "little") + message)
    stream.flush()


def receive(stream: BinaryIO) -> bytes:
    """Read a message.

    Raises:
        EOFError: the other process has ended.
    """
    length = stream.read(LENGTH)
    message = stream.read(int.from_bytes(length, "little")) if len(length) == LENGTH else b""
    if not message:
        raise EOFError
    return message


def serve() -> None:
    """Make every call that comes, until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=[calls], daemon=True).start()
    while True:
        send(answers, _outcome(calls.get()))


def _listen(calls: queue.SimpleQueue[bytes]) -> None:
    """Read while a call runs, too, to notice at once when nobody waits for it any more."""
    try:
        while True:
            calls.put(receive(sys.stdin.buffer))
    finally:
        os._exit(0)


def _outcome(call: bytes) -> bytes:
    """Make a call: the pickle of (its result, None), or of (None, its exception)."""
    result: Any = None
    try:
        function, arguments = pickle.loads(call)
        result = function(*arguments)
    except Exception as error:  # noqa: BLE001 - raised where the call came from
        return _pickled_error(error)
    return pickle.dumps((result, None))


def _pickled_error(error: Exception) -> bytes:
    """An exception, or its text where it does not survive being pickled."""
    try:
        message = pickle.dumps((None, error))
        pickle.loads(message)
    except Exception:  # noqa: BLE001 - whatever its class does
        return pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
    return message
