# SPDX-License-Identifier: MIT
"""The command line on a terminal and under signals: bars, Ctrl-C, SIGTERM, SIGHUP."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from command_line import LARGE, SMALL, assert_one_line, command, in_a_process

from fastinit import program
from fastinit.cli import bars, verify


@pytest.fixture
def small(tmp_path):
    """The path of a plan of 5 tensors."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)


def terminal():
    """Both ends of a terminal of 100 columns."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    return parent, child


def on_a_terminal(arguments):
    """Run with stderr on a terminal and stdout in a pipe: (exit code, stdout, stderr)."""
    parent, child = terminal()
    with subprocess.Popen(
        command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=child
    ) as process:
        os.close(child)
        shown = b""
        while True:
            ready, _, _ = select.select([parent], [], [], 60)
            assert ready, "nothing came for a minute"
            with contextlib.suppress(OSError):  # Linux says EIO when the other end is closed
                piece = os.read(parent, 65536)
                if piece:
                    shown += piece
                    continue
            break
        out = process.stdout.read()
    os.close(parent)
    return process.returncode, out.decode(), shown.decode()


@pytest.mark.parametrize("doing", ["writing", "verifying"])
def test_a_terminal_gets_a_bar_with_a_rate_on_stderr(doing, tmp_path):
    large = tmp_path / "large.toml"
    large.write_text(LARGE.replace("repeat = 16", "repeat = 2"))
    folder = tmp_path / "weights"
    code, out, err = on_a_terminal(["write", large, folder, "--json"])
    if doing == "verifying":
        code, out, err = on_a_terminal(["verify", folder, "--json"])
    assert code == 0
    assert json.loads(out)["size"] == 2 * 4096 * 1024 * 4
    assert doing in err
    assert "100%" in err
    assert re.search(r"33\.6M/33\.6M", err)
    assert re.search(r"[0-9.]+[MG]B/s", err)


def test_a_bar_is_drawn_with_the_first_bytes_and_not_before(tmp_path):
    """So an error that comes before them stands alone."""
    huge, empty = tmp_path / "huge.toml", tmp_path / "empty"
    huge.write_text(SMALL.replace("10 * width", "2 ** 50"))
    empty.mkdir()
    for arguments in (["write", huge, tmp_path / "x"], ["verify", empty]):
        code, out, err = on_a_terminal(arguments)
        assert (code, out) in ((1, ""), (2, ""))
        assert_one_line(err.replace("\r\n", "\n"), "bytes, .* are available|holds no checkpoint")


def test_an_error_after_the_first_bytes_begins_a_line(tmp_path):
    large, folder = tmp_path / "large.toml", tmp_path / "weights"
    large.write_text(LARGE.replace("repeat = 16", "repeat = 2"))
    assert in_a_process("write", large, folder).returncode == 0
    file = folder / "model.safetensors"
    with file.open("r+b") as stream:
        stream.seek(-4, os.SEEK_END)
        stream.write(b"\0\0\0\0")
    code, _, err = on_a_terminal(["verify", folder, "--threads", "1"])
    assert code == 1
    *bar, last = err.replace("\r\n", "\n").splitlines(keepends=True)
    assert "verifying" in "".join(bar)
    assert_one_line(last, "layer.1.weight.*element 4194303")


def test_a_terminal_that_goes_away_stops_no_work(tmp_path):
    plan, folder = tmp_path / "large.toml", tmp_path / "weights"
    plan.write_text(LARGE.replace("repeat = 16", "repeat = 4"))
    parent, child = terminal()
    with subprocess.Popen(
        command("write", plan, folder, "--threads", "1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=child,
        env={**os.environ, "FASTINIT_ISA": "scalar"},
    ) as process:
        os.close(child)
        assert b"writing" in os.read(parent, 65536)
        os.close(parent)
        assert process.stdout.read().count(b"\n") == 1
    assert process.returncode == 0
    assert in_a_process("verify", folder).returncode == 0


# --- signals ---------------------------------------------------------------------------------


def begun(tmp_path, *arguments, ignored=()):
    """A write that takes a while, and has begun to; its folder."""
    plan, folder = tmp_path / "large.toml", tmp_path / "weights"
    plan.write_text(LARGE.replace("repeat = 16", "repeat = 8"))

    def ignore():
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    process = subprocess.Popen(
        command("write", plan, folder, "--threads", "1", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FASTINIT_ISA": "scalar"},
        preexec_fn=ignore,
    )
    while not folder.exists() or not any(folder.iterdir()):
        assert process.poll() is None
        time.sleep(0.01)
    return process, folder


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_clean_up_too(tmp_path, name):
    process, folder = begun(tmp_path)
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + signal.Signals[name], "")
    assert_one_line(err, f"fastinit: ended by {name}; the same command carries on")
    assert not [path for path in folder.iterdir() if path.name.endswith(".fastinit")]


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT"])
def test_a_signal_that_the_parent_had_ignored_stays_so(tmp_path, name):
    """`nohup` ignores SIGHUP, and a shell SIGINT for what it starts in the background."""
    process, folder = begun(tmp_path, "--durability", "none", ignored=[signal.Signals[name]])
    for _ in range(3):
        process.send_signal(signal.Signals[name])
        time.sleep(0.01)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert out.startswith(str(folder))


HOOK = """
import os, signal, sys

class Hook:
    def find_spec(name, path=None, target=None):
        if name == os.environ["AT"]:
            sys.meta_path.remove(Hook)
            os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))

sys.meta_path.insert(0, Hook)
"""


def interrupted_at(tmp_path, module, name, *arguments):
    """Run, and send the process a signal when it imports a module; sitecustomize runs first."""
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    return in_a_process(*arguments, PYTHONPATH=path, AT=module, SIGNAL=name)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "SIGINT"),
        ("ml_dtypes", "SIGTERM"),
        ("fastinit.backends._native", "SIGINT"),
        ("inspect", "SIGINT"),
        ("fastinit.cli", "SIGINT"),
        ("click", "SIGHUP"),
        ("tomllib", "SIGINT"),
    ],
)
def test_a_signal_while_the_program_starts_is_one_line(tmp_path, module, name):
    done = interrupted_at(tmp_path, module, name, "plan", "gpt2")
    assert (done.returncode, done.stdout) == (128 + signal.Signals[name], "")
    said = "interrupted" if name == "SIGINT" else f"ended by {name}"
    assert done.stderr == f"fastinit: {said}\n"


IMPORT_LINE = re.compile(r"^import time:.*\n", re.MULTILINE)


def interrupted_after(delay, *arguments):
    """Run, and interrupt it so long after it has begun: -X importtime tells when that is."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", *command(*arguments)[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "fastinit.backends._native" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, IMPORT_LINE.sub("", err)


@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_ctrl_c_at_any_time_ends_it_in_one_line_or_finds_it_done(delay):
    code, out, err = interrupted_after(delay, "info", "--json")
    if code == 0:
        assert (json.loads(out)["stream"], err) == (1, "")
    else:
        assert (code, err) == (130, "fastinit: interrupted\n")


@pytest.mark.long
def test_ctrl_c_at_two_hundred_times_is_never_a_traceback(tmp_path):
    """Of a write, whose start, work and end are all hit."""
    plan = tmp_path / "small.toml"
    plan.write_text(SMALL)
    dice, lines = (
        random.Random(20261127),
        {"interrupted", "interrupted; the same command carries on"},
    )
    codes = []
    for number in range(200):
        folder = tmp_path / str(number)
        code, _, err = interrupted_after(dice.uniform(0, 0.5), "write", plan, folder)
        codes.append(code)
        if code == 0:
            assert err == ""
            assert len(list(folder.iterdir())) == 2
        else:
            assert code == 130, err
            assert err.removeprefix("fastinit: ").rstrip("\n") in lines
            assert not folder.exists() or not list(folder.glob(".*"))
    assert codes.count(130) > 20


@pytest.mark.slow
def test_ctrl_c_before_the_program_has_begun_is_pythons_own_affair():
    """Python itself answers up to the first line of ours, with its traceback or as the system does.

    No frame of ours is in it, but for those that import what answers from then on.
    """
    importing = ("fastinit/__init__.py", "fastinit/start.py", "fastinit/program.py")
    dice, early = random.Random(20261128), 0
    for _ in range(60):
        process = subprocess.Popen(
            command("info"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(dice.uniform(0, 0.4))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        if (process.returncode, err) in ((0, ""), (130, "fastinit: interrupted\n")):
            continue
        early += 1
        assert process.returncode in (1, -signal.SIGINT), err
        assert err == "" or "KeyboardInterrupt" in err
        ours = [line for line in err.splitlines() if "fastinit/" in line]
        assert all(any(file in line for file in importing) for line in ours), err
    print(f"{early} of 60 were interrupted before the program had begun")
    assert early < 45


def test_without_a_terminal_there_is_no_bar(tmp_path, small):
    done = in_a_process("write", small, tmp_path / "weights")
    assert (done.returncode, done.stderr) == (0, "")
    done = in_a_process("verify", tmp_path / "weights")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_on_a_terminal_is_one_line_too(tmp_path):
    code, out, err = on_a_terminal(["write", "gpt3", tmp_path / "weights"])
    assert (code, out) == (2, "")
    assert_one_line(err.replace("\r\n", "\n"), "source of a plan")


def test_ctrl_c_is_exit_code_130_and_the_same_command_carries_on(tmp_path):
    plan = tmp_path / "large.toml"
    plan.write_text(LARGE)
    folder = tmp_path / "weights"
    arguments = ["write", plan, folder, "--max-shard-size", "17MB", "--json"]
    process = subprocess.Popen(
        command(*arguments, "--threads", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FASTINIT_ISA": "scalar"},
    )
    deadline = time.monotonic() + 30
    while not list(folder.glob("*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    out, err = process.communicate(timeout=30)
    took = time.monotonic() - begin
    print(f"Ctrl-C was answered within {took:.3f} s")
    assert (process.returncode, out) == (130, "")
    assert_one_line(err, "interrupted; the same command carries on")
    assert took < 5
    finished = sorted(path.name for path in folder.iterdir())
    assert all(re.fullmatch(r"model-\d{5}-of-00016\.safetensors", name) for name in finished)
    assert 1 <= len(finished) < 16
    done = in_a_process(*arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == finished
    assert in_a_process("verify", folder).returncode == 0


DEAF = """
import fcntl, os, signal, sys, time
reader, writer = os.pipe()
os.set_blocking(writer, False)
try:
    while True:
        os.write(writer, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(writer, True)
os.dup2(writer, 2)
from fastinit import program
if sys.argv[1] == "begin":
    program.begin()
else:
    sys.argv = ["fastinit", "write", "x", "y"]
    from fastinit.cli import running
    program.begin()
    running._run = lambda _: program._raise(signal.SIGTERM, None)
    running.main()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""


@pytest.mark.parametrize("where", ["begin", "main"])
def test_a_full_pipe_that_nobody_reads_makes_nobody_deaf(where):
    done = subprocess.run([sys.executable, "-c", DEAF, where], capture_output=True, timeout=50)
    assert done.returncode == 128 + signal.SIGTERM


def test_a_stream_without_a_descriptor_to_spare_is_left_as_it_is(monkeypatch):
    def fails(*_):
        raise OSError("too many open files")

    monkeypatch.setattr(os, "open", fails)
    program.silence(sys.__stdout__)


def test_a_bar_that_cannot_be_drawn_stops_nothing_and_is_tried_once(monkeypatch):
    tried = []

    def fails(*_):
        tried.append(1)
        raise OSError("the terminal went away")

    monkeypatch.setattr(bars, "_drawn", fails)
    monkeypatch.setattr(bars, "_is_terminal", lambda _: True)
    with bars.bar(10, "writing") as progress:
        progress(5)
        progress(5)
    assert tried == [1]


def test_the_size_of_a_path_that_cannot_be_looked_at_is_nothing():
    assert verify.size_on_disk(Path("x" * 5000)) == 0
