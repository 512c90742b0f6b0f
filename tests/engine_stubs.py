# SPDX-License-Identifier: MIT
"""Engines that the tests make: inline, and with workers that die.  Workers import this, too."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future

from fastinit.engines import Engine


class Inline(Engine):
    """Runs a task when it is submitted, in this thread; `tasks` are those that were run."""

    name = "inline"
    workers = 1

    def __init__(self, change=lambda answer: answer):
        self.change = change
        self.tasks = []
        self.abandoned = []

    def submit(self, function, /, *arguments):
        future = Future()
        self.tasks.append(arguments[0])
        try:
            future.set_result(self.change(function(*arguments)))
        except Exception as error:  # noqa: BLE001 - the coordinator gets it
            future.set_exception(error)
        return future

    def abandon(self, futures):
        self.abandoned.extend(futures)
        super().abandon(futures)


class Deadly(Engine):
    """Another engine, of which the workers that get the first tasks are killed.

    Each of the `markers` is a file that the first worker to see it missing makes before it dies,
    either before its task or after it.
    """

    def __init__(self, engine, markers, when):
        self.engine = engine
        self.name = engine.name
        self.workers = engine.workers
        self.threads = engine.threads
        self.leads = engine.leads
        self.markers = markers
        self.when = when

    def submit(self, function, /, *arguments):
        return self.engine.submit(deadly, function, self.markers, self.when, *arguments)

    def abandon(self, futures):
        self.engine.abandon(futures)

    def lead(self, call):
        return self.engine.lead(call)


def deadly(function, markers, when, *arguments):
    """The result of a call, unless this process is one of those that die."""
    dies = any(map(_is_first, markers))
    if not dies or when == "after":
        result = function(*arguments)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def _is_first(marker):
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def raises(error):
    """A task that fails."""
    raise error


def kill_me():
    """A task that no worker survives."""
    os.kill(os.getpid(), signal.SIGKILL)
