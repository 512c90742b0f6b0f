# SPDX-License-Identifier: MIT
"""Replaces a checkpoint, once every file of the new one is complete.  Draws no values.

The new files are sealed first: renamed to hidden names, the one that makes them a checkpoint last.
From then on nothing has to be drawn again: as long as that last file is sealed, a repeated call
takes each file under the name that it has and carries on with the renaming.  The old index goes
before any name changes and the new one comes last, so an index never names a mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from fastinit.checkpoints.files import SEALED, Folder, TemporaryFile, sealed
from fastinit.checkpoints.formats import FORMATS, MARKS
from fastinit.checkpoints.formats.base import Format
from fastinit.checkpoints.layout import Layout
from fastinit.checkpoints.targets import Target
from fastinit.errors import CheckpointError
from fastinit.plans.reading import CONFIG_FILE
from fastinit.texts import printable


def begun(target: Folder, layout: Layout, names: set[str]) -> dict[str, str]:
    """The complete files that an earlier run of this call sealed but did not rename all of.

    Returns:
        File -> the name that it has now; empty if there was no such run.  An index is the same for
        every seed, so a run counts as one of this call only if a shard matches too.
    """
    *_, last = layout.files
    if sealed(last) not in names:
        return {}
    places = {file: sealed(file) if sealed(file) in names else file for file in layout.files}
    complete = {
        file: place
        for file, place in places.items()
        if place in names and _is_complete(target, layout, file, place)
    }
    ours = last in complete and any(shard.file in complete for shard in layout.shards)
    return complete if ours else {}


def _is_complete(target: Target, layout: Layout, file: str, place: str) -> bool:
    return target.begins_with(place, layout.beginning(file), layout.files[file])


def sweep(target: Folder, names: set[str]) -> None:
    """Remove what is left of a run that died while it sealed; the old checkpoint is untouched."""
    if not any(sealed(last) in names for last in MARKS):
        forget(target, names)


def forget(target: Folder, names: set[str]) -> None:
    """Remove the sealed files of any call, the last one first: it vouches for the others.

    So it must be gone for good before them.  Where headers do not tell their call, an old file
    would else be taken for a sealed one that is missing.
    """
    finals = {match[1] for name in names if (match := SEALED.fullmatch(name))}
    forms = FORMATS.values()
    ours = {file for file in finals if file == CONFIG_FILE or any(f.may_write(file) for f in forms)}
    last = ours.intersection(MARKS)
    for file in sorted(last):
        target.remove(sealed(file))
    if last:
        target.sync()
    for file in sorted(ours - last):
        target.remove(sealed(file))


def check_unbegun(target: Folder, names: set[str]) -> None:
    """Raise if another call's files are sealed, because that call has not finished replacing."""
    for last in MARKS:
        if sealed(last) in names:
            raise CheckpointError(
                f"{printable(target.path)} holds a checkpoint that another call had nearly "
                "put in place: repeat that call to finish it, or write with overwrite=True "
                "(--overwrite) to remove it"
            )


def seal(target: Folder, layout: Layout, files: Iterable[TemporaryFile]) -> None:
    """Let complete files wait for `commit`, in this run or in a later one."""
    order = {file: number for number, file in enumerate(layout.files)}
    for file in sorted(files, key=lambda file: order[file.final]):
        if file.final in MARKS:
            target.sync()
        file.seal()
    target.sync()
    target.keep()


def commit(target: Folder, layout: Layout) -> None:
    """Put the sealed files in the place of the checkpoint that is there.

    A numbered shard that is not ours belongs to the old checkpoint, even if a run that died here
    has removed the index that said so.
    """
    try:
        _commit(target, layout)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; every file of the new checkpoint is complete, and the same command puts "
            "them in place without drawing anything again"
        ) from error
    target.sync()


def _commit(target: Folder, layout: Layout) -> None:
    *others, last = layout.files

    def rename() -> None:
        names = target.names()
        for file in others:
            if sealed(file) in names:
                target.rename(sealed(file), file)

    exchange(target, layout, rename)
    target.rename(sealed(last), last)


def exchange(target: Target, layout: Layout, put_others: Callable[[], None]) -> None:
    """Let `put_others` put all new files but the last in the place of the checkpoint that is there.

    The file that makes the old one a checkpoint goes before that, unless the last new file has its
    name and will do for the rest of the checkpoint; files of the old one alone go after it.
    """
    names = target.names()
    *_, last = layout.files
    single = layout.form.single
    old = _retire_index(target, layout.form, names)
    if single in names and not (last == single and _keeps_config(target, layout, names)):
        target.remove(single)  # else one rename replaces the old checkpoint by the new
    target.sync()
    put_others()
    for name in sorted(old - layout.files.keys()):
        target.remove(name)
    if single is None:
        target.remove(_retired(layout.form))
    target.sync()


def _retire_index(target: Target, form: Format, names: set[str]) -> set[str]:
    """Take the old index away, and return the files of the old checkpoint.

    Where anyone may have files of such names, only the index says which are of the checkpoint; so
    it stays, under a hidden name, until they are removed.
    """
    if form.single is not None:
        if form.index in names:
            target.remove(form.index)
        return {name for name in names if form.is_shard(name)}
    retired = _retired(form)
    if form.index in names:
        target.rename(form.index, retired)
    if names.isdisjoint((form.index, retired)):
        return set()
    with suppress(ValueError):  # not an index: it names nothing that may be removed
        index = form.parse_index(target.read(retired, form.index_limit))
        return names & set(index.weight_map.values())
    return set()


def _retired(form: Format) -> str:
    return f".{form.index}.replaced.fastinit"


def _keeps_config(target: Target, layout: Layout, names: set[str]) -> bool:
    """Whether the config.json that is there will do for the new checkpoint as well."""
    return layout.config is None or (
        CONFIG_FILE in names and _is_complete(target, layout, CONFIG_FILE, CONFIG_FILE)
    )
