# SPDX-License-Identifier: MIT
"""Benchmarks that check themselves: nobody is timed while others' threads run, or the race says so.

That figures are there and agree is in test_bench_command.py.
"""

from __future__ import annotations

import math
import threading
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from fastinit.bench import measure, peers, race
from fastinit.bench.peers import Peer, Racer
from fastinit.bench.race import MEMSET, OURS, Race, Row
from fastinit.machine import _machine

SIZE = 2**20
NORMAL = ("normal", "float32")


def raced(*entrants, fresh=False, rounds=3):
    buffer = None if fresh else np.ones(SIZE, np.uint8)
    options = {"size": SIZE, "threads": 2, "rounds": rounds, "seconds": math.inf, "share": 1e-3}
    return race.run(*NORMAL, entrants, buffer=buffer, **options)


def peer(name, call):
    """A peer whose calls also call `call`."""

    def fresh(count):
        call()
        return np.ones(count, np.float32)

    return Peer(name, "numpy", *NORMAL, "one", lambda *_: Racer(fresh, lambda out: call))


# ---- waiting until threads have fallen asleep ---------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves, and other threads that run until `until`."""
    fake = SimpleNamespace(now=0.0, until=0.0)

    def sleep(seconds):
        fake.now += seconds

    fake.sleep = sleep
    fake.perf_counter = lambda: fake.now
    fake.thread_time = lambda: 0.3 * fake.now
    fake.process_time = lambda: 0.3 * fake.now + min(fake.now, fake.until)
    monkeypatch.setattr(measure, "time", fake)
    monkeypatch.setattr(measure, "_others_wait", lambda: False)  # it looks at real threads
    return fake


def test_threads_that_spin_for_a_while_are_waited_for(clock):
    clock.until = 0.2
    assert measure.asleep()
    assert 0.2 <= clock.now <= 0.2 + 2 * measure.WINDOW


def test_threads_that_spin_on_are_given_up(clock):
    clock.until = math.inf
    assert not measure.asleep()
    assert measure.PATIENCE <= clock.now <= measure.PATIENCE + 2 * measure.WINDOW


def test_a_process_that_sleeps_is_looked_at_once(clock):
    assert measure.asleep()
    assert clock.now == measure.WINDOW


@pytest.fixture
def spinning(monkeypatch):
    """Starts threads that spin, without the GIL, until `end` is called.

    The window is long, for on a busy machine a thread may not get a core for a while.
    """
    monkeypatch.setattr(measure, "WINDOW", 0.2)
    ended, threads = threading.Event(), []

    def spin():
        while not ended.is_set():
            _machine.dependent_adds(10**6)

    def start():
        threads.append(threading.Thread(target=spin))
        threads[-1].start()

    def end():
        ended.set()
        for thread in threads:
            thread.join()

    yield SimpleNamespace(start=start, end=end, threads=threads)
    end()


def test_a_thread_that_spins_is_seen_until_it_ends(spinning):
    spinning.start()
    assert not measure.asleep(0.0)
    spinning.end()
    assert measure.asleep(60.0)


def test_a_race_with_a_peer_that_leaves_a_spinning_thread_is_not_trusted(monkeypatch, spinning):
    plain = measure.asleep
    monkeypatch.setattr(measure, "asleep", lambda: plain(0.0))
    monkeypatch.setattr(race, "ALONE", 1)
    found = raced(peer("spins", lambda: spinning.threads or spinning.start()), rounds=1)
    assert found.awake
    assert not found.to_json()["trusted"]


def test_nobody_always_follows_the_same_and_each_waits():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    found = measure.interleaved(calls, 9, before=lambda name: order.append(f"before {name}"))
    assert {name: len(seconds) for name, seconds in found.items()} == dict.fromkeys("abc", 9)
    assert order[::2] == [f"before {name}" for name in order[1::2]]
    names = order[1::2]
    rounds = ["".join(names[first : first + 3]) for first in range(0, len(names), 3)]
    assert {"".join(sorted(one)) for one in rounds} == {"abc"}
    assert len(set(rounds)) > 3
    for one in "abc":
        followed = [last for last, next_one in pairwise(names) if next_one == one]
        assert max(map(followed.count, "abc")) < len(followed)
    again = []
    calls = {name: lambda name=name: again.append(name) for name in "abc"}
    measure.interleaved(calls, 9, before=lambda name: None)
    assert again == names


def test_rounds_end_with_the_time_but_one_is_always_made():
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = measure.interleaved(calls, 9, seconds=0.0, before=lambda name: None)
    assert {name: len(seconds) for name, seconds in found.items()} == {"a": 1, "b": 1}
    assert sorted(order) == ["a", "a", "b", "b"]


def test_calls_wait_unless_told_otherwise(monkeypatch):
    waits = []
    monkeypatch.setattr(measure, "asleep", lambda: waits.append(True))
    measure.interleaved({"a": lambda: None, "b": lambda: None}, 2)
    assert len(waits) == 6


# ---- races --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True])
def test_nobody_is_timed_while_the_threads_of_a_peer_spin(monkeypatch, fresh):
    """The peer leaves something behind that only waiting ends; whoever runs then notes it."""
    spinning, timed = [], []

    def wait():
        spinning.clear()
        return True

    def noted(name, engine):
        fill = engine.fresh
        note = lambda: timed.append((name, bool(spinning)))  # noqa: E731
        return Racer(
            lambda count: (note(), fill(count)), lambda out: lambda: (note(), engine.bind(out)())
        )

    memset, ours = peers.memset, peers.ours
    monkeypatch.setattr(measure, "asleep", wait)
    monkeypatch.setattr(race, "memset", lambda *given: noted(MEMSET, memset(*given)))
    monkeypatch.setattr(race, "ours", lambda *given: noted(OURS, ours(*given)))
    first = peer("spins", lambda: spinning.append(True))
    found = raced(
        first, peer("another", lambda: timed.append(("another", bool(spinning)))), fresh=fresh
    )
    assert not found.awake
    entered = timed.index(("another", True))  # the first looks at peers are no part of the race
    after = timed[entered + 2 :]
    assert {name for name, _ in after} == {MEMSET, OURS, "another"}
    assert not any(spins for _, spins in [*timed[:entered], *after])
    assert len(found.alone) == 2 * race.ALONE


def test_a_race_with_threads_that_never_sleep_says_after_whom(monkeypatch):
    spinning = []
    monkeypatch.setattr(measure, "asleep", lambda: not spinning)
    found = raced(peer("spins", lambda: spinning.append(True)))
    assert "threads still ran 1 s after " in " ".join(found.doubts())
    assert "spins" in found.awake
    form = found.to_json()
    assert (form["trusted"], form["doubts"]) == (False, found.doubts())
    assert any(line.startswith("  NOT TO BE TRUSTED: ") for line in found.lines())


def test_a_race_in_which_memset_is_slower_than_alone_says_so(monkeypatch):
    """As if spinning threads took its cores and nobody had seen them."""
    racing = []

    def interleaved(calls, rounds, **options):
        racing[:] = list(calls)[2:]
        return plain(calls, rounds, **options)

    def timed(call):
        call()
        return 0.04 if racing else 0.02

    plain = measure.interleaved
    monkeypatch.setattr(measure, "interleaved", interleaved)
    monkeypatch.setattr(measure, "timed", timed)
    monkeypatch.setattr(measure, "asleep", lambda: True)
    monkeypatch.setattr(measure.Neighbours, "share", lambda self: 0.0)
    found = raced(peer("spins", lambda: None))
    assert found.doubts() == ["memset ran at 0.50 of its speed alone"]


def race_of(memset_seconds, alone, **more):
    rows = [Row(name, 2, SIZE, [memset_seconds] * 3) for name in (MEMSET, OURS)]
    return Race(*NORMAL, False, rows, [alone] * 6, **more)


@pytest.mark.parametrize("seconds", [1.0, 1.04, 0.96])
def test_a_race_in_which_memset_is_as_fast_as_alone_is_trusted(seconds):
    found = race_of(seconds, 1.0)
    assert found.to_json()["trusted"] is True
    assert list(found.lines())[-1] == f"  memset ran at {1 / seconds:.2f} of its speed alone"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (race_of(1.07, 1.0), "memset ran at 0.93 of its speed alone"),
        (race_of(0.9, 1.0), "memset ran at 1.11 of its speed alone"),
        (race_of(1.0, 1.0, awake=["a", "b"]), "threads still ran 1 s after a and b had returned"),
        (race_of(1.0, 1.0, missing=1), "1 of memset's threads could not be started"),
        (race_of(1.0, 1.0, neighbours=0.253), "other programs took 25 % of the CPUs"),
    ],
)
def test_a_race_is_not_trusted_for_a_reason(found, words):
    assert found.doubts() == [words]
    assert list(found.lines())[-1] == f"  NOT TO BE TRUSTED: {words}"


def test_the_verdict_counts_the_races_that_are_not_to_be_trusted():
    good, bad = race_of(1.0, 1.0).to_json(), race_of(2.0, 1.0).to_json()
    assert list(race.verdict([good, good])) == []
    (line,) = race.verdict([good, bad, bad])
    assert line.startswith("2 of 3 races are not to be trusted")


def stat_of(busy, steal=0):
    """/proc/stat of a machine whose CPUs were busy for so many ticks of each other kind."""
    return f"cpu  {busy} {busy} {busy} 7777 7777 {busy} {busy} {steal} 9 9\ncpu0 1 2 3\n"


def test_what_other_programs_take_is_their_share_of_the_cpus(monkeypatch, tmp_path):
    clock = SimpleNamespace(perf_counter=lambda: 10.0, process_time=lambda: 3.0)
    monkeypatch.setattr(measure, "time", clock)
    monkeypatch.setattr(measure, "STAT", tmp_path / "stat")
    monkeypatch.setattr(measure.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(measure.os, "sysconf", lambda name: 100)
    (tmp_path / "stat").write_text(stat_of(1000))
    found = measure.Neighbours()
    clock.perf_counter, clock.process_time = (lambda: 15.0), (lambda: 6.0)
    (tmp_path / "stat").write_text(stat_of(1100, steal=200))
    assert found.share() == (7.0 - 3.0) / (5.0 * 4)
    clock.process_time = lambda: 10.5  # ticks are coarse: more than all CPUs were busy
    assert found.share() == 0.0


def test_where_the_system_does_not_tell_nobody_else_is_there(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "STAT", tmp_path / "stat")
    assert measure.Neighbours().share() == 0.0
    (tmp_path / "stat").write_text("nothing\n")
    assert measure.Neighbours().share() == 0.0


def test_a_race_counts_what_other_programs_take(monkeypatch):
    monkeypatch.setattr(measure.Neighbours, "share", lambda self: 0.5)
    found = raced()
    assert found.to_json()["others_share_of_cpus"] == 0.5
    assert "other programs took 50 % of the CPUs" in found.doubts()


# ---- memset, where the system gives no more threads ---------------------------------------------


def threads_that_start(most):
    """A thread class of which so many can be started."""
    started = []

    class Thread(threading.Thread):
        def start(self):
            if len(started) >= most:
                raise RuntimeError("can't start new thread")
            started.append(self)
            super().start()

    return SimpleNamespace(get_native_id=threading.get_native_id, Thread=Thread)


@pytest.mark.parametrize(("most", "missing"), [(0, 3), (1, 2), (7, 0)])
def test_memset_sets_every_byte_with_fewer_threads(monkeypatch, most, missing):
    monkeypatch.setattr(measure, "threading", threads_that_start(most))
    out = np.zeros(10 * measure.MEMORY_PAGE + 5, np.uint8)
    assert measure.memset(out, 4) == missing
    assert (out == measure.BYTE).all()


def test_a_race_goes_on_with_fewer_threads_and_says_so(monkeypatch):
    monkeypatch.setattr(measure, "threading", threads_that_start(0))
    found = raced()
    assert len(found.rows[0].seconds) == 3
    assert "1 of memset's threads could not be started" in found.doubts()


def test_a_thread_that_waits_for_a_cpu_is_not_asleep():
    """However long: the state of its threads tells, where the machine gives them no time."""
    cycles = int(0.2 / measure.clock_cycle())
    thread = threading.Thread(target=_machine.dependent_adds, args=(cycles,))
    thread.start()
    assert measure.asleep(patience=60)
    assert not thread.is_alive()
