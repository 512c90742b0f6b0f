# SPDX-License-Identifier: MIT
"""What does it take to initialise a Flax model, against its own init and against the arrays alone?

    python benchmarks/bench_jax.py [--dtype DTYPE] [--rounds 3] [--toy] [--json FILE]

The model is a transformer of 500 million parameters, in float32 and in bfloat16.

"fi.array" makes the arrays and no tree: the floor.  "fj.init" is the whole change a user makes; it
traces the model anew each time.  "flax" is what it replaces, ``model.init(key, tokens)``, and
"flax, compiled" ``jax.jit(model.init)`` after it was compiled, which is not timed.  "trace" is
``jax.eval_shape`` of the model, anew each time too.  Each is timed in turn inside a round, and its
memory is given back before the next begins.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
from new_memory import pages_of
from saving import save

import fastinit as fi
import fastinit.jax as fj
from fastinit.bench import measure


class Block(nn.Module):
    """A transformer's layer."""

    heads: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width, given = x.shape[-1], {"param_dtype": self.dtype, "dtype": self.dtype}
        y = nn.LayerNorm(**given)(x)
        x = x + nn.MultiHeadDotProductAttention(self.heads, **given)(y, y)
        y = nn.Dense(4 * width, **given)(nn.LayerNorm(**given)(x))
        return x + nn.Dense(width, **given)(nn.gelu(y))


class Transformer(nn.Module):
    """Embedding, layers and a final norm."""

    words: int
    width: int
    layers: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        given = {"param_dtype": self.dtype, "dtype": self.dtype}
        embed = nn.Embed(self.words, self.width, **given)
        x = embed(tokens)
        for _ in range(self.layers):
            x = Block(self.width // 64, self.dtype)(x)
        return embed.attend(nn.LayerNorm(**given)(x))


def candidates(model: nn.Module) -> tuple[dict[str, Callable[[], object]], int]:
    """The calls, each of which makes all weights anew, and how many bytes that takes."""
    key, tokens = jax.random.key(0), jnp.ones((1, 8), int)
    plan = fj.plan(model.init, key, tokens)
    compiled = jax.jit(model.init)

    def weights() -> list[object]:
        return [fi.array(t.shape, t.scheme, seed=0, name=t.name, dtype=t.dtype) for t in plan]

    def ours() -> object:
        anew = partial(model.init)
        return jax.block_until_ready(fj.init(anew, key, tokens, seed=0))

    def theirs() -> object:
        return jax.block_until_ready(model.init(key, tokens))

    def theirs_compiled() -> object:
        return jax.block_until_ready(compiled(key, tokens))

    def trace() -> object:
        return jax.eval_shape(partial(model.init), key, tokens)

    calls = {"fi.array": weights, "fj.init": ours, "flax": theirs}
    calls |= {"flax, compiled": theirs_compiled, "trace": trace}
    return calls, plan.size("float32")


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    words, width, layers = (100, 64, 1) if options.toy else (32000, 1536, 16)
    rows: dict[str, dict[str, float]] = {}
    for dtype in options.dtype or ["float32", "bfloat16"]:
        calls, size = candidates(Transformer(words, width, layers, jnp.dtype(dtype)))
        rounds = 1 if options.toy else options.rounds
        found = measure.interleaved(calls, rounds, before=pages_of(size))
        medians = {name: statistics.median(seconds) for name, seconds in found.items()}
        for name, value in medians.items():
            print(f"{dtype:8} {name:16} {value:10.4f} s   {value / medians['fj.init']:8.3f}")
        rows[dtype] = medians
    versions = {"jax": jax.__version__, "flax": flax.__version__}
    save(options.json, {"machine": measure.header(), **versions, "seconds": rows})


if __name__ == "__main__":
    main()
