# SPDX-License-Identifier: MIT
"""The command line: what is on stdout and on stderr, exit codes, JSON.

Bars and signals are in test_cli_signals.py; what the files hold is in test_write.py and
test_verify.py.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from command_line import SMALL, SMALL_PARAMETERS, SMALL_SIZE, assert_one_line, command, in_a_process

import fastinit as fi

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
        "engine": None,
        "workers": 1,
        "digests": {},
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


def test_write_takes_a_format(small, tmp_path, main):
    folder = tmp_path / "weights"
    code, out, _ = main("write", small, folder, "--format", "npy", "--dry-run", "--json")
    planned = json.loads(out)["files"]
    assert code == 0
    assert list(planned)[-1] == "fastinit.json"
    code, out, _ = main("write", small, folder, "--format", "npy", "--json")
    assert code == 0
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == planned
    assert main("verify", folder)[0] == 0
    code, _, err = main("write", small, tmp_path / "b", "--format", "npy", "--dtype", "bfloat16")
    assert code == 2
    assert_one_line(err, "'wte.weight' is bfloat16, for which NumPy's file format has no code")


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


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(name, marks=pytest.mark.slow if "deepseek" in name else ())
        for name in fi.presets()
    ],
)
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
    assert process.wait(timeout=60) == 0


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
        "not_portable": 0,
        "custom": [],
        "refilled": {},
        "unknown": 0,
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


@pytest.mark.parametrize("damage", ["cut short", "no header"])
def test_a_damaged_checkpoint_is_a_failed_verify_and_no_mistake(small, tmp_path, main, damage):
    fi.write(fi.plan(small), tmp_path / "weights", seed=5)
    file = tmp_path / "weights" / "model.safetensors"
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:-2])
    else:
        file.write_bytes(b"not safetensors at all")
    code, out, err = main("verify", tmp_path / "weights")
    assert (code, out) == (1, "")
    assert_one_line(err, "weights")


def test_a_folder_without_weights_is_a_mistake(small, tmp_path, main):
    fi.write(fi.plan(small), tmp_path / "weights", seed=5)
    (tmp_path / "weights" / "model.safetensors").unlink()
    code, out, err = main("verify", tmp_path / "weights")
    assert (code, out) == (2, "")
    assert_one_line(err, "weights holds no checkpoint")
