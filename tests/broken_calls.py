# SPDX-License-Identifier: MIT
"""Functions of the system that fail when a test wants them to.  Holds no test."""

from __future__ import annotations

import errno
import os
import threading


class Broken:
    """A function of the system that fails at its `k`-th call, which has the arguments `struck`."""

    def __init__(self, function, k, code=errno.EIO):
        self.function = function
        self.k = k
        self.code = code
        self.calls = 0
        self.struck = ()
        self.lock = threading.Lock()

    def __call__(self, *args, **options):
        with self.lock:
            self.calls += 1
            fails = self.calls == self.k
        if fails:
            self.struck = args
            raise OSError(self.code, os.strerror(self.code))
        return self.function(*args, **options)


def always(code):
    """A function that fails with this error."""

    def fail(*args, **options):
        raise OSError(code, os.strerror(code))

    return fail
