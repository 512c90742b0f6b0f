# SPDX-License-Identifier: MIT
"""Whole tensors against their parts, and tensors against their neighbours.

It knows nothing of single values; those are in values.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from comparing.registry import check, same

import fastinit as fi

# ---- one tensor on one device and on several -----------------------------------------------------

SHARDS = "a tensor in shards, against the whole"


@check(SHARDS, "fastinit")
def _fastinit_shards() -> str:
    scheme, shape = fi.he_normal(), (64, 96)
    whole = fi.array(shape, scheme, seed=0, name="w")
    shards = [
        fi.fill(np.empty((16, 96), np.float32), scheme, seed=0, name="w", shape=shape, region=rows)
        for rows in (np.s_[start : start + 16, :] for start in range(0, 64, 16))
    ]
    return same(np.concatenate(shards), whole)


@check(SHARDS, "torch DTensor, CPU mesh", "torch")
def _torch_shards() -> str:
    import torch
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, empty
    from torch.testing._internal.distributed.fake_pg import FakeStore

    shards = []
    for rank in range(2):  # Each rank's own work, in turn: filling a shard sends nothing.
        distributed.init_process_group("fake", rank=rank, world_size=2, store=FakeStore())
        mesh = init_device_mesh("cpu", (2,))
        torch.manual_seed(0)
        tensor = empty(8, 4, device_mesh=mesh, placements=[Shard(0)])
        torch.nn.init.normal_(tensor)
        shards.append(tensor.to_local().clone())
        distributed.destroy_process_group()
    torch.manual_seed(0)
    whole = torch.nn.init.normal_(torch.empty(8, 4))
    return f"{same(torch.cat(shards), whole)}; the two shards are {same(*shards)}"


@check(SHARDS, "jax.random, 4 devices", "jax")
def _jax_shards() -> str:
    import jax

    sharding = jax.sharding.NamedSharding(jax.make_mesh((4,), ("x",)), jax.P("x"))
    draw = lambda key: jax.random.normal(key, (64, 96))  # noqa: E731
    key = jax.random.key(0)
    return same(jax.jit(draw, out_shardings=sharding)(key), draw(key))


@check(SHARDS, "Keras on JAX, 4 devices", "keras")
def _keras_shards() -> str:
    import keras

    def kernel() -> Any:
        keras.utils.set_random_seed(0)
        layer = keras.layers.Dense(64, name="dense")
        layer.build((None, 96))
        return np.asarray(layer.kernel)

    whole = kernel()
    mesh = keras.distribution.DeviceMesh((4,), ("model",))
    layout = keras.distribution.LayoutMap(mesh)
    layout["dense.*kernel"] = ("model", None)
    previous = keras.distribution.distribution()
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="model")
    )
    try:
        return same(kernel(), whole)
    finally:
        keras.distribution.set_distribution(previous)


@check(SHARDS, "Megatron-core, use_cpu_initialization", "megatron.core")
def _megatron_shards() -> str:
    import torch
    from megatron.core.tensor_parallel.layers import _initialize_affine_weight_cpu as initialize
    from megatron.core.utils import init_method_normal

    def whole(ranks: int) -> Any:
        shards = []
        for rank in range(ranks):
            torch.manual_seed(0)
            shard = torch.empty(8 // ranks, 4)
            method = init_method_normal(0.02)
            initialize(shard, 8, 4, 8 // ranks, 0, method, rank=rank, world_size=ranks)
            shards.append(shard)
        return torch.cat(shards)

    return same(whole(2), whole(1))


@check(SHARDS, "vLLM's dummy rule", "torch")
def _dummy_shards() -> str:
    """By the rule in vLLM's source: a generator of seed 1234 for each tensor of a rank."""
    import torch

    def dummy(*shape: int) -> Any:
        generator = torch.Generator().manual_seed(1234)
        return torch.empty(shape).uniform_(-1e-3, 1e-3, generator=generator)

    shards = torch.cat([dummy(4, 4), dummy(4, 4)])
    return f"{same(shards, dummy(8, 4))}; the two shards are {same(shards[:4], shards[4:])}"


# ---- other tensors -------------------------------------------------------------------------------

ORDER = "a layer, after another is put in front of it"


@check(ORDER, "fastinit.torch", "torch")
def _fastinit_order() -> str:
    import torch

    import fastinit.torch as ft

    def last(extra: bool) -> Any:
        with ft.accelerate(seed=0):
            model = torch.nn.ModuleDict()
            if extra:
                model["first"] = torch.nn.Linear(4, 4)
            model["last"] = torch.nn.Linear(4, 4)
        return model["last"].weight.detach()

    return same(last(False), last(True))


@check(ORDER, "torch", "torch")
def _torch_order() -> str:
    import torch

    def last(extra: bool) -> Any:
        torch.manual_seed(0)
        if extra:
            torch.nn.Linear(4, 4)
        return torch.nn.Linear(4, 4).weight.detach()

    return same(last(False), last(True))


@check(ORDER, "Flax linen", "flax")
def _linen_order() -> str:
    import jax
    from flax import linen

    class Model(linen.Module):
        extra: bool

        @linen.compact
        def __call__(self, x: Any) -> Any:
            x = linen.Dense(4, name="first")(x) if self.extra else x
            return linen.Dense(4, name="last")(x)

    def last(extra: bool) -> Any:
        variables = Model(extra).init(jax.random.key(0), np.ones((1, 4)))
        return variables["params"]["last"]["kernel"]

    return same(last(False), last(True))


@check(ORDER, "Flax nnx", "flax")
def _nnx_order() -> str:
    from flax import nnx

    def last(extra: bool) -> Any:
        streams = nnx.Rngs(0)
        if extra:
            nnx.Linear(4, 4, rngs=streams)
        return nnx.Linear(4, 4, rngs=streams).kernel[...]

    return same(last(False), last(True))


@check(ORDER, "Keras", "keras")
def _keras_order() -> str:
    import keras

    def last(extra: bool) -> Any:
        keras.utils.set_random_seed(0)
        if extra:
            keras.layers.Dense(4).build((None, 4))
        layer = keras.layers.Dense(4)
        layer.build((None, 4))
        return layer.kernel

    return same(last(False), last(True))


def gpt2(layers: int) -> Any:
    """The configuration of a tiny GPT-2."""
    from transformers import GPT2Config

    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_head=2, n_layer=layers, **ends)


@check("layer 0, after the number of layers changes", "transformers from_config", "transformers")
def _transformers_order() -> str:
    import torch
    from transformers import AutoModelForCausalLM

    def first(layers: int) -> Any:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(gpt2(layers))
        return model.transformer.h[0].attn.c_attn.weight.detach()

    return same(first(1), first(2))


@check(
    "layer 0, after the number of layers changes",
    "fastinit.transformers from_config",
    "transformers",
)
def _fastinit_transformers_order() -> str:
    import fastinit.transformers as fh

    def first(layers: int) -> Any:
        model = fh.from_config(gpt2(layers), architecture="causal-lm", seed=0)
        return model.transformer.h[0].attn.c_attn.weight.detach()

    return same(first(1), first(2))


# ---- a part --------------------------------------------------------------------------------------

PART = "1,000 values of a tensor of 2^30 float32 normals"


@check(PART, "fastinit")
def _fastinit_part() -> str:
    out = np.empty(1000, np.float32)
    fi.fill(out, fi.normal(), seed=0, name="w", shape=(2**30,), region=np.s_[5000:6000])
    return f"drawn into {out.nbytes:,} bytes"


@check(PART, "jax.random, jitted slice", "jax")
def _jax_part() -> str:
    import jax

    draw = jax.jit(lambda key: jax.random.normal(key, (2**30,))[5000:6000])
    memory = draw.lower(jax.random.key(0)).compile().memory_analysis()
    return (
        f"the compiled program needs {memory.temp_size_in_bytes / 1e9:.1f} GB of temporary memory"
    )


PREFIX = "the first 32 of 33 normals, against 32 normals of the same seed"


@check(PREFIX, "torch", "torch")
def _torch_prefix() -> str:
    import torch

    torch.manual_seed(0)
    few = torch.empty(32).normal_()
    torch.manual_seed(0)
    more = torch.empty(33).normal_()[:32]
    return f"{int((few == more).sum())} of 32 equal"


@check(PREFIX, "jax.random", "jax")
def _jax_prefix() -> str:
    import jax

    key = jax.random.key(0)
    return same(jax.random.normal(key, (33,))[:32], jax.random.normal(key, (32,)))
