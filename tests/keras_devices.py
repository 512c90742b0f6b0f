# SPDX-License-Identifier: MIT
"""What must hold on 8 devices of JAX; test_keras_distribution.py runs it in other processes."""

from __future__ import annotations

import sys
from collections import Counter

import jax
import keras
import numpy as np

import fastinit as fi
import fastinit.keras as fk
from fastinit.jax import arrays, blocks

drawn: Counter[str] = Counter()
draw, empty = arrays.drawn, blocks.empty
names = ["nothing"]


def drawn_by_name(source, *arguments):
    names.append(source.stream.name)
    return draw(source, *arguments)


def empty_block(*arguments):
    drawn[names[-1]] += 1
    return empty(*arguments)


arrays.drawn, blocks.empty = drawn_by_name, empty_block


def model_of(kernel):
    layers = [
        keras.layers.Dense(64, kernel_initializer=kernel, name="up"),
        keras.layers.Dense(32, kernel_initializer=kernel, name="down"),
        keras.layers.Dense(8, kernel_initializer=kernel, name="head"),
    ]
    return keras.Sequential([keras.Input((16,)), *layers], name="model")


def check(model, seed, blocks):
    """Every variable is the whole, lies where the layout says, and each block was drawn once."""
    for variable in model.weights:
        if variable.name == "bias":
            continue
        layer = variable.path.split("/")[-2]
        shape = tuple(variable.shape)
        same = fi.array(shape, fi.he_normal(layout="keras"), seed=seed, name=variable.path)
        np.testing.assert_array_equal(np.asarray(variable.value), same)
        assert drawn[variable.path] == blocks[layer], (variable.path, drawn)
        assert (
            len({str(shard.index) for shard in variable.value.addressable_shards}) == blocks[layer]
        )
        assert len(variable.value.sharding.device_set) == 8


def model_parallel():
    mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"])
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*up/kernel"] = (None, "model")
    layout[".*down/kernel"] = ("model", "batch")
    blocks = {"up": 4, "down": 8, "head": 1}
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    )
    model = model_of("fastinit>HeNormal")
    check(model, 0, blocks)
    drawn.clear()
    fk.initialize(model, seed=5)
    check(model, 5, blocks)
    model.compile("adam", "mse")
    model.fit(np.ones((16, 16), "float32"), np.ones((16, 8), "float32"), epochs=2, verbose=0)
    drawn.clear()
    fk.initialize(model, seed=6)
    check(model, 6, blocks)
    assert all(
        isinstance(variable.value.sharding, jax.sharding.NamedSharding)
        for variable in model.weights
    )


def data_parallel():
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    drawn.clear()
    check(model_of("fastinit>HeNormal"), 0, {"up": 1, "down": 1, "head": 1})


def by_hand():
    """A layout that is passed as Keras documents it, and one of JAX's."""
    mesh = keras.distribution.DeviceMesh((8,), ["model"])
    layout = keras.distribution.TensorLayout(("model", None), mesh)
    same = fi.array((16, 4), fi.he_normal(layout="keras"), seed=1, name="w")
    for passed in (layout, layout.backend_layout):
        drawn.clear()
        found = fk.HeNormal(1, name="w")((16, 4), layout=passed)
        np.testing.assert_array_equal(np.asarray(found), same)
        assert drawn["w"] == 8
        assert found.sharding.is_equivalent_to(layout.backend_layout, 2)


def donated():
    """A copy of a block on another device is memory of its own: to reuse one changes no other."""
    mesh = jax.make_mesh((8,), ("model",))
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    found = fk.HeNormal(1, name="w")((1024, 64), layout=replicated)
    blocks = [shard.data for shard in found.addressable_shards]
    before = np.array(blocks[0])
    changed = jax.jit(lambda x: x + 1, donate_argnums=0)(blocks[0])
    np.testing.assert_array_equal(np.asarray(changed), before + 1)
    for block in blocks[1:]:
        np.testing.assert_array_equal(np.asarray(block), before)


def of_one_process(number, address):
    """Two processes with 4 devices each: each draws the blocks that it holds, and no other."""
    keras.utils.set_random_seed(0)  # or Keras sets one at random, the same in all processes
    keras.distribution.initialize(address, 2, number)
    mesh = keras.distribution.DeviceMesh((4, 2), ["batch", "model"])
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*up/kernel"] = ("batch", "model")
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    )
    layer = keras.layers.Dense(8, kernel_initializer="fastinit>HeNormal", name="up")
    layer.build((None, 16))
    for seed in (0, 3):
        same = fi.array((16, 8), fi.he_normal(layout="keras"), seed=seed, name="up/kernel")
        shards = layer.kernel.value.addressable_shards
        assert len(shards) == drawn["up/kernel"] == 4
        for shard in shards:
            np.testing.assert_array_equal(np.asarray(shard.data), same[shard.index])
        drawn.clear()
        fk.initialize(layer, seed=3)


def on_one_process():
    assert jax.device_count() == 8
    model_parallel()
    data_parallel()
    keras.distribution.set_distribution(None)
    by_hand()
    donated()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        of_one_process(int(sys.argv[1]), sys.argv[2])
    else:
        on_one_process()
    print("every check holds")
