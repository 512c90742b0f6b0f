# SPDX-License-Identifier: MIT
"""Processes that are forked while a checkpoint is written: they keep no lock and remove no file.

Each test is a program of its own, as pytest may have threads that a fork would lose.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoint_plans import contents, mixed_plan, temporaries

from fastinit.checkpoints import verify, write

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

OPTIONS = {"seed": 3, "max_shard_size": "60KB"}

PROGRAM = """
import os, sys, threading
sys.path.insert(0, {tests!r})
from checkpoint_plans import large_plan, mixed_plan, temporaries
from fastinit.checkpoints import layout_of, write, write_shard
from fastinit.errors import CheckpointError
from pathlib import Path

folder, options = Path({folder!r}), dict(seed=3, max_shard_size="60KB")
shards = [shard.to_json() for shard in layout_of(mixed_plan(), **options).shards]
wanted, forked, children = threading.Event(), threading.Event(), []
reading, writing = os.pipe()

def fork():  # as a library does that starts a process from a thread of its own
    wanted.wait()
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)  # until the parent ends
        os._exit(0)
    children.append(child)
    forked.set()

def fork_now(size=0):
    wanted.set()
    forked.wait()

def assert_alive():
    assert os.waitpid(children[0], os.WNOHANG) == (0, 0)

threading.Thread(target=fork, daemon=True).start()
"""


def run(folder, body):
    """Run a program that may fork; whatever it prints on stderr is an error."""
    code = PROGRAM.format(tests=str(Path(__file__).parents[1]), folder=str(folder)) + body
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def right(tmp_path):
    """File name -> bytes of an undisturbed write."""
    write(mixed_plan(), tmp_path / "right", **OPTIONS)
    return contents(tmp_path / "right")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_process_that_was_forked_during_a_write_does_not_keep_the_folder_locked(
    tmp_path, right, threads
):
    body = (
        f"write(mixed_plan(), folder, **options, threads={threads}, progress=fork_now)\n"
        "write(mixed_plan(), folder, **options, overwrite=True)\n"
        "assert_alive()\n"
    )
    run(tmp_path / "x", body)
    assert contents(tmp_path / "x") == right


@pytest.mark.parametrize(
    "call",
    ["write(mixed_plan(), folder, **options, threads=1)", "write_shard(shards[1], folder)"],
)
def test_a_process_that_was_forked_meanwhile_does_not_keep_temporary_files(tmp_path, right, call):
    """The call fails after the fork, and cannot remove what it began: the next one sweeps it."""
    body = (
        "unlink, pwrite = os.unlink, os.pwrite\n"
        "def broken(*args, **options):\n"
        "    fork_now()\n"
        "    raise OSError(5, 'Input/output error')\n"
        "os.unlink = os.pwrite = broken\n"
        "try:\n"
        f"    {call}\n"
        "except CheckpointError as error:\n"
        "    print(error)\n"
        "os.unlink, os.pwrite = unlink, pwrite\n"
        "assert len(temporaries(folder)) == 1\n"
        "write(mixed_plan(), folder, **options)\n"
        "assert_alive()\n"
    )
    assert "cannot write" in run(tmp_path / "x", body)
    assert contents(tmp_path / "x") == right


def test_a_forked_process_that_leaves_the_call_takes_nothing_from_its_parent(tmp_path):
    """It unwinds what it has inherited: the lock and the files are the parent's all the same."""
    body = (
        "def progress(size):\n"
        "    if size and not children:\n"
        "        before = temporaries(folder)\n"
        "        children.append(os.fork())\n"
        "        if not children[0]:\n"
        "            sys.exit()\n"
        "        assert os.waitpid(children[0], 0)[1] == 0\n"
        "        assert temporaries(folder) == before != []\n"
        "        try:\n"
        "            write(large_plan(1), folder, seed=3)\n"
        "        except CheckpointError as error:\n"
        "            print(error)\n"
        "write(large_plan(1), folder, seed=3, threads=1, progress=progress)\n"
    )
    assert "another process is writing into" in run(tmp_path / "x", body)
    verify(tmp_path / "x")


def test_forked_processes_write_the_shards_of_one_folder_at_the_same_time(tmp_path, right):
    """Every shard by three processes, while the parent has the folder open for one of its own."""
    body = (
        "for number in range(3):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        for shard in shards[number:] + shards[:number]:\n"
        "            write_shard(shard, folder, threads=2)\n"
        "        os._exit(0)\n"
        "    children.append(child)\n"
        "write_shard(shards[0], folder, threads=1)\n"
        "assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]\n"
        "assert not temporaries(folder)\n"
        "print(write(mixed_plan(), folder, **options).resumed)\n"
    )
    assert run(tmp_path / "x", body).count("model-") == 3
    assert not temporaries(tmp_path / "x")
    assert contents(tmp_path / "x") == right
