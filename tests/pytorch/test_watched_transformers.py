# SPDX-License-Identifier: MIT
"""LSUV and propagation of a model of transformers, which has layers and outputs of its own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.frameworks

from fastinit.torch import lsuv_, propagation  # noqa: E402

IDS = torch.arange(40).reshape(4, 10)


@pytest.fixture(scope="module")
def gpt2():
    config = transformers.GPT2Config(
        n_layer=2,
        n_embd=32,
        n_head=2,
        vocab_size=50,
        n_positions=16,
        bos_token_id=0,
        eos_token_id=0,
    )
    return transformers.GPT2LMHeadModel(config)


def test_the_head_that_is_tied_to_the_embedding_is_not_scaled_by_accident(gpt2):
    with pytest.raises(ValueError, match=r"'lm_head', a Linear, shares .* transformer.wte.weight"):
        lsuv_(gpt2, {"input_ids": IDS})


def test_layers_of_another_type_are_scaled(gpt2):
    report = lsuv_(gpt2, {"input_ids": IDS}, layers=transformers.pytorch_utils.Conv1D)
    assert [row.name for row in report.layers] == [
        f"transformer.h.{block}.{layer}"
        for block in (0, 1)
        for layer in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    assert report.converged
    wanted = propagation(
        gpt2.eval(), {"input_ids": IDS}, layers=transformers.pytorch_utils.Conv1D
    ).signals
    for row, signal in zip(report.layers, wanted, strict=True):
        assert signal.layer == row.name
        assert signal.activation.variance == pytest.approx(row.after, rel=1e-4)


def test_the_first_tensor_of_an_output_is_its_loss_or_its_logits(gpt2):
    with torch.no_grad():
        expected = float(gpt2.eval()(input_ids=IDS, labels=IDS).loss)
    assert propagation(gpt2, {"input_ids": IDS, "labels": IDS}).loss == pytest.approx(expected)
    head = propagation(gpt2, {"input_ids": IDS}).signals[-1]
    assert head.layer == "lm_head"
    assert head.gradient.rms == 1
