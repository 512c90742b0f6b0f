# SPDX-License-Identifier: MIT
"""The options of the command line that choose an engine."""

from __future__ import annotations

import json

import pytest
from checkpoint_plans import contents
from command_line import assert_one_line

from fastinit.checkpoints.dispatching import engine


def test_write_by_processes_is_write_by_threads(small, tmp_path, main):
    assert main("write", small, tmp_path / "a")[0] == 0
    options = ["--engine", "local", "--workers", 2, "--threads", 1]
    code, out, err = main("write", small, tmp_path / "b", *options, "--json")
    assert (code, err) == (0, "")
    assert contents(tmp_path / "b") == contents(tmp_path / "a")
    report = json.loads(out)
    assert (report["engine"], report["workers"], len(report["digests"])) == ("local", 2, 1)


def test_the_report_names_the_engine(small, tmp_path, main):
    _, out, _ = main("write", small, tmp_path / "x", "--engine", "local", "--workers", 1)
    assert " in 2 files by the engine local with workers: 1, " in out


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", 2], r"workers is 2, but there is no engine .*pass engine \(--engine\), one"),
        (["--address", "x"], "address is 'x', but there is no engine that takes it"),
        (["--engine", "local", "--workers", 0], "workers is 0: pass a whole number from 1"),
        (["--engine", "spark"], "'spark' is not one of 'local', 'ray', 'dask', 'mpi'"),
        (["--engine", "mpi", "--address", "x"], "address is 'x', but the engine mpi takes none"),
        (["--engine", "ray", "--address", ""], "address is '': it is empty; leave it out for"),
        (["--engine", "dask", "--threads", 0], "threads is 0: pass a whole number of 1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    small, tmp_path, main, options, words, dry_run, monkeypatch
):
    monkeypatch.setattr(engine, "import_module", None)  # none is started
    code, out, err = main("write", small, tmp_path / "x", *options, *dry_run)
    assert (code, out) == (2, "")
    assert_one_line(err, words)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_no_engine_is_started_for_an_object_store(small, main, monkeypatch, dry_run):
    monkeypatch.setattr(engine, "import_module", None)
    code, out, err = main("write", small, "s3://bucket/x", "--engine", "dask", *dry_run)
    assert (code, out) == (2, "")
    assert_one_line(err, "engine is 'dask', and 's3://bucket/x' is not a folder: workers share")
