# SPDX-License-Identifier: MIT
"""Models of transformers that it shards itself, in the processes of a group."""

from __future__ import annotations


def llama():
    """A small Llama with a tied head."""
    import transformers

    return transformers.LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=True,
    )


def mixtral():
    """A small mixture of experts, whose gate and up projections are one tensor."""
    import transformers

    return transformers.MixtralConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        num_local_experts=4,
    )


LAYOUTS = {
    "tp": {"tp_size": 2},
    "fsdp": {"fsdp_size": 2},
    "fsdp over tp": {"fsdp_size": 2, "tp_size": 2},
    "hsdp": {"fsdp_size": 2, "dp_replicate_size": 2},
}


def distributed(rank, size):
    """For each model and layout: whether all tensors are parts of what one process makes."""
    import torch
    from torch.distributed.tensor import DTensor

    import fastinit.torch as ft
    import fastinit.transformers as fh

    found = {}
    for make in (llama, mixtral):
        whole = fh.from_config(make(), architecture="causal-lm", seed=3).state_dict()
        for name, layout in LAYOUTS.items():
            count = 1
            for number in layout.values():
                count *= number
            if count != size:
                continue
            model = fh.from_config(
                make(), architecture="causal-lm", seed=3, distributed_config=layout
            )
            same, parts = True, 0
            for key, tensor in model.state_dict().items():
                if isinstance(tensor, DTensor):
                    parts += tensor.to_local().numel() < tensor.numel()
                    tensor = tensor.full_tensor()
                same &= torch.equal(tensor, whole[key])
            inner = model.get_input_embeddings().weight, model.get_output_embeddings().weight
            found[f"{make.__name__}, {name}"] = same and parts > 0
            if make is llama and name != "tp":
                found[f"{make.__name__}, {name}: tied"] = inner[0] is inner[1]
            found[f"{make.__name__}, {name}: verified"] = ft.verify(model, seed=3) > 0
    return found
