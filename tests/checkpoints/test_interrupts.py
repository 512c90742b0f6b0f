# SPDX-License-Identifier: MIT
"""Ctrl-C at any moment, once and twice: nothing stays open or locked, and the next call works.

CPython runs signal handlers when a function begins, and when a function that is written in C has
returned.  A profiler is called at these moments, too: so one that raises stands for Ctrl-C, and
every moment of a call can be tried.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from checkpoint_plans import contents, plan_of, temporaries

import fastinit.checkpoints as checkpoints
from fastinit.checkpoints import layout_of, verify, write, write_shard
from fastinit.machine import floats, parallel

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc/self/fd")

PLAN = plan_of(("a", (50, 3), "normal()"), ("b", (70,), "ones()"), config={"model_type": "x"})
OPTIONS = {"seed": 3, "max_shard_size": 500}
PATHS = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
SHARD = layout_of(PLAN, **OPTIONS).shards[1].to_json()
DEAD = f".model.safetensors.{'0' * 32}.fastinit"
"""A temporary file of a writer that was killed."""

INSTALLED = str(Path(checkpoints.__file__).parent), os.path.dirname(os.__file__)
"""The code whose moments are tried: ours, and the standard library for us."""


class Interrupts:
    """While it is entered, KeyboardInterrupt is raised at the moments of these numbers.

    A profiler that raised is switched off, so a tracer switches it on again before anything else
    runs.
    """

    def __init__(self, *moments):
        self.moments = moments
        self.passed = 0

    def __enter__(self):
        sys.settrace(self.trace)
        sys.setprofile(self.profile)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        sys.settrace(None)

    def profile(self, frame, event, arg):
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(INSTALLED):
            self.passed += 1
            if self.passed in self.moments:
                raise KeyboardInterrupt

    def trace(self, frame, event, arg):
        frame.f_trace_lines = False
        if event == "exception":
            sys.setprofile(self.profile)
        return self.trace


def test_the_profiler_raises_where_a_function_begins_and_where_one_of_c_has_returned(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "INSTALLED", (__file__,))
    reached = []

    def function():
        reached.append("begun")

    expected = [[], ["begun"], ["begun"], ["begun", "end"]]
    for number, lines in enumerate(expected, 1):
        reached.clear()
        with pytest.raises(KeyboardInterrupt), Interrupts(number):  # noqa: PT012 - that is its point
            function()
            len("of C")
            reached.append("end")
        assert reached == lines


def open_files():
    """Descriptor -> what it is open on, of this process, but for the one of this listing."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        if os.path.lexists(f"/proc/self/fd/{number}"):
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


@pytest.fixture(autouse=True)
def no_garbage():
    """Descriptors that earlier tests left would be closed at any moment."""
    gc.collect()


@pytest.fixture
def place(monkeypatch):
    """A folder in memory, if there is one; and nothing waits for a disk there.

    What is called for os.fsync is written in C as well.  An interrupt that strikes a generator
    which is let go ends there, in CPython as here.
    """
    monkeypatch.setattr(os, "fsync", os.fstat)
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        yield Path(name)


def write_new(folder, **options):
    write(PLAN, folder, **OPTIONS, threads=1, **options)


def read(folder):
    checkpoints.open(folder)["a"]
    verify(folder, threads=1)


CALLS = {
    "write": write_new,
    "overwrite": lambda folder: write_new(folder, overwrite=True),
    "write_shard": lambda folder: write_shard(SHARD, folder, threads=1),
    "read": read,
}


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """File name -> bytes of an undisturbed write."""
    folder = tmp_path_factory.mktemp("right")
    write_new(folder)
    return contents(folder)


def prepared(place, name):
    """A folder as the call finds it: with a checkpoint or without, and a dead writer's file."""
    folder = place / "x"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if name in ("overwrite", "read"):
        seed = 9 if name == "overwrite" else OPTIONS["seed"]
        write(PLAN, folder, **{**OPTIONS, "seed": seed}, threads=1)
    (folder / DEAD).touch()
    return folder


def try_moments(place, right, name, *moments):
    """Interrupt a call at these moments, and see that nothing is lost.

    Returns how many moments it had, and whether it was interrupted.
    """
    folder = prepared(place, name)
    before = open_files()
    held = None
    with Interrupts(*moments) as interrupts:
        try:
            CALLS[name](folder)
        except KeyboardInterrupt as error:
            held = error  # and its frames, as an interactive session holds those of the last error
    struck = held is not None
    if name == "read":
        held = None  # or a map that was about to be kept would stay
    assert open_files() == before, moments
    if len(moments) == 1:
        assert {file for file in temporaries(folder) if ".complete." not in file} <= {DEAD}, moments
    assert_carries_on(folder, right, name)
    return interrupts.passed, struck


def assert_carries_on(folder, right, name):
    """Nothing is locked: the call does its work, and sweeps what an interrupt may have spared."""
    if name == "write":
        (folder / "model.safetensors.index.json").unlink(missing_ok=True)  # it came too late
    CALLS[name](folder)
    if name == "write_shard":
        write_new(folder)
    if name != "read":
        assert contents(folder) == right


def moments_of(place, right, name):
    """How many moments a call has, once everything that is remembered is."""
    try_moments(place, right, name)
    return try_moments(place, right, name)[0]


def assert_nearly_all(struck):
    """An interrupt may be lost in a generator that is let go, and a moment may not come again."""
    assert sum(struck) >= 0.95 * len(struck)


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_at_a_moment_leaves_nothing_open_or_locked(place, right, name):
    last = moments_of(place, right, name)
    moments = random.Random(3).sample(range(1, last + 1), 50)
    assert_nearly_all([try_moments(place, right, name, moment)[1] for moment in moments])


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_twice_leaves_nothing_open_or_locked(place, right, name):
    dice = random.Random(4)
    last = moments_of(place, right, name)
    pairs = [(k, k + dice.randint(1, 60)) for k in dice.sample(range(1, last + 1), 50)]
    assert_nearly_all([try_moments(place, right, name, *pair)[1] for pair in pairs])


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_at_every_moment_leaves_nothing_open_or_locked(place, right, name):
    last = moments_of(place, right, name)
    print(f"{name}: {last:,} moments")
    assert_nearly_all([try_moments(place, right, name, k)[1] for k in range(1, last + 1)])


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_at_many_pairs_of_moments_leaves_nothing_open_or_locked(place, right, name):
    dice = random.Random(5)
    last = moments_of(place, right, name)
    pairs = [(k, k + dice.randint(1, 80)) for k in dice.choices(range(1, last + 1), k=3000)]
    assert_nearly_all([try_moments(place, right, name, *pair)[1] for pair in pairs])


SIGNALS = """
import json, os, random, signal, sys, threading, time
sys.path[:0] = {paths!r}
from checkpoint_plans import large_plan, temporaries
from pathlib import Path
from test_interrupts import open_files
import fastinit
from fastinit.checkpoints import write

folder, options = Path({folder!r}), dict(seed=3, max_shard_size="64MB", durability="none")
home, plan, dice = os.path.dirname(fastinit.__file__), large_plan(16, 2**22), random.Random({seed})
seen = dict(none=0, once=0, twice=0, spared=0)

def handler(number, frame):
    while frame:  # only what strikes the call counts: the second one may come too late
        if frame.f_code.co_filename.startswith(home):
            seen["now"] += 1
            raise KeyboardInterrupt
        frame = frame.f_back

def send(first, second):
    for pause in first, second:
        time.sleep(pause)
        os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, handler)
for attempt in range({attempts}):
    seen["now"], before = 0, open_files()
    pauses = dice.uniform(0, 0.15), dice.choice([dice.uniform(0, 0.002), dice.uniform(0, 0.25)])
    sender = threading.Thread(target=send, args=pauses)
    sender.start()
    try:
        write(plan, folder, threads={threads}, overwrite=bool(attempt % 2), **options)
    except KeyboardInterrupt as error:
        held = error
    sender.join()
    assert open_files() == before, (attempt, pauses, open_files())
    spared = [name for name in temporaries(folder) if ".complete." not in name]
    assert len(spared) <= (seen["now"] > 1), (attempt, spared)
    seen["spared"] += len(spared)
    seen[("none", "once", "twice")[seen["now"]]] += 1
    write(large_plan(1, 2**10), folder, seed=4, overwrite=True, durability="none")
    assert not temporaries(folder)
    for path in folder.iterdir():
        path.unlink()
print(json.dumps(seen))
"""


STORM = """
import os, random, signal, sys, time
sys.path[:0] = {paths!r}
from test_interrupts import open_files
from fastinit.machine.descriptors import OpenFile, OpenFiles

def handler(number, frame):
    if armed:
        raise KeyboardInterrupt

def work():
    with OpenFiles() as opened:
        file = opened.new()
        file.open("/", os.O_RDONLY)
        file.lock()
        with OpenFile() as other:
            other.open("/", os.O_RDONLY)
        opened.release(file)

armed, before, dice, interrupts, end = False, open_files(), random.Random(6), 0, time.time() + 1
signal.signal(signal.SIGALRM, handler)
while time.time() < end:
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(1e-6, 1e-4), 3e-5)
        while time.time() < end:
            work()
        armed = False
    except KeyboardInterrupt as error:
        armed, held, interrupts = False, error, interrupts + 1
    signal.setitimer(signal.ITIMER_REAL, 0)
assert open_files() == before
print(interrupts)
"""


def test_a_storm_of_real_signals_leaves_nothing_open():
    code = STORM.format(paths=PATHS)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def signals(folder, attempts, threads):
    """How often pairs of SIGINT, 0 to 250 ms apart, struck a write; the script checks the rest."""
    code = SIGNALS.format(
        paths=PATHS,
        folder=str(folder),
        attempts=attempts,
        threads=threads,
        seed=threads,
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    print(seen)
    return seen


@pytest.mark.parametrize("threads", [1, 2])
def test_pairs_of_real_signals_leave_nothing_open_or_locked(tmp_path, threads):
    seen = signals(tmp_path / "x", 12, threads)
    assert seen["once"] + seen["twice"] > 0


@pytest.mark.long
@pytest.mark.parametrize("threads", [1, 2])
def test_many_pairs_of_real_signals_leave_nothing_open_or_locked(tmp_path, threads):
    seen = signals(tmp_path / "x", 300, threads)
    assert seen["twice"] > 30


# --- threads ---------------------------------------------------------------------------------


def leftovers(*moments):
    """Interrupt a `run` of three threads at these moments; its moments, and what went on after.

    Moments before the first helper may be at work change nothing, and are not skipped.
    """
    over, late = [], []

    def work(task):
        time.sleep(0.0005)
        if over:
            late.append(task)

    with Interrupts(*moments) as interrupts:
        try:
            parallel.run(iter(range(6)), work, 3)
        except KeyboardInterrupt as error:
            held = error  # noqa: F841 - and its frames
        over.append(True)
    for thread in threading.enumerate():
        if thread.name.startswith("fastinit-") and thread._started.is_set():
            thread.join(10)
            assert not thread.is_alive()
    return interrupts.passed, late


@pytest.fixture
def of_threads(monkeypatch):
    """Let every moment count that `run` has: ours and those of the standard library's threads."""
    files = parallel.__file__, threading.__file__, floats.__file__
    monkeypatch.setattr(sys.modules[__name__], "INSTALLED", files)
    yield
    time.sleep(0.3)  # until those that go on have started
    threading._limbo.clear()  # where `Thread.start` leaves those that it was interrupted at
    for number, thread in list(threading._active.items()):
        if not thread._started.is_set():
            del threading._active[number]


def test_no_helper_works_after_a_run_that_ctrl_c_ended_at_any_moment(of_threads):
    last = max(leftovers()[0] for _ in range(3))
    assert last > 50
    for moment in range(1, last + 1):
        assert not leftovers(moment)[1], moment


def test_no_helper_works_after_a_run_that_ctrl_c_ended_twice_or_more(of_threads):
    dice = random.Random(7)
    last = max(leftovers()[0] for _ in range(3))
    for _ in range(300):
        first = dice.randint(1, last)
        steps = [dice.randint(1, 12) for _ in range(dice.randint(1, 4))]
        moments = [first + sum(steps[:count]) for count in range(len(steps) + 1)]
        assert not leftovers(*moments)[1], moments


class AtLines:
    """While it is entered, KeyboardInterrupt is raised before the lines of these numbers.

    Lines are those of parallel.py, as they are run.  A tracer that raised is switched off; the
    profiler, which goes on, switches it on again.
    """

    def __init__(self, *numbers):
        self.numbers = numbers
        self.passed = 0

    def __enter__(self):
        sys.setprofile(lambda *_: sys.settrace(self.trace))
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        sys.settrace(None)

    def trace(self, frame, event, arg):
        if frame.f_code.co_filename != parallel.__file__:
            return None
        if event == "line":
            self.passed += 1
            if self.passed in self.numbers:
                raise KeyboardInterrupt
        return self.trace


def test_no_helper_works_after_a_run_that_was_struck_at_any_line(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "Interrupts", AtLines)
    last = max(leftovers()[0] for _ in range(3))
    assert last > 50
    for line in range(1, last + 1):
        assert not leftovers(line)[1], line
        for second in range(1, 4):
            assert not leftovers(line, line + second)[1], (line, second)
