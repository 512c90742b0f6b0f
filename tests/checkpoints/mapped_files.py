# SPDX-License-Identifier: MIT
"""The array that the tests of memory-mapped files make, and what it should be.  Holds no test."""

from __future__ import annotations

import fastinit as fi

INIT = "normal(std=0.02)"
BESIDE = ".fastinit.json"


def made(path, shape=(50, 7), init=INIT, **options):
    return fi.memmap(path, shape, init, **{"seed": 3, **options})


def expected(shape=(50, 7), init=INIT, **options):
    return fi.array(shape, init, **{"seed": 3, "name": "e", **options})
