# SPDX-License-Identifier: MIT
"""The errors of the machine and of files.  Bad arguments raise ValueError or TypeError instead."""

from __future__ import annotations

from typing import Any

from fastinit.texts import printable

__all__ = [
    "BackendError",
    "BackendWarning",
    "CheckpointError",
    "FastinitError",
    "InvalidCheckpointError",
    "ModuleError",
    "PlanError",
    "UntrustedError",
    "VerifyError",
    "VersionWarning",
]


class FastinitError(Exception):
    """Base of every error that is not a bad argument: the machine, a plan file, a checkpoint."""


class BackendError(FastinitError, RuntimeError):
    """The machine cannot do what was forced, for example an instruction set it lacks."""


class BackendWarning(UserWarning):
    """The same bits, but slower: the native backend was not built, or a device has no kernels."""


class VersionWarning(UserWarning):
    """A version of a framework that fastinit was not tested with."""


class PlanError(FastinitError, ValueError):
    """A plan file or preset that cannot be read or makes no sense."""


class UntrustedError(FastinitError, ValueError):
    """A text names a custom distribution that was not given beside it, by `custom` or --trust."""


class CheckpointError(FastinitError, OSError):
    """A checkpoint that cannot be written or read; one that is wrong is InvalidCheckpointError."""


class InvalidCheckpointError(CheckpointError):
    """A checkpoint that is not valid, or not the one that its recipe describes.

    Only this error makes `fastinit verify` exit with code 1.
    """


class VerifyError(InvalidCheckpointError):
    """A checkpoint that differs from its recipe: in which file, tensor and element, where known."""

    def __init__(
        self, message: str, file: str, tensor: str | None = None, index: int | None = None
    ) -> None:
        super().__init__(f"{printable(file)}: {message}")
        self.message = message
        self.file = file
        self.tensor = tensor
        self.index = index

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it can come back from another process."""
        return VerifyError, (self.message, self.file, self.tensor, self.index)


class ModuleError(FastinitError, ValueError):
    """A module of a framework whose tensors cannot all be made, or are not what they should be.

    `problems` has the reason for each tensor, by its name.
    """

    def __init__(self, message: str, problems: dict[str, str]) -> None:
        super().__init__(message)
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        """So that it can come back from another process."""
        return ModuleError, (str(self), self.problems)
