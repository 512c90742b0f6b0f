# SPDX-License-Identifier: MIT
"""The thread crew: every task once, the first error out, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import pytest

from fastinit.parallel import Stopped, _Crew, run, stop_if_asked, thread_count


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("FASTINIT_THREADS", raising=False)


def helpers():
    return [t for t in threading.enumerate() if t.name.startswith("fastinit-")]


def test_the_argument_wins_over_the_variable(monkeypatch):
    monkeypatch.setenv("FASTINIT_THREADS", "7")
    assert thread_count(3) == 3
    assert thread_count(None) == thread_count() == 7


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("FASTINIT_THREADS", "")
    assert thread_count() == len(os.sched_getaffinity(0))


def test_the_default_is_the_cpus_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5})
    assert thread_count() == 3


def test_without_affinity_the_default_is_every_cpu(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert thread_count() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert thread_count() == 1


@pytest.mark.parametrize("threads", [0, -1, True, 2.0, "2"])
def test_an_impossible_argument_says_what_works(threads):
    with pytest.raises(ValueError, match="pass a whole number of 1 or more, or None"):
        thread_count(threads)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", " 2", "²"])
def test_an_impossible_variable_is_named(monkeypatch, text):
    monkeypatch.setenv("FASTINIT_THREADS", text)
    with pytest.raises(ValueError, match=r"FASTINIT_THREADS is .*whole number of 1 or more"):
        thread_count()


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
    released = threading.Event()
    ended = []

    def work(task):
        if threading.current_thread() is threading.main_thread():
            return
        for _ in range(3):  # the caller is waiting by now
            time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        ended.append(task)
        released.set()

    def tasks():
        yield 0
        while not any(h.is_alive() for h in helpers()):
            time.sleep(0.001)
        yield 1

    with pytest.raises(KeyboardInterrupt):
        run(_for_a_helper(tasks()), work, 2)
    assert ended
    assert released.is_set()
    assert not helpers()


def _for_a_helper(tasks):
    """Give the caller nothing to do until the helper has its task."""
    claimed = threading.Event()

    class Tasks:
        def __iter__(self):
            return self

        def __next__(self):
            if claimed.is_set():
                raise StopIteration
            if threading.current_thread() is threading.main_thread():
                return next(tasks)
            claimed.set()
            return "helper"

    return Tasks()


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
    crew = _Crew(iter([1, 2, 3]), None)
    crew.stop(KeyboardInterrupt())
    crew.help()
    assert not crew.helping
    assert next(crew.tasks) == 1


FORK = """
import os, sys
from fastinit.parallel import run
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
