# SPDX-License-Identifier: MIT
"""The engine `local`: its processes, when they die, and when the coordinator does."""

from __future__ import annotations

import errno
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, wait
from pathlib import Path

import engine_calls
import pytest
from checkpoint_plans import contents, large_plan, temporaries
from engine_stubs import kill_me, raises

import fastinit as fi
from fastinit.engines.local import LocalEngine
from fastinit.errors import CheckpointError, VerifyError

SOON = 5.0
"""Seconds: a fraction of one, but for a busy machine."""


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    folder = tmp_path_factory.mktemp("right")
    fi.write(large_plan(8, 2**18), folder, seed=engine_calls.SEED, max_shard_size="5MB")
    return contents(folder)


def begun(folder, **options):
    """A running program that writes by the engine."""
    command, environment = engine_calls.call(folder, engine="local", workers=2, **options)
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_is_killed_costs_nothing_but_time(tmp_path, right, when):
    markers = [str(tmp_path / "first"), str(tmp_path / "second")]
    process = begun(tmp_path / "x", markers=markers, when=when)
    out, errors = process.communicate(timeout=100)
    assert (process.returncode, errors) == (0, "")
    assert contents(tmp_path / "x") == right
    assert all(map(os.path.exists, markers))
    assert out.count("range") == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "end"), [((os._exit, 3), "with exit code 3"), ((kill_me,), "by SIGKILL")]
)
def test_a_task_that_ends_every_worker_is_a_clean_error(call, end):
    engine = LocalEngine(1)
    try:
        error = engine.submit(*call).exception(60)
    finally:
        engine.stop()
    assert isinstance(error, CheckpointError)
    assert f"4 workers of the engine local ended during the same task, the last one {end}" in str(
        error
    )


def children(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        direct = set(file.read().split())
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{thread}/children") as file:
            direct |= set(file.read().split())
    return {int(number) for number in direct}


def lives(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs /proc")
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_the_coordinator(tmp_path, number):
    process = begun(tmp_path / "x", sizes=[64, 2**20])
    assert process.stdout.readline() == "range\n"
    workers = children(process)
    assert len(workers) == 2
    end = time.monotonic() + SOON
    process.send_signal(number)
    process.communicate(timeout=30)
    while any(map(lives, workers)) and time.monotonic() < end:
        time.sleep(0.01)
    assert time.monotonic() < end
    if number == signal.SIGINT:
        assert not temporaries(tmp_path / "x")


@pytest.mark.slow
def test_a_coordinator_that_is_killed_at_any_moment_is_followed_by_another(tmp_path, right):
    moments = random.Random(30)
    kept = 0
    for attempt in range(15):
        folder = tmp_path / str(attempt)
        process = begun(folder)
        for _ in range(moments.randrange(9)):
            process.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.communicate()
        found = contents(folder) if folder.exists() else {}
        whole = {name: data for name, data in found.items() if not name.endswith(".fastinit")}
        assert all(right[name] == data for name, data in whole.items())
        kept += any(name.endswith(".ranges.fastinit") for name in found)
        again = begun(folder)
        again.communicate(timeout=100)
        assert again.returncode in (0, 2)
        assert contents(folder) == right
    assert kept > 2


def test_an_error_of_a_task_is_that_of_the_call():
    engine = LocalEngine(1)
    try:
        for error in (CheckpointError("cannot"), VerifyError("wrong", "file", "w", 3), OSError(5)):
            found = engine.submit(raises, error).exception(60)
            assert (type(found), str(found)) == (type(error), str(error))
        assert engine.submit(str, 5).result(60) == "5"
    finally:
        engine.stop()


def test_an_error_that_cannot_be_pickled_comes_as_its_text():
    engine = LocalEngine(1)
    try:
        code = "import threading; e = ValueError('odd'); e.lock = threading.Lock(); raise e"
        found = engine.submit(exec, code).exception(60)
        assert (type(found), str(found)) == (RuntimeError, "ValueError: odd")
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            engine.submit(lambda: "")
    finally:
        engine.stop()


def test_workers_find_modules_where_this_process_does(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def call(): return 'found'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "path", [Path("no text"), *sys.path])  # Python leaves it out
    import only_here

    engine = LocalEngine(1)
    try:
        assert engine.submit(only_here.call).result(60) == "found"
    finally:
        engine.stop()


def test_what_a_task_prints_is_not_taken_for_an_answer(capfd):
    engine = LocalEngine(1)
    try:
        assert engine.submit(print, "noise").result(60) is None
        assert engine.submit(os.write, 1, b"more noise\n").result(60) == 11
    finally:
        engine.stop()
    assert capfd.readouterr() == ("", "noise\nmore noise\n")


def test_abandoned_tasks_end_at_once_and_the_engine_can_go_on():
    engine = LocalEngine(2)
    try:
        futures = [engine.submit(time.sleep, 1000) for _ in range(5)]
        time.sleep(0.5)
        begin = time.monotonic()
        engine.abandon(futures)
        assert time.monotonic() - begin < SOON
        assert not wait(futures, 0).not_done
        assert engine.submit(str, 5).result(60) == "5"
    finally:
        engine.stop()


def test_a_worker_that_cannot_start_is_a_clean_error(monkeypatch, capfd):
    monkeypatch.setattr(sys, "path", [])  # it finds nothing
    engine = LocalEngine(1)
    try:
        error = engine.submit(str, 5).exception(60)
    finally:
        engine.stop()
    assert isinstance(error, CheckpointError)
    assert "the last one with exit code 1: " in str(error)
    assert "No module named" in capfd.readouterr().err


@pytest.mark.parametrize("limit", ["processes", "threads"])
def test_a_system_that_refuses_another_worker_is_a_clean_error(tmp_path, monkeypatch, limit):
    def no_process(*_, **__):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    def no_thread(_):
        raise RuntimeError("can't start new thread")

    if limit == "processes":
        monkeypatch.setattr(subprocess, "Popen", no_process)
    else:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
    words = "cannot start a worker: (Resource temp.*|can't start.*); pass fewer workers, or raise"
    with pytest.raises(CheckpointError, match=words):
        fi.write("gpt2", tmp_path, seed=0, engine="local", workers=2)
    assert contents(tmp_path).keys() == {"config.json"}


def test_a_result_that_comes_while_it_is_cancelled_is_told(caplog):
    from fastinit.engines.base import relayed

    def late(error):
        outer.cancel()  # as another thread may do now
        return error

    inner = Future()
    outer = relayed(inner, late)
    inner.set_exception(ValueError("told"))
    assert isinstance(outer.exception(0), ValueError)
    assert not caplog.records


def test_cancelling_a_relayed_task_cancels_the_task():
    from fastinit.engines.base import relayed

    inner = Future()
    outer = relayed(inner, lambda error: error)
    assert outer.cancel()
    assert inner.cancelled()
    inner.set_running_or_notify_cancel()
    assert not wait([outer], 0).not_done


@pytest.mark.parametrize(
    ("given", "found"), [((None, None), (8, 1)), ((2, None), (2, 4)), ((None, 3), (2, 3))]
)
def test_by_default_every_cpu_has_a_thread(monkeypatch, given, found):
    from fastinit.engines.base import divided

    monkeypatch.setenv("FASTINIT_THREADS", "8")
    assert divided(*given) == found
    assert divided(20, None) == (20, 1)
