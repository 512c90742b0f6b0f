# SPDX-License-Identifier: MIT
"""Small models of every kind of transformers beside transformers' own; the checks a to d."""

from __future__ import annotations

import os

import pytest

pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import architecture_checks as checks  # noqa: E402 - only where torch is
from small_models import ARCHITECTURES, TASKS  # noqa: E402
from torch_samples import materialised, tensors_of  # noqa: E402

import fastinit as fi  # noqa: E402

QUICK = ("bert", "clip", "gpt2", "llama", "mixtral", "t5", "vit", "wav2vec2")
LLAMA = ARCHITECTURES["llama"]

OTHERS = [kind for kind in ARCHITECTURES if kind not in QUICK]
SLOW = OTHERS if os.environ.get("FASTINIT_MODELS") == "all" else OTHERS[::4]
"""All of them take ten minutes: FASTINIT_MODELS=all pytest --slow tests/frameworks."""


@pytest.mark.parametrize(
    "kind", [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]
)
def test_an_architecture_is_as_transformers_makes_it(kind):
    """But for what is known, which docs/architectures.md lists."""
    found = checks.examined(ARCHITECTURES[kind])
    assert checks.unexpected(found) == []
    assert found.parameters > 0


def test_architectures_of_every_kind_are_compared():
    assert len(ARCHITECTURES) >= 82
    assert {architecture.task for architecture in ARCHITECTURES.values()} == set(TASKS)


def builds(make, first):
    return [tensors_of(make(first + number)) for number in range(checks.BUILDS)]


def theirs(kind="llama"):
    return lambda seed: checks.built(ARCHITECTURES[kind], torch.float32, seed)


def ruled(kind, rule):
    """A function that makes a model with another scheme for some of its tensors."""
    architecture = ARCHITECTURES[kind]

    def make(seed):
        plain = lambda: architecture.cls._from_config(architecture.config())  # noqa: E731
        return materialised(plain, seed, rules=[rule])

    return make


def test_two_samples_of_transformers_do_not_differ():
    assert list(checks.differences(builds(theirs(), 1), builds(theirs(), 100))) == []


@pytest.mark.parametrize(
    ("kind", "rule", "message"),
    [
        ("llama", ("*.q_proj.weight", fi.normal(0.025)), ".self_attn.q_proj.weight: another dist"),
        ("llama", ("*.1.mlp.up_proj.weight", fi.normal(0.03)), "layers.#.mlp.up_proj.weight: ano"),
        ("llama", ("*.gate_proj.weight", fi.uniform(-0.0346, 0.0346)), "gate_proj.weight: another"),
        ("llama", ("*.norm.weight", fi.constant(1.001)), "model.norm.weight: other constants"),
        ("bert", ("*.word_embeddings.weight", fi.normal(0.02)), "other elements are random"),
    ],
    ids=["scale", "one layer", "law", "constant", "padding"],
)
def test_another_distribution_is_found(kind, rule, message):
    found = list(checks.differences(builds(ruled(kind, rule), 1), builds(theirs(kind), 1)))
    assert found
    assert all(message in text for text in found)


def test_a_lost_tie_and_another_dtype_are_found():
    config = ARCHITECTURES["gpt2"].config()
    tied = transformers.GPT2LMHeadModel(config)
    config.tie_word_embeddings = False
    loose = transformers.GPT2LMHeadModel(config).to(torch.bfloat16)
    found = list(checks._models_differ(loose, tied))
    assert any("transformer.wte.weight is" in text and "bfloat16" in text for text in found)
    assert "other ties: [('transformer.wte.weight', 'lm_head.weight')]" in found


def test_a_plan_that_lacks_a_tensor_is_found():
    plan = checks.planned(LLAMA, torch.float32)
    fewer = fi.Plan([tensor for tensor in plan if tensor.name != "model.norm.weight"])
    (found,) = checks._plan_differs(fewer, theirs()(0))
    assert found == "model.norm.weight is None in the plan, and ((32,), 'float32') in the model"


def test_a_loaded_model_of_another_seed_is_found():
    ours, other = (checks.made(LLAMA, torch.float32, seed) for seed in (0, 1))
    found = list(checks._other_bits({}, ours, other))
    assert "lm_head.weight has other bits when loaded" in found
    assert not any("norm" in text for text in found)
    assert list(checks._other_bits({}, ours, ours)) == []
