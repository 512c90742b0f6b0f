# SPDX-License-Identifier: MIT
"""Words reach a battery in the right order, its verdicts are read, and weak tests are run again.

The battery here is a stand-in; docs/quality.md says what the real ones found.
"""

from __future__ import annotations

import os
import sys

import batteries
import numpy as np
import orders
import pytest
from batteries import FAILED, PASSED, WEAK, Verdict

import fastinit as fi

TABLE = """\
#=============================================================================#
   rng_name    |rands/second|   Seed   |
stdin_input_raw|  2.13e+07  |1234567890|
#=============================================================================#
        test_name   |ntup| tsamples |psamples|  p-value |Assessment
#=============================================================================#
          sts_serial|   1|    100000|     100|0.25000000|  PASSED
          sts_serial|   2|    100000|     100|0.99800000|   WEAK
      diehard_operm5|   0|   1000000|     100|0.00000000|  FAILED
"""

STAND_IN = """\
#!{python}
import pathlib, sys
words = sys.stdin.buffer.read(8)
runs = pathlib.Path({folder!r}, "runs")
with runs.open("a") as file:
    print(*sys.argv[1:], words.hex(), file=file)
verdict = {verdicts!r}[min(len(runs.read_text().splitlines()), {count}) - 1]
print(f"  a_test|   3|  10|  100|0.00100000|  {{verdict}}  ")
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a program on the path that reads two words and gives one verdict after the other."""

    def put(*verdicts):
        path = tmp_path / "dieharder"
        count = len(verdicts)
        text = STAND_IN.format(
            python=sys.executable, folder=str(tmp_path), verdicts=verdicts, count=count
        )
        path.write_text(text, "utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return lambda: (tmp_path / "runs").read_text("utf-8").splitlines()

    return put


# ---- orders -------------------------------------------------------------------------------------


def test_tensors_and_seeds_take_turns():
    first = orders.tensors(1)[: 2 * orders.STREAMS]
    start = orders.TURN
    for place in (0, 1, 99):
        expected = fi.stream(orders.SEED, f"layer.{place}").words(start, 2)
        np.testing.assert_array_equal(first[place :: orders.STREAMS], expected)
    first = orders.seeds(0)[: orders.STREAMS]
    assert first[7] == fi.stream(7, "w").words(0, 1)[0]
    first = orders.blocks(0)[: 8 * orders.STREAMS].reshape(2, orders.STREAMS, 4)
    np.testing.assert_array_equal(first[:, 7].ravel(), fi.stream(7, "w").words(0, 8))


def test_a_matrix_is_read_by_columns():
    words = orders.transposed(2)[: 3 * orders.ROWS].reshape(3, orders.ROWS)
    column, stream = 2 * orders.PIECE // orders.ROWS, fi.stream(orders.SEED, "w")
    for row in (0, 1, orders.ROWS - 1):
        expected = stream.words(row * orders.COLUMNS + column, 3)
        np.testing.assert_array_equal(words[:, row], expected)


def test_normals_are_mapped_back_to_the_upper_half_of_their_words():
    """Up to rounding: |z| of a word is that of its t, which counts from the tail."""
    words = fi.stream(orders.SEED, "w").words(0, 2 * orders.PIECE).astype(np.int64)
    t = words & (2**31 - 1)
    rank = np.where(words < 2**31, 2**32 - 1 - t, t) >> 16
    halves = orders.normals(0).view(np.uint16).astype(np.int64)
    assert np.abs(rank - halves).max() <= 1
    assert np.count_nonzero(rank != halves) < 0.005 * len(rank)


def test_draws_take_turns():
    words = orders.derived(0)
    np.testing.assert_array_equal(
        words[:: orders.DRAWS][:9], fi.stream(orders.SEED, "w").words(0, 9)
    )
    assert len({*words[: orders.DRAWS]}) == orders.DRAWS


# ---- batteries ----------------------------------------------------------------------------------


def test_a_table_is_read():
    assert batteries.verdicts("an order", TABLE) == [
        Verdict("an order", "sts_serial 1", 0.25, PASSED),
        Verdict("an order", "sts_serial 2", 0.998, WEAK),
        Verdict("an order", "diehard_operm5 0", 0.0, FAILED),
    ]


def test_a_test_that_passes_is_run_once(stand_in):
    runs = stand_in(PASSED)
    found = list(batteries.dieharder("one tensor", {3: (), 202: ("-n", "4")}))
    assert [verdict.assessment for verdict in found] == [PASSED, PASSED]
    apart = batteries.RUNS * batteries.APART * orders.PIECE
    words = [fi.stream(orders.SEED, "w").words(start, 2).tobytes().hex() for start in (0, apart)]
    assert runs() == [f"-g 200 -d 3 {words[0]}", f"-g 200 -d 202 -n 4 {words[1]}"]


def test_a_weak_test_is_run_again_on_other_words(stand_in):
    runs = stand_in(WEAK, PASSED)
    found = list(batteries.dieharder("one tensor", {3: ()}))
    assert [verdict.assessment for verdict in found] == [WEAK, PASSED]
    assert len({run.split()[-1] for run in runs()}) == 2
    row = batteries.summary(found)
    assert (row["weak (2 % expected)"], row["failed"], row["weak 3 times"]) == (1, 0, 0)


def test_a_test_that_stays_weak_fails(stand_in):
    runs = stand_in(WEAK)
    found = list(batteries.dieharder("one tensor", {3: ()}))
    assert len(runs()) == len(found) == 3
    assert batteries.summary(found)["weak 3 times"] == 1
    assert batteries.repeated(found, 3) == ["a_test 3"]


def test_two_weak_values_of_one_run_are_not_two_runs():
    found = [Verdict("one tensor", "sts_serial 6", 0.999, WEAK, run) for run in (0, 0, 1)]
    assert batteries.repeated(found, 3) == []
    assert batteries.repeated(found, 2) == ["sts_serial 6"]


def test_a_battery_without_a_verdict_is_an_error(stand_in):
    stand_in("nonsense")
    with pytest.raises(RuntimeError, match=r"^dieharder -g 200 -d 3 gave no p-value: is dieharder"):
        list(batteries.dieharder("one tensor", {3: ()}))


@pytest.mark.parametrize(("verdict", "code"), [(PASSED, 0), (FAILED, 1)])
def test_the_command_prints_a_row_for_each_order(verdict, code, stand_in, monkeypatch, capsys):
    stand_in(verdict)
    monkeypatch.setattr(batteries, "QUICK", {3: ()})
    monkeypatch.setattr(sys, "argv", ["batteries.py", "one tensor", "draws in turn"])
    assert batteries.main() == code
    out = capsys.readouterr().out
    assert "| one tensor | 1 |" in out
    assert "| draws in turn | 1 |" in out


def test_a_battery_that_is_not_installed_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["batteries.py", "--practrand", "1GB"])
    assert batteries.main() == 2
    assert capsys.readouterr().err == "RNG_test is not on the path\n"
