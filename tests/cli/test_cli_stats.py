# SPDX-License-Identifier: MIT
"""The commands stats and diff: tables, JSON, figures and exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from checkpoint_plans import plan_of
from command_line import assert_one_line, in_a_process

import fastinit as fi
from fastinit.checkpoints.analysis.stats_figure import plot_stats

ROWS = [(f"h.{n}.w", (64, 64), "normal(std=0.02)") for n in range(3)]
PLAN = plan_of(*ROWS, ("ln.weight", (64,), "ones()"))


def edit(folder, offset, content):
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(offset, 2)
        file.write(content)


@pytest.fixture
def folder(tmp_path):
    fi.write(PLAN, tmp_path / "w", seed=0)
    return tmp_path / "w"


def test_layers_share_a_row(folder):
    run = in_a_process("stats", folder)
    lines = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (0, "")
    assert [line.split()[0] for line in lines[:3]] == ["tensor", "h.*.w", "ln.weight"]
    assert lines[1].split()[1:4] == ["float32", "3", "12,288"]
    assert lines[3].startswith("4 tensors, 49.41 kB, 0 differ from planned or are not finite")
    every = in_a_process("stats", folder, "h.*", "--all").stdout.splitlines()
    assert [line.split()[0] for line in every[1:4]] == ["h.0.w", "h.1.w", "h.2.w"]


def test_check_fails_on_what_differs(folder):
    assert in_a_process("stats", folder, "--check").returncode == 0
    edit(folder, -4, np.float32(np.nan).tobytes())
    assert in_a_process("stats", folder).returncode == 0
    run = in_a_process("stats", folder, "--check")
    assert run.returncode == 1
    assert_one_line(run.stderr, "1 tensors differ: ln.weight")
    assert "1 NaN and 1 more" not in run.stdout
    assert "1 NaN" in run.stdout


def test_json_has_every_figure_and_no_word_that_json_lacks(folder):
    edit(folder, -4, np.float32(np.inf).tobytes())
    run = in_a_process("stats", folder, "--json")

    def refuse(word):
        raise AssertionError(word)

    content = json.loads(run.stdout, parse_constant=refuse)
    rows = {row["name"]: row for row in content["tensors"]}
    assert content["differing"] == ["ln.weight"]
    assert rows["ln.weight"]["moments"]["infinities"] == 1
    assert rows["ln.weight"]["moments"]["kurtosis"] is None
    assert rows["h.0.w"]["planned"]["std"] == 0.02


def test_mistakes_are_one_line(folder, tmp_path):
    for arguments, code, words in (
        (("stats", folder, "nothing*"), 2, r"no tensor matches 'nothing\*'"),
        (("stats", tmp_path), 2, "holds no checkpoint"),
        (("stats", folder, "--plot", "figure.jpeg"), 2, "is not the name of a figure"),
        (("diff", folder, tmp_path), 2, "holds no checkpoint"),
    ):
        run = in_a_process(*arguments)
        assert run.returncode == code
        assert_one_line(run.stderr, words)
    edit(folder, -8, b"")
    with open(folder / "model.safetensors", "r+b") as file:
        file.truncate(1000)
    run = in_a_process("stats", folder)
    assert run.returncode == 1
    assert_one_line(run.stderr, "is not a valid safetensors file")
    assert in_a_process("diff", folder, folder).returncode == 2


def test_diff_says_what_differs_and_ends_with_1(folder, tmp_path):
    fi.write(PLAN, tmp_path / "npy", seed=0, format="npy")
    run = in_a_process("diff", folder, tmp_path / "npy")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("4 tensors are the same, 49.41 kB")
    edit(folder, -4, np.float32(1.5).tobytes())
    run = in_a_process("diff", folder, tmp_path / "npy")
    _title, row, last = run.stdout.splitlines()
    assert (run.returncode, run.stderr) == (1, "")
    assert row.split() == [
        "ln.weight",
        "F32",
        "and",
        "<f4",
        "64",
        "1",
        "[63]",
        "1.5",
        "and",
        "1",
        "0.5",
        "0.3333",
        "0.0625",
    ]
    assert last.startswith("3 tensors are the same, 1 differ, ")
    content = json.loads(in_a_process("diff", folder, tmp_path / "npy", "--json").stdout)
    assert content["equal"] is False
    assert content["different"][0]["position"] == [63]
    assert in_a_process("diff", folder, tmp_path / "npy", "h.*").returncode == 0


def test_names_of_one_side_and_shapes_are_lines(folder, tmp_path):
    other = tmp_path / "other"
    fi.write(plan_of(("ln.weight", (8, 8), "ones()"), ("new", (3,), "ones()")), other, seed=0)
    run = in_a_process("diff", folder, other)
    assert run.returncode == 1
    lines = run.stdout.splitlines()
    assert lines[0] == "ln.weight: shape (64,) in A, (8, 8) in B"
    assert lines[1:5] == [*(f"h.{n}.w: only in A" for n in range(3)), "new: only in B"]


def test_a_figure_is_drawn(folder, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    report = fi.stats(folder)
    for suffix in (".png", ".svg"):
        path = tmp_path / f"figure{suffix}"
        plot_stats(report, path)
        assert path.stat().st_size > 10_000
    fi.write(plan_of(("w", (4,), "ones()")), tmp_path / "ones", seed=0)
    run = in_a_process("stats", tmp_path / "ones", "--plot", tmp_path / "none.png")
    assert run.returncode == 2
    assert_one_line(run.stderr, "there is nothing to draw")
    assert run.stdout.splitlines()[1].split()[0] == "w"  # what was measured is not lost
    run = in_a_process("stats", folder, "--plot", tmp_path / "none" / "figure.png")
    assert (run.returncode, run.stdout) == (2, "")
    assert_one_line(run.stderr, "has no folder: make ")


def test_a_figure_shows_any_name_and_leaves_out_too_wide_a_range(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    plan = plan_of(*((rf"a$\frac$.{n}.x", (40, 40), "normal(std=0.1)") for n in range(2)))
    fi.write(plan, tmp_path / "w", seed=0, dtype="float64")
    np.save(tmp_path / "wide.npy", np.tile([-1.7e308, 1.7e308], 500))
    fi.write(plan_of(("wide", (1000,), "ones()")), tmp_path / "wide", seed=0, format="npy")
    plot_stats(fi.stats(tmp_path / "w"), tmp_path / "w.png")
    wide = fi.open(tmp_path / "wide")
    (tmp_path / "wide.npy").replace(tmp_path / "wide" / wide.files[0])
    report = fi.stats(tmp_path / "wide")
    assert report["wide"].moments.std == pytest.approx(1.7e308)
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot_stats(report, tmp_path / "wide.png")


def test_a_tensor_of_nan_hides_no_extreme(tmp_path):
    plan = plan_of(*((f"h.{n}.w", (3,), "constant(value=2)") for n in range(3)))
    fi.write(plan, tmp_path / "w", seed=0)
    edit(tmp_path / "w", -36, np.full(3, np.nan, np.float32).tobytes())
    title, row, *_ = in_a_process("stats", tmp_path / "w").stdout.splitlines()
    assert row[title.index("least") :].split()[:2] == ["2", "2"]
    *_, last = in_a_process("stats", tmp_path / "w").stdout.splitlines()
    assert "|z|" not in last  # nothing was judged by it


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
@pytest.mark.parametrize("init", ["orthogonal()", "uniform(low=-1, high=2)", "normal(std=0.1)"])
def test_a_figure_of_any_law_is_drawn(tmp_path, init, dtype):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    fi.write(plan_of(("w", (40, 40), init)), tmp_path / "w", seed=0, dtype=dtype)
    plot_stats(fi.stats(tmp_path / "w"), tmp_path / "w.png")
    assert (tmp_path / "w.png").stat().st_size > 5000
