# SPDX-License-Identifier: MIT
"""The command line: `info`, the help and the version."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_line import in_a_process

import fastinit as fi
from fastinit import cli
from fastinit.backends import instruction_sets


def test_info_reports_this_machine_in_json(main):
    code, out, err = main("info", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["fastinit"] == fi.__version__
    assert found["stream"] == 1
    assert (found["backend"], found["backend from"]) == ("native", "the best one here")
    assert found["instruction set"] == instruction_sets.active()
    assert found["available"] == list(instruction_sets.available())
    assert found["presets"] == list(fi.presets())
    assert found["threads"] >= 1
    assert "bfloat16" in found["dtypes"]
    assert found.keys() - {"fastinit", "stream", "instruction set", "available", "presets"} == {
        *(
            "backend",
            "backend from",
            "cuda",
            "threads",
            "threads from",
            "dtypes",
            "python",
            "numpy",
            "ml_dtypes",
            "platform",
        )
    }


def test_info_prints_the_same_as_lines(main):
    code, out, err = main("info")
    assert (code, err) == (0, "")
    keys = [line[:16].strip() for line in out.splitlines()]
    assert keys == list(json.loads(main("info", "--json")[1]))
    assert f"{', '.join(fi.presets())}\n" in out


@pytest.mark.parametrize("name", instruction_sets.available())
def test_info_shows_the_instruction_set_that_the_environment_forces(name):
    done = in_a_process("info", "--json", FASTINIT_ISA=name, FASTINIT_THREADS="3")
    assert json.loads(done.stdout)["instruction set"] == name
    assert json.loads(done.stdout)["threads"] == 3
    assert json.loads(done.stdout)["threads from"] == "FASTINIT_THREADS"


SOURCE = {
    "--dtype",
    "--rules",
    "--architecture",
    "--names",
    "--dummy",
    "--trust-remote-code",
    "--trust",
}
OPTIONS = {
    "write": {
        *SOURCE,
        *("--seed", "--max-shard-size", "--threads", "--dry-run", "--overwrite"),
        *("--durability", "--format", "--json", "--engine", "--workers", "--address"),
    },
    "plan": {*SOURCE, "--all", "--json"},
    "verify": {"--threads", "--trust", "--json"},
    "refill": {
        *("--scheme", "--seed", "--threads", "--dry-run", "--durability", "--trust", "--json")
    },
    "regenerate": {
        *("--plan", "--dtype", "--rules", "--threads", "--dry-run", "--durability", "--trust"),
        "--json",
    },
    "stats": {"--check", "--all", "--plot", "--threads", "--trust", "--json"},
    "diff": {"--threads", "--json"},
    "info": {"--json"},
    "bench": {"--size", "--threads", "--json"},
}


def test_every_command_is_tested_here():
    assert set(cli.cli.commands) == set(OPTIONS)


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_command_explains_itself_and_all_its_options(name, flag):
    found = CliRunner().invoke(cli.cli, [name, flag])
    assert found.exit_code == 0
    assert found.stderr == ""
    assert found.stdout.startswith(f"Usage: cli {name}")
    assert set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", found.stdout, re.M)) == {
        *OPTIONS[name],
        "--help",
    }
    undescribed = re.findall(r"^  (--[a-z-]+(?: [A-Z]+)?)$", found.stdout, re.M)
    assert not undescribed


def test_the_help_lists_the_commands_with_a_sentence_each():
    found = CliRunner().invoke(cli.cli, ["--help"])
    assert found.exit_code == 0
    for name in OPTIONS:
        assert re.search(rf"^  {name} +[A-Z]", found.stdout, re.M), name


def test_no_arguments_print_the_help_as_lines(main):
    code, out, err = main()
    assert code in (0, 2)
    for name in OPTIONS:
        assert re.search(rf"^  {name} +[A-Z]", out + err, re.M), name


def test_the_version_is_the_packages(main):
    code, out, err = main("--version")
    assert (code, err) == (0, "")
    assert out == f"fastinit, version {fi.__version__}\n"


def test_the_installed_command_is_the_module(tmp_path):
    script = Path(sys.executable).parent / "fastinit"
    if not script.exists():
        pytest.skip("fastinit is not installed beside this Python")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"fastinit, version {fi.__version__}\n")
