# SPDX-License-Identifier: MIT
"""Rules on the plan of a configuration: they decide before the model's code."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import fastinit as fi  # noqa: E402 - only where torch is
import fastinit.transformers as fh  # noqa: E402
from fastinit.errors import ModuleError  # noqa: E402

POSITIONS = "model.encoder.embed_positions.weight"
"""Whisper's table of sines and cosines, which in float16 follows no formula."""


def whisper():
    return transformers.WhisperConfig(
        vocab_size=120,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=40,
        decoder_ffn_dim=40,
        max_source_positions=64,
        max_target_positions=64,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        dtype="float16",
        architectures=["WhisperForConditionalGeneration"],
    )


@pytest.mark.parametrize("names", ["hub", "module"])
def test_a_rule_makes_what_the_model_cannot_be_recorded_to_make(names):
    rules = {POSITIONS: "sinusoid('halves')"}
    plan = fh.plan(whisper(), names=names, rules=rules)
    assert str(plan[POSITIONS].scheme) == "sinusoid(kind='halves')"
    assert (plan[POSITIONS].dtype, plan[POSITIONS].scheme.reason) == ("float16", "rule 1")
    other = plan["model.encoder.conv1.weight"].scheme
    assert str(other) == "normal(std=0.02)"
    assert "_init_weights" in other.reason


def test_the_message_says_what_works(tmp_path):
    for rules in (None, {"*.conv1.weight": "zeros()"}):
        with pytest.raises(ModuleError, match=rf"{POSITIONS}.*\n.* by rules, .* --rules") as caught:
            fi.plan(whisper(), rules=rules)
        assert list(caught.value.problems) == [POSITIONS]
    with pytest.raises(ModuleError):
        fi.write(whisper(), tmp_path / "weights", seed=0)
    assert not (tmp_path / "weights").exists()
    plan = fi.plan(whisper(), rules={POSITIONS: "sinusoid('halves')"})
    fi.write(plan, tmp_path / "weights", seed=0)
    table = fi.open(tmp_path / "weights")[POSITIONS]
    assert np.array_equal(table[0], [0] * 16 + [1] * 16)


def test_a_rule_that_decides_nothing_is_refused():
    for dummy in (False, True):
        with pytest.raises(ValueError, match="is never used: it matches no tensor"):
            fh.plan(whisper(), dtype="float32", dummy=dummy, rules={"nothing": "zeros()"})


def test_rules_go_on_top_of_a_dummy():
    plan = fh.plan(whisper(), dummy=True, rules={"*.conv1.weight": "ones()"})
    assert str(plan["model.encoder.conv1.weight"].scheme) == "ones()"
    assert plan[POSITIONS].scheme.reason.startswith("a substitute: ")
