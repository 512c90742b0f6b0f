# SPDX-License-Identifier: MIT
"""`fastinit bench` and its races: that figures are there and agree, never that they are fast."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from command_line import assert_one_line, in_a_process

from fastinit import cli
from fastinit.bench import command, measure, peers, race
from fastinit.bench.peers import PEERS, Peer, Racer

SIZE = 2**20
NORMAL = ("normal", "float32")


def fails(kind, dtype, threads):
    raise RuntimeError("no such library\nwith a second line")


def only_fresh(kind, dtype, threads):
    return Racer(lambda count: np.ones(count, np.float32))


def fails_late(kind, dtype, threads):
    """Works for the two calls of the first look and the unmeasured round."""
    calls = iter(range(3))

    def fresh(count):
        if next(calls, None) is None:
            raise MemoryError("all gone " + "x" * 200)
        return np.ones(count, np.float32)

    return Racer(fresh, lambda out: lambda: fresh(len(out)))


NUMPY = next(p for p in PEERS if p.name == "NumPy SFC64 in threads" and (p.kind, p.dtype) == NORMAL)
BROKEN = Peer("broken", "numpy", *NORMAL, "one", fails)
LATE = Peer("late", "numpy", *NORMAL, "one", fails_late)
FRESH = Peer("new arrays", "numpy", *NORMAL, "all", only_fresh)
ABSENT = Peer("absent", "no_such_package", *NORMAL, "one", fails)


@pytest.fixture
def few(monkeypatch):
    """Race a handful of peers, one round each however long it takes."""
    monkeypatch.setattr(command, "PEERS", (NUMPY, BROKEN, LATE, FRESH, ABSENT))
    monkeypatch.setattr(command, "SECONDS", math.inf)
    monkeypatch.setattr(command, "ROUNDS", 1)


def invoke(*arguments):
    done = CliRunner().invoke(cli.cli, ["bench", "--size", str(SIZE), *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def run(*entrants, fresh=False, **options):
    buffer = None if fresh else np.ones(SIZE, np.uint8)
    given = {"size": SIZE, "threads": 2, "rounds": 3, "seconds": math.inf, "share": 1e-3}
    return race.run(*NORMAL, entrants, buffer=buffer, **{**given, **options})


def rows_of(form):
    return {row["name"]: row for row in form["rows"]}


def assert_consistent(form):
    """Every figure is positive and finite, and follows from the seconds."""
    rows = rows_of(form)
    alone = statistics.median(form["memset_alone_seconds"])
    assert form["memset_of_alone"] == alone / statistics.median(rows["memset"]["seconds"])
    assert form["trusted"] is (not form["doubts"])
    assert list(rows)[:2] == ["memset", "fastinit"]
    for row in rows.values():
        if "error" in row:
            assert row["error"]
            continue
        assert all(0 < seconds < math.inf for seconds in row["seconds"])
        assert row["msamples_per_second"] == pytest.approx(
            row["samples"] / statistics.median(row["seconds"]) / 1e6
        )
        for key, other, power in (
            ("of_memset", "memset", -1),
            ("fastinit_times_as_fast", "fastinit", 1),
        ):
            pairs = zip(row["seconds"], rows[other]["seconds"], strict=True)
            ratios = [a / row["samples"] / b * rows[other]["samples"] for a, b in pairs]
            assert row[key] == pytest.approx(statistics.median(r**power for r in ratios))
    assert rows["memset"]["of_memset"] == rows["fastinit"]["fastinit_times_as_fast"] == 1


# --- the command -----------------------------------------------------------------------------


def test_json_holds_figures_that_agree(few):
    found = json.loads(invoke("--json", "--threads", "2"))
    assert (found["size"], found["threads"], found["not_installed"]) == (
        SIZE,
        2,
        ["no_such_package"],
    )
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert found["seconds"] > 0
    assert found["trusted"] == all(one["trusted"] for one in found["races"])
    for figures in found["cycles_per_sample"], found["microseconds_of_1000"]:
        assert len(figures) >= 2
        assert all(0 < figure < math.inf for figure in figures.values())
    raced = [(one["kind"], one["dtype"], one["memory"]) for one in found["races"]]
    assert raced == [(*pair, memory) for pair in command.RACES for memory in ("warm", "fresh")]
    for one in found["races"]:
        assert_consistent(one)
    warm, fresh = map(rows_of, found["races"][:2])
    assert warm["NumPy SFC64 in threads"]["threads"] == 2
    assert warm["broken"]["error"] == "RuntimeError: no such library"
    assert set(warm) == {"memset", "fastinit", "NumPy SFC64 in threads", "broken", "late"}
    assert set(fresh) == {"memset", "fastinit", "new arrays"}


def test_the_table_has_a_line_for_each_entrant(few):
    lines = invoke().splitlines()
    for kind, dtype in command.RACES:
        for memory in ("warm", "fresh"):
            assert any(line.startswith(f"{kind} {dtype}, {memory} memory") for line in lines)
    (peer,) = (line for line in lines if "NumPy SFC64 in threads" in line)
    speed, share, times = peer.removesuffix(" x as fast").split()[-3:]
    assert float(speed.replace(",", "")) > 0
    assert float(share) > 0
    assert float(times) > 0
    assert any(
        line.startswith("  broken ") and "RuntimeError: no such library" in line for line in lines
    )
    assert "not installed, so not raced: no_such_package" in lines
    assert sum(line.startswith("  fastinit ") for line in lines) == 2 * len(command.RACES)


@pytest.mark.slow
def test_it_runs_with_whatever_is_installed():
    done = in_a_process("bench", "--size", "1MB", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for one in found["races"]:
        assert_consistent(one)
    assert {"NumPy SFC64", "NumPy Philox in threads"} <= rows_of(found["races"][0]).keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "much"], r"size is 'much': pass bytes as a whole number, or text such as"),
        (["--size", "-1"], r"size is '-1': pass bytes as a whole number"),
        (["--size", "100KB"], r"size is '100KB': pass 1,000,000 bytes or more"),
        (["--size", "900TB"], r"two buffers are 1,8\d\d,.* bytes, but [\d,]+ are free; pass half"),
        (["--threads", "0"], r"threads is 0: pass a whole number of 1 or more"),
        (["--threads", "two"], r"'two' is not a valid integer"),
    ],
)
def test_bad_options_are_refused_in_one_line_before_anything_is_measured(arguments, words):
    done = in_a_process("bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_line(done.stderr, words)


def test_the_buffer_adapts_to_free_memory_and_to_speed(monkeypatch):
    monkeypatch.setattr(command.measure, "timed", lambda call: 1e-9)
    for free, size in (2**40, command.USUAL), (2**28, 2**25), (2**10, command.LEAST):
        monkeypatch.setattr(command, "free_memory", lambda free=free: free)
        assert command.buffer_size(None, 2) == size
    monkeypatch.setattr(command, "free_memory", lambda: 2**40)
    monkeypatch.setattr(command.measure, "timed", lambda call: 0.01)
    assert command.buffer_size(None, 2) == 2**23  # of 10 MB in a tenth of a second


def test_free_memory_is_some_of_the_machine():
    assert 2**20 < command.free_memory() < 2**50


GROUP_FILES = {2: ("max", "current"), 1: ("limit_in_bytes", "usage_in_bytes")}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("own", "outer", "free"),
    [
        (("500", "300", 50), None, 250),
        (("max", "300", 0), ("900", "200", 0), 700),
        (("300", "400", 0), None, 1),
        (None, None, 2048 * 1024),
    ],
)
def test_free_memory_is_what_the_control_groups_have_left(tmp_path, version, own, outer, free):
    files = {
        "proc/meminfo": "MemTotal: 4096 kB\nMemAvailable: 2048 kB\n",
        "proc/self/cgroup": f"{'0:' if version == 2 else '3:memory'}:/outer/own\n",
        "proc/self/mountinfo": (
            "1 0 0:1 / /groups rw - cgroup2 none rw\n"
            if version == 2
            else "1 0 0:1 / /groups rw - cgroup none rw,memory\n"
        ),
    }
    for name, values in ("outer", outer), ("outer/own", own):
        if values:
            *numbers, cached = values
            for file, text in zip(GROUP_FILES[version], numbers, strict=True):
                files[f"groups/{name}/memory.{file}"] = text
            key = "inactive_file" if version == 2 else "total_inactive_file"
            files[f"groups/{name}/memory.stat"] = f"cache 7\n{key} {cached}\n"
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert command.free_memory(tmp_path) == free


def test_free_memory_needs_no_proc(tmp_path):
    assert command.free_memory(tmp_path) > 2**20


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory: no more could be allocated"),
        (MemoryError("Unable to allocate 1 GiB"), "out of memory: Unable to allocate 1 GiB"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_what_stops_it_is_one_line(monkeypatch, capsys, error, words):
    def stops(*_):
        raise error

    monkeypatch.setattr(command, "run", stops)
    monkeypatch.setattr(sys, "argv", ["fastinit", "bench"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().err.strip() == f"fastinit: {words}"


def test_importing_fastinit_does_not_import_the_benchmark():
    found = "[m for m in sys.modules if m.startswith('fastinit.bench')]"
    code = f"import fastinit.cli, sys; print({found})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- races -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True])
def test_a_race_times_every_entrant_in_every_round(fresh):
    form = run(NUMPY, fresh=fresh).to_json()
    assert_consistent(form)
    assert {len(row["seconds"]) for row in form["rows"]} == {3}


def test_a_peer_that_fails_says_so_and_the_others_run():
    form = rows_of(run(BROKEN, LATE, NUMPY).to_json())
    assert form["broken"] == {
        "name": "broken",
        "threads": 1,
        "error": "RuntimeError: no such library",
    }
    assert form["late"]["error"].startswith("MemoryError: all gone xxx")
    assert len(form["late"]["error"]) <= race.MESSAGE
    assert len(form[NUMPY.name]["seconds"]) == 3


def test_a_peer_of_new_arrays_only_is_not_in_warm_memory():
    assert "new arrays" not in rows_of(run(FRESH).to_json())
    assert "seconds" in rows_of(run(FRESH, fresh=True).to_json())["new arrays"]


def test_peers_are_left_out_when_the_time_is_over():
    form = rows_of(run(NUMPY, end=0.0).to_json())
    assert form[NUMPY.name]["error"] == race.NO_TIME
    assert len(form["fastinit"]["seconds"]) == 3


def test_a_slow_peer_fills_fewer_samples():
    form = rows_of(run(NUMPY, share=1e-9).to_json())
    assert form[NUMPY.name]["samples"] == min(race.PROBE, SIZE // 4)
    assert form["fastinit"]["samples"] == SIZE // 4


# --- peers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "peer",
    [peer for peer in PEERS if peer.package == "numpy"],
    ids=lambda peer: f"{peer.name} {peer.kind} {peer.dtype}",
)
def test_numpy_fills_every_place_of_an_array_it_is_given(peer):
    engine = peer.engine(3)
    out = np.full(10_000, np.nan, peer.dtype)
    engine.bind(out)()
    assert np.isfinite(out).all()
    assert len(np.unique(out)) > 9_900
    made = engine.fresh(1000)
    assert (made.shape, made.dtype) == ((1000,), peer.dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_memset_sets_every_byte_and_fastinit_fills(dtype):
    out = peers.ours("truncated", dtype, 2).fresh(1001)
    assert 0 < abs(out.astype(float)).max() <= peers.BOUND
    peers.memset(dtype, 3).bind(out)()
    assert (out.view(np.uint8) == measure.BYTE).all()


def test_names_are_unique_among_those_that_race_together():
    keys = [(peer.name, peer.kind, peer.dtype) for peer in PEERS]
    assert len(set(keys)) == len(keys)


def test_a_package_is_found_without_being_imported():
    assert peers.is_installed("numpy")
    assert not peers.is_installed("no_such_package")
