# SPDX-License-Identifier: MIT
"""The presets against transformers: the class on meta, and small models that it makes itself."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

from tiny_presets import tiny  # noqa: E402

import fastinit as fi  # noqa: E402
import fastinit.transformers as fh  # noqa: E402
from fastinit.plans.toml import read_toml  # noqa: E402
from fastinit.schemes.expressions import SchemeCall, parse_call  # noqa: E402

STANDARD_ERRORS = 6.0
ROUNDED = ("whisper-large-v3", "mamba2-2.7b")
"""Presets in float16 whose tables are those of a model in float32, rounded once."""


SLOW = ("whisper-large-v3", "deepseek-v3")
PRESETS = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in fi.presets()
]


def dtype_of(name):
    """The dtype in which transformers makes the model of a preset."""
    return "float32" if name in ROUNDED else fi.plan(name).dtype or "float32"


def class_and_config(plan):
    config = transformers.AutoConfig.for_model(**plan.config)
    return getattr(transformers, plan.config["architectures"][0]), config


@cache
def class_plan(name):
    """What transformers' class makes of the config of a preset, by the names of its checkpoints."""
    made = fh.plan(class_and_config(fi.plan(name))[1], names="module", dtype=dtype_of(name))
    return {key: row for tensor in made for key, row in hub_rows(name, tensor).items()}


# --- module names -> hub names ---------------------------------------------------------------

VIT_NAMES = [
    (r"^vit\.layers\.(\d+)\.", r"vit.encoder.layer.\1."),
    (r"\.attention\.([qkv])_proj\.", r".attention.attention.\1."),
    (r"\.attention\.attention\.q\.", ".attention.attention.query."),
    (r"\.attention\.attention\.k\.", ".attention.attention.key."),
    (r"\.attention\.attention\.v\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
]
RENAMED = {
    "gpt2": [(r"^transformer\.", "")],
    "gpt2-xl": [(r"^transformer\.", "")],
    "mixtral-8x7b": [(r"\.mlp\.(gate|experts)\.", r".block_sparse_moe.\1.")],
    "vit-base-patch16-224": VIT_NAMES,
}
MATRICES = {
    "deepseek-v3": ("gate_proj", "up_proj", "down_proj"),
    "mixtral-8x7b": ("w1", "w3", "w2"),
}


def hub_rows(preset, tensor):
    """{name on the hub: (shape, dtype, scheme)} of a module's tensor; experts one by one."""
    name = tensor.name
    for pattern, new in RENAMED.get(preset, []):
        name = re.sub(pattern, new, name)
    if preset not in MATRICES or ".experts." not in name:
        return {name: (tensor.shape, tensor.dtype, tensor.scheme)}
    count, rows, columns = tensor.shape
    parts = MATRICES[preset][2:]
    if name.endswith("gate_up_proj"):
        parts, rows = MATRICES[preset][:2], rows // 2
    stem = name.rpartition(".")[0]
    return {
        f"{stem}.{expert}.{part}.weight": ((rows, columns), tensor.dtype, tensor.scheme)
        for expert in range(count)
        for part in parts
    }


# --- the whole models, on meta ---------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_names_and_shapes_are_those_of_the_class(name):
    mine = {tensor.name: tensor.shape for tensor in fi.plan(name)}
    assert mine == {key: shape for key, (shape, _, _) in class_plan(name).items()}


@pytest.mark.parametrize("name", PRESETS)
def test_dtypes_are_those_of_the_class(name):
    """Where the table had to be made in float32, the class holds all in float16, too."""
    plan = fi.plan(name)
    found = {tensor.name: plan.resolved_dtype(tensor) for tensor in plan}
    theirs = {key: dtype for key, (_, dtype, _) in class_plan(name).items()}
    if name not in ROUNDED:
        assert found == theirs
        return
    assert set(found.values()) == {plan.dtype}
    cls, config = class_and_config(plan)
    with torch.device("meta"):
        model = cls._from_config(config, dtype=getattr(torch, plan.dtype))
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float16}


@pytest.mark.parametrize("name", PRESETS)
def test_distributions_are_those_of_the_class(name):
    theirs = class_plan(name)
    compared = set()
    for tensor in fi.plan(name):
        case = (str(tensor.scheme), str(theirs[tensor.name][2]), tensor.shape)
        if case not in compared:
            compared.add(case)
            assert_same_distribution(tensor, theirs[tensor.name][2])
    assert compared


def assert_same_distribution(tensor, expected):
    """By the texts, up to the last bits of numbers; else by moments and by every value drawn."""
    if near(parse_call(str(tensor.scheme)), parse_call(str(expected))):
        return
    assert tensor.count < 2**20, f"{tensor.name}: {tensor.scheme} is not {expected}"
    mine, theirs = (each.distribution(tensor.shape) for each in (tensor.scheme, expected))
    assert mine.mean == pytest.approx(theirs.mean, rel=1e-12), tensor.name
    assert mine.std == pytest.approx(theirs.std, rel=1e-12), tensor.name
    values = [fi.array(tensor.shape, each, seed=7, name="w") for each in (tensor.scheme, expected)]
    assert np.allclose(*values, rtol=1e-6, atol=1e-6), tensor.name


def near(one, other):
    """Whether two parsed schemes are alike, up to 4 units in the last place of numbers."""
    if isinstance(one, float) and isinstance(other, float | int):
        return one == pytest.approx(other, rel=1e-15)
    if isinstance(one, SchemeCall) and isinstance(other, SchemeCall):
        return near(tuple(one), tuple(other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(near, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(near(one[key], other[key]) for key in one)
    return one == other


# --- small models, made and saved by transformers --------------------------------------------


@pytest.fixture(scope="module", params=fi.presets())
def saved(request, tmp_path_factory):
    """(the plan of a small preset, what a new model of transformers saves)."""
    plan = read_toml(tiny(request.param), request.param)
    cls, config = class_and_config(plan)
    torch.manual_seed(20190214)
    model = cls._from_config(config, dtype=getattr(torch, dtype_of(request.param)))
    folder = tmp_path_factory.mktemp("saved")
    model.save_pretrained(folder)
    tensors = safetensors.load_file(folder / "model.safetensors")
    if request.param.startswith("gpt2"):  # the hub's file is that of GPT2Model
        tensors = {key.removeprefix("transformer."): value for key, value in tensors.items()}
    return plan, tensors


def test_a_new_model_saves_the_names_shapes_and_dtypes_of_its_preset(saved):
    plan, tensors = saved
    found = {key: (tuple(value.shape), value.dtype) for key, value in tensors.items()}
    wide = plan.name in ROUNDED
    assert found == {
        tensor.name: (
            tensor.shape,
            torch.float32 if wide else getattr(torch, plan.resolved_dtype(tensor)),
        )
        for tensor in plan
    }


def test_a_new_model_has_the_distributions_of_its_preset(saved):
    """Constants and tables exactly; means and deviations within 6 standard errors.

    The number of comparisons is below 2,000 in all, so a right program and a fresh seed fail with a
    probability of 4e-6.  Where a distribution is not normal, its tails are lighter.
    """
    plan, tensors = saved
    for tensor in plan:
        values = tensors[tensor.name].double().numpy()
        call = parse_call(str(tensor.scheme))
        if call.name in ("sinusoid", "log_arange"):
            table = fi.array(tensor.shape, tensor.scheme, seed=0, name="table")
            assert np.abs(values - table).max() < 1e-5, tensor.name
            continue
        scheme = tensor.scheme
        if call.name == "parts":
            assert not values[5].any(), tensor.name
            scheme, values = fi.scheme("normal(std=0.02)"), np.delete(values, 5, axis=0)
        planned = scheme.distribution(tensor.shape)
        error = STANDARD_ERRORS * planned.std / np.sqrt(values.size)
        assert abs(values.mean() - planned.mean) <= error, tensor.name
        assert abs(values.std() - planned.std) <= error / np.sqrt(2), tensor.name
