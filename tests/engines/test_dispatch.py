# SPDX-License-Identifier: MIT
"""Writes by an engine that runs tasks in this process: ranges, checks, failures, arguments."""

from __future__ import annotations

import doctest
import errno
import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import pytest
from checkpoint_plans import arrays_plan, contents, mixed_plan, plan_of, temporaries
from engine_stubs import Inline
from test_digests import by_definition

import fastinit as fi
from fastinit.checkpoints import layout_of
from fastinit.checkpoints.dispatching import dispatch
from fastinit.checkpoints.dispatching.dispatch import _cut
from fastinit.checkpoints.dispatching.engine import MOST_WORKERS
from fastinit.checkpoints.dispatching.tasks import Task, perform
from fastinit.checkpoints.pieces import Span
from fastinit.engines import ExecutorEngine
from fastinit.errors import CheckpointError

MIB = 2**20
HUGE = plan_of(("w", (3 * MIB // 4 + 5,), "normal(std=0.02)"), ("b", (70,), "normal(std=1.0)"))
"""Two tensors in one file of 3 MiB and a bit."""


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch):
    monkeypatch.setattr(dispatch, "RANGE", MIB)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("plan", "options"),
    [
        (mixed_plan(), {}),
        (mixed_plan(), {"max_shard_size": "60KB"}),
        (arrays_plan(), {"format": "npy"}),
        (HUGE, {}),
        (HUGE, {"durability": "none", "dtype": "bfloat16"}),
        (plan_of(("empty", (0, 3), "zeros()")), {}),
        (plan_of(*((f"t{i}", (3,), "normal(std=1.0)") for i in range(3000))), {}),
    ],
    ids=["mixed", "shards", "npy", "huge", "bfloat16", "empty", "tiny"],
)
def test_an_engine_writes_the_same_bytes_and_their_digests(tmp_path, plan, options, overwrite):
    fi.write(plan, tmp_path / "a", seed=3, **options)
    if overwrite:
        fi.write(plan, tmp_path / "b", seed=4, **options)
    with ThreadPoolExecutor(3) as executor:
        engine = ExecutorEngine(executor, workers=3)
        report = fi.write(
            plan, tmp_path / "b", seed=3, engine=engine, overwrite=overwrite, **options
        )
    assert contents(tmp_path / "b") == contents(tmp_path / "a")
    assert (report.engine, report.workers) == ("executor", 3)
    starts = {s.file: len(s.header) for s in layout_of(plan, seed=3, **_layout(options)).shards}
    assert report.digests == {
        file: by_definition((tmp_path / "b" / file).read_bytes()[start:])
        for file, start in starts.items()
    }


def _layout(options):
    return {name: options[name] for name in options if name != "durability"}


def test_a_range_ends_at_a_page_and_never_in_a_tensor_that_is_made_whole():
    assert list(_cut([Span(0, 0)], [])) == []
    assert list(_cut([Span(0, 2 * MIB)], [])) == [(0, MIB), (MIB, 2 * MIB)]
    assert list(_cut([Span(0, MIB + 1)], [])) == [(0, MIB), (MIB, MIB + 1)]
    assert list(_cut([Span(0, 9 * MIB)], [Span(5, 4 * MIB + 1), Span(4 * MIB + 1, 8 * MIB)])) == [
        (0, 8 * MIB),
        (8 * MIB, 9 * MIB),
    ]
    assert list(_cut([Span(0, 4096), Span(8192, 9000)], [])) == [(0, 4096), (8192, 9000)]


def test_a_matrix_is_made_by_one_worker(tmp_path):
    plan = plan_of(("q", (576, 576), "orthogonal()"), ("w", (MIB,), "normal(std=0.02)"))
    engine = Inline()
    fi.write(plan, tmp_path, seed=3, engine=engine)
    task = json.loads(engine.tasks[0])
    assert (task["begin"], task["end"]) == (0, 576 * 576 * 4)
    fi.verify(tmp_path)


def test_a_task_may_be_done_again(tmp_path):
    engine = Inline()
    fi.write(HUGE, tmp_path / "a", seed=3)

    def twice(function, /, *arguments):
        function(*arguments)
        return Inline.submit(engine, function, *arguments)

    engine.submit = twice
    fi.write(HUGE, tmp_path / "b", seed=3, engine=engine)
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("header", "0" * 64, "another header"),
        ("first", "0" * 32, r"other values from byte [\d,]+ on"),
    ],
)
def test_a_worker_that_draws_otherwise_is_an_error_that_names_it(tmp_path, field, value, words):
    def changed(answer):
        return json.dumps({**json.loads(answer), field: value})

    with pytest.raises(CheckpointError, match=f"worker .*, process {os.getpid()} wrote {words}"):
        fi.write(HUGE, tmp_path, seed=3, engine=Inline(changed))
    assert not temporaries(tmp_path)


@pytest.mark.parametrize("workers", [1, 100])
def test_the_coordinator_draws_little_however_small_the_files_are(tmp_path, monkeypatch, workers):
    """The first range of each worker is compared, and a sample of the others."""
    drawn = []

    def watched(shard, span):
        drawn.append(span.size)
        return first_digest(shard, span)

    names = cycle(range(workers))

    def renamed(answer):
        return json.dumps({**json.loads(answer), "worker": f"host {next(names)}"})

    first_digest = dispatch.first_digest
    monkeypatch.setattr(dispatch, "first_digest", watched)
    engine = Inline(renamed)
    engine.workers = workers
    plan = plan_of(*((f"t{i}", (100,), "normal(std=1.0)") for i in range(200)))
    fi.write(plan, tmp_path, seed=3, format="npy", engine=engine)
    assert len(engine.tasks) == 200
    assert len(drawn) == (200 // 8 if workers == 1 else workers)


def test_values_that_machines_make_differently_are_not_compared(tmp_path):
    def changed(answer):
        return json.dumps({**json.loads(answer), "first": "0" * 32})

    plan = plan_of(("q", (64, 64), "orthogonal()"))
    fi.write(plan, tmp_path, seed=3, engine=Inline(changed))
    fi.verify(tmp_path)


def test_a_folder_is_the_same_for_its_workers(tmp_path, monkeypatch):
    """The folder above what a link leads to is not the folder above the link."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    monkeypatch.chdir(tmp_path)
    fi.write(HUGE, "link/../x", seed=3, engine=Inline())
    assert contents(tmp_path / "a/x").keys() == {"model.safetensors"}


def test_a_failed_task_ends_the_write_and_cancels_the_others(tmp_path, monkeypatch):
    def full(descriptor, data, offset):
        if offset > MIB:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, data, offset)

    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", full)
    engine = Inline()
    with pytest.raises(CheckpointError, match=r"No space left .*\(worker .*, process \d+\)"):
        fi.write(HUGE, tmp_path, seed=3, engine=engine)
    assert engine.abandoned
    assert not contents(tmp_path)


def test_an_interrupted_coordinator_cancels_what_is_under_way(tmp_path):
    class Stuck(Inline):
        def submit(self, function, /, *arguments):
            if self.tasks:
                raise KeyboardInterrupt
            self.tasks.append(arguments)
            return Future()

    engine = Stuck()
    with pytest.raises(KeyboardInterrupt):
        fi.write(HUGE, tmp_path, seed=3, engine=engine)
    assert [future.cancelled() for future in engine.abandoned] == [True]
    assert not contents(tmp_path)


def test_a_task_that_somebody_cancelled_is_a_clean_error(tmp_path):
    class Cancels(Inline):
        def submit(self, function, /, *arguments):
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    with pytest.raises(CheckpointError, match="the engine inline cancelled a task: see that it"):
        fi.write(HUGE, tmp_path, seed=3, engine=Cancels())


def test_few_files_are_open_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatch, "FILES", 3)
    opened = []

    class Watching(Inline):
        workers = 50

        def submit(self, function, /, *arguments):
            opened.append(len(temporaries(tmp_path)))
            return super().submit(function, *arguments)

    plan = plan_of(*((f"t{i}", (30,), "normal(std=1.0)") for i in range(20)))
    fi.write(plan, tmp_path, seed=3, max_shard_size=120, engine=Watching())
    assert max(opened) == 3


def test_progress_counts_every_byte_once(tmp_path):
    sizes = []
    fi.write(HUGE, tmp_path, seed=3, engine=Inline(), progress=sizes.append)
    assert sum(sizes) == HUGE.size()
    assert len(sizes) == 5


def task_of(folder, name, plan=HUGE):
    shard = layout_of(plan, seed=3).shards[0]
    return Task(str(folder), name, json.dumps(shard.to_json()), 0, 100, 1, "full").text()


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path):
    with pytest.raises(CheckpointError, match=r"has not the file .* that all workers share"):
        perform(task_of(tmp_path, ".x.fastinit"))
    with pytest.raises(CheckpointError, match=r"cannot open .*No such file"):
        perform(task_of(tmp_path / "missing", ".x.fastinit"))
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    with pytest.raises(CheckpointError, match=r"a symbolic link is in the way"):
        perform(task_of(tmp_path, "link"))


def test_a_worker_writes_into_nothing_but_the_file_of_its_size(tmp_path):
    (tmp_path / "other").write_bytes(b"precious")
    with pytest.raises(CheckpointError, match=r"is not the file of 3,1.* bytes that the coord"):
        perform(task_of(tmp_path, "other"))
    assert (tmp_path / "other").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"workers": 2}, ValueError, "workers is 2, but there is no engine that takes it: pass"),
        ({"address": "x"}, ValueError, "address is 'x', but there is no engine that takes it"),
        ({"engine": "spark"}, ValueError, "engine is 'spark': choose from local, ray, dask, mpi"),
        ({"engine": 3}, TypeError, "engine is 3: need 'local', .* or a distributed.Client"),
        ({"engine": Inline(), "workers": 2}, ValueError, "workers is 2, but the engine runs alre"),
        ({"engine": Inline(), "address": "x"}, ValueError, "address is 'x', but the engine runs"),
        ({"engine": "local", "workers": 0}, ValueError, "workers is 0: pass a whole number from"),
        ({"engine": "local", "workers": 1.5}, ValueError, "workers is 1.5: pass a whole number"),
        ({"engine": "local", "workers": MOST_WORKERS + 1}, ValueError, "from 1 to 65,536, or None"),
        ({"engine": "local", "address": "x"}, ValueError, "address is 'x', but the engine local"),
        ({"engine": "dask", "address": 5}, TypeError, "address is 5: need the text that the cl"),
        ({"engine": "local", "threads": 0}, ValueError, "threads is 0: pass a whole number of 1"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        fi.write(HUGE, tmp_path / "x", seed=3, **options)
    assert not (tmp_path / "x").exists()


def test_the_examples_of_the_page_run():
    page = Path(__file__).parents[2] / "docs/howto/engines.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 8
    assert found.failed == 0
