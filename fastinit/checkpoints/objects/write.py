# SPDX-License-Identifier: MIT
"""Puts a layout under a prefix: looks at what is there, and gives objects their names in order.

It differs from a folder's write where a store does: there are no locks and no renames without a
copy, so the old checkpoint goes before the new one comes.
"""

from __future__ import annotations

from typing import Any

from fastinit.checkpoints import claims, refusals, replace
from fastinit.checkpoints.formats import MARKS
from fastinit.checkpoints.layout import Layout
from fastinit.checkpoints.objects.prefix import Prefix
from fastinit.checkpoints.objects.uploads import check_sizes, upload
from fastinit.checkpoints.outputs import Progress
from fastinit.checkpoints.targets import Url
from fastinit.errors import CheckpointError
from fastinit.plans.reading import CONFIG_FILE
from fastinit.texts import printable


def write(
    layout: Layout, target: Any, overwrite: bool, workers: int, progress: Progress | None
) -> tuple[Url, set[str]]:
    """Write a checkpoint into an object store.

    An empty object, the claim, says which call writes there.  It comes first, so it also shows
    whether the store lets us write, and goes last.

    Args:
        layout: what to write.
        target: a `Url`, or a store object of obstore.
        overwrite: replace a checkpoint.
        workers: number of threads that draw.
        progress: called with bytes of values.

    Returns:
        The URL, and the shards that were there already.
    """
    prefix = Prefix(target)
    check_sizes(prefix, layout)
    names = prefix.names()
    refusals.check_formats(prefix, names, layout.form)
    done = _begun(prefix, layout, names) if overwrite else _finished(prefix, layout, names)
    if overwrite and not done:
        claims.forget(prefix, names)
    claims.make(prefix, layout.shards[0], always=True)
    if progress:
        progress(sum(shard.data_size for shard in layout.shards if shard.file in done))

    def put_others() -> None:
        _put_config(prefix, layout)
        if layout.index is not None:
            _upload(prefix, layout, done, workers, progress)

    if overwrite:
        replace.exchange(prefix, layout, put_others)
    else:
        put_others()
    if layout.index is None:
        _upload(prefix, layout, done, workers, progress)
    else:
        _put_index(prefix, layout, layout.index, overwrite)
    claims.withdraw(prefix, layout.shards[0], always=True)
    return prefix.path, done


def _finished(prefix: Prefix, layout: Layout, names: set[str]) -> set[str]:
    """The shards that an interrupted run completed; raises for objects it cannot have written."""
    refusals.check_uncommitted(prefix, names)
    claims.check_alone(prefix, names, layout.shards[0])
    shards = {shard.file: shard for shard in layout.shards}
    found = {name for name in names if name in shards or layout.form.is_shard(name)}
    claimed = claims.covers(prefix, names, layout.shards[0])
    ours = _matching(prefix, layout, found & shards.keys()) if claimed else set()
    for name in sorted(found - ours):
        raise refusals.another_file(prefix, name)
    if layout.config and CONFIG_FILE in names and not _has_config(prefix, layout):
        raise refusals.another_config(prefix)
    return ours


def _begun(prefix: Prefix, layout: Layout, names: set[str]) -> set[str]:
    """The shards that this same call completed when it replaced the checkpoint before.

    They are newer than its claim, by the store's clock.
    """
    claim = claims.name_of(layout.shards[0])
    if claim not in names or not names.isdisjoint(MARKS):
        return set()
    made = {name: time for name, (_, time) in prefix.objects().items()}
    newer = {name for name, time in made.items() if claim in made and time > made[claim]}
    return _matching(prefix, layout, newer.intersection(shard.file for shard in layout.shards))


def _matching(prefix: Prefix, layout: Layout, names: set[str]) -> set[str]:
    """Those of the names that are objects of the right size which begin as they should."""
    return prefix.matching({name: (layout.beginning(name), layout.files[name]) for name in names})


def _has_config(prefix: Prefix, layout: Layout) -> bool:
    config = layout.config
    return config is not None and prefix.begins_with(CONFIG_FILE, config, len(config))


def _put_config(prefix: Prefix, layout: Layout) -> None:
    if layout.config is not None and not _has_config(prefix, layout):
        prefix.put(CONFIG_FILE, layout.config)


def _upload(
    prefix: Prefix, layout: Layout, done: set[str], workers: int, progress: Progress | None
) -> None:
    """Upload the missing shards, and see that every shard is there and ours."""
    upload(prefix, [s for s in layout.shards if s.file not in done], workers, progress)
    shards = {shard.file for shard in layout.shards}
    for name in sorted(shards - _matching(prefix, layout, shards)):
        raise CheckpointError(
            f"{printable(prefix.path / name)} was replaced or removed meanwhile: another call "
            "writes there, too; wait until it ends and write again, or choose another folder"
        )


def _put_index(prefix: Prefix, layout: Layout, index: bytes, overwrite: bool) -> None:
    name = layout.form.index
    if overwrite:
        prefix.put(name, index)
    elif not prefix.create(name, index) and prefix.read(name, len(index)) != index:
        raise CheckpointError(
            f"{printable(prefix.path / name)} appeared meanwhile: another call wrote a checkpoint "
            "there; write again with overwrite=True (--overwrite), or choose another folder"
        )
