# SPDX-License-Identifier: MIT
"""Models of Hugging Face's transformers, made by their constructors inside `deferred`."""

from __future__ import annotations

import threading
from typing import Any

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from small_models import reduced  # noqa: E402 - only where torch is
from torch_samples import assert_as_pytorch_makes, materialised  # noqa: E402

import fastinit.torch as ft  # noqa: E402

QUICK = """
albert bert bloom clip deepseek_v3 gpt2 gpt_oss llama mamba2 modernbert t5 wav2vec2 whisper
xlnet
"""
SLOW = """
aimv2 aria blip canine dpr flava groupvit lxmert sam splinter vilt vits
"""
"""Types that tests/frameworks/small_models.py lacks."""


def small(kind: str) -> Any:
    """A function that makes a small model of a type."""
    kind_of_config = transformers.models.auto.configuration_auto.CONFIG_MAPPING[kind]
    found = transformers.MODEL_MAPPING[kind_of_config]
    model = found[0] if isinstance(found, tuple) else found
    config = reduced(kind_of_config())
    return lambda: model(config)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", QUICK.split())
def test_a_small_model_is_made_as_its_constructor_makes_it(kind):
    assert_as_pytorch_makes(small(kind), 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SLOW.split())
def test_a_model_is_made_as_its_constructor_makes_it(kind):
    assert_as_pytorch_makes(small(kind), 3)


def test_tied_heads_and_the_model_s_own_function():
    config = transformers.GPT2Config(vocab_size=120, n_embd=32, n_layer=1, n_head=2)
    model = materialised(lambda: transformers.GPT2LMHeadModel(config), 0)
    assert model.lm_head.weight is model.transformer.wte.weight
    assert abs(model.lm_head.weight.std() / config.initializer_range - 1) < 0.1
    rows = {row.name: row.outcome for row in ft.initialize_(model, seed=0).rows}
    assert rows["lm_head.weight"] == "tied"


def test_what_transformers_asks_is_answered_as_before_afterwards():
    query = transformers.modeling_utils.get_torch_context_manager_or_global_device
    code = query.__code__
    found = []
    with ft.deferred():
        torch.nn.Linear(2, 2)
        assert query() is None
        thread = threading.Thread(target=lambda: found.append(query.__code__))
        thread.start()
        thread.join()
    assert found[0] is not code
    assert query.__code__ is code
    with torch.device("meta"):
        assert query() == torch.device("meta")


def test_a_scheme_says_which_line_of_the_model_it_comes_from():
    """Not that of transformers' own torch.nn.init, which hands every call on."""
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=40, num_hidden_layers=1, num_attention_heads=4
    )
    with ft.deferred():
        model = transformers.LlamaModel(config)
    reasons = {tensor.scheme.reason for tensor in ft.plan(model)}
    assert all("transformers/modeling_utils.py:" in reason for reason in reasons), reasons
    assert all(" in _init_weights" in reason for reason in reasons), reasons
