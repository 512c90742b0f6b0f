# SPDX-License-Identifier: MIT
"""The command line: what is on stdout and on stderr, exit codes, JSON.

Bars and signals are in test_cli_signals.py; what the files hold is in test_write.py and
test_verify.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from command_line import SMALL, SMALL_PARAMETERS, SMALL_SIZE, assert_one_line, command, in_a_process

import fastinit as fi
from fastinit import cli, instruction_sets


@pytest.fixture
def small(tmp_path):
    """The path of a plan of 5 tensors."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return str(path)


@pytest.fixture
def main(monkeypatch, capfd):
    """Run the whole command line in this process: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fastinit", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code, *capfd.readouterr()

    return run


# --- write -----------------------------------------------------------------------------------


def test_write_makes_a_checkpoint_and_says_so_in_one_line(small, tmp_path, main):
    code, out, err = main("write", small, tmp_path / "weights", "--seed", 7)
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    assert f"{SMALL_PARAMETERS:,} parameters in 5 tensors" in out
    assert "in 2 files" in out
    assert out.startswith(str(tmp_path / "weights"))
    opened = fi.open(tmp_path / "weights")
    assert len(opened) == 5
    expected = fi.array((640, 64), fi.normal(std=0.02), seed=7, name="wte.weight")
    assert (opened["wte.weight"] == expected).all()
    assert json.loads((tmp_path / "weights" / "config.json").read_text())["model_type"] == "small"


def test_write_in_a_process_is_write_in_this_one(small, tmp_path, main):
    done = in_a_process("write", small, tmp_path / "a", "--seed", 3, "--threads", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert main("write", small, tmp_path / "b", "--seed", 3, "--threads", 1)[0] == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_write_reports_in_json(small, tmp_path, main):
    code, out, err = main("write", small, tmp_path / "weights", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report.pop("seconds") > 0
    assert report.pop("cpu_seconds") > 0
    assert report == {
        "folder": str(tmp_path / "weights"),
        "files": ["config.json", "model.safetensors"],
        "tensors": 5,
        "parameters": SMALL_PARAMETERS,
        "size": SMALL_SIZE,
        "durability": "full",
        "resumed": [],
    }


def test_write_takes_the_dtype_and_leaves_tensors_their_own(small, tmp_path, main):
    assert main("write", small, tmp_path / "weights", "--dtype", "bfloat16")[0] == 0
    opened = fi.open(tmp_path / "weights")
    assert opened["wte.weight"].dtype == "bfloat16"
    assert opened["ln_f.bias"].dtype == "float64"


def test_write_splits_into_shards(small, tmp_path, main):
    code, out, _ = main("write", small, tmp_path / "weights", "--max-shard-size", "100KB", "--json")
    assert code == 0
    files = json.loads(out)["files"]
    assert "model.safetensors.index.json" in files
    assert sorted(files) == sorted(path.name for path in (tmp_path / "weights").iterdir())
    assert len(files) > 3


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dry_run_writes_nothing_and_lists_the_files(small, tmp_path, main, as_json):
    folder = tmp_path / "weights"
    arguments = ["write", small, folder, "--dry-run", "--max-shard-size", "200KB"]
    code, out, err = main(*arguments, *(["--json"] if as_json else []))
    assert (code, err) == (0, "")
    assert not folder.exists()
    assert main(*arguments[:3], *arguments[4:])[0] == 0
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    if as_json:
        assert json.loads(out) == {"folder": str(folder), "files": sizes, "size": SMALL_SIZE}
        return
    for name in sizes:
        assert f"{folder / name}  " in out
    assert f"would write {SMALL_PARAMETERS:,} parameters" in out


def test_a_checkpoint_is_replaced_only_by_overwrite(small, tmp_path, main):
    folder = tmp_path / "weights"
    assert main("write", small, folder)[0] == 0
    before = (folder / "model.safetensors").read_bytes()
    code, out, err = main("write", small, folder, "--seed", 1)
    assert (code, out) == (2, "")
    assert_one_line(err, "already holds a checkpoint.*--overwrite")
    assert (folder / "model.safetensors").read_bytes() == before
    assert main("write", small, folder, "--seed", 1, "--overwrite")[0] == 0
    assert (folder / "model.safetensors").read_bytes() != before
    assert main("verify", folder)[0] == 0


@pytest.mark.parametrize("level", ["none", "file", "full"])
def test_write_takes_a_level_of_durability(small, tmp_path, main, level):
    code, out, _ = main("write", small, tmp_path / level, "--durability", level, "--json")
    assert (code, json.loads(out)["durability"]) == (0, level)
    assert main("write", small, tmp_path / "default")[0] == 0
    for path in (tmp_path / level).iterdir():
        assert path.read_bytes() == (tmp_path / "default" / path.name).read_bytes()


def test_an_unknown_level_of_durability_is_one_line_that_lists_them(small, tmp_path, main):
    code, out, err = main("write", small, tmp_path / "weights", "--durability", "fsync")
    assert (code, out) == (2, "")
    assert_one_line(err, "'fsync' is not one of 'none', 'file', 'full'")
    assert not (tmp_path / "weights").exists()


def test_write_resumes_and_names_the_files_found_finished(small, tmp_path, main):
    folder = tmp_path / "weights"
    arguments = ("write", small, folder, "--max-shard-size", "100KB")
    assert main(*arguments)[0] == 0
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    first = "model-00001-of-00004.safetensors"
    for name in whole.keys() - {first}:
        (folder / name).unlink()
    code, out, _ = main(*arguments, "--json")
    assert code == 0
    assert json.loads(out)["resumed"] == [first]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    (folder / "model.safetensors.index.json").unlink()
    _, out, _ = main(*arguments)
    assert "4 of them found finished" in out


# --- plan ------------------------------------------------------------------------------------


def test_plan_prints_a_table_with_layers_gathered(small, main):
    code, out, err = main("plan", small)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["tensor", "shape", "dtype", "init", "tensors", "bytes"]
    assert lines[2].startswith("h.*.mlp.weight")
    assert re.search(r"\(64, 256\) +float32 +he_normal\(\) +3 +196.61 kB", lines[2])
    assert re.search(r"ln_f.bias +\(64,\) +float64 +zeros\(\) +1 +512 B", lines[3])
    assert lines[4] == f"5 tensors, {SMALL_PARAMETERS:,} parameters, 360.96 kB"
    assert len(lines) == 5


def test_plan_prints_every_tensor_when_asked(small, main):
    _, out, _ = main("plan", small, "--all")
    names = [line.split()[0] for line in out.splitlines()[1:-1]]
    assert names == ["wte.weight", *(f"h.{i}.mlp.weight" for i in range(3)), "ln_f.bias"]


def test_plan_reports_in_json_what_a_plan_is_made_of(small, main):
    code, out, err = main("plan", small, "--json", "--dtype", "bfloat16")
    assert (code, err) == (0, "")
    form = json.loads(out)
    assert form.pop("parameters") == SMALL_PARAMETERS
    assert form.pop("size") == 2 * (SMALL_PARAMETERS - 64) + 8 * 64
    assert fi.Plan.from_json(form.pop("plan")) == fi.plan(small)
    assert not form


@pytest.mark.parametrize("preset", fi.presets())
def test_plan_knows_every_preset(preset, main):
    code, out, _ = main("plan", preset)
    assert code == 0
    assert f"{fi.plan(preset).parameters:,} parameters" in out.splitlines()[-1]


def test_a_reader_that_goes_away_is_no_error():
    """`fastinit plan X --all | head -1`."""
    process = subprocess.Popen(
        command("plan", "mixtral-8x7b", "--all"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline().startswith(b"tensor")
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=30) in (0, 1)


# --- verify ----------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    """A folder with the small plan, in two shards."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    fi.write(fi.plan(path), tmp_path / "weights", seed=5, max_shard_size="200KB")
    return tmp_path / "weights"


def test_verify_says_in_one_line_that_every_byte_is_right(written, main):
    code, out, err = main("verify", written)
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    assert "all 5 tensors, 360.96 kB, are plan 'small', seed 5, stream 1, to the last byte" in out


def test_verify_reports_in_json(written, small, main):
    code, out, err = main("verify", written, "--json", "--threads", 2)
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report.pop("seconds") > 0
    assert report.pop("files") == sorted(path.name for path in written.glob("*.safetensors"))
    assert report == {
        "path": str(written),
        "plan": "small",
        "digest": fi.plan(small).digest,
        "seed": 5,
        "stream": 1,
        "tensors": 5,
        "rounded": 0,
        "parameters": SMALL_PARAMETERS,
        "size": SMALL_SIZE,
    }


def flip(folder, name, element, item_size=4):
    """Change one bit of one element on disk."""
    for path in folder.glob("*.safetensors"):
        data = bytearray(path.read_bytes())
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        if name in header:
            data[8 + length + header[name]["data_offsets"][0] + element * item_size] ^= 1
            path.write_bytes(data)
            return path.name
    raise AssertionError(name)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failed_verify_is_exit_code_1_and_names_tensor_and_index(written, main, as_json):
    file = flip(written, "h.1.mlp.weight", 1000)
    code, out, err = main("verify", written, *(["--json"] if as_json else []))
    assert (code, out) == (1, "")
    assert_one_line(err, r"h\.1\.mlp\.weight")
    assert file in err
    assert re.search(r"\b1000\b|1,000|\(3, 232\)", err)


def test_a_failed_verify_is_exit_code_1_in_a_process(written):
    flip(written, "wte.weight", 64)
    done = in_a_process("verify", written)
    assert (done.returncode, done.stdout) == (1, "")
    assert_one_line(done.stderr, r"wte\.weight")


def test_a_shard_that_is_missing_is_a_failed_verify(written, tmp_path, main):
    shutil.copytree(written, tmp_path / "copy")
    victim = sorted((tmp_path / "copy").glob("*.safetensors"))[0]
    victim.unlink()
    code, out, err = main("verify", tmp_path / "copy")
    assert (code, out) == (1, "")
    assert victim.name in err


@pytest.mark.parametrize("damage", ["cut short", "no header", "not there"])
def test_a_damaged_checkpoint_is_a_failed_verify_and_no_mistake(small, tmp_path, main, damage):
    fi.write(fi.plan(small), tmp_path / "weights", seed=5)
    file = tmp_path / "weights" / "model.safetensors"
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:-2])
    elif damage == "no header":
        file.write_bytes(b"not safetensors at all")
    else:
        file.unlink()
    code, out, err = main("verify", tmp_path / "weights")
    assert (code, out) == (1, "")
    assert_one_line(err, "weights")


# --- info, help, version ---------------------------------------------------------------------


def test_info_reports_this_machine_in_json(main):
    code, out, err = main("info", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["fastinit"] == fi.__version__
    assert found["stream"] == 1
    assert found["instruction set"] == instruction_sets.active()
    assert found["available"] == list(instruction_sets.available())
    assert found["presets"] == list(fi.presets())
    assert found["threads"] >= 1
    assert "bfloat16" in found["dtypes"]
    assert found.keys() - {"fastinit", "stream", "instruction set", "available", "presets"} == {
        *("threads", "dtypes", "python", "numpy", "ml_dtypes", "platform")
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


OPTIONS = {
    "write": {
        *(
            "--seed",
            "--dtype",
            "--max-shard-size",
            "--threads",
            "--dry-run",
            "--overwrite",
            "--durability",
        ),
        "--json",
    },
    "plan": {"--dtype", "--all", "--json"},
    "verify": {"--threads", "--json"},
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


# --- mistakes --------------------------------------------------------------------------------

MISTAKES = [
    (["frob"], "No such command 'frob'"),
    (["--frob"], "No such option '--frob'"),
    (["write"], "Missing argument 'SOURCE'.*--help"),
    (["write", "gpt2"], "Missing argument 'DIR'.*--help"),
    (["write", "gpt2", "DIR", "more"], "unexpected extra argument"),
    (["write", "gpt3", "DIR"], "'gpt3' is no source of a plan.*gpt2, gpt2-xl"),
    (["write", "", "DIR"], "'' is no source of a plan"),
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
    (["write", "gpt2", "DIR", "--threads", "two"], "'--threads': 'two' is not a valid integer"),
    (["write", "gpt2", "DIR", "--sead", "1"], "No such option '--sead'.*--seed"),
    (["write", "gpt2", "file"], "file: Not a directory"),
    (["write", "gpt2", "file/below"], "file/below: Not a directory"),
    (["write", "small.toml", ""], "DIR|folder"),
    (["write", "huge.toml", "DIR"], "needs 288,230,376,151,917,541 bytes, .* are free"),
    (["plan"], "Missing argument 'SOURCE'"),
    (["plan", "gpt3"], "'gpt3' is no source of a plan"),
    (["plan", "gpt2", "--dtype", "x"], "'x' is not supported"),
    (["plan", "two\nlines.toml"], "cannot be read"),
    (["plan", "."], "'.' is no source of a plan"),
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
    Path("typo.toml").write_text(SMALL.replace("normal(std", "norml(std"))
    Path("huge.toml").write_text(SMALL.replace("10 * width", "2 ** 50"))
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


def test_a_full_stdout_is_one_line_and_exit_code_2():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command("plan", "gpt2"), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 2
    assert_one_line(done.stderr, "No space left")
