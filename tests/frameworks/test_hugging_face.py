# SPDX-License-Identifier: MIT
"""The main job against Hugging Face: what `fastinit write` writes, its libraries load.

Nothing here is downloaded: the models are built from the presets' own configs.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_presets import SIZES, tiny

import fastinit as fi

pytestmark = pytest.mark.frameworks

SEED = 20_26
STANDARD_ERRORS = 4.0


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def transformers(torch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")  # read at import
        return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def safetensors_torch(torch):
    return pytest.importorskip("safetensors.torch")


@pytest.fixture(scope="module")
def hub():
    return pytest.importorskip("huggingface_hub")


def write_by_command_line(source, folder, *options):
    """`fastinit write SOURCE DIR`, as a user types it."""
    command = [sys.executable, "-m", "fastinit", "write", str(source), str(folder), "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parameters"] > 0


def bits(array):
    """The bytes of a NumPy array as unsigned integers, without a copy."""
    return np.asarray(array).reshape(-1).view(f"u{array.dtype.itemsize}")


def tensor_bits(torch, tensor):
    """The same of a torch tensor."""
    integer = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[tensor.element_size()]
    flat = tensor.detach().reshape(-1).view(integer).numpy()
    return flat.view(f"u{tensor.element_size()}")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("gpt2", "float32", "5GB"), id="gpt2-float32"),
        pytest.param(("gpt2", "bfloat16", "5GB"), id="gpt2-bfloat16"),
        pytest.param(("gpt2", "float16", "50MB"), id="gpt2-float16-in-shards"),
        pytest.param(("gpt2-xl", "float32", "5GB"), id="gpt2-xl-float32", marks=pytest.mark.slow),
        pytest.param(("gpt2-xl", "bfloat16", "1GB"), id="gpt2-xl-bfloat16", marks=pytest.mark.slow),
    ],
)
def checkpoint(request, tmp_path_factory):
    """A checkpoint of a preset, written by the command line; at most one on disk at a time."""
    preset, dtype, shard = request.param
    folder = tmp_path_factory.mktemp(preset) / "weights"
    options = ("--dtype", dtype, "--seed", str(SEED), "--max-shard-size", shard)
    write_by_command_line(preset, folder, *options)
    yield SimpleNamespace(
        preset=preset, dtype=dtype, shard=shard, folder=folder, plan=fi.plan(preset)
    )
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def loaded(checkpoint, transformers):
    """(model, what transformers says about the loading)."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint.folder, output_loading_info=True, low_cpu_mem_usage=True
    )


def test_transformers_finds_every_key_and_no_other(checkpoint, loaded):
    _, info = loaded
    assert set(info["missing_keys"]) <= {"lm_head.weight"}  # tied to wte.weight
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert not info["error_msgs"]


def test_the_loaded_parameters_are_the_written_bits(torch, checkpoint, loaded):
    model, _ = loaded
    opened = fi.open(checkpoint.folder)
    parameters = dict(model.transformer.named_parameters())
    assert sorted(parameters) == sorted(opened) == sorted(t.name for t in checkpoint.plan)
    for name, parameter in parameters.items():
        assert tuple(parameter.shape) == opened[name].shape
        assert np.array_equal(tensor_bits(torch, parameter), bits(opened[name])), name


def test_the_head_is_the_embedding(loaded):
    model, _ = loaded
    assert model.lm_head.weight.data_ptr() == model.transformer.wte.weight.data_ptr()


def test_the_model_has_the_dtype_that_was_written(torch, checkpoint, loaded):
    model, _ = loaded
    expected = getattr(torch, checkpoint.dtype)
    assert model.dtype == expected
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    assert sum(parameter.numel() for parameter in model.parameters()) == checkpoint.plan.parameters


def test_a_forward_pass_is_finite_and_knows_nothing(torch, loaded):
    """Fresh logits have a spread below 1, so the loss is near that of a guess, log(vocab)."""
    model, _ = loaded
    model.eval()
    tokens = torch.arange(100, 108)[None, :]  # few: a CPU without bfloat16 is slow
    with torch.no_grad():
        found = model(tokens, labels=tokens)
    assert torch.isfinite(found.logits).all()
    assert 0.1 < found.logits.float().std() < 2.0
    assert float(found.loss) == pytest.approx(math.log(50257), abs=1.0)


@pytest.mark.slow
def test_every_tensor_has_its_planned_spread(checkpoint):
    """Constants exactly; means and standard deviations of normals within 4 standard errors.

    gpt2 has 50 normal tensors, gpt2-xl 194: for a right program and a fresh seed one of the 100 or
    388 checks would fail with probability 0.6 % or 2.4 %.  Rounding to 8 bits adds 3e-7 to the
    standard deviation, 1/300 of the smallest standard error.
    """
    opened = fi.open(checkpoint.folder)
    normals = 0
    for tensor in checkpoint.plan:
        planned = tensor.scheme.distribution(tensor.shape)
        values = np.asarray(opened[tensor.name]).astype(np.float32, copy=False)
        if planned.std == 0:
            assert (values == planned.mean).all(), tensor.name
            continue
        normals += 1
        std = values.std(dtype=np.float64)
        error = planned.std / math.sqrt(2 * tensor.count)
        assert abs(std - planned.std) <= STANDARD_ERRORS * error, tensor.name
        mean = values.mean(dtype=np.float64)
        error = planned.std / math.sqrt(tensor.count)
        assert abs(mean - planned.mean) <= STANDARD_ERRORS * error, tensor.name
    assert normals == {"gpt2": 50, "gpt2-xl": 194}[checkpoint.preset]


def test_no_two_tensors_of_a_model_are_alike(checkpoint):
    """Tensors of one shape under one seed differ by their names alone."""
    opened = fi.open(checkpoint.folder)
    first = [
        opened[tensor.name].reshape(-1)[:64].tobytes()
        for tensor in checkpoint.plan
        if tensor.scheme.name == "normal"
    ]
    assert len(set(first)) == len(first)


def test_safetensors_loads_the_same_tensors(torch, safetensors_torch, checkpoint):
    opened = fi.open(checkpoint.folder)
    names = []
    for path in sorted(checkpoint.folder.glob("*.safetensors")):
        for name, tensor in safetensors_torch.load_file(path).items():
            names.append(name)
            assert tensor.dtype == getattr(torch, checkpoint.dtype)
            assert tuple(tensor.shape) == opened[name].shape
            assert np.array_equal(tensor_bits(torch, tensor), bits(opened[name])), name
    assert sorted(names) == sorted(opened)


def test_huggingface_hub_loads_it_into_a_model(torch, hub, transformers, checkpoint):
    """`load_torch_model` wants the whole folder's keys, no more and no fewer."""
    config = transformers.AutoConfig.from_pretrained(checkpoint.folder)
    with torch.device("meta"):
        model = transformers.GPT2Model(config)
    model = model.to(getattr(torch, checkpoint.dtype)).to_empty(device="cpu")
    found = hub.load_torch_model(model, checkpoint.folder, strict=True)
    assert not found.missing_keys
    assert not found.unexpected_keys
    opened = fi.open(checkpoint.folder)
    for name in ("wte.weight", "h.5.mlp.c_fc.weight", "ln_f.weight"):
        parameter = model.get_parameter(name)
        assert np.array_equal(tensor_bits(torch, parameter), bits(opened[name])), name


def test_huggingface_hub_loads_a_file_as_a_state_dict(torch, hub, checkpoint):
    opened = fi.open(checkpoint.folder)
    path = min(checkpoint.folder.glob("*.safetensors"))
    state = hub.load_state_dict_from_file(path)
    assert state
    for name, tensor in state.items():
        assert np.array_equal(tensor_bits(torch, tensor), bits(opened[name])), name


def test_the_shards_are_those_huggingface_hub_would_make(torch, hub, checkpoint):
    """Same greedy split, same index; its own splitter never sees the files."""
    index_path = checkpoint.folder / "model.safetensors.index.json"
    dtype = getattr(torch, checkpoint.dtype)
    state = {t.name: torch.empty(t.shape, dtype=dtype, device="meta") for t in checkpoint.plan}
    split = hub.split_torch_state_dict_into_shards(state, max_shard_size=checkpoint.shard)
    files = {path.name for path in checkpoint.folder.glob("*.safetensors")}
    assert files == set(split.filename_to_tensors)
    assert index_path.exists() == split.is_sharded
    if split.is_sharded:
        index = json.loads(index_path.read_text())
        assert index["weight_map"] == split.tensor_to_filename
        assert index["metadata"]["total_size"] == split.metadata["total_size"]


def test_the_checkpoint_verifies(checkpoint):
    assert fi.verify(checkpoint.folder).parameters == checkpoint.plan.parameters


def test_transformers_saves_again_what_it_loaded(checkpoint, loaded, tmp_path):
    """Saved again by transformers, read by us: the same bits under the same names."""
    if checkpoint.preset != "gpt2":
        pytest.skip("the same code as for gpt2, with another 6 GB on disk")
    model, _ = loaded
    model.save_pretrained(tmp_path, max_shard_size="5GB")
    again, opened = fi.open(tmp_path), fi.open(checkpoint.folder)
    prefixed = {name.removeprefix("transformer."): name for name in again}
    assert sorted(prefixed.keys() - {"lm_head.weight"}) == sorted(opened)
    for name, array in opened.items():
        assert again[prefixed[name]].dtype == array.dtype
        assert np.array_equal(bits(again[prefixed[name]]), bits(array)), name


# --- other models, shrunk --------------------------------------------------------------------

SLOW = ("deepseek-v3", "llama-3-70b", "mamba2-2.7b", "vit-base-patch16-224", "whisper-large-v3")


def shrunk(preset, folder):
    """The path of the preset's own text with smaller numbers in [sizes] and [config]."""
    path = folder / f"tiny-{preset}.toml"
    path.write_text(tiny(preset), "utf-8")
    return path


def inputs_of(torch, config, dtype):
    """What a model of this configuration takes: tokens, an image or a spectrogram."""
    tokens = torch.arange(3, 19)[None, :]
    if config.model_type == "vit":
        return {"pixel_values": torch.linspace(-1, 1, 3 * 32 * 32, dtype=dtype).view(1, 3, 32, 32)}
    if config.model_type == "whisper":
        frames = torch.linspace(-1, 1, 16 * 100, dtype=dtype).view(1, 16, 100)
        return {"input_features": frames, "decoder_input_ids": tokens}
    if config.model_type == "t5":
        return {"input_ids": tokens, "decoder_input_ids": tokens}
    return {"input_ids": tokens}


@pytest.mark.parametrize("shard", ["5GB", "40KB"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "preset",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SIZES],
)
def test_a_shrunk_preset_loads_into_transformers(
    torch, transformers, tmp_path, preset, dtype, shard
):
    """Also those whose experts transformers stacks in memory and unstacks when it saves."""
    path = shrunk(preset, tmp_path)
    folder = tmp_path / "weights"
    write_by_command_line(path, folder, "--dtype", dtype, "--max-shard-size", shard)
    plan, wanted = fi.plan(path), getattr(torch, dtype)
    model, info = getattr(transformers, plan.config["architectures"][0]).from_pretrained(
        folder, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert not info["error_msgs"]
    assert model.dtype == wanted
    held = {tensor.data_ptr(): tensor.numel() for tensor in model.state_dict().values()}
    assert sum(held.values()) == plan.parameters
    with torch.no_grad():
        logits = model.eval()(**inputs_of(torch, model.config, wanted)).logits
    assert logits.shape[-1] == (10 if preset.startswith("vit") else 640)
    assert torch.isfinite(logits).all()
    assert logits.float().std() > 0
    model.save_pretrained(tmp_path / "saved")
    saved, opened = fi.open(tmp_path / "saved"), fi.open(folder)
    short = {name.removeprefix("transformer."): name for name in saved}
    assert sorted(short) == sorted(opened)
    for name, array in opened.items():
        assert saved[short[name]].dtype == array.dtype, name
        assert np.array_equal(bits(saved[short[name]]), bits(array)), name


def test_the_missing_tensor_of_a_plan_is_noticed_by_transformers(transformers, tmp_path):
    """The check above can fail: transformers reports what a plan leaves out."""
    path = shrunk("llama-3-8b", tmp_path)
    text = path.read_text("utf-8")
    entry = re.search(r'\[\[tensor\]\]\nname = "model\.norm\.weight"\n(?:.+\n)+', text)
    path.write_text(text.replace(entry.group(), ""), "utf-8")
    write_by_command_line(path, tmp_path / "weights")
    _, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "weights", output_loading_info=True
    )
    assert set(info["missing_keys"]) == {"model.norm.weight"}
