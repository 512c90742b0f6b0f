# SPDX-License-Identifier: MIT
"""Regression tracking (benchmarks/track.py) of made-up results: what is a loss, what is refused.

That a real loss is found is in test_tracking_losses.py.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest
import track
from tracking import comparison, device, instructions, results, runs
from tracking.results import CYCLES, DEVICE_INSTRUCTIONS, INSTRUCTIONS, Results, Row, TrackingError

MACHINE = {
    "cpu": "Some CPU",
    "cpus": 8,
    "load": 0.0,
    "microarchitecture": "Some family 1 model 1",
    "architecture": "x86_64",
    "isa": "avx2",
    "available": "avx2 scalar",
    "files": "memory",
    "threads": 8,
    "compiler": "gcc 12",
    "valgrind": "valgrind-3.19.0",
    "nvrtc": "13.5",
    "versions": {"fastinit": "0.1.0", "numpy": "2.4"},
}
UNITS = {
    "kernels": CYCLES,
    "memory": "times memset",
    "small": "times NumPy",
    "written": "times zeros written",
    "instructions": INSTRUCTIONS,
    "device": DEVICE_INSTRUCTIONS,
}


def run_of(figures, name="0.1.0", size="full", date="2026-01-01T00:00", **machine):
    """Results with these figures by key; keyword arguments are of the machine."""
    rows = {}
    for key, figure in figures.items():
        group, _, label = key.partition(": ")
        rows[key] = Row(group, label, UNITS[group.split()[0]], figure, (figure, figure), 5)
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


def test_a_row_of_an_instruction_set_that_is_not_here_is_not_gone():
    old = run_of({"kernels avx512: a": 1.0, "kernels avx2: a": 1.0}, available="avx512 avx2")
    first, second = comparison.compare(old, run_of({}))
    assert (first.gone, first.verdict) == (False, "not on this machine")
    assert (second.gone, second.verdict) == (True, "gone")


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


def test_a_ratio_to_memset_with_another_instruction_set_is_only_shown():
    """Memory is as fast as before there, and arithmetic half as fast or less."""
    old, new = run_of({"memory: a": 1.0}), run_of({"memory: a": 4.0}, isa="scalar")
    assert verdicts(old, new) == {"memory: a": "shown only: another instruction set"}


@pytest.mark.parametrize("group", ["small", "written"])
@pytest.mark.parametrize(("figure", "failed"), [(1.9, False), (2.1, True)])
def test_what_instruction_sets_hardly_change_is_judged_with_another_one_too(group, figure, failed):
    old, new = run_of({f"{group}: a": 1.0}), run_of({f"{group}: a": figure}, isa="scalar")
    (line,) = comparison.compare(old, new, 10)
    assert line.failed == failed


def test_a_checkpoint_is_compared_closely_where_it_goes_to_the_same_place():
    old, new = run_of({"written: a": 1.0}), run_of({"written: a": 1.9})
    assert verdicts(old, new)["written: a"].startswith("LOST")
    (line,) = comparison.compare(old, run_of({"written: a": 1.9}, files="disk"))
    assert not line.failed


def test_times_of_numpy_are_compared_with_the_same_numpy_only():
    old, new = run_of({"small: a": 1.0}), run_of({"small: a": 9.0})
    assert verdicts(old, new)["small: a"].startswith("LOST")
    new = run_of({"small: a": 9.0}, versions={"numpy": "2.5"})
    assert verdicts(old, new) == {"small: a": "shown only: another NumPy"}


@pytest.mark.parametrize(
    "other",
    [{"compiler": "gcc 13"}, {"valgrind": "valgrind-3.22.0"}, {"architecture": "aarch64"}],
)
def test_counts_are_compared_with_the_same_tools_only(other):
    old = run_of({"instructions: a": 10.0})
    assert (
        "shown only" in verdicts(old, run_of({"instructions: a": 20.0}, **other))["instructions: a"]
    )


def test_counts_of_a_device_are_compared_with_the_same_nvrtc_only():
    old, new = run_of({"device: a": 30.0}), run_of({"device: a": 31.0}, compiler="gcc 13")
    assert verdicts(old, new)["device: a"].startswith("LOST more than 1 %")
    assert "shown only" in verdicts(old, run_of({"device: a": 31.0}, nvrtc="13.6"))["device: a"]


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
    assert "2 rows judged, 1 lost; 2 more are only shown" in text
    assert len(json.loads((tmp_path / "out.json").read_text())["lines"]) == 4
    assert track.main([*command, "--gate", "60", "--allow-gone"]) == 0
    assert track.main([*command, "--row", "memory", "--allow-gone"]) == 0
    assert "kernels" not in capsys.readouterr().out.rpartition("Another machine")[2]


def compared(tmp_path, old, new, *more):
    before, now = (stored(tmp_path / f"{run.name}.json", run) for run in (old, new))
    return track.main(["compare", "--against", before, "--run", now, *more])


def test_a_row_that_is_gone_is_an_error_unless_it_may_be(tmp_path, capsys):
    old = run_of({"kernels: a": 1.0, "kernels: b": 1.0})
    new = run_of({"kernels: b": 1.0}, name="now")
    assert compared(tmp_path, old, new) == track.ERROR
    assert "1 of the rows are gone, the first 'kernels: a'" in capsys.readouterr().err
    assert compared(tmp_path, old, new, "--allow-gone") == 0
    assert "1 rows judged, 0 lost" in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--allow-gone"]])
@pytest.mark.parametrize(
    ("key", "machine"), [("kernels: b", {}), ("kernels: a", {"microarchitecture": "other"})]
)
def test_a_comparison_that_judges_nothing_is_an_error(tmp_path, capsys, more, key, machine):
    old, new = run_of({"kernels: a": 1.0}), run_of({key: 1.0}, name="now", **machine)
    assert compared(tmp_path, old, new, *more) == track.ERROR
    assert "nothing was judged" in capsys.readouterr().err


def test_no_benchmark_at_all_is_an_error(monkeypatch):
    done = subprocess.CompletedProcess([], pytest.ExitCode.NO_TESTS_COLLECTED, "none", "")
    monkeypatch.setattr(runs.subprocess, "run", lambda *_, **__: done)
    assert runs.timed(runs.Options(rows=("some",))) == []
    with pytest.raises(TrackingError, match="the benchmarks failed:\nnone"):
        runs.timed(runs.Options())


def test_a_release_is_the_best_of_three_whole_runs(tmp_path, monkeypatch):
    figures = [{"kernels: a": 1.2, "memory: b": 3.0}, {"kernels: a": 1.1, "memory: b": 4.0}]
    found = iter([run_of(some) for some in [*figures, figures[0]]])
    asked = []
    monkeypatch.setattr(track.runs, "run", lambda options: asked.append(options) or next(found))
    monkeypatch.setattr(instructions, "missing", lambda: None)
    monkeypatch.setattr(device, "missing", lambda: None)
    assert track.main(["save", "1", "--history", str(tmp_path)]) == 0
    (release,) = results.releases(tmp_path)
    assert {key: row.figure for key, row in release.rows.items()} == {
        "kernels: a": 1.1,
        "memory: b": 3.0,
    }
    assert asked[0] == runs.Options()
    assert next(found, None) is None


@pytest.mark.parametrize("option", ["--run=a.json", "--row=a", "--twice=a", "--toy", "--cflags=a"])
def test_only_a_whole_run_becomes_a_release(tmp_path, capsys, option):
    with pytest.raises(SystemExit):
        track.main(["save", "1", "--history", str(tmp_path), option])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_a_release_has_counts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(instructions, "missing", lambda: "valgrind")
    assert track.main(["save", "1", "--history", str(tmp_path)]) == track.ERROR
    assert "a release has counts too, but valgrind is not in" in capsys.readouterr().err


def test_a_release_is_replaced_only_if_asked(tmp_path, monkeypatch, capsys):
    stored(tmp_path / "1.json", run_of({"kernels: a": 1.0}))
    monkeypatch.setattr(track.runs, "run", lambda options: run_of({"kernels: a": 2.0}))
    monkeypatch.setattr(instructions, "missing", lambda: None)
    monkeypatch.setattr(device, "missing", lambda: None)
    command = ["save", "1", "--history", str(tmp_path)]
    assert track.main(command) == track.ERROR
    assert "1.json is there already: pass another name, or --replace" in capsys.readouterr().err
    assert track.main([*command, "--replace"]) == 0
    assert results.load(tmp_path / "1.json").rows["kernels: a"].figure == 2.0


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
