# SPDX-License-Identifier: MIT
"""CI's sample of the campaign, and that a campaign notices what it is there to notice."""

from __future__ import annotations

import os
import signal
import tempfile
from itertools import islice
from pathlib import Path
from random import Random

import calls
import limits
import malformed
import mutations
import processes
import promises
import pytest
import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from points import Point, Result, attempt
from processes import Outcome
from samples import SECTIONS, Sample

SEED = 0
DONE = Outcome(0, "", "")
REFUSED = Outcome(2, "", "fastinit: cannot write DIR: the disk reported a fault\n")


@pytest.fixture(autouse=True)
def signals_arrive():
    """Whatever started the tests may have had signals ignored."""
    processes.restore_signals()


@pytest.fixture(scope="module", autouse=True)
def no_process_left():
    yield
    malformed.dismiss()


@pytest.fixture
def traced():
    if reason := calls.missing():
        pytest.skip(reason)


@pytest.fixture
def mounted():
    if reason := limits.no_disks():
        pytest.skip(reason)


def hold(points, scratch):
    """Try the points: every promise must hold."""
    tally = attempt(points, scratch, jobs=(os.cpu_count() or 1) + 1)
    print(tally.table())
    assert tally.tried
    assert not tally.failures, f"\n{tally.explanation()}"
    return tally


# --- a few points at every run -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_a_few_calls_of_a_write_fail_or_kill_it(tmp_path):
    scene = scenes.small_writes()[0]
    few = {"mkdir": "ENOSPC", "fallocate": "EDQUOT", "pwrite64": "EIO", "renameat": "ESTALE"}
    chosen = [call for call in calls.calls(scene, tmp_path) if call.name in few]
    last = {call.name: call for call in chosen}
    assert last.keys() == few.keys()
    points = [calls.point(scene, call, calls.error(few[name], call)) for name, call in last.items()]
    points += [calls.point(scene, call, calls.KILL) for call in last.values()]
    tally = hold(points, tmp_path)
    assert {end for ends in tally.ends.values() for end in ends} == {"2", "SIGKILL"}


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(mutations.MUTATIONS)),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_no_spoilt_checkpoint_breaks_a_promise(kind, random, refilled):
    base = scenes.checkpoint(scenes.NEW, scenes.SHARDED)
    good = malformed.digests_of(scenes.SHARDED)
    if refilled:
        base, good = scenes.refilling().after, malformed.digests_of_refilled()
    with tempfile.TemporaryDirectory() as place:
        spoilt = mutations.MUTATIONS[kind](random, base)
        result = malformed.examine(Path(place), spoilt, good)
    assert not result.broken


# --- CI's sample ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("traced", "mounted")
@pytest.mark.parametrize("section", SECTIONS)
def test_every_promise_holds(section, tmp_path):
    sample = Sample(tmp_path, SEED, count=2, large=False)
    points = list(SECTIONS[section](sample))
    if section == "calls":
        assert len(points) > 250
        points = points[::3]  # kills and failures alternate
    hold(points, tmp_path)


# --- the campaign itself -------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    """(scene, place): an overwrite that is done."""
    scene = scenes.small_writes()[1]
    (tmp_path / "weights").mkdir()
    for name, data in scene.after.items():
        (tmp_path / "weights" / name).write_bytes(data)
    return scene, tmp_path


def test_nothing_is_noticed_where_nothing_is_wrong(written):
    scene, place = written
    assert promises.judge(scene, place, DONE, {0, 2}) == Result("0")
    assert promises.judge(scene, place, REFUSED, {0, 2}) == Result("2")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(1, "", "fastinit: x\n"), "ends with 1: fastinit: x"),
        (Outcome(None, "", ""), "does not end"),
        (Outcome(-signal.SIGSEGV, "", ""), "ends with SIGSEGV: nothing on stderr"),
        (Outcome(2, "", "Traceback ...\nOSError: x\n"), "a traceback: OSError: x"),
        (Outcome(2, "", ""), "an error without a message: nothing on stderr"),
        (Outcome(2, "", "oh\n"), "an error without a message: oh"),
        (Outcome(2, "", "fastinit: a\nb\n"), "what a terminal may not show"),
        (Outcome(2, "", "fastinit: \x1b[31m\n"), "what a terminal may not show"),
        (Outcome(2, "", f"fastinit: {'x' * 2000}\n"), "a message of more than 1,900 characters"),
        (Outcome(0, "", "Warning: x\n"), "exit code 0 with something on stderr: Warning: x"),
    ],
)
def test_a_wrong_ending_is_noticed(outcome, words):
    assert any(words in broken for broken in promises.ending(outcome, {0, 2}))


def test_a_crash_is_noticed_even_where_any_exit_code_is_allowed():
    (broken,) = promises.ending(Outcome(-signal.SIGSEGV, "", ""), None)
    assert broken == "crashes with SIGSEGV"
    assert not list(promises.ending(Outcome(1, "", "Traceback"), None))


INDEX = "model.safetensors.index.json"


def remove(folder):
    (folder / "model-00001-of-00004.safetensors").unlink()


def spoil(folder):
    with (folder / "model-00002-of-00004.safetensors").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\xff")


def wait(folder):
    (folder / ".config.json.complete.fastinit").touch()


def mix(folder):
    old = scenes.checkpoint(scenes.OLD, scenes.SHARDED, 9)
    (folder / "model-00001-of-00004.safetensors").write_bytes(
        old["model-00001-of-00004.safetensors"]
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (remove, f"{INDEX} stands for a mixture, or for files that are not there"),
        (mix, f"{INDEX} stands for a mixture, or for files that are not there"),
        (spoil, "wrong bytes under the name model-*.safetensors"),
        (wait, "wrong bytes in a file that waits to be put in place"),
        (remove, "neither the old checkpoint nor the new one is on disk"),
        (lambda folder: (folder / scenes.STALE).touch(), "leaves a temporary file"),
        (lambda folder: (folder / "model.safetensors").touch(), "two checkpoints in one folder"),
        (lambda folder: (folder / INDEX).unlink(), "exit code 0, and the work is not done"),
    ],
)
def test_a_wrong_folder_is_noticed(written, change, words):
    scene, place = written
    change(place / "weights")
    assert words in list(promises.state(scene, place / "weights", DONE))


def test_a_folder_that_stays_locked_is_noticed(written):
    from fastinit.checkpoints.files import Folder
    from fastinit.machine.descriptors import OpenFiles

    scene, place = written
    with OpenFiles() as opened, Folder(place / "weights", opened):
        (broken,) = promises.repetition(scene, place / "weights")
    assert "another process is writing into DIR" in broken


@pytest.mark.usefixtures("traced")
def test_a_fault_that_hits_another_call_is_noticed(tmp_path):
    scene = scenes.small_writes()[0]
    call = next(call for call in calls.calls(scene, tmp_path) if call.name == "fallocate")
    wrong = calls.Call(call.name, call.number, "place/weights/of-something-else")
    point = calls.point(scene, wrong, calls.error("EINTR", wrong))
    (failure,) = attempt([point], tmp_path, jobs=1).failures
    assert "another call was hit" in failure.broken


def test_a_verdict_that_breaks_a_promise_is_noticed():
    right = {"value": "new"}
    wrong = {"error": "CheckpointError", "ours": True, "invalid": True, "text": "x"}
    strange = {"error": "KeyError", "ours": False, "invalid": False, "text": "x"}
    line = {"value": {"code": 1, "err": "fastinit: x\n"}}
    good = {"open": wrong, "verify": wrong, "command": line}
    assert not list(malformed.broken(good, {}))
    tensors = {"file": {"w": ["F32", [[1], "digest"]]}}
    others = {"file": {"w": ["F32", [[1], "other"]]}}
    for said, words in [
        ({"end": "hangs"}, "a process that hangs"),
        ({**good, "open": strange}, "open raises KeyError"),
        ({**good, "verify": strange}, "verify raises KeyError"),
        ({**good, "verify": right}, "exit code 1, and 0 is what the error means"),
        ({**good, "verify": {**wrong, "invalid": False}}, "and 2 is what the error means"),
        ({**good, "command": strange}, "the command raises KeyError"),
        ({**good, "open": {"value": tensors}, "theirs": wrong}, "what safetensors refuses"),
        ({**good, "open": {"value": tensors}, "theirs": {"value": others}}, "otherwise than"),
        (
            {**good, "open": {"value": tensors}, "theirs": {"value": tensors}, "verify": right},
            "verify passes what has other values",
        ),
    ]:
        found = list(malformed.broken(said, {"w": "good"}))
        assert any(words in broken for broken in found), found


def test_a_point_is_the_same_again_with_the_same_seed():
    points = list(islice(malformed.spoilt(3, seed=1), 0, None, 3))
    again = list(islice(malformed.spoilt(3, seed=1), 0, None, 3))
    assert [point.name for point in points] == [point.name for point in again]
    base = scenes.checkpoint(scenes.NEW, scenes.WHOLE)
    for kind, mutation in mutations.MUTATIONS.items():
        if kind != "an index spoilt":
            assert mutation(Random("1/x"), base) == mutation(Random("1/x"), base)


def test_a_table_counts_points_ends_and_broken_promises(tmp_path):
    points = [
        Point("a kind", "one", lambda place: Result("0")),
        Point("a kind", "two", lambda place: Result("2", ("a promise",))),
    ]
    tally = attempt(points, tmp_path, jobs=2)
    assert "| a kind  | 2      | 0: 1, 2: 1 | 1               |" in tally.table()
    assert tally.explanation() == "1 x a promise\n      at two"
    assert not list(tmp_path.iterdir())
