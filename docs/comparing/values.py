# SPDX-License-Identifier: MIT
"""Single values: narrow types, bounds, tails; and what a library has beside them.

It knows nothing of shards and order; those are in cuts.py.
"""

from __future__ import annotations

import math
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from comparing.registry import check

import fastinit as fi
from fastinit import schemes

COUNT = 2**20


def described(values: Any) -> str:
    """How many values of a normal are distinct, and how far their mean is from 0."""
    values = np.asarray(values).astype(np.float32)
    errors = abs(values.mean(dtype=np.float64)) * math.sqrt(values.size)
    mean = "within 3 standard errors of 0" if errors < 3 else f"{errors:.0f} standard errors from 0"
    return f"{np.unique(values).size:,} distinct values, mean {mean}"


# ---- narrow types and bounds ---------------------------------------------------------------------

NARROW = "2^20 bfloat16 normals"


@check(NARROW, "fastinit")
def _fastinit_narrow() -> str:
    return described(fi.array((COUNT,), fi.normal(), seed=0, name="w", dtype="bfloat16"))


@check(NARROW, "torch", "torch")
def _torch_narrow() -> str:
    import torch

    torch.manual_seed(0)
    return described(torch.empty(COUNT, dtype=torch.bfloat16).normal_().float())


@check(NARROW, "jax.random", "jax")
def _jax_narrow() -> str:
    import jax

    return described(jax.random.normal(jax.random.key(0), (COUNT,), "bfloat16"))


@check(NARROW, "Keras on JAX", "keras")
def _keras_narrow() -> str:
    import keras

    return described(
        keras.initializers.RandomNormal(stddev=1.0, seed=0)((COUNT,), dtype="bfloat16")
    )


BOUND = 0.0216
UNIFORM = f"2^20 bfloat16 uniforms of [-{BOUND}, {BOUND})"


def outside(values: Any, bound: float) -> str:
    """How many values lie outside [-bound, bound]."""
    values = np.asarray(values).astype(np.float32)
    return f"{int((np.abs(values) > bound).sum()):,} outside"


def within(values: Any, bound: float) -> str:
    """How many values lie outside [-bound, bound], and how many are distinct."""
    values = np.asarray(values).astype(np.float32)
    return f"{outside(values, bound)}; {np.unique(values).size:,} distinct values"


@check(UNIFORM, "fastinit")
def _fastinit_uniform() -> str:
    scheme = fi.uniform(-BOUND, BOUND)
    return outside(fi.array((COUNT,), scheme, seed=0, name="w", dtype="bfloat16"), BOUND)


@check(UNIFORM, "torch", "torch")
def _torch_uniform() -> str:
    import torch

    torch.manual_seed(0)
    return outside(torch.empty(COUNT, dtype=torch.bfloat16).uniform_(-BOUND, BOUND).float(), BOUND)


@check(UNIFORM, "jax.random", "jax")
def _jax_uniform() -> str:
    import jax

    key = jax.random.key(0)
    return outside(jax.random.uniform(key, (COUNT,), "bfloat16", -BOUND, BOUND), BOUND)


@check(UNIFORM, "Keras on JAX", "keras")
def _keras_uniform() -> str:
    import keras

    draw = keras.initializers.RandomUniform(-BOUND, BOUND, seed=0)
    return outside(draw((COUNT,), dtype="bfloat16"), BOUND)


TRUNCATED = "2^20 bfloat16 normals of std 0.02, truncated at two sigma"


@check(TRUNCATED, "fastinit")
def _fastinit_truncated() -> str:
    scheme = fi.truncated_normal(0.02)
    return within(fi.array((COUNT,), scheme, seed=0, name="w", dtype="bfloat16"), 0.04)


@check(TRUNCATED, "torch", "torch")
def _torch_truncated() -> str:
    import torch

    torch.manual_seed(0)
    tensor = torch.empty(COUNT, dtype=torch.bfloat16)
    torch.nn.init.trunc_normal_(tensor, std=0.02, a=-0.04, b=0.04)
    return within(tensor.float(), 0.04)


@check(TRUNCATED, "jax.nn.initializers", "jax")
def _jax_truncated() -> str:
    import jax

    draw = jax.nn.initializers.truncated_normal(0.02)
    return within(draw(jax.random.key(0), (COUNT,), "bfloat16"), 0.04)


@check(TRUNCATED, "Keras on JAX", "keras")
def _keras_truncated() -> str:
    import keras

    draw = keras.initializers.TruncatedNormal(stddev=0.02, seed=0)
    return within(draw((COUNT,), dtype="bfloat16"), 0.04)


FARTHEST = "the farthest float32 normal"


@check(FARTHEST, "fastinit")
def _fastinit_farthest() -> str:
    return f"{-_quantile(2.0**-33):.2f} sigma"


@check(FARTHEST, "torch, CPU")
def _torch_farthest() -> str:
    """Box-Muller of a uniform of 24 bits: sqrt(-2 ln 2^-24)."""
    return f"{math.sqrt(2 * 24 * math.log(2)):.2f} sigma"


@check(FARTHEST, "jax.random", "jax")
def _jax_farthest() -> str:
    import jax

    lowest = np.nextafter(np.float32(-1), np.float32(0))  # jax.random.normal's smallest uniform
    return f"{-math.sqrt(2) * float(jax.lax.erf_inv(lowest)):.2f} sigma"


@check(FARTHEST, "NumPy")
def _numpy_farthest() -> str:
    """Marsaglia's tail of a ziggurat: r - ln(u) / r, where u is at least 2^-24."""
    r = 3.6541528853610088  # where the tail begins: ziggurat_constants.h of numpy/random
    return f"{r + 24 * math.log(2) / r:.2f} sigma"


def _quantile(p: float) -> float:
    """The standard normal quantile."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


# ---- files, schemes, the rest --------------------------------------------------------------------


@check("a byte of a checkpoint is changed", "fastinit")
def _fastinit_verify() -> str:
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
def _jax_gradient() -> str:
    import jax

    key = jax.random.key(0)
    gradient = jax.grad(lambda std: (std * jax.random.normal(key, (4,))).sum())(1.0)
    exact = np.isclose(gradient, jax.random.normal(key, (4,)).sum())
    return "exact: jax.grad goes through the draw" if exact else "wrong"


SCHEMES = "initialisers"


@check(SCHEMES, "fastinit.schemes")
def _fastinit_schemes() -> str:
    return str(len(set(schemes.__all__) - {"Scheme", "gain", "scheme"}))


@check(SCHEMES, "torch.nn.init", "torch")
def _torch_schemes() -> str:
    from torch.nn import init

    names = [name for name in vars(init) if name.endswith("_") and not name.startswith("_")]
    return str(len(names))


@check(SCHEMES, "jax.nn.initializers", "jax")
def _jax_schemes() -> str:
    from jax.nn import initializers

    names = [name for name in dir(initializers) if name.islower() and not name.startswith("_")]
    distinct = {getattr(initializers, name) for name in names}
    return f"{len(names)}, {len(names) - len(distinct)} of them second names"


@check(SCHEMES, "keras.initializers", "keras")
def _keras_schemes() -> str:
    from keras import initializers

    made = [vars(initializers)[name] for name in dir(initializers)]
    classes = {thing for thing in made if isinstance(thing, type)} - {initializers.Initializer}
    return str(len(classes))


@check("installs beside itself", "fastinit")
def _fastinit_needs() -> str:
    needed = metadata.requires("fastinit-weights") or []
    names = sorted(
        text.split(">")[0].split(";")[0].strip() for text in needed if "extra" not in text
    )
    return ", ".join(names)
