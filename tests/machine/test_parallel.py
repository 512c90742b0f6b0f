# SPDX-License-Identifier: MIT
"""The thread crew: every task once, the first error out, nobody left behind."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import pytest

import fastinit
from fastinit.machine import cpus, parallel
from fastinit.machine.parallel import MOST, Stopped, _Crew, run, stop_if_asked


@pytest.fixture(autouse=True)
def no_variable_and_no_quota(monkeypatch):
    monkeypatch.delenv("FASTINIT_THREADS", raising=False)
    monkeypatch.setattr(cpus, "_current_quota", lambda: math.inf)


def helpers():
    return [t for t in threading.enumerate() if t.name.startswith("fastinit-")]


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("count", [0, 1, 2, 1000])
@pytest.mark.parametrize("lazy", [False, True])
def test_every_task_is_done_once(threads, count, lazy):
    done = []
    run(iter(range(count)) if lazy else range(count), done.append, threads)
    assert sorted(done) == list(range(count))
    assert not helpers()


def test_one_thread_works_in_order_on_the_caller():
    seen = []
    run(range(5), lambda task: seen.append((task, threading.current_thread())), 1)
    assert seen == [(task, threading.current_thread()) for task in range(5)]


def test_all_threads_work_at_the_same_time():
    barrier = threading.Barrier(4, timeout=10)
    run(range(4), lambda _: barrier.wait(), 4)


def test_no_more_helpers_start_than_there_are_tasks(monkeypatch):
    started = []
    start = threading.Thread.start
    monkeypatch.setattr(
        threading.Thread, "start", lambda self: (started.append(self.name), start(self))
    )
    run([1, 2, 3], lambda _: time.sleep(0.01), 64)
    assert len(started) <= 2
    started.clear()
    run([1], lambda _: None, 64)
    assert not started


def test_no_helper_starts_once_the_tasks_ran_out(monkeypatch):
    started = []
    start = threading.Thread.start

    def start_and_wait(self):
        started.append(self.name)
        start(self)
        self.join()

    monkeypatch.setattr(threading.Thread, "start", start_and_wait)
    run(iter(range(10)), lambda _: None, 64)
    assert started == ["fastinit-1"]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
@pytest.mark.parametrize("fewer", [0, 1, 3])
def test_where_no_more_threads_start_those_that_there_are_do_it_all(monkeypatch, fewer, error):
    started, start, done = [], threading.Thread.start, []

    def start_some(self):
        if len(started) == fewer:
            raise error
        started.append(self.name)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_some)

    def work(task):
        time.sleep(0.0002)
        done.append((task, threading.current_thread().name))

    run(iter(range(300)), work, 8)
    assert sorted(task for task, _ in done) == list(range(300))
    assert len(started) == fewer
    assert len({name for _, name in done}) == 1 + fewer
    assert not helpers()


@pytest.mark.parametrize("threads", [1, 3])
def test_each_thread_prepares_itself_before_its_first_task(threads):
    ready, done = [], []

    def work(task):
        assert threading.get_ident() in ready
        time.sleep(0.001)
        done.append(task)

    run(iter(range(50)), work, threads, lambda: ready.append(threading.get_ident()))
    assert sorted(done) == list(range(50))
    assert 1 <= len(ready) == len(set(ready)) <= threads


def test_a_helper_without_memory_to_work_in_leaves_the_tasks_to_the_others():
    failed, done = [], []

    def prepare():
        if threading.current_thread() is not threading.main_thread():
            failed.append(1)
            raise MemoryError

    run(iter(range(50)), lambda task: (time.sleep(0.001), done.append(task)), 4, prepare)
    assert sorted(done) == list(range(50))
    assert failed
    assert not helpers()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", [MemoryError("none"), OSError("no")])
def test_a_caller_that_cannot_prepare_itself_is_an_error(threads, error):
    def prepare():
        raise error

    with pytest.raises(type(error), match=r"^no"):
        run(range(5), lambda task: pytest.fail("a task was begun"), threads, prepare)
    assert not helpers()


def test_any_other_error_of_a_helper_that_prepares_itself_is_raised():
    def prepare():
        if threading.current_thread() is not threading.main_thread():
            raise OSError("no")

    with pytest.raises(OSError, match=r"^no$"):
        run(iter(range(10_000)), lambda task: time.sleep(0.001), 2, prepare)
    assert not helpers()


LIMITED = """
import pathlib, resource, sys, threading
import fastinit as fi

plan = fi.Plan([fi.Tensor(f"{i}.w", (2**18,), fi.zeros()) for i in range(150)])
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20, resource.RLIM_INFINITY))
started, start = [], threading.Thread.start
def counted(self):
    start(self)
    started.append(1)
threading.Thread.start = counted
out = fi.array(2**25, fi.normal(), seed=0, name="w", threads=256)
fi.write(plan, sys.argv[1], seed=0, threads=2000, durability="none")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
print(len(started), float(out[-1]), len(fi.open(sys.argv[1])))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_under_a_limit_of_memory_fewer_threads_do_it_all(tmp_path):
    """400 MiB have room for 50 stacks of 8 MiB, at most."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LIMITED, tmp_path / "weights"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    started, last, tensors = done.stdout.split()
    assert 0 < int(started) < 256
    expected = fastinit.array(2**25, "normal()", seed=0, name="w", region=range(2**25 - 1, 2**25))
    assert float(last) == expected[0]
    assert int(tensors) == 150


def test_threads_are_made_as_they_are_started(monkeypatch):
    """However many are asked for, none is made for tasks that there are not."""
    made, init = [], threading.Thread.__init__

    def count(self, *arguments, **named):
        made.append(1)
        init(self, *arguments, **named)

    monkeypatch.setattr(threading.Thread, "__init__", count)
    done = []
    run(iter(range(5)), lambda task: (time.sleep(0.05), done.append(task)), MOST)
    assert sorted(done) == list(range(5))
    assert len(made) < 500


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_the_first_error_is_raised_with_its_traceback(threads):
    def guilty(task):
        if task == 20:
            raise OSError("task 20 broke")

    with pytest.raises(OSError, match="task 20 broke") as caught:
        run(range(1000), guilty, threads)
    assert "guilty" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not helpers()


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_an_error_cancels_later_tasks_and_earlier_ones_are_finished(threads):
    finished = []

    def work(task):
        if task == 50:
            raise ValueError("stop here")
        time.sleep(0.0005)
        finished.append(task)

    with pytest.raises(ValueError, match="stop here"):
        run(iter(range(10_000)), work, threads)
    assert set(range(50)) <= set(finished)
    assert len(finished) < 200


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_an_error_of_the_task_list_is_raised(threads):
    def tasks():
        yield from range(10)
        raise LookupError("no more tasks")

    with pytest.raises(LookupError, match="no more tasks"):
        run(tasks(), lambda _: None, threads)
    assert not helpers()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_ctrl_c_in_the_caller_stops_everybody(threads):
    done = []

    def work(task):
        if threading.current_thread() is threading.main_thread() and task > 5:
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.001)
        done.append(task)

    with pytest.raises(KeyboardInterrupt):
        run(iter(range(10_000)), work, threads)
    assert len(done) < 1000
    assert not helpers()


def test_ctrl_c_while_waiting_still_waits_for_the_helper():
    begun, ended = threading.Event(), []

    def work(task):
        if threading.current_thread() is threading.main_thread():
            assert begun.wait(30)
            return
        begun.set()
        for _ in range(3):  # the caller is waiting by now
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        ended.append(task)

    with pytest.raises(KeyboardInterrupt):
        run([0, 1], work, 2)
    assert len(ended) == 1
    assert not helpers()


def test_any_exception_of_a_signal_while_waiting_still_waits_for_the_helper():
    """SIGTERM may raise SystemExit, and an alarm whatever its owner likes."""
    begun, ended = threading.Event(), []

    def raise_it(number, frame):
        raise SystemExit(143)

    def work(task):
        if threading.current_thread() is threading.main_thread():
            assert begun.wait(30)
            return
        begun.set()
        for _ in range(3):  # the caller is waiting by now
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        ended.append(task)

    before = signal.signal(signal.SIGTERM, raise_it)
    try:
        with pytest.raises(SystemExit):
            run([0, 1], work, 2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(ended) == 1
    assert not helpers()


def test_ctrl_c_during_the_start_of_a_helper_leaves_none(monkeypatch):
    start = threading.Thread.start
    calls = []

    def interrupted(self):
        calls.append(self)
        if len(calls) == 3:
            raise KeyboardInterrupt
        start(self)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(iter(range(10_000)), lambda _: time.sleep(0.001), 8)
    assert len(calls) == 3
    assert not helpers()


def test_a_helper_that_comes_late_touches_nothing():
    crew = _Crew(iter([1, 2, 3]), None, lambda: None)
    crew.errors.append(KeyboardInterrupt())
    ended = threading.Lock()
    ended.acquire()
    crew.help(ended)
    assert not crew.helping
    assert not ended.locked()
    assert next(crew.tasks) == 1


FORK = """
import os, sys
from fastinit.machine.parallel import run
done = []
run(range(100), done.append, 4)
child = os.fork()
done.clear()
run(range(100), done.append, 4)
if child == 0:
    os._exit(0 if sorted(done) == list(range(100)) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_after_a_run_can_run_again():
    assert subprocess.run([sys.executable, "-c", FORK], timeout=30).returncode == 0


def test_a_long_task_ends_soon_after_another_failed():
    started, ended = threading.Event(), []

    def work(task):
        if task == "fails":
            assert started.wait(10)
            raise ValueError("no")
        started.set()
        try:
            for _ in range(10_000):
                time.sleep(0.001)
                stop_if_asked()
        except Stopped:
            ended.append(task)
            raise

    with pytest.raises(ValueError, match=r"^no$"):
        run(["long", "fails"], work, 2)
    assert ended == ["long"]


def test_a_long_task_is_not_ended_because_the_others_are_done():
    done = []

    def work(task):
        for _ in range(20 * task):
            time.sleep(0.001)
            stop_if_asked()
        done.append(task)

    run([0, 1, 2], work, 3)
    assert sorted(done) == [0, 1, 2]


def test_outside_a_run_nothing_is_stopped():
    with pytest.raises(ValueError, match=r"^no$"):
        run([1], lambda task: (_ for _ in ()).throw(ValueError("no")), 2)
    stop_if_asked()


def test_a_run_that_is_over_stops_nobody():
    """Should a signal have kept the thread from forgetting whose tasks it did."""
    crew = parallel._Crew(iter([1]), lambda task: 1 / 0, lambda: None)
    with pytest.raises(ZeroDivisionError):
        crew.run(1)
    parallel._local.crew = crew
    try:
        assert crew.stopped
        stop_if_asked()
    finally:
        parallel._local.crew = None


def test_a_join_that_interrupts_have_broken_does_not_hold_the_caller(monkeypatch):
    """CPython up to 3.12 may keep the lock that a thread's `join` waits for."""
    join = threading.Thread.join

    limits = []

    def broken(thread, timeout=None):
        limits.append(timeout)
        join(thread)  # so that no thread is left

    monkeypatch.setattr(threading.Thread, "join", broken)
    run(range(20), lambda task: time.sleep(0.001), 3)
    assert limits
    assert None not in limits  # it would wait for ever
