# SPDX-License-Identifier: MIT
"""What a hostile header costs to open: at most twice what the reader of safetensors takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench_headers import HEADERS, put

import fastinit as fi

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "bench_headers.py"


@pytest.mark.parametrize(
    ("megabytes", "spare_seconds", "spare_memory"),
    [
        pytest.param(2, 0.5, 4, id="2MB", marks=pytest.mark.slow),
        pytest.param(99, 0.5, 16, id="99MB", marks=pytest.mark.long),
    ],
)
def test_it_takes_at_most_twice_what_safetensors_takes(
    tmp_path, megabytes, spare_seconds, spare_memory
):
    """For the same service: the names of the tensors, and the metadata."""
    command = [sys.executable, BENCHMARK, "--megabytes", str(megabytes), "--rounds", "1"]
    options = ["--folder", tmp_path, "--json", tmp_path / "found.json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    readers = json.loads((tmp_path / "found.json").read_text())["readers"]
    assert readers.keys() == HEADERS.keys()
    for name, found in readers.items():
        seconds, memory = found["fastinit"]
        assert seconds <= 2 * found["safetensors_names"][0] + spare_seconds, name
        assert memory <= 2 * found["safetensors_names"][1] + spare_memory, name


@pytest.mark.parametrize("name", HEADERS)
def test_it_is_opened_or_refused_in_few_words(tmp_path, name):
    put(tmp_path / "x.safetensors", HEADERS[name], 100_000)
    assert len(outcome(tmp_path / "x.safetensors")) < 1000


def outcome(path):
    """The message of the error when a file and its first tensor are opened, or nothing."""
    try:
        opened = fi.open(path)
        for name in list(opened)[:1]:
            opened[name]
    except fi.errors.CheckpointError as error:
        return str(error)
    return ""


def test_more_axes_than_numpy_has_are_refused_at_that_tensor(tmp_path):
    put(tmp_path / "x.safetensors", HEADERS["one long shape"], 3_000_000)
    opened = fi.open(tmp_path / "x.safetensors")
    with pytest.raises(
        fi.errors.CheckpointError,
        match=r"'a' has 1,4[0-9,]+ axes, but a NumPy array has at most 64",
    ):
        opened["a"]
    with pytest.raises(fi.errors.VerifyError, match="has no recipe") as caught:
        fi.verify(tmp_path / "x.safetensors")
    assert len(str(caught.value)) < 1000
