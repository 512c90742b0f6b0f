# SPDX-License-Identifier: MIT
"""The command line on a terminal and under signals: bars, Ctrl-C, SIGTERM."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from command_line import LARGE, SMALL, assert_one_line, command, in_a_process


@pytest.fixture
def small(tmp_path):
    """The path of a plan of 5 tensors."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)


def on_a_terminal(arguments):
    """Run with stderr on a terminal and stdout in a pipe: (exit code, stdout, stderr)."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
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


def test_sigterm_cleans_up_too(tmp_path):
    plan = tmp_path / "large.toml"
    plan.write_text(LARGE)
    folder = tmp_path / "weights"
    process = subprocess.Popen(
        command("write", plan, folder, "--threads", "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FASTINIT_ISA": "scalar"},
    )
    while not folder.exists() or not any(folder.iterdir()):
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert not [path for path in folder.iterdir() if path.name.endswith(".fastinit")]


def test_without_a_terminal_there_is_no_bar(tmp_path, small):
    done = in_a_process("write", small, tmp_path / "weights")
    assert (done.returncode, done.stderr) == (0, "")
    done = in_a_process("verify", tmp_path / "weights")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mistake_on_a_terminal_is_one_line_too(tmp_path):
    code, out, err = on_a_terminal(["write", "gpt3", tmp_path / "weights"])
    assert (code, out) == (2, "")
    assert_one_line(err.replace("\r\n", "\n"), "no source of a plan")


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
    assert_one_line(err.removeprefix("\n"), "interrupted; the same command carries on")
    assert took < 5
    finished = sorted(path.name for path in folder.iterdir())
    assert all(re.fullmatch(r"model-\d{5}-of-00016\.safetensors", name) for name in finished)
    assert 1 <= len(finished) < 16
    done = in_a_process(*arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == finished
    assert in_a_process("verify", folder).returncode == 0
