# SPDX-License-Identifier: MIT
"""Models of Hugging Face's transformers beside the rows of docs/frameworks.md about them.

Each test builds a small model and compares its tensors with the schemes in the page's rows
(originals.py says how, and how often that fails by chance).  CLIP is in test_framework_vision.py,
what else fastinit has to do with transformers in test_hugging_face.py.
"""

from __future__ import annotations

import pytest
from framework_page import rule
from originals import assert_rows, assert_starts_as, built, matrices, named

pytestmark = pytest.mark.frameworks

D, FF, HEADS, LAYERS, ROWS = 128, 256, 4, 3, 300


@pytest.fixture(scope="module")
def transformers(torch):
    return pytest.importorskip("transformers")


def small(**more):
    """What small models of transformers have in common."""
    sizes = {"hidden_size": D, "intermediate_size": FF, "num_hidden_layers": LAYERS}
    heads = {"num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": D // HEADS}
    return {"vocab_size": ROWS, **sizes, **heads, **more}


def test_gpt2_of_transformers(torch, transformers):
    config = transformers.GPT2Config(
        n_embd=D, n_layer=LAYERS, n_head=HEADS, vocab_size=ROWS, n_positions=256
    )
    model = built(torch, lambda: transformers.GPT2LMHeadModel(config))
    residual = "c_proj.weight"
    assert_rows(
        "GPT-2",
        {
            "linear layers, embeddings": matrices(model, without=(residual,)),
            "attn.c_proj, mlp.c_proj": named(model, residual),
        },
        L=LAYERS,
    )


STDS = [
    *((name, 0.02) for name in ("Llama", "Qwen3", "Olmo2", "GptOss", "Llama4Text", "Mistral")),
    *[("Nemotron", 0.0134), ("Starcoder2", 0.018042)],
    *((name, 0.006) for name in ("HYV3", "HYV4", "SarvamMoE", "SarvamMLA")),
]


@pytest.mark.parametrize(("name", "std"), STDS)
def test_the_initializer_range_of_a_model_of_transformers(transformers, name, std):
    config = getattr(transformers, f"{name}Config", None)
    if config is None:
        pytest.skip(f"transformers {transformers.__version__} has no {name}Config")
    assert config().initializer_range == std


@pytest.mark.parametrize(("name", "std"), [row for row in STDS if row[0] in {"Qwen3", "Nemotron"}])
def test_a_model_of_transformers_is_normal(torch, transformers, name, std):
    config = getattr(transformers, f"{name}Config")(**small(pad_token_id=0))
    model = built(torch, lambda: getattr(transformers, f"{name}ForCausalLM")(config))
    linear = "linear layers, embeddings, GPT-OSS's router bias and sinks"
    inner = matrices(model, without=("embed_tokens",))
    assert_rows("transformers", {linear: inner}, std=std)
    (embedding,) = named(model, "embed_tokens")
    scheme = rule("transformers")["embeddings with a padding token"].scheme(std=std, pad=0)
    assert not embedding[0].any()
    assert_starts_as(embedding[1:], rule("transformers")[linear].scheme(std=std))
    assert scheme.distribution(tuple(embedding.shape)).std < std  # with its row of zeros


ADD_ONE = [
    *(("gemma", "Gemma"), ("gemma2", "Gemma2"), ("gemma3", "Gemma3"), ("qwen3_next", "Qwen3Next")),
    *(("qwen3_5", "Qwen3_5"), ("recurrent_gemma", "RecurrentGemma")),
]


def modeling(name):
    return pytest.importorskip(f"transformers.models.{name}.modeling_{name}")


@pytest.mark.parametrize(("name", "prefix"), ADD_ONE)
def test_norms_that_add_one_start_at_zero(torch, transformers, name, prefix):
    zeros = rule("transformers")["norms of Gemma 1 to 3, Qwen3-Next, Qwen 3.5, RecurrentGemma"]
    norm = getattr(modeling(name), f"{prefix}RMSNorm")(D)
    assert_starts_as(norm.weight, zeros.scheme())
    torch.testing.assert_close(norm(torch.ones(1, D)), torch.ones(1, D), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["gemma3n", "gemma4"])
def test_later_norms_of_gemma_start_at_one(torch, transformers, name):
    norm = getattr(modeling(name), f"{name.title().replace('N', 'n')}RMSNorm")(D)
    assert_starts_as(
        norm.weight, rule("transformers")["all other norms, those of Gemma 3n and 4 too"].scheme()
    )
    torch.testing.assert_close(norm(torch.ones(1, D)), torch.ones(1, D), atol=1e-5, rtol=0)


def test_nemotrons_norm_adds_one_and_starts_at_one(torch, transformers):
    config = transformers.NemotronConfig(**small())
    model = built(torch, lambda: transformers.NemotronModel(config))
    assert (model.norm.weight == 1).all()
    unit = torch.tensor([[1.0, -1.0] * (D // 2)])
    torch.testing.assert_close(model.norm(unit), 2 * unit, atol=1e-4, rtol=0)


def test_the_routers_biases_and_sinks_of_gpt_oss_are_normal(torch, transformers):
    config = transformers.GptOssConfig(
        **small(num_hidden_layers=1, num_attention_heads=128, num_key_value_heads=128, head_dim=2),
        num_local_experts=128,
    )
    model = built(torch, lambda: transformers.GptOssModel(config))
    drawn = named(model, "router.bias", "sinks", "router.weight")
    assert len(drawn) == 3
    row = "linear layers, embeddings, GPT-OSS's router bias and sinks"
    assert_rows("transformers", {row: drawn}, std=0.02)


def test_t5_of_transformers(torch, transformers):
    config = transformers.T5Config(
        d_model=D, d_kv=48, d_ff=FF, num_layers=2, num_heads=HEADS, vocab_size=ROWS
    )
    model = built(torch, lambda: transformers.T5ForConditionalGeneration(config))
    assert_rows(
        "T5",
        {
            "embedding": [model.shared.weight],
            "q": named(model, ".q."),
            "k, v, wi, relative_attention_bias": named(model, ".k.", ".v.", ".wi.", "_bias"),
            "o": named(model, ".o."),
            "wo": named(model, ".wo."),
        },
        d=D,
        head=48,
        heads=HEADS,
        ff=FF,
    )


def test_bert_of_transformers(torch, transformers):
    config = transformers.BertConfig(**small(pad_token_id=None))
    model = built(torch, lambda: transformers.BertModel(config))
    assert_rows("BERT", {"linear layers, embeddings": matrices(model)})


def test_mamba_of_transformers(torch, transformers):
    config = transformers.MambaConfig(
        vocab_size=ROWS, hidden_size=D, num_hidden_layers=2, state_size=16
    )
    model = built(torch, lambda: transformers.MambaModel(config))
    assert_rows(
        "Mamba, transformers",
        {
            "embedding, in_proj, x_proj": named(model, "embeddings", "in_proj", "x_proj"),
            "out_proj, conv1d": named(model, "out_proj", "conv1d.weight"),
        },
    )
    config.rescale_prenorm_residual = True
    model = built(torch, lambda: transformers.MambaModel(config))
    assert_rows("Mamba", {"out_proj": named(model, "out_proj")}, L=2)  # as state-spaces' does
