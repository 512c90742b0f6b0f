# SPDX-License-Identifier: MIT
"""`from_config`: the model that transformers makes, with weights that depend on names alone."""

from __future__ import annotations

import process_groups
import pytest
from process_groups import Task

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from sharded_transformers import llama, mixtral  # noqa: E402 - only where torch is
from torch_samples import assert_as_pytorch_makes, tensors_of  # noqa: E402

import fastinit as fi  # noqa: E402
import fastinit.torch as ft  # noqa: E402
import fastinit.transformers as fh  # noqa: E402


def bert():
    return transformers.BertConfig(
        vocab_size=96,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
    )


def small(config, **options):
    return fh.from_config(config, **{"architecture": "causal-lm", "seed": 0, **options})


@pytest.mark.parametrize("make", [llama, mixtral])
def test_names_buffers_ties_and_the_rest_are_those_of_transformers(make):
    torch.manual_seed(0)
    theirs = transformers.AutoModelForCausalLM.from_config(make())
    ours = small(make())
    assert type(ours) is type(theirs)
    assert ours.training is theirs.training
    assert ours.config.to_dict() == theirs.config.to_dict()
    assert ours.generation_config.to_dict() == theirs.generation_config.to_dict()
    one, other = tensors_of(ours), tensors_of(theirs)
    assert list(one) == list(other)
    for name, tensor in other.items():
        assert (one[name].shape, one[name].dtype) == (tensor.shape, tensor.dtype), name
        assert one[name].requires_grad == tensor.requires_grad, name
    buffers = dict(theirs.named_buffers())
    assert buffers
    for name, tensor in ours.named_buffers():
        assert torch.equal(tensor, buffers[name]), name
    flags = [getattr(m, "_is_hf_initialized", None) for m in theirs.modules()]
    assert [getattr(m, "_is_hf_initialized", None) for m in ours.modules()] == flags
    tied = one["lm_head.weight"] is one["model.embed_tokens.weight"]
    assert tied == (other["lm_head.weight"] is other["model.embed_tokens.weight"])


def test_the_distributions_are_those_of_transformers():
    assert_as_pytorch_makes(lambda: transformers.LlamaForCausalLM._from_config(llama()), 3)


def test_weights_are_a_function_of_seed_name_and_index():
    model = small(llama(), seed=7)
    weight = model.model.layers[1].mlp.up_proj.weight
    name = "model.layers.1.mlp.up_proj.weight"
    again = fi.array((48, 32), fi.normal(std=0.02), seed=7, name=name)
    assert (weight.detach().numpy() == again).all()
    deeper = llama()
    deeper.num_hidden_layers = 4
    assert torch.equal(small(deeper, seed=7).model.layers[1].mlp.up_proj.weight, weight)
    assert not torch.equal(small(llama(), seed=8).model.layers[1].mlp.up_proj.weight, weight)


def test_a_dtype_is_that_of_the_weights_and_islands_keep_their_own():
    config = transformers.DeepseekV3Config(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=1,
        q_lora_rank=8,
        kv_lora_rank=8,
        qk_rope_head_dim=4,
        qk_nope_head_dim=8,
        v_head_dim=8,
    )
    theirs = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    ours = small(config, dtype="bfloat16")
    dtypes = {name: tensor.dtype for name, tensor in tensors_of(theirs).items()}
    assert {name: tensor.dtype for name, tensor in tensors_of(ours).items()} == dtypes
    assert set(dtypes.values()) == {torch.float32, torch.bfloat16}
    config.dtype = "bfloat16"
    by_config = tensors_of(small(config))
    for name, tensor in tensors_of(ours).items():
        assert torch.equal(by_config[name], tensor), name


def test_the_configuration_that_was_given_is_not_changed():
    config = llama()
    before = config.to_dict()
    small(config, dtype="bfloat16")
    assert config.to_dict() == before


def test_rules_decide_before_the_model():
    model = small(llama(), rules=[("*.up_proj.weight", "constant(3)")])
    assert (model.model.layers[0].mlp.up_proj.weight == 3).all()
    assert model.model.layers[0].mlp.down_proj.weight.std() < 0.03
    with pytest.raises(ValueError, match=r"rule 1 .* is never used: it matches no tensor"):
        small(llama(), rules=[("nothing", "zeros()")])


def test_a_later_initialisation_draws_the_same():
    model = small(llama())
    wanted = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    ft.initialize_(model, seed=0)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


def test_a_forward_pass_and_a_step_work():
    model = small(llama())
    tokens = torch.arange(8).reshape(1, 8)
    loss = model(tokens, labels=tokens).loss
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_from_pretrained_takes_what_it_saves(tmp_path):
    model = small(mixtral())
    model.save_pretrained(tmp_path)
    again, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(info.values())
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"dtype": "int8"}, ValueError, "int8"),
        ({"architecture": 3}, TypeError, "architecture is 3: need a class of models, its name"),
    ],
)
def test_bad_arguments_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        small(llama(), **options)


# ---- shards -------------------------------------------------------------------------------------

TASKS = [Task("sharded_transformers", "distributed", size) for size in (2, 4)]


@pytest.fixture(scope="module")
def shards():
    return process_groups.run(TASKS, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.function}-{task.size}")
def test_all_processes_have_parts_of_what_one_process_makes(shards, task):
    assert sorted(shards[task]) == list(range(task.size))
    for rank, ways in shards[task].items():
        assert len(ways) >= 8, rank
        assert all(ways.values()), (rank, ways)
