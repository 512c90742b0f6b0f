# SPDX-License-Identifier: MIT
"""Says in the folder which call writes there, where the headers of the files do not say it.

A claim is an empty file whose name is the seed and the digest of the plan.  It appears before the
first file and goes after the index.  Without it, an interrupted run could be carried on with
another seed, and a file of the old seed would be taken for one of the new.  It is made first and
looked for afterwards, so of two calls that begin at once at least one sees both claims.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress

from fastinit.checkpoints.files import CLAIM
from fastinit.checkpoints.layout import Shard
from fastinit.checkpoints.recipe import Recipe
from fastinit.checkpoints.targets import Target
from fastinit.errors import CheckpointError
from fastinit.texts import printable
from fastinit.values.stream import VERSION


def name_of(shard: Shard) -> str:
    """The name of the claim of the call that writes this shard."""
    return f".stream-{VERSION}.seed-{shard.seed}.plan-{_digest(shard)}.begun.fastinit"


def _digest(shard: Shard) -> str:
    """The plan's, or one of that and of the sources that its custom distributions have."""
    if not shard.custom:
        return shard.digest
    lines = [shard.digest, *(f"{label} {digest}" for label, digest in shard.custom)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def covers(target: Target, names: set[str], shard: Shard) -> bool:
    """Whether a file with the header of this shard must be one of this very call."""
    form = shard.form
    if form.tells_its_call or name_of(shard) in names:
        return True
    if form.index in names:  # the call is finished, and a task of it is repeated
        with suppress(ValueError):
            index = form.parse_index(target.read(form.index, form.index_limit))
            recipe = Recipe.parse(index.recipe or "")
            call = recipe.seed, recipe.digest, dict(recipe.custom)
            return not recipe.refilled and call == (shard.seed, shard.digest, dict(shard.custom))
    return False


def check(target: Target, names: set[str], shard: Shard) -> None:
    """Raise if another call, interrupted or still at work, writes into the folder."""
    if not shard.form.tells_its_call:
        check_alone(target, names, shard)


def check_alone(target: Target, names: set[str], shard: Shard) -> None:
    """Raise if there is a claim of another call, whatever headers tell."""
    for name in sorted(names - {name_of(shard)}):
        if CLAIM.fullmatch(name):
            raise CheckpointError(
                f"{printable(target.path)} holds files of another call, which is not finished "
                f"({name}): repeat that call, pass overwrite=True (--overwrite), or choose another "
                "folder"
            )


def check_unclaimed(target: Target, names: set[str], shard: Shard) -> None:
    """Raise if files were there before any task claimed the folder: nothing tells whose they are.

    A task knows only its own file, so the others could be taken for those of its siblings.
    """
    if shard.form.tells_its_call or name_of(shard) in names:
        return
    for name in sorted(names):
        if name.endswith(shard.form.suffix):
            raise CheckpointError(
                f"{printable(target.path / name)} was there before this call began: remove it, or "
                "choose an empty folder"
            )


def make(target: Target, shard: Shard, *, always: bool = False) -> None:
    """Claim the folder for the call that writes this shard; `always` where there are no locks."""
    if shard.form.tells_its_call and not always:
        return
    made = name_of(shard) not in target.names()
    if made:
        target.put(name_of(shard), b"")
    try:
        check_alone(target, target.names(), shard)
    except CheckpointError:
        if made:
            target.remove(name_of(shard))
        raise


def withdraw(target: Target, shard: Shard, *, always: bool = False) -> None:
    """Remove the claim: the checkpoint is complete."""
    if always or not shard.form.tells_its_call:
        target.remove(name_of(shard))


def forget(target: Target, names: set[str]) -> None:
    """Remove every claim: whatever was begun is to be replaced."""
    for name in sorted(names):
        if CLAIM.fullmatch(name):
            target.remove(name)
