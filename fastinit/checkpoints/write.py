# SPDX-License-Identifier: MIT
"""Writes a plan as a checkpoint: looks at the folder, and gives files their names in order.

layout.py decides what the bytes are, and outputs.py draws them; objects/ writes into object stores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, SupportsIndex

from fastinit.checkpoints import claims, refusals, replace
from fastinit.checkpoints.advice import NoSpaceError
from fastinit.checkpoints.dispatching import journals
from fastinit.checkpoints.dispatching.engine import Engine, check, started
from fastinit.checkpoints.drawing import Drawing
from fastinit.checkpoints.files import Folder, small_file
from fastinit.checkpoints.formats import DEFAULT
from fastinit.checkpoints.layout import Layout, Shard, layout_of
from fastinit.checkpoints.outputs import Progress, fill
from fastinit.checkpoints.plans import check_apart
from fastinit.checkpoints.targets import is_store, located
from fastinit.checkpoints.writable import Durability, check_durability
from fastinit.docstrings import shares
from fastinit.errors import CheckpointError
from fastinit.machine.descriptors import OpenFiles
from fastinit.machine.floats import default_floats
from fastinit.machine.parallel import thread_count
from fastinit.plans.reading import CONFIG_FILE
from fastinit.schemes.custom import trusted
from fastinit.texts import printable
from fastinit.values.custom import DrawFunction


@dataclass(frozen=True)
class WriteReport:
    """What `write` did.

    `folder` is a path, or the URL of a prefix in an object store, as text.  `size` counts bytes of
    values, and `resumed` names the files that were already finished.  `durability` is "full" for an
    object store, which keeps what it has acknowledged.
    `cpu_seconds` is the CPU time of the whole process meanwhile, in all threads, user and system;
    the workers of an engine are other processes.  `engine` is None if there was none; `digests` has
    that of the values in each file that an engine wrote (fastinit/checkpoints/digests.py).
    """

    folder: Path | str
    files: tuple[str, ...]
    tensors: int
    parameters: int
    size: int
    seconds: float
    cpu_seconds: float
    durability: Durability
    resumed: tuple[str, ...]
    engine: str | None = None
    workers: int = 1
    digests: Mapping[str, str] = field(default_factory=dict)


@default_floats
def write(
    plan: Any,
    folder: Any,
    *,
    seed: SupportsIndex,
    dtype: str | None = None,
    max_shard_size: SupportsIndex | str = "5GB",
    threads: int | None = None,
    overwrite: bool = False,
    durability: str = "full",
    progress: Progress | None = None,
    format: str = DEFAULT,
    custom: Iterable[DrawFunction] = (),
    engine: Any = None,
    workers: SupportsIndex | None = None,
    address: str | None = None,
) -> WriteReport:
    """Write every tensor of `plan` into `folder`, by default as safetensors in the hub's layout.

    The same arguments give the same bytes for any number of threads.  A file gets its name when it
    is complete and has been flushed as `durability` says; the index, or the only file, comes last
    and makes the folder a checkpoint.  After a crash the same call continues with the missing
    files.

    Args:
        plan: a `Plan`; the name of a preset, see `presets`; the path of a .toml or .json plan, of a
            safetensors checkpoint, or of a config.json of transformers; a config object; or a
            PyTorch module.  `fastinit.plan` says more.
        folder: created if missing; unrelated files in it are left alone.  Or the URL of a prefix in
            an object store, such as "s3://bucket/gpt2", "gs://..." or "az://...", or a store object
            of obstore, the extra ``cloud``.
        seed: 0 <= seed < 2**64.
        dtype: element type of the tensors for which the plan sets none; None leaves it to the plan.
            Of a config or a module it is the dtype of the model.
        max_shard_size: maximum bytes of values per file, a number or "500MB", "5GB" or "1.5GiB".
        threads: number of threads, >= 1; by default FASTINIT_THREADS, or else the number of CPUs
            that this process may use.
        overwrite: replace an existing checkpoint.  It stays until the new one is complete, so
            there must be room for both, and the new files get the owner and mode of those they
            replace.  An existing config.json stays if the plan has none.  The plan cannot be read
            from the checkpoint that it replaces.  In an object store the old checkpoint goes first.
        durability: what a power cut, or a crash of the machine, can undo.  "full": nothing that
            was reported; each file is flushed to disk before it gets its name, and the folder
            after it.  "file": names, never contents; files are flushed and the folder is not, so
            every file that has its name is complete, but the last names may be missing, and an
            overwrite may leave a mixture, which `verify` finds.  "none": anything; nothing is
            flushed, and files may have holes.  If only the process dies, every file that has its
            name is complete, at every level.  Of no meaning for an object store.
        progress: called with the number of bytes of values done since its last call.
        format: "safetensors", or "npy" for a NumPy file per tensor, named after it, and their
            recipe in fastinit.json, which comes last.  "npy" holds float32, float16 and float64,
            and does not use `max_shard_size`.
        custom: the custom distributions that a plan file may name: what
            `fastinit.numba.distribution` made.  A `Plan` brings its own.  No file makes fastinit
            import a module.
        engine: who draws: None for threads of this process; "local" for processes of this machine;
            "ray", "dask" or "mpi" for machines that share `folder`; a `distributed.Client`, or any
            `fastinit.engines.Engine`.  The bytes are the same.  docs/howto/engines.md says more.
        workers: number of workers that the engine starts, >= 1; `threads` is then per worker.
        address: of a Ray or Dask cluster that is there already.

    Raises:
        TypeError: a seed, folder or engine of the wrong type.
        ValueError: an argument, a name, a shape or a scale that cannot work, or an empty path;
            nothing is written.  A plan file that cannot be read, or does not describe a plan, is a
            PlanError, which is a ValueError; tensors of a module or of a config that have no scheme
            are a ModuleError, which is one, too.
        UntrustedError: a plan file names a custom distribution that `custom` lacks; a ValueError.
        ImportError: a framework that the plan takes is missing, or the library of an engine or of a
            store.
        CheckpointError: the folder, disk or store refuses the write.  No temporary file is left.
            But if the final renames of an overwrite fail, complete files stay under hidden names,
            and the same call renames them without drawing anything again.
    """
    target = folder if is_store(folder) else located(folder)
    count = check(engine, target, workers, threads, address)
    with started(engine, count, threads, address) as running:
        call = partial(
            _write,
            plan,
            target,
            running,
            threads,
            overwrite,
            durability,
            progress,
            seed=seed,
            dtype=dtype,
            max_shard_size=max_shard_size,
            format=format,
            custom=custom,
        )
        return running.lead(call) if running else call()


def _write(
    plan: Any,
    target: Any,
    engine: Engine | None,
    threads: int | None,
    overwrite: bool,
    durability: str,
    progress: Progress | None,
    **options: Any,
) -> WriteReport:
    """Write the plan, whoever draws; `options` are those of the layout."""
    begin, cpu_begin = time.perf_counter(), time.process_time()
    level = check_durability(durability)
    if overwrite and isinstance(target, Path):
        check_apart(plan, target)
    layout = layout_of(plan, **options)
    drawing = Drawing(engine, threads, progress)
    place: Path | str
    if isinstance(target, Path):
        place, done = _into_folder(layout, target, overwrite, drawing, level)
    else:
        from fastinit.checkpoints import objects

        place, done = objects.write(layout, target, overwrite, drawing.threads, progress)
        level = "full"
    return WriteReport(
        folder=place,
        files=tuple(layout.files),
        tensors=layout.tensors,
        parameters=layout.parameters,
        size=layout.size,
        seconds=time.perf_counter() - begin,
        cpu_seconds=time.process_time() - cpu_begin,
        durability=level,
        resumed=tuple(shard.file for shard in layout.shards if shard.file in done),
        engine=engine.name if engine else None,
        workers=engine.workers if engine else 1,
        digests=drawing.digests,
    )


def _into_folder(
    layout: Layout, folder: Path, overwrite: bool, drawing: Drawing, level: Durability
) -> tuple[Path, set[str]]:
    """Write into a folder; returns its path, and the files that were there already."""
    with OpenFiles() as opened, Folder(folder, opened, durability=level) as target:
        target.sweep(journals.noted(target.names()))
        replace.sweep(target, target.names())
        done, replacing = _look(target, layout, overwrite)
        _check_replaceable(target, layout)
        missing = [shard for shard in layout.shards if shard.file not in done]
        drawing.left = journals.left_in(target, missing)
        target.sweep({left.name for left in drawing.left.values()})
        with _room_explained(target, layout, replacing):
            target.check_space(
                sum(layout.files[file] for file in layout.files.keys() - done - drawing.left.keys())
            )
        for place in done.values():
            target.flush(place)
        if drawing.progress:
            drawing.progress(layout.size - sum(map(drawing.size_left, missing)))
        (_replace if replacing else _add)(target, layout, done, missing, drawing)
        return target.path, set(done)


@shares(write)
@default_floats
def write_shard(
    description: dict[str, Any],
    folder: str | os.PathLike[str],
    *,
    threads: int | None = None,
    durability: str = "full",
    custom: Iterable[DrawFunction] = (),
) -> None:
    """Write the shard that `Shard.to_json` described, on any machine, any number of times.

    A shard that is already complete is only flushed again.  Once every shard is there, `write` with
    the same plan finds them and adds the index.

    Args:
        description: the result of `Shard.to_json`, also after a round trip through JSON.
        folder, threads, durability: as for `write`.
        custom: the custom distributions that the description names.

    Raises:
        TypeError: a description or folder of the wrong type.
        ValueError: the description is not that of a shard, or an argument cannot work.
        UntrustedError: it names a custom distribution that `custom` lacks.
        CheckpointError: the folder holds a finished checkpoint or another shard of that name, or
            the folder or the disk refuses the write.
    """
    shard, workers = Shard.from_json(description, trusted(custom)), thread_count(threads)
    level = check_durability(durability)
    with OpenFiles() as opened, Folder(folder, opened, exclusive=False, durability=level) as target:
        names = target.names()
        claims.check(target, names, shard)
        if shard.file in names and _is_ours(target, names, shard.file, shard):
            target.flush(shard.file)
            target.sync()
            return
        refusals.check_uncommitted(target, names)
        claims.check_unclaimed(target, names, shard)
        target.check_space(shard.file_size)
        claims.make(target, shard)
        fill(target, [shard], workers, None, publish=True)


def _look(target: Folder, layout: Layout, overwrite: bool) -> tuple[dict[str, str], bool]:
    """The complete files, each with its current name, and whether to replace a checkpoint."""
    names = target.names()
    refusals.check_formats(target, names, layout.form)
    if not overwrite:
        refusals.check_uncommitted(target, names)
    if complete := replace.begun(target, layout, names):
        return complete, True
    if overwrite:
        replace.forget(target, names)
        claims.forget(target, names)
        return {}, True
    replace.check_unbegun(target, names)
    claims.check(target, names, layout.shards[0])
    return {name: name for name in _finished(target, layout, names)}, False


def _finished(target: Folder, layout: Layout, names: set[str]) -> set[str]:
    """The shards that an interrupted run completed; raises for files it cannot have written."""
    shards = {shard.file: shard for shard in layout.shards}
    found = {name for name in names if name in shards or layout.form.is_shard(name)}
    for name in sorted(found):
        _is_ours(target, names, name, shards.get(name))
    config = layout.config
    if config and CONFIG_FILE in names and not target.begins_with(CONFIG_FILE, config, len(config)):
        raise refusals.another_config(target)
    return found


def _is_ours(target: Folder, names: set[str], name: str, shard: Shard | None) -> bool:
    """True for a finished file that this call would write too; any other file is an error."""
    if (
        shard is None
        or not claims.covers(target, names, shard)
        or not target.begins_with(name, shard.header, shard.file_size)
    ):
        raise refusals.another_file(target, name)
    return True


def _check_replaceable(target: Folder, layout: Layout) -> None:
    for name in layout.files:
        if target.is_folder(name):
            raise CheckpointError(
                f"{printable(target.path / name)} is a folder where a file must go: remove it, "
                "or choose another folder"
            )


def _add(
    target: Folder,
    layout: Layout,
    done: Mapping[str, str],
    missing: Sequence[Shard],
    drawing: Drawing,
) -> None:
    """Publish each file when it is complete, so that an interrupted run can be resumed."""
    with _room_explained(target, layout, False):
        claims.make(target, layout.shards[0])
        if layout.config is not None:
            if CONFIG_FILE in target.names():
                target.flush(CONFIG_FILE)
            else:
                target.put(CONFIG_FILE, layout.config)
        drawing.fill(target, missing, publish=True)
        if layout.index is not None:
            target.put(layout.form.index, layout.index)
    claims.withdraw(target, layout.shards[0])


def _replace(
    target: Folder,
    layout: Layout,
    done: Mapping[str, str],
    missing: Sequence[Shard],
    drawing: Drawing,
) -> None:
    """Complete every new file beside the old checkpoint, and only then rename the new files."""
    old = (name for name in sorted(target.names()) if layout.form.is_shard(name))
    target.imitate([*layout.form.marks, *old])
    with _room_explained(target, layout, True):
        files = [
            small_file(target, name, content)
            for name, content in ((CONFIG_FILE, layout.config), (layout.form.index, layout.index))
            if content is not None and name not in done
        ]
        files += drawing.fill(target, missing, publish=False)
        replace.seal(target, layout, files)
    replace.commit(target, layout)


@contextmanager
def _room_explained(target: Folder, layout: Layout, replacing: bool) -> Iterator[None]:
    """If space runs out, say what stays in the folder and what to remove."""
    try:
        yield
    except NoSpaceError as error:
        names: set[str] = set()
        with suppress(CheckpointError):
            names = target.names()
        stays = _what_stays(names, layout, replacing)
        raise NoSpaceError("; ".join([str(error), *stays])) from error


def _what_stays(names: set[str], layout: Layout, replacing: bool) -> Iterator[str]:
    shards = [shard.file for shard in layout.shards if shard.file in names]
    if replacing and not names.isdisjoint(layout.form.marks):
        yield (
            "the existing checkpoint stays, and takes its space until the new one is complete: "
            "remove it first if you can do without it"
        )
    elif shards and not replacing:
        yield (
            f"{len(shards)} of {len(layout.shards)} shards are complete and stay, "
            f"{' to '.join(sorted({shards[0], shards[-1]}))}: with more room the same command "
            "writes the others; to give up, remove the complete ones"
        )
