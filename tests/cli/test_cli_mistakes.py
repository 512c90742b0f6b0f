# SPDX-License-Identifier: MIT
"""The command line: every mistake is one line and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import SMALL, assert_one_line, in_a_process

import fastinit as fi
from fastinit.backends import instruction_sets

MISTAKES = [
    (["frob"], "No such command 'frob'"),
    (["--frob"], "No such option '--frob'"),
    (["write"], "Missing argument 'SOURCE'.*--help"),
    (["write", "gpt2"], "Missing argument 'DIR'.*--help"),
    (["write", "gpt2", "DIR", "more"], "unexpected extra argument"),
    (["write", "gpt3", "DIR"], "'gpt3' is not a source of a plan.*gpt2, gpt2-xl"),
    (["write", "", "DIR"], "'' is not a source of a plan"),
    (["write", "none.toml", "DIR"], "none.toml: cannot be read"),
    (["write", "bad.toml", "DIR"], "bad.toml: not valid TOML"),
    (["write", "typo.toml", "DIR"], "norml.*did you mean 'normal'"),
    (["write", "gpt2", "DIR", "--dtype", "int8"], "'int8' is not supported: choose from float32"),
    (["write", "gpt2", "DIR", "--dtype", ""], "'' is not supported: choose from float32"),
    (["write", "gpt2", "DIR", "--seed", "-1"], r"seed is -1.*2\*\*64"),
    (["write", "gpt2", "DIR", "--seed", str(2**64)], r"seed is 18446744073709551616.*2\*\*64"),
    (["write", "gpt2", "DIR", "--seed", "1.5"], "'--seed': '1.5' is not a valid integer"),
    (["write", "gpt2", "DIR", "--max-shard-size", "5XB"], "max_shard_size is '5XB'.*500MB"),
    (["write", "gpt2", "DIR", "--max-shard-size", "0"], "max_shard_size is '0'"),
    (["write", "gpt2", "DIR", "--threads", "0"], "threads is 0"),
    (["write", "gpt2", "DIR", "--threads", "-2"], "threads is -2"),
    (["write", "gpt2", "DIR", "--threads", "9" * 20], "threads is over 8,192"),
    (["write", "gpt2", "DIR", "--threads", "two"], "'--threads': 'two' is not a valid integer"),
    (["write", "gpt2", "DIR", "--sead", "1"], "No such option '--sead'.*--seed"),
    (["write", "gpt2", "file"], "file: Not a directory"),
    (["write", "gpt2", "file/below"], "file/below: Not a directory"),
    (["write", "small.toml", ""], "DIR|folder"),
    (["write", "huge.toml", "DIR"], "needs 288,230,376,151,917,541 bytes, .* are available"),
    (["plan"], "Missing argument 'SOURCE'"),
    (["plan", "gpt3"], "'gpt3' is not a source of a plan"),
    (["plan", "gpt2", "--dtype", "x"], "'x' is not supported"),
    (["plan", "two\nlines.toml"], "cannot be read"),
    (["plan", "."], "holds no checkpoint: .*; pass one of its files: small.safetensors"),
    (["plan", "empty"], "'empty' is not a source of a plan: it is empty; a folder needs"),
    (["plan", "file"], "'file' is not a source of a plan: it is neither JSON nor"),
    (["plan", "gpt2", "--names", "hf"], "'hf' is not one of 'hub', 'module'"),
    (["plan", "gpt2", "--names", "hub"], "names is given, and gpt2 is a preset: only a transf"),
    (["plan", "gpt2", "--trust-remote-code"], "trust_remote_code is given, and gpt2 is a preset"),
    (
        ["write", "whole", "DIR", "--architecture", "X"],
        "architecture is given, and 'whole' is a ch",
    ),
    (["write", "small.toml", "DIR", "--architecture", "X"], "'small.toml' is a plan: only a tran"),
    (["plan", "gpt2", "--rules", "none.toml"], "none.toml: cannot be read"),
    (["plan", "gpt2", "--rules", "small.toml"], "small.toml: it has tensors, so it is a plan"),
    (["plan", "gpt2", "--rules", "file"], "rules is 'file'; give rules, or the path of a .toml"),
    (["plan", "gpt2", "--rules", "unused.toml"], "rule 1 .* is never used: it matches no tensor"),
    (["plan", "unused.toml"], "unused.toml: it has rules and no tensors: pass it as rules="),
    (
        ["write", "whole", "whole", "--overwrite"],
        "'whole' is the checkpoint that is to be replaced",
    ),
    (["verify"], "Missing argument 'DIR'"),
    (["verify", "none"], "none: No such file or directory"),
    (["verify", "missing"], "missing"),
    (["verify", "small.safetensors", "--threads", "0"], "threads is 0"),
    (["info", "more"], "unexpected extra argument"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[repr(row[0]) for row in MISTAKES])
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments, words, main, tmp_path, monkeypatch, small
):
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"x")
    Path("empty").mkdir()
    Path("bad.toml").write_text("[[tensor]\nname = 3\n")
    Path("unused.toml").write_text('[[rule]]\nnames = "none"\ninit = "zeros()"\n')
    Path("typo.toml").write_text(SMALL.replace("normal(std", "norml(std"))
    Path("huge.toml").write_text(SMALL.replace("10 * width", "2 ** 50"))
    fi.write(fi.plan(small), "whole", seed=0)
    fi.write(fi.plan(small), "good", seed=0)
    Path("good/model.safetensors").rename("small.safetensors")
    before = sorted(Path().rglob("*"))
    code, out, err = main(*arguments)
    assert (code, out) == (2, "")
    assert_one_line(err, words)
    after = {path for path in Path().rglob("*") if path != Path("DIR")}
    assert sorted(after) == before


@pytest.mark.parametrize(
    ("environment", "arguments", "words"),
    [
        ({"FASTINIT_THREADS": "none"}, ["info"], "FASTINIT_THREADS is 'none'"),
        ({"FASTINIT_THREADS": "0"}, ["write", "gpt2", "DIR"], "FASTINIT_THREADS is '0'"),
        (
            {"FASTINIT_THREADS": "9" * 20},
            ["write", "gpt2", "DIR"],
            "FASTINIT_THREADS is over 8,192",
        ),
        ({"FASTINIT_BACKEND": "x"}, ["info"], "FASTINIT_BACKEND=x: .*choose from native"),
        ({"FASTINIT_BACKEND": "x"}, ["write", "gpt2", "DIR"], "FASTINIT_BACKEND=x.*choose from"),
        ({"FASTINIT_ISA": "sse9"}, ["info"], "FASTINIT_ISA=sse9.*choose from .*scalar"),
        ({"FASTINIT_ISA": "sse9"}, ["write", "gpt2", "DIR"], "FASTINIT_ISA=sse9.*choose from"),
    ],
)
def test_a_mistake_in_the_environment_is_one_line_and_exit_code_2(
    environment, arguments, words, tmp_path
):
    done = in_a_process(*arguments, cwd=tmp_path, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_line(done.stderr, words)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_unknown_instruction_set_is_an_error_that_lists_the_known_ones():
    """On import or, at the latest, when the first value is wanted."""
    script = (
        "try:\n"
        "    import fastinit as fi\n"
        "    fi.array(3, 'ones()', seed=0, name='w')\n"
        "except RuntimeError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "FASTINIT_ISA": "sse9"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("BackendError FASTINIT_ISA=sse9: ")
    assert ", ".join(instruction_sets.available()) in done.stdout
