# SPDX-License-Identifier: MIT
"""What fastinit and its peers do with one seed: the checks behind docs/comparison.md that can run.

    python docs/comparison.py [--json FILE] [--only WORD]

Each check asks one library one question, on a CPU and with a few megabytes, and prints what it saw.
The answers are facts about the installed versions, not verdicts: the page says what they mean.  A
library that is not installed is "not installed".  Nothing here is timed; benchmarks/ does that.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import fastinit as fi
from fastinit import schemes

COUNT = 2**20
PACKAGES = ("torch", "jax", "keras", "flax", "transformers", "megatron-core", "numpy")
CHECKS: list[tuple[str, str, str, Callable[[], str]]] = []
"""Question, library, the package that it needs, and what answers."""


@dataclass(frozen=True)
class Answer:
    """What one library did."""

    question: str
    library: str
    seen: str


def check(question: str, library: str, package: str = "") -> Callable[..., Any]:
    """Register a function without arguments that answers `question` for `library`."""

    def register(function: Callable[[], str]) -> Callable[[], str]:
        CHECKS.append((question, library, package, function))
        return function

    return register


def same(one: Any, two: Any) -> str:
    """The word that says whether two arrays have the same values."""
    return "equal" if np.array_equal(np.asarray(one), np.asarray(two)) else "different"


def described(values: Any) -> str:
    """How many values of a normal are distinct, and how far their mean is from 0."""
    values = np.asarray(values).astype(np.float32)
    errors = abs(values.mean(dtype=np.float64)) * math.sqrt(values.size)
    mean = "within 3 standard errors of 0" if errors < 3 else f"{errors:.0f} standard errors from 0"
    return f"{np.unique(values).size:,} distinct values, mean {mean}"


# ---- one tensor on one device and on several ----------------------------------------------------

SHARDS = "a tensor in shards, against the whole"


@check(SHARDS, "fastinit")
def fastinit_shards() -> str:
    scheme, shape = fi.he_normal(), (64, 96)
    whole = fi.array(shape, scheme, seed=0, name="w")
    shards = [
        fi.fill(np.empty((16, 96), np.float32), scheme, seed=0, name="w", shape=shape, region=rows)
        for rows in (np.s_[start : start + 16, :] for start in range(0, 64, 16))
    ]
    return same(np.concatenate(shards), whole)


@check(SHARDS, "torch DTensor, CPU mesh", "torch")
def torch_shards() -> str:
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
def jax_shards() -> str:
    import jax

    sharding = jax.sharding.NamedSharding(jax.make_mesh((4,), ("x",)), jax.P("x"))
    draw = lambda key: jax.random.normal(key, (64, 96))  # noqa: E731
    key = jax.random.key(0)
    return same(jax.jit(draw, out_shardings=sharding)(key), draw(key))


@check(SHARDS, "Keras on JAX, 4 devices", "keras")
def keras_shards() -> str:
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
def megatron_shards() -> str:
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
def dummy_shards() -> str:
    """By the rule in vLLM's source: each tensor of a rank is drawn with a generator of seed 1234."""
    import torch

    def dummy(*shape: int) -> Any:
        generator = torch.Generator().manual_seed(1234)
        return torch.empty(shape).uniform_(-1e-3, 1e-3, generator=generator)

    shards = torch.cat([dummy(4, 4), dummy(4, 4)])
    return f"{same(shards, dummy(8, 4))}; the two shards are {same(shards[:4], shards[4:])}"


# ---- other tensors ------------------------------------------------------------------------------

ORDER = "a layer, after another is put in front of it"


@check(ORDER, "fastinit.torch", "torch")
def fastinit_order() -> str:
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
def torch_order() -> str:
    import torch

    def last(extra: bool) -> Any:
        torch.manual_seed(0)
        if extra:
            torch.nn.Linear(4, 4)
        return torch.nn.Linear(4, 4).weight.detach()

    return same(last(False), last(True))


@check(ORDER, "Flax linen", "flax")
def linen_order() -> str:
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
def nnx_order() -> str:
    from flax import nnx

    def last(extra: bool) -> Any:
        streams = nnx.Rngs(0)
        if extra:
            nnx.Linear(4, 4, rngs=streams)
        return nnx.Linear(4, 4, rngs=streams).kernel[...]

    return same(last(False), last(True))


@check(ORDER, "Keras", "keras")
def keras_order() -> str:
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
def transformers_order() -> str:
    import torch
    from transformers import AutoModelForCausalLM

    def first(layers: int) -> Any:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(gpt2(layers))
        return model.transformer.h[0].attn.c_attn.weight.detach()

    return same(first(1), first(2))


@check(
    "layer 0, after the number of layers changes", "fastinit.transformers from_config", "transformers"
)
def fastinit_transformers_order() -> str:
    import fastinit.transformers as fh

    def first(layers: int) -> Any:
        model = fh.from_config(gpt2(layers), architecture="causal-lm", seed=0)
        return model.transformer.h[0].attn.c_attn.weight.detach()

    return same(first(1), first(2))


# ---- a part ------------------------------------------------------------------------------------

PART = "1,000 values of a tensor of 2^30 float32 normals"


@check(PART, "fastinit")
def fastinit_part() -> str:
    out = np.empty(1000, np.float32)
    fi.fill(out, fi.normal(), seed=0, name="w", shape=(2**30,), region=np.s_[5000:6000])
    return f"drawn into {out.nbytes:,} bytes"


@check(PART, "jax.random, jitted slice", "jax")
def jax_part() -> str:
    import jax

    draw = jax.jit(lambda key: jax.random.normal(key, (2**30,))[5000:6000])
    memory = draw.lower(jax.random.key(0)).compile().memory_analysis()
    return f"the compiled program needs {memory.temp_size_in_bytes / 1e9:.1f} GB of temporary memory"


PREFIX = "the first 32 of 33 normals, against 32 normals of the same seed"


@check(PREFIX, "torch", "torch")
def torch_prefix() -> str:
    import torch

    torch.manual_seed(0)
    few = torch.empty(32).normal_()
    torch.manual_seed(0)
    more = torch.empty(33).normal_()[:32]
    return f"{int((few == more).sum())} of 32 equal"


@check(PREFIX, "jax.random", "jax")
def jax_prefix() -> str:
    import jax

    key = jax.random.key(0)
    return same(jax.random.normal(key, (33,))[:32], jax.random.normal(key, (32,)))


# ---- narrow types and bounds --------------------------------------------------------------------

NARROW = "2^20 bfloat16 normals"


@check(NARROW, "fastinit")
def fastinit_narrow() -> str:
    return described(fi.array((COUNT,), fi.normal(), seed=0, name="w", dtype="bfloat16"))


@check(NARROW, "torch", "torch")
def torch_narrow() -> str:
    import torch

    torch.manual_seed(0)
    return described(torch.empty(COUNT, dtype=torch.bfloat16).normal_().float())


@check(NARROW, "jax.random", "jax")
def jax_narrow() -> str:
    import jax

    return described(jax.random.normal(jax.random.key(0), (COUNT,), "bfloat16"))


@check(NARROW, "Keras on JAX", "keras")
def keras_narrow() -> str:
    import keras

    return described(keras.initializers.RandomNormal(stddev=1.0, seed=0)((COUNT,), dtype="bfloat16"))


BOUND = 0.0216
UNIFORM = f"2^20 bfloat16 uniforms of [-{BOUND}, {BOUND})"


def outside(values: Any, bound: float) -> str:
    """How many values lie outside [-bound, bound]."""
    values = np.asarray(values).astype(np.float32)
    return f"{int((np.abs(values) > bound).sum()):,} outside"


@check(UNIFORM, "fastinit")
def fastinit_uniform() -> str:
    scheme = fi.uniform(-BOUND, BOUND)
    return outside(fi.array((COUNT,), scheme, seed=0, name="w", dtype="bfloat16"), BOUND)


@check(UNIFORM, "torch", "torch")
def torch_uniform() -> str:
    import torch

    torch.manual_seed(0)
    return outside(torch.empty(COUNT, dtype=torch.bfloat16).uniform_(-BOUND, BOUND).float(), BOUND)


TRUNCATED = "2^20 bfloat16 normals of std 0.02, truncated at two sigma"


@check(TRUNCATED, "fastinit")
def fastinit_truncated() -> str:
    values = fi.array((COUNT,), fi.truncated_normal(0.02), seed=0, name="w", dtype="bfloat16")
    return f"{outside(values, 0.04)}; {np.unique(values.astype(np.float32)).size:,} distinct values"


@check(TRUNCATED, "torch", "torch")
def torch_truncated() -> str:
    import torch

    torch.manual_seed(0)
    tensor = torch.empty(COUNT, dtype=torch.bfloat16)
    values = torch.nn.init.trunc_normal_(tensor, std=0.02, a=-0.04, b=0.04).float().numpy()
    return f"{outside(values, 0.04)}; {np.unique(values).size:,} distinct values"


@check(TRUNCATED, "jax.nn.initializers", "jax")
def jax_truncated() -> str:
    import jax

    draw = jax.nn.initializers.truncated_normal(0.02)
    values = np.asarray(draw(jax.random.key(0), (COUNT,), "bfloat16")).astype(np.float32)
    return f"{outside(values, 0.04)}; {np.unique(values).size:,} distinct values"


FARTHEST = "the farthest float32 normal that a word can become"


@check(FARTHEST, "fastinit")
def fastinit_farthest() -> str:
    return f"{-_quantile(2.0**-33):.2f} sigma"


@check(FARTHEST, "torch, CPU")
def torch_farthest() -> str:
    """Box-Muller of a uniform of 24 bits: sqrt(-2 ln 2^-24)."""
    return f"{math.sqrt(2 * 24 * math.log(2)):.2f} sigma"


@check(FARTHEST, "jax.random", "jax")
def jax_farthest() -> str:
    import jax

    lowest = np.nextafter(np.float32(-1), np.float32(0))  # jax.random.normal's smallest uniform
    return f"{-math.sqrt(2) * float(jax.lax.erf_inv(lowest)):.2f} sigma"


def _quantile(p: float) -> float:
    """The standard normal quantile."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


# ---- files, schemes, the rest -------------------------------------------------------------------


@check("a byte of a checkpoint is changed", "fastinit")
def fastinit_verify() -> str:
    plan = fi.Plan([fi.Tensor("w", (64, 64), fi.he_normal())])
    with tempfile.TemporaryDirectory() as folder:
        fi.write(plan, folder, seed=0)
        fi.verify(folder)
        file = Path(folder) / "model.safetensors"
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        try:
            fi.verify(folder)
        except fi.errors.VerifyError:
            return "verify passes before it, and fails after it"
    return "not noticed"


@check("a gradient with respect to a standard deviation", "jax.random", "jax")
def jax_gradient() -> str:
    import jax

    key = jax.random.key(0)
    gradient = jax.grad(lambda std: (std * jax.random.normal(key, (4,))).sum())(1.0)
    return f"{'exact' if math.isfinite(float(gradient)) else 'none'}: jax.grad goes through the draw"


SCHEMES = "initialisers"


@check(SCHEMES, "fastinit.schemes")
def fastinit_schemes() -> str:
    return str(len(set(schemes.__all__) - {"Scheme", "gain", "scheme"}))


@check(SCHEMES, "torch.nn.init", "torch")
def torch_schemes() -> str:
    from torch.nn import init

    names = [name for name in vars(init) if name.endswith("_") and not name.startswith("_")]
    return str(len(names))


@check(SCHEMES, "jax.nn.initializers", "jax")
def jax_schemes() -> str:
    from jax.nn import initializers

    names = [name for name in dir(initializers) if not name.startswith("_")]
    return f"{len({name for name in names if name != 'Initializer'})}, 4 of them second names"


@check(SCHEMES, "keras.initializers", "keras")
def keras_schemes() -> str:
    from keras import initializers

    made = [vars(initializers)[name] for name in dir(initializers)]
    classes = {thing for thing in made if isinstance(thing, type)} - {initializers.Initializer}
    return str(len(classes))


@check("installs beside itself", "fastinit")
def fastinit_needs() -> str:
    needed = metadata.requires("fastinit-weights") or []
    names = sorted(text.split(">")[0].split(";")[0].strip() for text in needed if "extra" not in text)
    return ", ".join(names)


# ---- the command --------------------------------------------------------------------------------


def answers(only: str = "") -> list[Answer]:
    """What every check whose question or library contains `only` sees."""
    found = []
    for question, library, package, function in CHECKS:
        if only.lower() not in f"{question} {library}".lower():
            continue
        try:
            if package:
                importlib.import_module(package)
            seen = function()
        except ModuleNotFoundError as error:
            seen = f"not installed: {error.name}"
        found.append(Answer(question, library, seen))
    return found


def version(package: str) -> str:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def markdown(found: list[Answer]) -> str:
    """The table of docs/comparison.md."""
    lines = ["| question | library | seen |", "|---|---|---|"]
    previous = None
    for answer in found:
        question = answer.question if answer.question != previous else ""
        lines.append(f"| {question} | {answer.library} | {answer.seen} |")
        previous = answer.question
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the checks and print their table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the answers to this file")
    parser.add_argument("--only", default="", help="only checks that contain this word")
    options = parser.parse_args(arguments)
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "jax" not in sys.modules:
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    warnings.simplefilter("ignore")
    found = answers(options.only)
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    print(f"fastinit {fi.__version__}, {packages}, Python {platform.python_version()}\n")
    print(markdown(found))
    if options.json:
        options.json.write_text(json.dumps([asdict(answer) for answer in found], indent=1))


if __name__ == "__main__":
    main()
