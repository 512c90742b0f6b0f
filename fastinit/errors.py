# SPDX-License-Identifier: MIT
"""The errors of the machine and of files.  Bad arguments raise ValueError or TypeError instead."""

from __future__ import annotations


class FastinitError(Exception):
    """Base of every error that is not a bad argument: the machine, a plan file, a checkpoint."""


class BackendError(FastinitError, RuntimeError):
    """The machine cannot do what was forced, for example an instruction set it lacks."""


class PlanError(FastinitError, ValueError):
    """A plan file or preset that cannot be read or makes no sense."""


class CheckpointError(FastinitError, OSError):
    """A checkpoint that cannot be written, or is not what it should be."""
