# SPDX-License-Identifier: MIT
"""The scripts in examples/ run, print what they promise, and are short.

Those in examples/sharded are run by tests/pytorch/test_sharded_modules.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(name, *options):
    """The standard output of an example, which must not believe it is a worker of pytest-xdist."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    settings = {"OMP_NUM_THREADS": "1", "FASTINIT_THREADS": "2", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *map(str, options)],
        env=outer | settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_to_run_it_and_what_it_needs(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) < 80
    helper = path.stem in ("decoder", "processes")
    assert helper or f"python {path.relative_to(EXAMPLES.parent)}" in text
    assert helper or "It needs " in text


def test_the_readme_of_the_examples_lists_each():
    page = (EXAMPLES / "README.md").read_text("utf-8")
    linked = set(re.findall(r"\]\(([\w/]+)\.py\)", page))
    assert linked == {
        str(path.relative_to(EXAMPLES).with_suffix("")) for path in EXAMPLES.rglob("*.py")
    } - {"sharded/decoder", "sharded/processes"}


def test_an_embedding_is_made_mapped_and_trained(tmp_path):
    text = printed("embedding", "--rows", 200_000, "--folder", tmp_path)
    assert "200,000 rows, 0.03 GB" in text
    assert "the last row alone is equal: True" in text
    assert "mapped again, trained rows included: True" in text
    assert "verify finds the training: tensor 'embedding', element " in text
    assert int(re.search(r"pages of the file: (\d+) MiB", text)[1]) < 200
    assert list(tmp_path.iterdir()) == []


@pytest.mark.frameworks
def test_one_layer_is_the_same_on_1_2_and_4_processes():
    pytest.importorskip("torch")
    found = re.findall(r"(\d) processes, (\d+) rows each: digest (\w{16})", printed("one_layer"))
    assert [(size, rows) for size, rows, _ in found] == [
        ("1", "4096"),
        ("2", "2048"),
        ("4", "1024"),
    ]
    assert len({digest for _, _, digest in found}) == 1


@pytest.mark.frameworks
def test_a_custom_distribution_has_scipys_law():
    pytest.importorskip("numba")
    text = printed("custom_distribution")
    assert float(re.search(r"p = (\S+)", text)[1]) > 1e-3  # the seed is fixed
    assert "std 0.641" in text
    assert "portable: True" in text
    assert "alone are equal: True" in text


@pytest.mark.frameworks
def test_a_small_gpt_learns_and_learns_the_same_again():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    text = printed("small_gpt", "--steps", 20)
    before, after = map(float, re.search(r"loss (\S+) before .*, (\S+) after", text).groups())
    assert before == pytest.approx(5.55, abs=0.15)  # log 256: nothing is known yet
    assert after < before - 1
    first, second = re.search(r"weights (\w+), of a second run (\w+)", text).groups()
    assert first == second


@pytest.mark.frameworks
def test_a_model_is_served_from_its_configuration():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    text = printed("served")
    assert "115,008 parameters written" in text
    assert "{'generated_text': 'Once upon a time" in text


@pytest.mark.slow
def test_a_benchmark_is_kept_for_each_commit_and_compared():
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    text = printed("tracked_benchmark")
    commits = re.search(r"^commits (\w+) (\w+)$", text, re.MULTILINE).groups()
    rows = re.findall(r"^test_weights \((\d+)_(\w+)\) +[\d.]+", text, re.MULTILINE)
    assert [number for number, _ in rows] == ["0001", "0002"]
    assert [kept[:7] for _, kept in rows] == [commit[:7] for commit in commits]
