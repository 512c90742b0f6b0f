# SPDX-License-Identifier: MIT
"""What does it take to make a Keras model with its weights, against Keras's own initializers?

    KERAS_BACKEND=jax python benchmarks/bench_keras.py [--rounds 5] [--toy] [--json FILE]

The model is a stack of dense layers of 101 million parameters, on the backend that KERAS_BACKEND
names, by default JAX.  "fi.array" makes the tensors of the model and no model: the floor.  Models
are made whole, by Keras's initializer and by fastinit's of the same distribution; "initialize"
draws the weights of one that is there.  Candidates take turns within a round, and their memory is
given back before the next begins.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from saving import save

import fastinit as fi
import fastinit.keras as fk
from fastinit.bench import measure

WIDTH, LAYERS = 2048, 24
KINDS = {
    "HeNormal": fi.he_normal(layout="keras"),
    "GlorotUniform": fi.glorot_uniform(layout="keras"),
}


def model_of(initializer: str, width: int, layers: int) -> Any:
    """A stack of dense layers."""
    stack = [
        keras.layers.Dense(width, kernel_initializer=initializer, name=f"layer_{number}")
        for number in range(layers)
    ]
    return keras.Sequential([keras.Input((width,)), *stack], name="stack")


def ready(model: Any) -> Any:
    """The model, once a backend that computes in the background has made its weights."""
    if keras.backend.backend() == "jax":
        for variable in model.weights:
            variable.value.block_until_ready()
    return model


def calls_for(kind: str, width: int, layers: int) -> dict[str, Callable[[], object]]:
    """The candidates, each of which draws all weights."""
    built = model_of(kind, width, layers)

    def arrays() -> list[object]:
        return [
            fi.array((width, width), KINDS[kind], seed=0, name=f"stack/layer_{number}/kernel")
            for number in range(layers)
        ]

    def initialized() -> object:
        fk.initialize(built, seed=0)
        return ready(built)

    return {
        "fi.array": arrays,
        "fastinit": lambda: ready(model_of(f"fastinit>{kind}", width, layers)),
        "initialize": initialized,
        "keras": lambda: ready(model_of(kind, width, layers)),
    }


def collect(name: str) -> None:
    """Give back the memory of the model before, and wait for the threads of others."""
    gc.collect()
    measure.asleep()


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    width, layers, rounds = (64, 2, 1) if options.toy else (WIDTH, LAYERS, options.rounds)
    rows: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        found = measure.interleaved(calls_for(kind, width, layers), rounds, before=collect)
        medians = {name: statistics.median(seconds) for name, seconds in found.items()}
        for name, value in medians.items():
            ratio = value / medians["keras"]
            print(f"{kind:14} {name:12} {value:10.4f} s   {1 / ratio:8.2f} times Keras's speed")
        rows[kind] = medians
    versions = {"keras": keras.__version__, "backend": keras.backend.backend()}
    save(options.json, {"machine": measure.header(), **versions, "seconds": rows})


if __name__ == "__main__":
    main()
