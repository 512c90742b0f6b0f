# SPDX-License-Identifier: MIT
"""Whatever plan is written is read back, by us and by the libraries of Hugging Face."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

import fastinit as fi
from fastinit.plans.tensors import check_name

pytestmark = pytest.mark.frameworks

ODD = st.sampled_from(
    [*"ab._0/\\\"' {}[]:,%~*", "é", "\u202e", "\u200b", "\u2028", "\ufeff", "\U0001f600", "\uffff"]
)
NAMES = st.text(ODD, min_size=1, max_size=12)
SIZES = st.lists(st.sampled_from([0, 1, 1, 2, 3]), max_size=5)
LONG = st.lists(st.sampled_from([1, 1, 1, 2]), min_size=60, max_size=64).filter(
    lambda sizes: sizes.count(2) < 12
)
EMPTY = st.sampled_from([(0, 2**59), (2**59, 0), (2**20, 0, 2**20)])
DTYPES = [None, "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"]
TENSORS = st.builds(
    fi.Tensor,
    NAMES,
    st.one_of(SIZES, LONG, EMPTY).map(tuple),
    st.sampled_from(["zeros()", "ones()", "normal(std=0.02)"]),
    st.sampled_from(DTYPES),
)
CONFIGS = st.none() | st.fixed_dictionaries(
    {"model_type": NAMES, "large": st.integers(-(2**4000), 2**4000), "none": st.none()}
)
PLANS = st.builds(
    fi.Plan,
    st.lists(TENSORS, min_size=1, max_size=6, unique_by=lambda tensor: tensor.name),
    name=st.text(st.characters(codec="utf-8"), max_size=20).filter(str.isprintable),
    config=CONFIGS,
)


@pytest.fixture(scope="module")
def loaders(torch):
    """The state dict of a file, by library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")  # read at import
        hub = pytest.importorskip("huggingface_hub")
        modeling = pytest.importorskip("transformers.modeling_utils")
    return hub.load_state_dict_from_file, modeling.load_state_dict


def raw(torch, tensor):
    """The bytes of a torch tensor."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plan=PLANS, dtype=st.sampled_from(DTYPES), shard=st.sampled_from([8, 100, 10**6]))
def test_what_can_be_planned_and_written_every_reader_reads(torch, loaders, plan, dtype, shard):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fi.write(plan, folder, seed=1, dtype=dtype, max_shard_size=shard, durability="none")
        assert fi.verify(folder).tensors == len(plan)
        opened = fi.open(folder)
        shapes = {tensor.name: tensor.shape for tensor in plan}
        assert {name: array.shape for name, array in opened.items()} == shapes
        read = set()
        for path in folder.glob("*.safetensors"):
            with safe_open(path, "pt") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            for found in (state, *(load(path) for load in loaders)):
                assert found.keys() == state.keys()
                for name, tensor in found.items():
                    assert tuple(tensor.shape) == shapes[name]
                    if tensor.numel():
                        assert raw(torch, tensor) == np.asarray(opened[name]).tobytes()
            read |= state.keys()
        assert read == shapes.keys()
        if plan.config is not None:
            config = json.loads((folder / "config.json").read_text())
            assert config.items() >= plan.config.items()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=5))
def test_a_name_that_is_taken_is_one_that_safetensors_takes(name):
    """And one that our own reader takes: it checks names in the same way."""
    try:
        check_name(name)
    except ValueError:
        return
    tensor = fi.Tensor(name, (1,), "zeros()")
    with tempfile.TemporaryDirectory() as folder:
        fi.write(fi.Plan([tensor]), folder, seed=0, durability="none")
        assert list(fi.open(folder)) == [name]
        with safe_open(Path(folder, "model.safetensors"), "numpy") as file:
            assert list(file.keys()) == [name]
