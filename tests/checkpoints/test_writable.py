# SPDX-License-Identifier: MIT
"""Checkpoints opened to be written through their arrays: what arrives, what is locked."""

from __future__ import annotations

import errno
import mmap
import os
import pickle
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from broken_calls import always
from checkpoint_plans import arrays_plan, contents, mixed_plan, plan_of
from mapped_files import INIT, made
from safetensors.numpy import load_file

import fastinit as fi
from fastinit.checkpoints.files import Folder
from fastinit.errors import CheckpointError, VerifyError
from fastinit.machine.descriptors import OpenFiles

PLAN = plan_of(("a", (300, 7), INIT), ("b", (11,), "zeros()", "bfloat16"))
BUSY = "another process is writing into .*, or a checkpoint there is open for writing: wait"


@pytest.fixture(params=["60KB", "5GB", "npy"])
def written(request, tmp_path):
    """A checkpoint of several files, of one, and of .npy files."""
    if request.param == "npy":
        fi.write(arrays_plan(), tmp_path, seed=3, format="npy")
    else:
        fi.write(mixed_plan(), tmp_path, seed=3, max_shard_size=request.param)
    return tmp_path


def test_what_is_written_into_an_array_is_in_the_file(written):
    before = {name: array.copy() for name, array in fi.open(written).items()}
    headers = {path.name: path.read_bytes()[:64] for path in written.iterdir()}
    sizes = {path.name: path.stat().st_size for path in written.iterdir()}
    weights = fi.open(written, writable=True)
    arrays = dict(weights)
    for number, array in enumerate(arrays.values()):
        assert array.flags.writeable
        array[...] = number + 1
    for number, (name, array) in enumerate(fi.open(written).items()):
        assert not array.flags.writeable
        assert array.shape == before[name].shape
        assert (array == np.array(number + 1).astype(array.dtype)).all()
    weights.flush()
    del arrays
    weights.flush()
    assert {path.name: path.read_bytes()[:64] for path in written.iterdir()} == headers
    assert {path.name: path.stat().st_size for path in written.iterdir()} == sizes
    with pytest.raises(VerifyError):
        fi.verify(written)
    for name, array in before.items():
        weights[name][...] = array
    fi.verify(written)


def test_other_programs_see_it(tmp_path):
    fi.write(PLAN, tmp_path, seed=3)
    weights = fi.open(tmp_path, writable=True)
    weights["a"][2, 3] = 0.5
    assert load_file(tmp_path / "model.safetensors")["a"][2, 3] == 0.5
    with pytest.raises(VerifyError, match=r"tensor 'a', element 17 \(row 2, column 3\) is 0.5"):
        fi.verify(tmp_path)


def test_headers_are_out_of_reach(tmp_path):
    fi.write(PLAN, tmp_path, seed=3)
    path = tmp_path / "model.safetensors"
    start = path.stat().st_size - 300 * 7 * 4 - 22
    header = path.read_bytes()[:start]
    for array in fi.open(tmp_path, writable=True).values():
        array.reshape(-1).view(np.uint8)[:] = 255
    assert path.read_bytes() == header + b"\xff" * (300 * 7 * 4 + 22)


def test_an_array_outlives_a_writable_checkpoint(written):
    array = fi.open(written, writable=True)["half"]
    array[:] = 7
    assert (fi.open(written)["half"] == 7).all()


def test_one_file_is_written_alone(tmp_path):
    fi.write(PLAN, tmp_path, seed=3)
    weights = fi.open(tmp_path / "model.safetensors", writable=True)
    weights["b"][3] = 2
    weights.flush()
    assert fi.open(tmp_path)["b"].tolist() == [0, 0, 0, 2, *[0] * 7]


def test_a_mapped_file_is_written_too(tmp_path):
    mapped = made(tmp_path / "e.npy")
    weights = fi.open(tmp_path / "e.npy", writable=True)
    weights["e"][3, 3] = 2
    weights.flush()
    assert mapped[3, 3] == 2
    made(tmp_path / "f.npy")  # its folder is not locked


def test_a_checkpoint_that_is_only_read_has_nothing_to_flush(written):
    weights = fi.open(written)
    assert dict(weights)
    weights.flush()
    assert list(pickle.loads(pickle.dumps(fi.open(written)))) == list(weights)


# --- locks ---------------------------------------------------------------------------------------


def test_nobody_replaces_a_checkpoint_while_it_is_open_to_be_written(written):
    options = {"format": "npy"} if (written / "fastinit.json").exists() else {}
    plan = plan_of(("half", (3,), "ones()"))
    before = contents(written)
    weights, other = fi.open(written, writable=True), fi.open(written, writable=True)
    for _ in range(2):
        with pytest.raises(CheckpointError, match=BUSY):
            fi.write(plan, written, seed=3, overwrite=True, **options)
        del weights
        weights = other
    assert contents(written) == before
    del weights, other
    fi.write(plan, written, seed=3, overwrite=True, **options)
    assert fi.open(written)["half"].tolist() == [1, 1, 1]


def test_a_checkpoint_that_is_being_written_is_not_opened_to_be_written(written):
    with OpenFiles() as opened, Folder(written, opened):
        with pytest.raises(CheckpointError, match=BUSY):
            fi.open(written, writable=True)
        assert fi.open(written)["half"].shape == (1001,)
    fi.open(written, writable=True)["half"][0] = 1


def test_locks_are_not_needed(written, monkeypatch):
    monkeypatch.setattr("fcntl.flock", always(errno.ENOLCK))
    fi.open(written, writable=True)["half"][0] = 1
    assert fi.open(written)["half"][0] == 1


TRAIN = """
import sys
import fastinit as fi
weights = fi.open(sys.argv[1], writable=True)
begin, end = int(sys.argv[2]), int(sys.argv[3])
weights["a"][begin:end] += 1
weights.flush()
"""


def test_processes_write_parts_of_one_tensor(tmp_path):
    fi.write(PLAN, tmp_path, seed=3)
    before = fi.open(tmp_path)["a"].copy()
    command = [sys.executable, "-c", TRAIN, str(tmp_path)]
    parts = [("0", "150"), ("150", "300")]
    running = [subprocess.Popen([*command, *part]) for part in parts]
    assert [process.wait(60) for process in running] == [0, 0]
    np.testing.assert_array_equal(fi.open(tmp_path)["a"], before + 1)


# --- what fails ----------------------------------------------------------------------------------


def test_a_file_that_may_not_be_written_is_a_clear_error():
    if os.geteuid():
        pytest.skip("becoming another user needs root")
    with tempfile.TemporaryDirectory() as name:
        fi.write(PLAN, name, seed=3)
        made(f"{name}/e.bin")
        os.chmod(name, 0o755)
        body = (
            "import fastinit as fi, os; fi.checkpoints; os.setgid(65534); os.setuid(65534)\n"
            f"calls = (lambda: fi.open({name!r}, writable=True)['a'],\n"
            f"         lambda: fi.memmap({name + '/e.bin'!r}))\n"
            "for call in calls:\n"
            "    try: call()\n"
            "    except fi.errors.CheckpointError as error: print(error)\n"
            f"print(fi.open({name!r})['a'].shape, fi.memmap({name + '/e.bin'!r}, mode='c').shape)\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", body], capture_output=True, text=True, check=True
        )
        first, second, last = result.stdout.splitlines()
        for line, file in (first, "model.safetensors"), (second, "e.bin"):
            assert f"cannot open for writing {name}/{file}: Permission denied; give" in line
        assert last == "(300, 7) (50, 7)"


@pytest.mark.parametrize(
    ("module", "name", "code", "words"),
    [
        (mmap, "mmap", errno.ENODEV, "cannot map .*No such device"),
        (os, "open", errno.EROFS, "cannot open .*Read-only file system"),
    ],
)
def test_a_refusal_of_the_system_is_explained(tmp_path, monkeypatch, module, name, code, words):
    fi.write(PLAN, tmp_path, seed=3)
    weights = fi.open(tmp_path, writable=True)
    monkeypatch.setattr(module, name, always(code))
    with pytest.raises(CheckpointError, match=words):
        weights["a"]


def test_a_folder_that_cannot_be_locked_is_explained(tmp_path, monkeypatch):
    fi.write(PLAN, tmp_path, seed=3)
    monkeypatch.setattr("fcntl.flock", always(errno.EIO))
    with pytest.raises(CheckpointError, match=r"cannot lock .*the disk reported a fault"):
        fi.open(tmp_path, writable=True)


class Faulty(mmap.mmap):
    def flush(self):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("alive", [True, False])
def test_a_flush_that_fails_is_reported(tmp_path, monkeypatch, alive):
    fi.write(plan_of(("a", (4,), "ones()")), tmp_path, seed=3, format="npy")
    monkeypatch.setattr(mmap, "mmap", Faulty)
    weights = fi.open(tmp_path, writable=True)
    array = weights["a"]
    if not alive:
        del array
        monkeypatch.setattr(os, "fsync", always(errno.EIO))
    with pytest.raises(CheckpointError, match=r"cannot flush .*a\.npy.*the disk reported a fault"):
        weights.flush()


def test_a_hub_cache_is_not_written_through_its_links(tmp_path):
    fi.write(PLAN, tmp_path / "blobs", seed=3)
    (tmp_path / "snapshot").mkdir()
    for path in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / path.name).symlink_to(path)
    weights = fi.open(tmp_path / "snapshot", writable=True)
    with pytest.raises(CheckpointError, match=r"is a symbolic link to .*blobs.*so copy the"):
        weights["a"]
    fi.verify(tmp_path / "snapshot")
