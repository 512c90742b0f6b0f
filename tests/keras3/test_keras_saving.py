# SPDX-License-Identifier: MIT
"""Models that use fastinit's initializers: by name, saved, loaded, cloned, in mixed precision."""

from __future__ import annotations

import random

import numpy as np
import pytest
from keras_cases import RANDOM, numpy_of, shown

import fastinit as fi

pytestmark = [
    pytest.mark.frameworks,
    # Keras 3.15 on PyTorch, about its own variables under NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
]

HE = fi.he_normal(layout="keras")


def model_of(keras, kernel="fastinit>HeNormal"):
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Conv2D(4, 3, kernel_initializer=kernel, name="conv")(inputs)
    up = layers.Dense(16, kernel_initializer=kernel, bias_initializer="fastinit>Ones", name="up")
    hidden = up(layers.Flatten()(hidden))
    outputs = layers.Dense(10, kernel_initializer=kernel, name="head")(hidden)
    return keras.Model(inputs, outputs, name="small")


def bytes_of(model):
    return [numpy_of(variable).tobytes() for variable in model.weights]


@pytest.mark.parametrize(("name", "given", "scheme"), RANDOM, ids=shown)
def test_a_configuration_brings_an_initializer_back(keras, fk, name, given, scheme):
    initializer = getattr(fk, name)(**given, seed=2**63 + 1, name="critic")
    config = keras.initializers.serialize(initializer)
    assert config["registered_name"] == f"fastinit>{name}"
    back = keras.initializers.deserialize(config)
    assert type(back) is type(initializer)
    assert back.get_config() == initializer.get_config()
    assert (back.seed, back.name) == (2**63 + 1, "critic")
    assert back.scheme((6, 4)) == initializer.scheme((6, 4))


def test_names_stand_for_initializers(keras, fk):
    takes_arguments = {"Constant", "Initializer"}  # Keras needs a value for its own Constant, too
    for name in set(fk.__all__) - takes_arguments - {"initialize", "plan"}:
        assert type(keras.initializers.get(f"fastinit>{name}")) is getattr(fk, name)


def test_a_scheme_is_saved_as_its_text(keras, fk):
    initializer = fk.Initializer(fi.truncated_normal(0.02, low=-3, high=3), seed=4)
    back = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    assert back.scheme((3,)) == initializer.scheme((3,))
    assert back.get_config() == {
        "scheme": "truncated_normal(std=0.02, low=-3, high=3)",
        "seed": 4,
        "name": None,
    }


def test_a_model_is_saved_and_loaded(keras, fk, tmp_path):
    model = model_of(keras)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert bytes_of(loaded) == bytes_of(model)
    kernel = loaded.get_layer("up").kernel_initializer
    assert isinstance(kernel, fk.HeNormal)
    assert kernel.get_config()["seed"] is None


def test_json_and_clones_have_the_values_of_their_paths(keras, fk):
    model = model_of(keras)
    assert bytes_of(keras.models.model_from_json(model.to_json())) == bytes_of(model)
    assert bytes_of(keras.models.clone_model(model)) == bytes_of(model)
    for variable in model.weights:
        if variable.name == "kernel":
            same = fi.array(tuple(variable.shape), HE, seed=0, name=variable.path)
            np.testing.assert_array_equal(numpy_of(variable), same)


def test_a_sequential_model_that_is_loaded_has_paths_without_its_name(keras, fk):
    """As Keras has it; `initialize` can add the name."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, name="up")], name="small")
    loaded = keras.models.model_from_json(model.to_json())
    assert model.layers[0].kernel.path == "small/up/kernel"
    assert loaded.layers[0].kernel.path == "up/kernel"
    fk.initialize(model, seed=1)
    fk.initialize(loaded, seed=1, name="small")
    assert bytes_of(loaded) == bytes_of(model)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float16"])
def test_policies_of_dtypes(keras, fk, policy):
    layer = keras.layers.Dense(64, kernel_initializer="fastinit>HeNormal", dtype=policy, name="up")
    layer.build((None, 48))
    dtype = keras.DTypePolicy(policy).variable_dtype
    assert layer.kernel.dtype == dtype
    same = fi.array((48, 64), HE, seed=0, name="up/kernel", dtype=dtype)
    assert numpy_of(layer.kernel).tobytes() == same.tobytes()
    fk.initialize(layer, seed=9)
    same = fi.array((48, 64), fi.he_normal(layout="keras"), seed=9, name="up/kernel", dtype=dtype)
    assert numpy_of(layer.kernel).tobytes() == same.tobytes()


def test_the_seed_of_keras_is_used_and_its_state_stays(keras, fk):
    keras.utils.set_random_seed(11)
    keras.random.normal((2,))
    states = random.getstate(), np.random.get_state()[1].tolist()
    model = model_of(keras)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    after = numpy_of(keras.random.normal((2,)))
    same = fi.array((48, 64), HE, seed=11, name="w")
    np.testing.assert_array_equal(numpy_of(fk.HeNormal(name="w")((48, 64))), same)
    assert model.get_layer("up").kernel_initializer.seed == 11
    keras.utils.set_random_seed(11)
    keras.random.normal((2,))
    np.testing.assert_array_equal(numpy_of(keras.random.normal((2,))), after)


def test_without_a_seed_of_keras_the_seed_is_0(keras, fk):
    keras.utils.clear_session()
    assert fk.HeNormal().seed == 0


def test_a_custom_distribution_cannot_be_saved(keras, fk):
    numba = pytest.importorskip("fastinit.numba")

    @numba.distribution
    def doubled(s, scale=1.0):
        return scale * s

    with pytest.raises(ValueError, match="which a saved model cannot bring back: save the weights"):
        fk.Initializer(doubled(scale=2.0)).get_config()


def test_a_model_trains(keras, fk):
    model = model_of(keras)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = fi.array((32, 8, 8, 1), fi.uniform(0, 1), seed=0, name="images")
    labels = np.arange(32) % 10
    losses = model.fit(images, labels, epochs=3, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
