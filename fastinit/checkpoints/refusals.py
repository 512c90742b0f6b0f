# SPDX-License-Identifier: MIT
"""Why a write refuses what is in its target already, the same for folders and object stores.

It decides by names; who calls it has compared what the files hold.
"""

from __future__ import annotations

from fastinit.checkpoints.formats import MARKS
from fastinit.checkpoints.formats.base import Format
from fastinit.checkpoints.targets import Target
from fastinit.errors import CheckpointError
from fastinit.plans.reading import CONFIG_FILE
from fastinit.texts import printable


def check_uncommitted(target: Target, names: set[str]) -> None:
    """Raise if there is a checkpoint."""
    for name in MARKS:
        if name in names:
            raise CheckpointError(
                f"{printable(target.path)} already holds a checkpoint ({name}): pass "
                "overwrite=True (--overwrite on the command line) to replace it, or choose "
                "another folder"
            )


def check_formats(target: Target, names: set[str], form: Format) -> None:
    """Raise if there is a checkpoint in another format, whose files ours would not replace."""
    for name in MARKS:
        if name in names and name not in form.marks:
            raise CheckpointError(
                f"{printable(target.path)} holds a checkpoint in another format ({name}), which "
                f"{form.name} files cannot replace: remove it, or choose another folder"
            )


def another_config(target: Target) -> CheckpointError:
    """The error for a config.json that is not the plan's."""
    return CheckpointError(
        f"{printable(target.path / CONFIG_FILE)} differs from this plan's: remove it, "
        "pass overwrite=True (--overwrite), or choose another folder"
    )


def another_file(target: Target, name: str) -> CheckpointError:
    """The error for a shard that this call would not write."""
    return CheckpointError(
        f"{printable(target.path / name)} is not what this call would write there: repeat "
        "the call that began it, pass overwrite=True (--overwrite), or choose another folder"
    )
