# SPDX-License-Identifier: MIT
"""Regression tracking (benchmarks/track.py): what is a loss, and that a real one is found.

The first part judges made-up results.  The second slows kernels down and lets the command measure
them; it asks only that twice the work is seen past a wide gate, which holds on a busy machine.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import track
from tracking import comparison, instructions, results
from tracking.results import CYCLES, INSTRUCTIONS, Results, Row, TrackingError

MACHINE = {
    "cpu": "Some CPU",
    "cpus": 8,
    "load": 0.0,
    "microarchitecture": "Some family 1 model 1",
    "threads": 8,
    "compiler": "gcc 12",
    "valgrind": "valgrind-3.19.0",
    "versions": {"fastinit": "0.1.0", "numpy": "2.4"},
}
UNITS = {"kernels": CYCLES, "memory": "times memset", "instructions": INSTRUCTIONS}


def run_of(figures, name="0.1.0", size="full", date="2026-01-01T00:00", **machine):
    """Results with these figures by key; keyword arguments are of the machine."""
    rows = {}
    for key, figure in figures.items():
        group, _, label = key.partition(": ")
        rows[key] = Row(group, label, UNITS[group], figure, (figure, figure), 5)
    return Results(name, date, size, {**MACHINE, **machine}, rows)


def verdicts(old, new, gate=10.0):
    return {line.row.key: line.verdict for line in comparison.compare(old, new, gate)}


# ---- one comparison -----------------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [(1.0, 1.1), (3.0, 3.3), (0.7, 0.77), (1.0, 0.5)])
def test_a_loss_of_exactly_the_gate_is_none(old, new):
    (line,) = comparison.compare(run_of({"kernels: a": old}), run_of({"kernels: a": new}), 10)
    assert not line.over
    assert not line.failed


@pytest.mark.parametrize(("old", "new"), [(1.0, 1.1001), (3.0, 3.301), (1.0, 50.0)])
def test_a_loss_of_more_than_the_gate_is_one(old, new):
    (line,) = comparison.compare(run_of({"kernels: a": old}), run_of({"kernels: a": new}), 10)
    assert line.failed
    assert line.verdict == "LOST more than 10 %, over the gate in 1 of 1"


def test_a_row_of_one_side_is_listed():
    old, new = run_of({"kernels: a": 1.0, "kernels: b": 1.0}), run_of({"kernels: b": 1.0})
    assert verdicts(old, new) == {"kernels: a": "gone", "kernels: b": "ok"}
    assert verdicts(new, old) == {"kernels: b": "ok", "kernels: a": "new"}


def test_a_gain_is_told():
    assert verdicts(run_of({"memory: a": 2.0}), run_of({"memory: a": 1.0}))["memory: a"] == "gain"


def test_cycles_are_compared_on_the_same_processor_only():
    old, new = run_of({"kernels: a": 1.0}), run_of({"kernels: a": 9.0}, microarchitecture="other")
    assert verdicts(old, new) == {"kernels: a": "shown only: another processor"}
    assert verdicts(old, run_of({"kernels: a": 9.0}, threads=2))["kernels: a"].startswith("LOST")


@pytest.mark.parametrize("other", [{"microarchitecture": "other"}, {"threads": 2}, {"cpus": 2}])
@pytest.mark.parametrize(("figure", "failed"), [(1.9, False), (2.1, True)])
def test_a_ratio_of_times_from_another_machine_has_a_wide_gate(other, figure, failed):
    old, new = run_of({"memory: a": 1.0}), run_of({"memory: a": figure}, **other)
    (line,) = comparison.compare(old, new, 10)
    assert line.failed == failed
    assert "another machine: gate 100 %" in line.verdict


@pytest.mark.parametrize("other", [{"compiler": "gcc 13"}, {"valgrind": "valgrind-3.22.0"}])
def test_counts_are_compared_with_the_same_tools_only(other):
    old = run_of({"instructions: a": 10.0})
    assert (
        "shown only" in verdicts(old, run_of({"instructions: a": 20.0}, **other))["instructions: a"]
    )


@pytest.mark.parametrize(("figure", "failed"), [(10.1, False), (10.2, True)])
def test_a_count_may_lose_one_percent_whatever_the_gate(figure, failed):
    old, new = run_of({"instructions: a": 10.0}), run_of({"instructions: a": figure}, cpus=2)
    (line,) = comparison.compare(old, new, 50)
    assert line.failed == failed


def test_a_row_whose_unit_changed_is_only_shown():
    old, new = run_of({"kernels: a": 1.0}), run_of({"kernels: a": 9.0})
    row = replace(new.rows["kernels: a"], unit="times memset")
    (line,) = comparison.compare(old, replace(new, rows={"kernels: a": row}))
    assert line.verdict == f"shown only: was in {CYCLES}"


def test_a_toy_run_is_not_compared():
    whole, toy = run_of({"kernels: a": 1.0}), run_of({"kernels: a": 1.0}, name="toy", size="toy")
    with pytest.raises(TrackingError, match="toy is of toy size, which measures nothing"):
        comparison.compare(whole, toy)


# ---- repeats ------------------------------------------------------------------------------------


def confirmed(*runs):
    """The lines after a first run of losing `a`, losing `b` and steady `c`, then `runs` of a."""
    asked = []

    def again(keys):
        asked.append(sorted(keys))
        return run_of({"kernels: a": runs[len(asked) - 1], "kernels: b": 1.0}).rows

    old = run_of({"kernels: a": 1.0, "kernels: b": 1.0, "kernels: c": 1.0})
    new = run_of({"kernels: a": 1.5, "kernels: b": 1.2, "kernels: c": 1.0})
    lines = comparison.confirm(comparison.compare(old, new, 10), again, repeats=3)
    return {line.row.name: line for line in lines}, asked


def test_a_loss_in_three_of_three_fails():
    lines, asked = confirmed(1.4, 1.3)
    assert lines["a"].failed
    assert (lines["a"].lost, lines["a"].tries, lines["a"].new) == (3, 3, 1.3)
    assert asked == [["kernels: a", "kernels: b"], ["kernels: a"]]  # no row that had not lost


def test_a_loss_in_two_of_three_passes():
    lines, _ = confirmed(1.4, 1.05)
    assert not any(line.failed for line in lines.values())
    assert lines["a"].verdict == "ok, over the gate in 2 of 3"
    assert lines["b"].verdict == "ok, over the gate in 1 of 2"
    assert lines["c"].verdict == "ok"


def test_a_row_that_cannot_be_measured_again_is_an_error():
    lines = comparison.compare(run_of({"kernels: a": 1.0}), run_of({"kernels: a": 2.0}))
    with pytest.raises(TrackingError, match="'kernels: a' lost, but could not be measured again"):
        comparison.confirm(lines, lambda keys: {})


# ---- files and the command ----------------------------------------------------------------------


def stored(path, run):
    results.store(run, path)
    return str(path)


def test_what_is_stored_is_what_is_loaded(tmp_path):
    run = run_of({"kernels: a": 1.25, "memory: b": 2.5})
    assert results.load(tmp_path / stored(tmp_path / "a.json", run)) == run


def test_the_last_release_is_the_latest_not_the_last_name(tmp_path):
    results.store(
        run_of({"kernels: a": 1.0}, "0.9.0", date="2026-02-01T00:00"), tmp_path / "1.json"
    )
    results.store(
        run_of({"kernels: a": 1.0}, "0.10.0", date="2026-03-01T00:00"), tmp_path / "0.json"
    )
    assert [release.name for release in results.releases(tmp_path)] == ["0.9.0", "0.10.0"]


ROW = {"group": "g", "name": "n", "unit": CYCLES, "quartiles": [1, 1], "rounds": 5}
WHOLE = {"format": 1, "name": "n", "date": "d", "size": "full", "machine": {}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty: record it again"),
        ("{", "no results that `track.py` wrote: Expecting property name"),
        ("[]", "no results that `track.py` wrote"),
        ("{}", "'format' is missing"),
        ('{"format": 2}', "not of format 1"),
        ('{"format": 1}', "'rows' is missing"),
        ('{"format": 1, "rows": []}', "no results that `track.py` wrote"),
        (json.dumps({**WHOLE, "rows": [{"name": "n"}]}), "'quartiles' is missing"),
        (json.dumps({**WHOLE, "rows": [{**ROW, "figure": 0}]}), "the figure of 'g: n' is 0"),
        (json.dumps({**WHOLE, "rows": [{**ROW, "figure": "1"}]}), "no results"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, capsys, text, words):
    path = tmp_path / "damaged.json"
    path.write_text(text)
    good = stored(tmp_path / "good.json", run_of({"kernels: a": 1.0}))
    assert track.main(["compare", "--run", good, "--against", str(path)]) == track.ERROR
    error = capsys.readouterr().err
    assert f"track.py: {path}: " in error
    assert words in error


def test_a_missing_file_or_history_is_named(tmp_path, capsys):
    good = stored(tmp_path / "runs" / "good.json", run_of({"kernels: a": 1.0}))
    command = ["compare", "--run", good]
    assert track.main([*command, "--against", str(tmp_path / "none")]) == track.ERROR
    assert "none: No such file" in capsys.readouterr().err
    assert track.main([*command, "--history", str(tmp_path)]) == track.ERROR
    assert "holds no release: record one with `track.py save NAME`" in capsys.readouterr().err


def test_the_command_prints_every_row_and_exits_by_the_verdict(tmp_path, capsys):
    history = tmp_path / "history"
    stored(history / "1.json", run_of({"kernels: a": 1.0, "memory: b": 1.0, "memory: c": 4.0}))
    new = run_of({"kernels: a": 1.5, "memory: b": 1.5, "memory: d": 1.0}, threads=2, load=8.0)
    command = ["compare", "--run", stored(tmp_path / "new.json", new), "--repeats", "1"]
    command += ["--history", str(history), "--json", str(tmp_path / "out.json")]
    assert track.main(command) == track.LOST
    text = capsys.readouterr().out
    assert "Another machine than that of 0.1.0: threads 8 -> 2" in text
    assert "Other work was going on" in text
    assert "+50.0 %  cycles per sample: LOST more than 10 %" in text
    assert "times memset: ok (another machine: gate 100 %)" in text
    assert "gone" in text
    assert "new" in text
    assert "1 of 2 rows judged lost; 2 more are only shown" in text
    assert len(json.loads((tmp_path / "out.json").read_text())["lines"]) == 4
    assert track.main([*command, "--gate", "60"]) == 0
    assert track.main([*command, "--row", "memory"]) == 0
    assert "kernels" not in capsys.readouterr().out.rpartition("Another machine")[2]


def test_only_a_whole_run_becomes_a_release(tmp_path, capsys):
    for number, (size, more) in enumerate([("small", []), ("full", ["--row", "a"])]):
        run = stored(tmp_path / "run.json", run_of({"kernels: a": 1.0}, size=size))
        command = ["save", str(number), "--run", run, "--history", str(tmp_path / "history")]
        assert track.main([*command, *more]) == track.ERROR
        assert "only as a whole run of full size" in capsys.readouterr().err
    stored(tmp_path / "run.json", run_of({"kernels: a": 1.0}))
    assert track.main(command) == 0
    assert [release.name for release in results.releases(tmp_path / "history")] == ["1"]


def test_a_release_is_the_best_of_three_runs(tmp_path, monkeypatch):
    figures = [{"kernels: a": 1.2, "memory: b": 3.0}, {"kernels: a": 1.1, "memory: b": 4.0}]
    found = iter([run_of(some) for some in [*figures, figures[0]]])
    monkeypatch.setattr(track.runs, "run", lambda options: next(found))
    assert track.main(["save", "1", "--history", str(tmp_path)]) == 0
    (release,) = results.releases(tmp_path)
    assert {key: row.figure for key, row in release.rows.items()} == {
        "kernels: a": 1.1,
        "memory: b": 3.0,
    }
    assert next(found, None) is None


def test_the_history_is_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib: not in this machine")
    names = ("kernels avx2: normal float32", "kernels avx2: words", "calls: new array of 1,000")
    units = (CYCLES, CYCLES, "times NumPy")
    pairs = list(zip(names, units, strict=True))
    for month in range(1, 7):
        rows = {
            key: Row(*key.split(": "), unit, month, (1, 1), 5)
            for key, unit in pairs[: 1 + month % 3]
        }
        cpu = {**MACHINE, "microarchitecture": f"model {month // 4}"}
        release = Results(f"0.{month}", f"2026-0{month}-01T00:00", "full", cpu, rows)
        results.store(release, tmp_path / "history" / f"{month}.json")
    out = tmp_path / "figures" / "history.png"
    run = str(tmp_path / "history" / "1.json")
    command = ["plot", "--history", str(tmp_path / "history"), "--out", str(out), "--run", run]
    assert track.main(command) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


# ---- real losses --------------------------------------------------------------------------------


def test_a_kernel_that_runs_twice_fails_the_gate_and_once_passes(tmp_path, capsys):
    run = str(tmp_path / "run.json")
    rows = ["--row", "kernels scalar: normal float32", "--size", "small"]
    assert track.main(["run", *rows, "--json", run]) == 0
    compare = ["compare", *rows, "--against", run, "--gate", "40"]
    assert track.main(compare) == 0
    capsys.readouterr()
    assert track.main([*compare, "--twice", "normal"]) == track.LOST
    assert "LOST more than 40 %, over the gate in 3 of 3" in capsys.readouterr().out


def test_what_is_not_here_cannot_be_measured(capsys):
    assert track.main(["run", "--toy", "--row", "no such row"]) == track.ERROR
    assert "no row here contains 'no such row'" in capsys.readouterr().err


def test_every_row_runs_and_its_key_is_its_own(tmp_path):
    """At toy size, but for the counts, which take a compiler."""
    path = tmp_path / "toy.json"
    groups = ["--row=kernels", "--row=dtypes", "--row=memory", "--row=calls"]
    assert track.main(["run", "--toy", *groups, "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    keys = [f"{row['group']}: {row['name']}" for row in rows]
    assert len(set(keys)) == len(keys)
    assert {"kernels scalar: words", "memory: transposed output"} < set(keys)


def test_without_valgrind_nothing_is_counted_and_that_is_said(monkeypatch, capsys):
    monkeypatch.setattr(instructions.shutil, "which", lambda tool: None)
    assert track.main(["run", "--row", "instructions"]) == track.ERROR
    assert "instructions are not counted: gcc is not in this machine" in capsys.readouterr().err


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
    assert len(first) == 17
    assert instructions.counts(driver, "scalar") == first
    twice = instructions.counts(driver, "scalar", calls=2)
    assert all(1.99 < twice[name] / count < 2.01 for name, count in first.items())


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
