# SPDX-License-Identifier: MIT
"""stats: what is measured of any checkpoint, and what is said to differ from its plan."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys

import numpy as np
import pytest
from checkpoint_plans import plan_of
from test_verify import rewrite_header

import fastinit as fi
from fastinit.checkpoints import stats
from fastinit.checkpoints.analysis import measuring
from fastinit.checkpoints.formats.safetensors.dtypes import ARRAYS
from fastinit.errors import CheckpointError, InvalidCheckpointError
from fastinit.numerics.dtypes import DTYPES

ONE = "model.safetensors"


def put(path, arrays):
    """A safetensors file of some arrays by name, or of (code, shape, bytes)."""
    codes = {kind: code for code, kind in ARRAYS.items()}
    header, data = {}, b""
    for name, array in arrays.items():
        code, shape, content = (
            array
            if isinstance(array, tuple)
            else (codes[array.dtype], array.shape, array.tobytes())
        )
        header[name] = {
            "dtype": code,
            "shape": list(shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def change(folder, name, function):
    """Replace the values of a tensor in a folder of one file by a function of them."""
    path = folder / ONE
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    stored = fi.open(folder)
    values = stored[name]
    made = np.asarray(function(values.astype(np.float64))).astype(values.dtype)
    header = json.loads(path.read_bytes()[8 : 8 + length])
    start = 8 + length + header[name]["data_offsets"][0]
    del stored, values
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(made.tobytes())


def written(folder, *rows, seed=0, **options):
    fi.write(plan_of(*rows), folder, seed=seed, **options)
    return folder


# ---- what is measured ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", ARRAYS)
def test_every_dtype_that_numpy_shows_is_measured(tmp_path, code):
    kind = ARRAYS[code]
    bits = np.random.default_rng(3).integers(0, 2, 3000, np.uint8)
    values = (bits * 3 + np.arange(3000) % 5).astype(kind) if kind.kind != "b" else bits == 1
    report = stats(put(tmp_path / ONE, {"w": values.reshape(30, 100)}))
    if code == "C64":
        assert report.unreadable == {"w": "C64"}
        assert report.tensors == ()
        return
    wide, found = values.astype(np.float64), report["w"].moments
    wide = wide[np.isfinite(wide)]  # 0 is NaN as float8_e8m0fnu
    assert (found.count, found.finite, found.zeros) == (3000, wide.size, (wide == 0).sum())
    assert found.mean == pytest.approx(wide.mean(), rel=1e-6)
    assert found.std == pytest.approx(wide.std(), rel=1e-6)
    assert (found.low, found.high) == (wide.min(), wide.max())
    assert report["w"].shape == (30, 100)
    assert report["w"].note == "no recipe"
    assert report["w"].dtype == next((n for n in DTYPES if DTYPES[n].numpy == kind), code)


def test_packed_tensors_are_named_and_the_others_measured(tmp_path):
    arrays = {"packed": ("F4", (4, 4), bytes(8)), "w": np.ones(7, np.float32)}
    report = stats(put(tmp_path / ONE, arrays))
    assert report.unreadable == {"packed": "F4"}
    assert [tensor.name for tensor in report.tensors] == ["w"]
    assert report.size == 28


def test_a_folder_of_npy_files_is_measured_beside_its_plan(tmp_path):
    written(tmp_path, ("a", (300, 40), "normal(std=0.5)"), ("b", (9,), "ones()"), format="npy")
    report = stats(tmp_path)
    assert report["a"].scores is not None
    assert report["a"].planned.std == 0.5
    assert report.differing == ()
    assert len(report.tensors) == 2


def test_an_empty_tensor_and_one_without_axes(tmp_path):
    written(tmp_path, ("none", (0, 5), "normal(std=1)"), ("one", (), "normal(std=1)"))
    report = stats(tmp_path)
    assert report["none"].moments.count == 0
    assert math.isnan(report["none"].moments.mean)
    assert report["one"].moments.std == 0
    assert report.differing == ()
    assert report["one"].note == "too few elements to judge its moments"


def test_layouts_threads_and_selections_change_no_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "READ_SIZE", 2**14)  # so that tensors have several chunks
    rows = [(f"w.{n}", (50 + 37 * n, 61), "normal(std=0.02)") for n in range(8)]
    one = written(tmp_path / "one", *rows, dtype="bfloat16")
    many = written(tmp_path / "many", *rows, dtype="bfloat16", max_shard_size=30_000)
    found = [stats(one, threads=1), stats(one, threads=3), stats(many), stats(one, "w.[5-7]")]
    expected = {tensor.name: tensor.moments for tensor in found[0].tensors}
    for report in found[1:]:
        for tensor in report.tensors:
            assert tensor.moments == expected[tensor.name]
    assert [tensor.name for tensor in found[3].tensors] == ["w.5", "w.6", "w.7"]
    assert len(found[2].files) > 3


def test_progress_counts_every_byte(tmp_path):
    written(tmp_path, ("a", (3000, 500), "normal(std=1)"), ("b", (10,), "zeros()"))
    seen: list[int] = []
    report = stats(tmp_path, progress=seen.append)
    assert sum(seen) == report.size == 4 * 1_500_010


# ---- what differs -------------------------------------------------------------------------------

DAMAGE = {
    "scaled": (lambda x: x * 1.05, "std by"),
    "shifted": (lambda x: x + 0.002, "mean by"),
    "truncated": (lambda x: np.clip(x, -0.03, 0.03), "std by"),
    "an outlier": (lambda x: np.where(np.arange(x.size) == 7, 1.0, x.ravel()), "outside ["),
    "a NaN": (lambda x: np.where(np.arange(x.size) == 7, math.nan, x.ravel()), "1 NaN"),
    "an infinity": (lambda x: np.where(np.arange(x.size) == 7, math.inf, x.ravel()), "1 infinite"),
    "zeros": (lambda x: x * 0, "std by"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_damage_is_found_in_the_tensor_that_has_it(tmp_path, damage, dtype):
    rows = [(name, (200, 300), "normal(std=0.02)") for name in ("a", "b", "c")]
    written(tmp_path, *rows, dtype=dtype)
    assert stats(tmp_path).differing == ()
    function, words = DAMAGE[damage]
    change(tmp_path, "b", function)
    (tensor,) = stats(tmp_path).differing
    assert tensor.name == "b"
    assert any(words in text for text in tensor.differs)


def test_a_constant_that_is_another_differs(tmp_path):
    written(tmp_path, ("a", (20,), "ones()"), ("b", (20,), "constant(0.1)"), dtype="bfloat16")
    assert stats(tmp_path).differing == ()
    change(tmp_path, "b", lambda x: np.where(np.arange(20) == 3, 0.2, x))
    (tensor,) = stats(tmp_path).differing
    assert tensor.differs[0] == "not 0.100098 everywhere"


def test_without_a_recipe_only_nan_and_infinities_count(tmp_path):
    arrays = {"a": np.full(9, 1e30, np.float32), "b": np.array([1, math.nan], np.float32)}
    report = stats(put(tmp_path / ONE, arrays))
    assert [tensor.name for tensor in report.differing] == ["b"]
    assert report["a"].planned is None
    assert report["b"].differs == ("1 NaN",)


def test_rounding_to_float8_is_no_difference(tmp_path):
    """Its standard deviation is not that of the scheme, and a million elements show it."""
    written(tmp_path, ("w", (1000, 2000), "normal(std=0.002)"), dtype="float8_e4m3fn")
    tensor = stats(tmp_path)["w"]
    error = 0.002 * math.sqrt((tensor.planned.kurtosis - 1) / (4 * 2_000_000))
    assert abs(tensor.moments.std - 0.002) > 50 * error
    assert abs(tensor.scores.std) < 5
    assert not tensor.differs


@pytest.mark.parametrize(
    ("init", "note"),
    [
        ("orthogonal()", "no law: its elements depend"),
        ("sparse(sparsity=0.5)", "no law: its elements depend"),
        ("identity()", "no law: its elements depend"),
        ("log_uniform(low=0.1, high=1)", "no law: a formula or a custom"),
        ("uniform(low=-1e-40, high=2e-40)", "no law: its values are so small"),
        ("normal(std=1e-44)", "no law: its values are so small"),
        ("normal(std=0.02, mean=1e6)", "no law: float32 numbers near 1e+06 are too far apart"),
    ],
)
def test_where_no_law_is_known_the_report_says_so(tmp_path, init, note):
    written(tmp_path, ("w", (32, 32), init))
    tensor = stats(tmp_path)["w"]
    assert tensor.planned is None
    assert tensor.note.startswith(note)
    assert not tensor.differs


@pytest.mark.parametrize("dtype", ["float64", "float8_e4m3fn"])
@pytest.mark.parametrize("shape", [(), (600,)])
def test_the_widest_uniform_is_judged(tmp_path, shape, dtype):
    """Its range is beyond float64."""
    written(tmp_path, ("w", shape, "uniform(low=-1e308, high=1e308)"), dtype=dtype)
    tensor = stats(tmp_path)["w"]
    assert tensor.planned.kurtosis == pytest.approx(1.8 if dtype == "float64" else 1, rel=1e-3)
    assert not tensor.differs
    assert shape == () or (abs(tensor.scores.mean) < 5 and abs(tensor.scores.std) < 5)


@pytest.mark.parametrize(("dtype", "largest"), [("float8_e5m2", 57344), ("float8_e4m3fn", 448)])
def test_values_that_all_saturate_are_as_planned(tmp_path, dtype, largest):
    rows = ("one", (600,), "normal(std=0.02, mean=1e6)"), ("two", (600,), "normal(std=1e308)")
    one, two = stats(written(tmp_path, *rows, dtype=dtype)).tensors
    assert (one.planned.low, one.planned.high, one.differs) == (largest, largest, ())
    assert (two.planned.low, two.planned.high, two.differs) == (-largest, largest, ())


def test_a_recipe_that_cannot_be_read_is_a_note(tmp_path):
    written(tmp_path, ("w", (4, 4), "ones()"))
    rewrite_header(
        tmp_path / ONE, lambda header: header["__metadata__"].update(fastinit='{"a":"b"}')
    )
    assert stats(tmp_path)["w"].note.startswith("its recipe cannot be read: it must have exactly")


def test_a_recipe_of_another_dtype_or_without_the_tensor_is_a_note(tmp_path):
    written(tmp_path, ("w", (4, 4), "ones()"), ("v", (4,), "ones()"))

    def edit(header):
        header["w"]["dtype"] = "I32"
        header["u"] = header.pop("v")

    rewrite_header(tmp_path / ONE, edit)
    report = stats(tmp_path)
    assert report["w"].note == "no recipe draws its dtype"
    assert report["u"].note == "not in the recipe"


def test_an_untrusted_custom_distribution_is_a_note(tmp_path):
    written(tmp_path, ("w", (4, 4), "normal(std=1)"))
    label, digest = "my.module:spike(scale=2)", "0" * 64

    def edit(header):
        recipe = json.loads(header["__metadata__"]["fastinit"])
        recipe["init"]["w"] = label
        recipe["custom"] = {"my.module:spike": digest}
        header["__metadata__"]["fastinit"] = json.dumps(recipe)

    rewrite_header(tmp_path / ONE, edit)
    assert "my.module:spike" in stats(tmp_path)["w"].note


# ---- mistakes -----------------------------------------------------------------------------------


def test_a_pattern_that_matches_nothing_is_refused(tmp_path):
    written(tmp_path, ("w", (4,), "ones()"))
    with pytest.raises(ValueError, match="no tensor matches 'v'"):
        stats(tmp_path, ["w", "v"])
    with pytest.raises(TypeError, match="names are 7: need a pattern"):
        stats(tmp_path, 7)
    with pytest.raises(KeyError, match="v"):
        stats(tmp_path)["v"]


def test_a_file_that_is_missing_or_shrinks_is_an_error(tmp_path):
    rows = [(f"w.{n}", (4096,), "normal(std=1)") for n in range(4)]
    written(tmp_path, *rows, max_shard_size=20_000)
    files = sorted(path for path in tmp_path.iterdir() if path.suffix == ".safetensors")
    content = files[1].read_bytes()
    files[1].write_bytes(content[:-1])
    with pytest.raises(InvalidCheckpointError, match="was cut short"):
        stats(tmp_path)
    files[1].unlink()
    with pytest.raises(InvalidCheckpointError, match="is missing"):
        stats(tmp_path)
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        stats(tmp_path / "nowhere" if (tmp_path / "nowhere").mkdir() is None else tmp_path)


def test_an_index_that_names_what_a_file_lacks_is_an_error(tmp_path):
    rows = [(f"w.{n}", (4096,), "normal(std=1)") for n in range(4)]
    written(tmp_path, *rows, max_shard_size=20_000)
    index = tmp_path / "model.safetensors.index.json"
    text = json.loads(index.read_text())
    text["weight_map"]["other"] = next(iter(text["weight_map"].values()))
    index.write_text(json.dumps(text))
    with pytest.raises(InvalidCheckpointError, match="has no tensor 'other', which the index says"):
        stats(tmp_path)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path, monkeypatch):
    path = put(tmp_path / ONE, {"w": np.ones(2**20, np.float32)})
    opened = fi.Checkpoint.open_file

    def shrink(self, *arguments):
        found = opened(self, *arguments)
        with open(path, "r+b") as file:
            file.truncate(1000)
        return found

    checkpoint = fi.Checkpoint(path)
    monkeypatch.setattr(fi.Checkpoint, "open_file", shrink)
    with pytest.raises(InvalidCheckpointError, match="it became shorter"):
        measuring.measured(checkpoint, ONE, ["w"], 2)


# ---- calibration --------------------------------------------------------------------------------

LAWS = [
    "normal(std=0.02)",
    "normal(std=0.5, mean=0.3)",
    "uniform(low=-0.1, high=0.3)",
    "truncated_normal(std=0.02)",
    "truncated_normal(std=1, low=0.5, high=3)",
    "clipped_normal(std=1, low=-0.5, high=2)",
    "he_normal()",
    "xavier_uniform()",
]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("init", LAWS)
def test_scores_are_standard_normal(tmp_path, init, dtype):
    """Kolmogorov-Smirnov at 1e-4 for 96 rows; seeds are fixed, so it is once for all."""
    from scipy import stats as scipy_stats

    rows = [(f"w.{n}", (60, 70), init) for n in range(800)]
    report = stats(written(tmp_path, *rows, dtype=dtype, seed=7))
    assert report.differing == ()
    for which in ("mean", "std"):
        z = [getattr(tensor.scores, which) for tensor in report.tensors]
        assert scipy_stats.kstest(z, "norm").pvalue > 1e-4, which
        assert np.mean(np.abs(z) > 2.5758) == pytest.approx(0.01, abs=0.015)


def test_ten_thousand_tensors_as_planned_give_no_alarm(tmp_path):
    rows = [(f"w.{n}", (20, 25), LAWS[n % 4]) for n in range(4000)]
    report = stats(written(tmp_path, *rows, dtype="bfloat16", seed=3))
    assert report.differing == ()
    assert report.threshold > 6
    judged = [tensor for tensor in report.tensors if tensor.scores]
    assert len(judged) >= 3000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_checkpoint(tmp_path):
    written(tmp_path, ("w", (2**26, 4), "normal(std=1)"), dtype="bfloat16", durability="none")
    # VmHWM belongs to this process alone; ru_maxrss begins with that of the process that forked it.
    code = (
        f"import fastinit as fi; fi.stats({str(tmp_path)!r});"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kilobytes = int(run.stdout.split()[1])
    assert 20_000 < kilobytes < 300_000
