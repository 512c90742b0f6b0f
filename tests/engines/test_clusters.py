# SPDX-License-Identifier: MIT
"""Ray, Dask and MPI for real: the same bytes, also when workers are killed, and clean errors."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time

import engine_calls
import pytest
from checkpoint_plans import contents, large_plan, temporaries

import fastinit as fi
from fastinit.engines import base, dask
from fastinit.errors import CheckpointError

pytestmark = pytest.mark.frameworks
LIBRARIES = {"ray": "ray", "dask": "distributed", "mpi": "mpi4py"}


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    folder = tmp_path_factory.mktemp("right")
    fi.write(large_plan(8, 2**18), folder, seed=engine_calls.SEED, max_shard_size="5MB")
    return contents(folder)


def written(folder, engine, **options):
    """What the program prints, its exit code and errors."""
    pytest.importorskip(LIBRARIES[engine])
    prefix = options.pop("prefix", ())
    command, environment = engine_calls.call(folder, engine=engine, prefix=prefix, **options)
    if prefix:
        command[0] = shutil.which("mpiexec", path=environment["PATH"]) or "mpiexec"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    return done.stdout, done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "dask", "mpi"])
def test_a_cluster_writes_the_same_bytes(tmp_path, right, engine):
    out, code, errors = written(tmp_path / "x", engine, workers=2)
    assert (code, contents(tmp_path / "x") == right) == (0, True), errors
    assert out.count("range") == 8
    assert f'"engine": "{engine}", "workers": 2' in out


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "dask"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_is_killed_costs_nothing_but_time(tmp_path, right, engine, when):
    marker = str(tmp_path / "died")
    _, code, errors = written(tmp_path / "x", engine, workers=2, markers=[marker], when=when)
    assert (code, contents(tmp_path / "x") == right) == (0, True), errors
    assert os.path.exists(marker)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_a_task_that_kills_every_worker_ends_the_write(tmp_path, engine):
    markers = [str(tmp_path / str(number)) for number in range(60)]
    out, code, _ = written(tmp_path / "x", engine, workers=2, markers=markers)
    assert code == 2
    assert f"error {engine.capitalize()} gave up a task (" in out
    assert contents(tmp_path / "x").keys() == {"config.json"}


@pytest.mark.slow
def test_a_job_of_which_a_process_is_killed_is_carried_on_by_the_next(tmp_path, right):
    folder = tmp_path / "x"
    markers, job = [str(tmp_path / "died")], ("mpiexec", "-n", "3")
    _, code, _ = written(folder, "mpi", prefix=job, markers=markers, when="after")
    assert code
    _, code, errors = written(folder, "mpi", prefix=job)
    assert (code, contents(folder) == right) == (0, True), errors


@pytest.mark.slow
def test_all_processes_of_a_job_report_the_same_or_fail_with_the_same(tmp_path, right):
    job = ("mpiexec", "-n", "3")
    out, code, errors = written(tmp_path / "x", "mpi", prefix=job)
    assert (code, contents(tmp_path / "x") == right) == (0, True), errors
    assert out.count('"engine": "mpi", "workers": 2') == 3
    out, code, _ = written(tmp_path / "x", "mpi", prefix=job)
    assert (code, out.count("already holds a checkpoint")) == (2, 3)


@pytest.mark.slow
def test_the_command_line_of_a_job_prints_once(tmp_path, small):
    pytest.importorskip("mpi4py")
    environment = {**os.environ, **engine_calls.mpi_environment()}
    mpiexec = shutil.which("mpiexec", path=environment["PATH"]) or "mpiexec"
    command = [mpiexec, "-n", "3", sys.executable, "-m", "fastinit", "write", small]
    for expected in (0, 2):
        done = subprocess.run(
            [*command, str(tmp_path / "x"), "--engine", "mpi"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == expected
        text = done.stderr if expected else done.stdout
        assert text.count("\n") == 1
    fi.verify(tmp_path / "x")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("engine", ["local", "ray", "dask", "mpi"])
def test_a_signal_ends_the_coordinator_and_its_workers(tmp_path, engine, number, code):
    if engine != "local":
        pytest.importorskip(LIBRARIES[engine])
    environment = {**os.environ, **engine_calls.mpi_environment()}
    folder = tmp_path / "x"
    command = [sys.executable, "-m", "fastinit", "write", "gpt2-xl", str(folder)]
    options = ["--engine", engine, "--workers", "2"]
    process = subprocess.Popen(
        [*command, *options, "--max-shard-size", "100MB", "--durability", "none"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 100
    while not (folder.exists() and temporaries(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == code, errors
    assert "; the same command carries on" in errors
    assert not temporaries(folder)
    shutil.rmtree(folder)  # finished shards may take a gigabyte


@pytest.mark.slow
def test_a_running_cluster_is_used_and_left_as_it_is(tmp_path, right):
    pytest.importorskip("distributed")
    pytest.importorskip("ray")
    program = (
        "import fastinit as fi, ray, distributed, sys, pytest\n"
        "from checkpoint_plans import large_plan\n"
        "def write(name, **options):\n"
        "    return fi.write(large_plan(8, 2**18), f'{sys.argv[1]}/{name}', seed=3,\n"
        "                    max_shard_size='5MB', **options)\n"
        "if __name__ == '__main__':\n"
        "    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        "    assert write('ray', engine='ray').workers == 2\n"
        "    try: write('none', engine='ray', workers=3)\n"
        "    except ValueError as error: print(error)\n"
        "    try: write('none', engine='ray', threads=3)\n"
        "    except ValueError as error: print(error)\n"
        "    assert ray.is_initialized()\n"
        "    options = dict(n_workers=1, threads_per_worker=2, dashboard_address=None)\n"
        "    with distributed.LocalCluster(**options) as cluster:\n"
        "        address = cluster.scheduler_address\n"
        "        assert write('dask', engine='dask', address=address).workers == 2\n"
        "        assert write('other', engine='dask', workers=1).workers == 1\n"
        "        with distributed.Client(cluster) as client:\n"
        "            assert write('client', engine=client).engine == 'dask'\n"
        "            assert client.submit(int, 5).result() == 5\n"
    )
    path = tmp_path / "program.py"
    path.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(engine_calls.TESTS)}
    done = subprocess.run(
        [sys.executable, str(path), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "workers is 3, but the Ray cluster is there already and has its own" in done.stdout
    assert "threads is 3, but the largest machine of the Ray cluster has 2 CPUs" in done.stdout
    assert "already in use" not in done.stderr  # the other cluster's port
    for name in ("ray", "dask", "other", "client"):
        assert contents(tmp_path / name) == right


def test_a_cluster_that_is_not_there_is_a_clean_error(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")

    def refuse(address):
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(CheckpointError, match="cannot reach a Dask scheduler at tcp://h:1: Timed"):
        fi.write("gpt2", tmp_path / "x", seed=0, engine="dask", address="tcp://h:1")
    with pytest.raises(ValueError, match="workers is 2, but the Dask cluster is there already"):
        fi.write("gpt2", tmp_path / "x", seed=0, engine="dask", address="tcp://h:1", workers=2)
    assert not (tmp_path / "x").exists()


def test_dask_that_does_not_start_is_a_clean_error(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")

    def refuse(**options):
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", refuse)
    with pytest.raises(CheckpointError, match="cannot start Dask here: Nanny failed to start"):
        fi.write("gpt2", tmp_path / "x", seed=0, engine="dask", workers=2)
    assert not (tmp_path / "x").exists()


def test_an_object_of_dask_that_is_not_a_client_is_refused():
    with pytest.raises(TypeError, match=r"engine is a str: pass a distributed\.Client"):
        dask.wrap("x")


def test_ray_that_does_not_start_is_a_clean_error(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")

    def refuse(**options):
        raise ConnectionError("no such cluster")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(CheckpointError, match="cannot reach a Ray cluster at h:1: no such cluster"):
        fi.write("gpt2", tmp_path / "x", seed=0, engine="ray", address="h:1")
    with pytest.raises(CheckpointError, match="cannot start Ray here: no such cluster"):
        fi.write("gpt2", tmp_path / "x", seed=0, engine="ray", workers=2)
    with pytest.raises(ValueError, match="workers is 2, but the Ray cluster is there already"):
        fi.write("gpt2", tmp_path / "x", seed=0, engine="ray", address="h:1", workers=2)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("engine", ["ray", "dask", "mpi"])
def test_a_library_that_is_missing_says_how_to_get_it(tmp_path, monkeypatch, engine):
    def missing(name):
        if name.startswith(LIBRARIES[engine]):
            raise ModuleNotFoundError(name, name=LIBRARIES[engine])
        return importlib.import_module(name)

    monkeypatch.setattr(base, "import_module", missing)
    with pytest.raises(ImportError, match=rf"{engine} needs .*: pip install '.*\[{engine}\]'"):
        fi.write("gpt2", tmp_path / "x", seed=0, engine=engine)


def test_a_library_that_is_broken_is_not_called_missing(monkeypatch):
    def broken(name):
        raise ModuleNotFoundError("No module named 'else'", name="else")

    monkeypatch.setattr(base, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="'else'"):
        base.imported("ray", "ray")


def test_an_mpi_without_its_library_says_so(tmp_path, monkeypatch):
    def without(name):
        raise RuntimeError("cannot load MPI library\n/usr/lib/libmpi.so: cannot open")

    monkeypatch.setattr(base, "import_module", without)
    with pytest.raises(ImportError, match=r"finds no MPI library \(cannot load MPI library\): lo"):
        fi.write("gpt2", tmp_path / "x", seed=0, engine="mpi")


@pytest.mark.parametrize(
    ("size", "workers", "words"),
    [
        (1, None, "the engine mpi has one process: run the same command under mpiexec -n N, or"),
        (3, 2, "workers is 2, but mpiexec has started 3 processes, of which one coordinates"),
    ],
)
def test_the_size_of_a_job_is_that_of_mpiexec(tmp_path, monkeypatch, size, workers, words):
    from fastinit.engines import mpi

    class World:
        def Get_size(self):
            return size

    monkeypatch.setattr(mpi, "_world", World)
    monkeypatch.setattr(mpi, "imported", lambda package, engine: None)
    with pytest.raises(ValueError, match=words):
        fi.write("gpt2", tmp_path / "x", seed=0, engine="mpi", workers=workers)
