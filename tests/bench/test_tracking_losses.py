# SPDX-License-Identifier: MIT
"""Regression tracking (benchmarks/track.py) of real kernels: that a loss made on purpose is found.

Where times decide, it asks only that twice the work is seen past a wide gate, which holds on a busy
machine.
"""

from __future__ import annotations

import json
import shutil

import pytest
import track
from tracking import device, instructions
from tracking.results import TrackingError


@pytest.mark.slow
def test_a_kernel_that_runs_twice_fails_the_gate_and_once_passes(tmp_path, capsys):
    run = str(tmp_path / "run.json")
    rows = ["--row", "kernels scalar: normal float32", "--size", "small"]
    assert track.main(["run", *rows, "--json", run]) == 0
    compare = ["compare", *rows, "--against", run, "--gate", "40"]
    assert track.main(compare) == 0
    capsys.readouterr()
    assert track.main([*compare, "--twice", "normal"]) == track.LOST
    assert "LOST more than 40 %, over the gate in 3 of 3" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_not_here_cannot_be_measured(capsys):
    assert track.main(["run", "--toy", "--row", "no such row"]) == track.ERROR
    assert "no row here contains 'no such row'" in capsys.readouterr().err


@pytest.mark.slow
def test_every_row_runs_and_its_key_is_its_own(tmp_path):
    """At toy size, but for the counts, which take a compiler."""
    path = tmp_path / "toy.json"
    groups = ["--row=kernels", "--row=dtypes", "--row=memory", "--row=calls"]
    assert track.main(["run", "--toy", *groups, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    keys = [f"{row['group']}: {row['name']}" for row in rows]
    assert len(set(keys)) == len(keys)
    assert {"kernels scalar: words", "memory: transposed output"} < set(keys)


@pytest.mark.slow
def test_without_valgrind_nothing_is_counted_and_that_is_said(monkeypatch, capsys):
    monkeypatch.setattr(instructions.shutil, "which", lambda tool: None)
    monkeypatch.setattr(device, "missing", lambda: "NVRTC")
    assert track.main(["run", "--row", "instructions"]) == track.ERROR
    error = capsys.readouterr().err
    assert f"instructions are not counted: {instructions.COMPILER} is not in this machine" in error
    assert "instructions sm_90 are not counted: NVRTC is not in this machine" in error


@pytest.fixture(scope="module")
def drivers():
    """The drivers that are built already, by their flags: it takes a while."""
    return {}


@pytest.fixture
def build(drivers, tmp_path_factory, monkeypatch):
    """Builds a driver, for the command too."""
    for tool in ("valgrind", instructions.COMPILER):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool}: not in this machine")
    plain = instructions.build

    def cached(_, flags=()):
        if flags not in drivers:
            drivers[flags] = plain(tmp_path_factory.mktemp("driver"), flags)
        return drivers[flags]

    monkeypatch.setattr(instructions, "build", cached)
    return cached


@pytest.mark.slow
def test_counts_are_the_same_every_time(build):
    driver = build(None)
    first = instructions.counts(driver, "scalar")
    assert len(first) == 19
    assert instructions.counts(driver, "scalar") == first
    twice = instructions.counts(driver, "scalar", calls=2)
    assert all(1.99 < twice[name] / count < 2.01 for name, count in first.items())


@pytest.mark.slow
@pytest.mark.parametrize("isa", instructions.ISAS)
def test_short_rows_take_a_few_times_the_instructions_of_a_long_one(build, isa):
    """They took 40 and 80 times as many when each row had a tile of its own."""
    counts = instructions.counts(build(None), isa)
    assert counts["normal float32, two of three in memory"] < 2 * counts["normal float32"]
    assert counts["normal float32, one of 4,096"] < 5 * counts["normal float32"]


@pytest.mark.slow
def test_kernels_built_worse_fail_the_gate_and_as_they_are_pass(build, tmp_path, capsys):
    run = str(tmp_path / "run.json")
    assert track.main(["run", "--row", "instructions", "--json", run]) == 0
    compare = ["compare", "--row", "instructions", "--against", run, "--repeats", "1"]
    assert track.main(compare) == 0
    capsys.readouterr()
    assert track.main([*compare, "--cflags=-O1"]) == track.LOST
    assert "LOST more than 1 %" in capsys.readouterr().out


def test_setup_py_without_flags_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "setup.py").write_text("FLAGS = []\n")
    monkeypatch.setattr(instructions, "ROOT", tmp_path)
    with pytest.raises(TrackingError, match=r"setup\.py has no list C_FLAGS"):
        instructions.project_flags()


def test_a_driver_that_cannot_be_built_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(instructions, "COMPILER", "false")
    with pytest.raises(TrackingError, match="exit status 1"):
        instructions.build(tmp_path)
