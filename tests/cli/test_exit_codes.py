# SPDX-License-Identifier: MIT
"""Exit codes of the command line, whatever its streams are: 1 for a wrong checkpoint and no else.

Signals are in test_cli_signals.py, mistakes in test_cli.py.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from command_line import SMALL, assert_one_line, command, in_a_process

import fastinit as fi
from fastinit import cli, plans, program

needs_dev_full = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="this system has no /dev/full"
)

NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}
REDIRECTIONS = {"closed": "{}>&-", "full": "{}>/dev/full", "read-only": "{}</dev/null"}
FULL = pytest.param("full", marks=needs_dev_full)


def run(*arguments, environment=None, **streams):
    """Run in a process; a stream may be closed, full, read-only, or gone: a pipe nobody reads."""
    reader, gone = os.pipe()
    os.close(reader)
    script, redirected = "exec", {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    for name, kind in streams.items():
        if kind == "gone":
            redirected[name] = gone
        else:
            script += " " + REDIRECTIONS[kind].format(NUMBERS[name])
    done = subprocess.run(
        ["sh", "-c", f'{script} "$@"', "sh", *command(*arguments)],
        **redirected,
        text=True,
        timeout=120,
        env={**os.environ, **(environment or {})},
    )
    os.close(gone)
    return done


def in_this_process(monkeypatch, *arguments):
    """Run in this process: the exit code."""
    monkeypatch.setattr(sys, "argv", ["fastinit", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def raise_(error):
    raise error


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory, plan_file):
    """A checkpoint that is right."""
    folder = tmp_path_factory.mktemp("good") / "weights"
    fi.write(fi.plan(plan_file), folder, seed=0)
    return folder


@pytest.fixture(scope="module")
def wrong(tmp_path_factory, plan_file):
    """A checkpoint with a bit that is not what its recipe says."""
    folder = tmp_path_factory.mktemp("wrong") / "weights"
    fi.write(fi.plan(plan_file), folder, seed=0)
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-70_000] ^= 1
    file.write_bytes(data)
    return folder


def assert_whole(folder, good):
    """The folder holds what a write with ordinary streams makes."""
    assert {path.name for path in folder.iterdir()} == {path.name for path in good.iterdir()}
    for path in folder.iterdir():
        assert path.read_bytes() == (good / path.name).read_bytes()


# --- work that is done -----------------------------------------------------------------------

REASONS = {
    "full": "No space left on device",
    "closed": "it is closed",
    "read-only": "not writable|Bad file descriptor",
}
NONE = dict.fromkeys(NUMBERS, "closed")


@needs_dev_full
def test_what_was_regenerated_is_right_although_its_report_is_lost(wrong, good, tmp_path):
    folder = shutil.copytree(wrong, tmp_path / "weights")
    done = run("regenerate", "--dry-run", folder, stdout="full")
    assert done.returncode == 2  # nothing was done but to print
    assert "is right" not in done.stderr
    done = run("regenerate", folder, stdout="full")
    assert done.returncode == 0
    assert_one_line(done.stderr, "the checkpoint is right, but its report is lost")
    assert_whole(folder, good)


@pytest.mark.parametrize("how", [FULL, "closed", pytest.param("read-only", marks=pytest.mark.slow)])
def test_a_checkpoint_whose_report_cannot_be_printed_is_complete(plan_file, good, tmp_path, how):
    done = run("write", plan_file, tmp_path / "x", "--json", stdout=how)
    assert (done.returncode, done.stdout) == (0, "")
    words = f"complete, but its report is lost: cannot write to stdout: .*({REASONS[how]})"
    assert_one_line(done.stderr, f"fastinit: the checkpoint is {words}")
    assert_whole(tmp_path / "x", good)


@needs_dev_full
def test_a_verdict_that_cannot_be_printed_is_the_exit_code(good, wrong):
    done = run("verify", good, stdout="full")
    assert done.returncode == 0
    assert_one_line(done.stderr, "the checkpoint is right, but its report is lost")
    done = run("verify", wrong, stdout="full", stdin="closed")
    assert done.returncode == 1
    assert_one_line(done.stderr, "model.safetensors: tensor 'h.1.mlp.weight', element ")


@pytest.mark.parametrize("how", ["closed", FULL, "gone", "read-only"])
@pytest.mark.slow
def test_a_stderr_that_takes_nothing_changes_no_exit_code(plan_file, good, wrong, tmp_path, how):
    done = run("write", plan_file, tmp_path / "x", stderr=how)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert_whole(tmp_path / "x", good)
    done = run("verify", wrong, stderr=how)
    assert (done.returncode, done.stdout) == (1, "")
    done = run("write", plan_file, tmp_path / "x", stderr=how)
    assert (done.returncode, done.stdout) == (2, "")


def test_without_any_stream_the_files_are_the_same(plan_file, good, wrong, tmp_path):
    """Their descriptors would be 0, 1 and 2, where messages go."""
    assert run("write", plan_file, tmp_path / "x", **NONE).returncode == 0
    assert_whole(tmp_path / "x", good)
    assert run("verify", wrong, **NONE).returncode == 1
    assert run("write", plan_file, tmp_path / "x", **NONE).returncode == 2
    assert_whole(tmp_path / "x", good)


def test_a_reader_that_goes_away_is_no_failure(plan_file, good, tmp_path):
    for arguments in (["write", plan_file, tmp_path / "x"], ["plan", "gpt2"], ["--help"]):
        done = run(*arguments, stdout="gone")
        assert (done.returncode, done.stderr) == (0, ""), arguments
    assert_whole(tmp_path / "x", good)


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_failure_of_any_command(good, wrong):
    for arguments in (["verify", good], ["plan", "gpt2", "--json"], ["info"], ["--version"]):
        done = run(*arguments, stdout="gone")
        assert (done.returncode, done.stderr) == (0, ""), arguments
    assert run("verify", wrong, stdout="gone").returncode == 1
    assert run("verify", wrong, stdout="gone", stderr="gone").returncode == 1


@pytest.mark.parametrize("how", [FULL, "closed"])
def test_data_that_cannot_be_printed_is_exit_code_2(how):
    done = run("plan", "gpt2", stdout=how)
    assert done.returncode == 2
    assert_one_line(done.stderr, f"cannot write to stdout: .*{REASONS[how]}")


@needs_dev_full
@pytest.mark.slow
@pytest.mark.parametrize("argument", ["--help", "--version", "info"])
def test_what_was_asked_for_and_cannot_be_printed_is_exit_code_2(argument):
    done = run(argument, stdout="full")
    assert done.returncode == 2
    assert_one_line(done.stderr, "No space left")


# --- encodings -------------------------------------------------------------------------------

ODD = 'name = "größe"\n[[tensor]]\nname = "ключ.weight"\nshape = "(2, 3)"\ninit = "normal()"\n'


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        pytest.param({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}, marks=pytest.mark.slow),
    ],
)
def test_what_the_encoding_lacks_is_escaped(tmp_path, environment):
    """A name that no terminal of 1990 can show is no failure of the work."""
    environment = {"PYTHONUTF8": "0", **environment}
    source = tmp_path / "größe.toml"
    source.write_text(ODD, encoding="utf-8")
    done = run("plan", source, "--all", environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u043a\u043b\u044e\u0447.weight" in done.stdout
    done = run("write", source, tmp_path / "größe", environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    done = run("write", source, tmp_path / "größe", environment=environment)
    assert done.returncode == 2
    assert_one_line(done.stderr, "already holds a checkpoint")


def test_a_path_of_any_bytes_can_be_printed(tmp_path, plan_file):
    folder = os.fsencode(tmp_path) + b"/\xff"
    done = subprocess.run(
        [*command("write", plan_file), folder], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(folder)


# --- what nobody foresaw ---------------------------------------------------------------------

BROKEN = """
import sys
sys.argv = ["fastinit", "info"]
sys.orig_argv = sys.argv
from fastinit import __main__
from fastinit.backends import instruction_sets
def broken():
    raise RecursionError("so deep")
instruction_sets.active = broken
__main__.main()
"""


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_bug_is_one_line_that_asks_for_a_report_and_exit_code_2(debug):
    done = subprocess.run(
        [sys.executable, "-c", BROKEN],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "FASTINIT_DEBUG": debug},
    )
    assert (done.returncode, done.stdout) == (2, "")
    *traceback, line = done.stderr.splitlines(keepends=True)
    words = "unexpected RecursionError: so deep; please report it, with the traceback that FASTINIT"
    assert_one_line(line, words)
    assert bool(traceback) == bool(debug)
    if debug:
        assert traceback[0] == "Traceback (most recent call last):\n"
        assert any("in broken" in line for line in traceback)


def test_a_traceback_is_shown_of_expected_errors_too_if_asked_for(tmp_path):
    done = in_a_process("verify", "none", cwd=tmp_path, FASTINIT_DEBUG="1")
    assert done.returncode == 2
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.splitlines()[-1].startswith("fastinit: ")


@pytest.mark.parametrize(
    ("name", "started", "words"),
    [
        ("numpy", "script", "import of numpy halted"),
        (
            "inspect",
            "module",
            "fastinit.machine._machine cannot be loaded: import of inspect halted",
        ),
        ("click", "module", "import of click halted"),
    ],
)
def test_a_package_that_is_missing_is_one_line_and_exit_code_2(tmp_path, name, started, words):
    """sitecustomize is the first that a Python runs."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{name!r}] = None\n")
    (tmp_path / "fastinit").write_text("from fastinit.__main__ import main\nmain()\n")
    started = ["-m", "fastinit"] if started == "module" else [tmp_path / "fastinit"]
    done = subprocess.run(
        [sys.executable, *started, "info"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), fi_folder()])},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_line(done.stderr, words)


def fi_folder():
    """The folder that `import fastinit` finds it in."""
    return os.path.dirname(os.path.dirname(fi.__file__))


def test_a_keyboard_interrupt_that_is_raised_is_exit_code_130(monkeypatch, capfd):
    """Where a program runs `cli.main` in a process of its own."""

    def interrupted(text, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(plans, "plan_for", interrupted)
    assert in_this_process(monkeypatch, "plan", "gpt2") == 130
    assert capfd.readouterr() == ("", "fastinit: interrupted\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (fi.errors.VerifyError("differs", "file"), 1),
        (fi.errors.InvalidCheckpointError("no header"), 1),
        (fi.errors.CheckpointError("cannot be read"), 2),
        (fi.errors.BackendError("no such instruction set"), 2),
        (OSError("the disk is gone"), 2),
        (MemoryError("no memory"), 2),
        (RuntimeError("a bug"), 2),
    ],
)
def test_only_what_is_wrong_with_a_checkpoint_is_exit_code_1(monkeypatch, capfd, error, code):
    monkeypatch.setattr(fi, "verify", lambda path, **options: raise_(error))
    assert in_this_process(monkeypatch, "verify", "x") == code
    out, err = capfd.readouterr()
    assert out == ""
    assert_one_line(err, re.escape(str(error)))


def test_what_is_wrong_with_a_checkpoint_is_exit_code_1_of_verify_alone(monkeypatch, capfd):
    monkeypatch.setattr(
        plans, "plan_for", lambda text, **options: raise_(fi.errors.InvalidCheckpointError("no"))
    )
    assert in_this_process(monkeypatch, "plan", "gpt2") == 2
    assert_one_line(capfd.readouterr().err, "no")


def test_a_stdout_that_a_program_has_closed_is_as_one_that_is_closed(monkeypatch, capfd):
    closed = io.StringIO()
    closed.close()
    with monkeypatch.context() as patch:  # undone before capfd puts its own stdout back
        patch.setattr(sys, "stdout", closed)
        assert in_this_process(patch, "plan", "gpt2") == 2
    assert_one_line(capfd.readouterr().err, "cannot write to stdout: I/O operation on closed file")


def test_the_command_line_runs_in_any_thread(monkeypatch, capfd, tmp_path, plan_file):
    """Where only the main thread may say who answers signals."""
    codes = []

    def work():
        codes.append(in_this_process(monkeypatch, "write", str(plan_file), str(tmp_path / "x")))
        program.ignore_signals()

    before = {number: signal.getsignal(number) for number in program.SIGNALS}
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert codes == [0]
    assert capfd.readouterr().err == ""
    assert {number: signal.getsignal(number) for number in program.SIGNALS} == before


def test_signals_are_answered_as_before_once_the_command_line_is_done(
    monkeypatch, capfd, tmp_path, plan_file
):
    before = {number: signal.getsignal(number) for number in program.SIGNALS}
    assert in_this_process(monkeypatch, "write", str(plan_file), str(tmp_path / "x")) == 0
    assert in_this_process(monkeypatch, "write", str(plan_file), str(tmp_path / "x")) == 2
    assert {number: signal.getsignal(number) for number in program.SIGNALS} == before


def test_memory_that_runs_out_is_exit_code_2(monkeypatch, capfd):
    for error, words in (
        (MemoryError(), "no more could be allocated"),
        (MemoryError("1 GB"), "1 GB"),
    ):
        monkeypatch.setattr(plans, "plan_for", lambda text, error=error, **options: raise_(error))
        assert in_this_process(monkeypatch, "plan", "gpt2") == 2
        assert_one_line(capfd.readouterr().err, f"out of memory: {words}")


# --- pipes and devices in place of files -----------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "doing"), [("pipe", "plan"), ("zeros", "plan"), ("stdin", "write")]
)
def test_a_plan_that_is_no_regular_file_is_refused_at_once(tmp_path, kind, doing):
    source = tmp_path / "source.toml"
    if kind == "pipe":
        os.mkfifo(source)
    else:
        source.symlink_to("/dev/zero" if kind == "zeros" else "/dev/stdin")
    arguments = [doing, source, *([tmp_path / "x"] if doing == "write" else [])]
    reader, writer = os.pipe()  # a stdin that never ends
    done = subprocess.run(
        command(*arguments), stdin=reader, capture_output=True, text=True, timeout=60
    )
    os.close(reader)
    os.close(writer)
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_line(done.stderr, "source.toml: not a regular file")


def test_pipes_in_place_of_a_checkpoint_are_refused_at_once(tmp_path, plan_file):
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "model.safetensors")
    for path, code in (("pipe.safetensors", 2), ("folder", 1)):
        done = in_a_process("verify", tmp_path / path)
        assert (done.returncode, done.stdout) == (code, "")
        assert_one_line(done.stderr, "not a regular file")
    done = in_a_process("write", plan_file, tmp_path / "pipe.safetensors")
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_line(done.stderr, "pipe.safetensors: Not a directory")


# --- shells ----------------------------------------------------------------------------------


def test_shells_can_ask_for_completions():
    words = {"COMP_WORDS": "fastinit ver", "COMP_CWORD": "1"}
    done = in_a_process(_FASTINIT_COMPLETE="bash_complete", **words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "plain,verify\n", "")


def test_a_command_line_is_told_from_a_program_that_uses_the_package(monkeypatch):
    def told(argv, orig_argv=()):
        monkeypatch.setattr(sys, "argv", argv)
        monkeypatch.setattr(sys, "orig_argv", list(orig_argv))
        return program.is_this_process()

    assert told(["/usr/bin/fastinit", "plan"])
    assert told(["-m", "plan", "x"], ["python", "-X", "dev", "-m", "fastinit", "plan", "x"])
    assert told(["-m"], ["python", "-mfastinit"])
    assert not told(["-m", "fastinit"], ["python", "-m", "pytest", "fastinit"])
    assert not told(["-c"], ["python", "-c", "import fastinit"])
    assert not told(["/home/me/train.py", "fastinit"], ["python", "train.py", "fastinit"])
    assert not told([], ["program"])
