# SPDX-License-Identifier: MIT
"""Initializers of fastinit.keras: the values of NumPy's tensor, and Keras's distributions.

The tests of this folder run on the backend of Keras that KERAS_BACKEND names, by default JAX; CI
runs them once on each.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from intercepts import assert_same, keras_asks, ours
from keras_cases import AXES, RANDOM, numpy_of, shown

import fastinit as fi

pytestmark = pytest.mark.frameworks

SHAPES = [(96, 80), (3, 5, 8, 16), (2, 3, 4, 4, 6)]


def made(keras, initializer, shape, dtype="float32", name="w"):
    return keras.Variable(initializer, shape=shape, dtype=dtype, name=name)


@pytest.mark.parametrize(("name", "given", "scheme"), RANDOM, ids=shown)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_variable_has_the_bytes_of_numpys_tensor(keras, fk, name, given, scheme, shape):
    initializer = getattr(fk, name)(**given, seed=7)
    for dtype in ("float32", "bfloat16", "float16"):
        variable = made(keras, initializer, shape, dtype)
        same = fi.array(shape, scheme, seed=7, name="w", dtype=dtype)
        assert numpy_of(variable).tobytes() == same.tobytes()


@pytest.mark.parametrize(("name", "given", "scheme"), RANDOM, ids=shown)
def test_the_distribution_is_what_kerass_own_initializer_asks_for(keras, fk, name, given, scheme):
    for shape in SHAPES:
        asked = keras_asks(keras, getattr(keras.initializers, name)(**given, seed=1), shape)
        assert_same(ours(getattr(fk, name)(**given).scheme(shape), shape), asked, ulps=1)


@pytest.mark.parametrize(("inputs", "outputs", "shape"), AXES)
def test_axes_count_in_the_fans_as_kerass_do(keras, fk, inputs, outputs, shape):
    given = {"input_axes": inputs, "output_axes": outputs}
    for name in ("VarianceScaling", "GlorotUniform", "HeNormal", "LecunUniform"):
        asked = keras_asks(keras, getattr(keras.initializers, name)(**given, seed=1), shape)
        found = ours(getattr(fk, name)(**given).scheme(shape), shape)
        assert_same(found, asked, ulps=1)


def test_biases_and_single_numbers_have_kerass_fans(keras, fk):
    for shape in ((12,), ()):
        asked = keras_asks(keras, keras.initializers.HeUniform(seed=1), shape)
        assert_same(ours(fk.HeUniform().scheme(shape), shape), asked, ulps=1)


def test_orthogonal_matrices_are_orthogonal(keras, fk):
    for shape in ((24, 96), (96, 24), (3, 3, 4, 16)):
        matrix = numpy_of(made(keras, fk.Orthogonal(2.0, seed=3), shape)).reshape(-1, shape[-1])
        gram = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)


def test_the_arguments_are_kerass_and_a_name(keras, fk):
    for name, _, _ in RANDOM:
        theirs = inspect.signature(getattr(keras.initializers, name)).parameters
        found = inspect.signature(getattr(fk, name)).parameters
        assert list(found) == [*theirs, "name"]
        assert all(found[key].default == theirs[key].default for key in theirs)
    called = inspect.signature(fk.HeNormal()).parameters
    assert list(called) == ["shape", "dtype", "layout"], "or Keras passes no layout"
    positional = fk.RandomNormal(0.5, 0.1, 3)
    assert (positional.mean, positional.stddev, positional.seed) == (0.5, 0.1, 3)


def test_what_is_not_random_is_kerass_own(keras, fk):
    for name, given, shape in [
        ("Zeros", {}, (3,)),
        ("Ones", {}, (3,)),
        ("Constant", {"value": 0.25}, (2, 3)),
        ("Identity", {"gain": 3.0}, (3, 4)),
    ]:
        found, theirs = getattr(fk, name)(**given), getattr(keras.initializers, name)(**given)
        assert isinstance(found, type(theirs))
        np.testing.assert_array_equal(numpy_of(found(shape)), numpy_of(theirs(shape)))


def test_every_initializer_of_keras_is_there(keras, fk):
    theirs = {
        name
        for name, thing in vars(keras.initializers).items()
        if inspect.isclass(thing) and thing.__name__ == name and name != "Initializer"
    }
    table = {"STFT"}  # nothing in it is random, and it has no scale to choose
    assert theirs - table == set(fk.__all__) - {"Initializer", "initialize", "plan"}


def test_a_call_outside_of_a_variable_needs_a_name(keras, fk):
    same = fi.array((6, 4), fi.he_normal(layout="keras"), seed=2, name="w")
    np.testing.assert_array_equal(numpy_of(fk.HeNormal(2, name="w")((6, 4))), same)
    with pytest.raises(ValueError, match=r"^HeNormal is called outside of a variable, and values "):
        fk.HeNormal(2)((6, 4))


def test_a_name_goes_before_the_path(keras, fk):
    layer = keras.layers.Dense(4, kernel_initializer=fk.HeNormal(2, name="critic"), name="up")
    layer.build((None, 6))
    same = fi.array((6, 4), fi.he_normal(layout="keras"), seed=2, name="critic/up/kernel")
    np.testing.assert_array_equal(numpy_of(layer.kernel), same)


def test_a_part_of_a_variable_is_refused(keras, fk):
    initializer = fk.RandomNormal(seed=1)
    layer = keras.layers.LSTM(4, bias_initializer=initializer)
    with pytest.raises(ValueError, match=r"^RandomNormal is called for shape \(4,\) inside of the"):
        layer.build((None, 5, 3))
    keras.layers.LSTM(4, bias_initializer=initializer, unit_forget_bias=False).build((None, 5, 3))
    keras.layers.LSTM(4, bias_initializer=fk.Constant(0.5)).build((None, 5, 3))


def test_a_scheme_is_drawn_in_kerass_layout(keras, fk):
    initializer = fk.Initializer("he_normal()", seed=5)
    same = fi.array((6, 4), fi.he_normal(layout="keras"), seed=5, name="w")
    np.testing.assert_array_equal(numpy_of(made(keras, initializer, (6, 4))), same)
    own_axes = fi.he_normal(in_axis=1, out_axis=0)
    assert fk.Initializer(own_axes).scheme((6, 4)) == own_axes
    automatic = fk.Initializer("auto('relu')").scheme((6, 4))
    assert dict(automatic.arguments) == {"activation": "relu", "layout": "keras"}


def test_a_scheme_that_looks_at_names_sees_the_path(keras, fk):
    layer = keras.layers.Dense(8, kernel_initializer=fk.Initializer(fi.auto("relu")), name="fc1")
    layer.build((None, 6))
    same = fi.array((6, 8), fi.he_normal(layout="keras"), seed=0, name="fc1/kernel")
    np.testing.assert_array_equal(numpy_of(layer.kernel), same)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": 2**64}, ValueError, "seed is"),
        ({"seed": "1"}, TypeError, "seed is '1'"),
        ({"name": 3}, TypeError, "name is 3: need a text"),
        ({"name": ""}, ValueError, "name is empty"),
        ({"stddev": -1.0}, ValueError, "std"),
    ],
)
def test_bad_arguments_are_errors(keras, fk, given, error, words):
    with pytest.raises(error, match=words):
        made(keras, fk.RandomNormal(**given), (3,))


def test_a_seed_generator_is_refused(keras, fk):
    with pytest.raises(TypeError, match=r"^seed is a SeedGenerator, which changes with every call"):
        fk.HeNormal(keras.random.SeedGenerator(1))


def test_a_scheme_that_does_not_suit_the_shape_or_dtype_is_an_error(keras, fk):
    with pytest.raises(ValueError, match="axes"):
        made(keras, fk.Orthogonal(), (3,))
    with pytest.raises(ValueError, match="int32"):
        made(keras, fk.RandomNormal(), (3,), "int32")


def test_a_layout_is_for_jax(keras, fk):
    if keras.backend.backend() == "jax":
        return
    with pytest.raises(ValueError, match=r"^layout is x: only JAX distributes tensors"):
        fk.HeNormal(name="w")((3, 4), layout="x")


def test_shapes_are_traced_without_a_draw(keras, fk, monkeypatch):
    """Keras asks a variable that has no value yet for one while it traces shapes."""
    drawn = []
    from fastinit.keras import memory

    real = memory.made
    monkeypatch.setattr(memory, "made", lambda *given: drawn.append(given) or real(*given))
    with keras.StatelessScope(initialize_variables=False):
        variable = keras.Variable(fk.HeNormal(), shape=(6, 4), name="w")
        assert tuple(variable.value.shape) == (6, 4)
    assert not drawn
    variable._deferred_initialize()
    assert len(drawn) == 1
    same = fi.array((6, 4), fi.he_normal(layout="keras"), seed=0, name="w")
    np.testing.assert_array_equal(numpy_of(variable), same)


def test_errors_name_the_variable(keras, fk):
    with pytest.raises(ValueError, match=r"^RandomNormal cannot draw the variable 'w': std is -1"):
        made(keras, fk.RandomNormal(stddev=-1.0), (3,))


@pytest.mark.parametrize("base", ["HeNormal", "GlorotUniform"])
def test_a_subclass_with_a_scale_of_its_own_is_drawn_with_it(keras, fk, base):
    def halved(module):
        class Halved(getattr(module, base)):
            def __init__(self):
                super().__init__(seed=1)
                self.scale /= 2

        return Halved()

    asked = keras_asks(keras, halved(keras.initializers), (96, 80))
    assert_same(ours(halved(fk).scheme((96, 80)), (96, 80)), asked, ulps=1)


def test_a_second_variable_of_one_path_in_a_layer_is_refused(keras, fk):
    class Twice(keras.layers.Layer):
        def build(self, input_shape):
            self.one = self.add_weight(shape=(3, 4), initializer=fk.HeNormal(), name="same")
            self.two = self.add_weight(shape=(3, 4), initializer=fk.HeNormal(), name="same")

    with pytest.raises(ValueError, match=r"^HeNormal is called for a second variable .* 't/same'"):
        Twice(name="t").build((None, 3))


@pytest.mark.parametrize("built", ["by its build", "by its first call"])
def test_a_second_layer_of_one_name_beside_the_first_is_refused(keras, fk, built):
    class Stack(keras.layers.Layer):
        def __init__(self, names):
            super().__init__(name="stack")
            self.parts = [
                keras.layers.Dense(4, kernel_initializer="fastinit>HeNormal", name=name)
                for name in names
            ]

        def call(self, inputs):
            for part in self.parts:
                inputs = part(inputs)
            return inputs

    class Built(Stack):
        def build(self, input_shape):
            for part in self.parts:
                part.build(input_shape)

    kind, inputs = Built if built == "by its build" else Stack, np.ones((1, 4), "float32")
    first, second = kind(["a", "b"]), kind(["a", "b"])  # two models may have equal names
    np.testing.assert_array_equal(numpy_of(first(inputs)), numpy_of(second(inputs)))
    with pytest.raises(ValueError, match="for a second variable of the path 'stack/a/kernel'"):
        kind(["a", "a"])(inputs)


def test_a_clone_inside_of_a_model_has_the_values_of_the_original(keras, fk):
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            inputs = keras.Input((4,))
            dense = keras.layers.Dense(4, kernel_initializer="fastinit>HeNormal", name="fc")
            self.online = keras.Model(inputs, dense(inputs), name="critic")
            self.target = keras.models.clone_model(self.online)

        def call(self, inputs):
            return self.online(inputs) - self.target(inputs)

    assert not numpy_of(Pair()(np.ones((1, 4), "float32"))).any()


def test_an_error_in_the_first_call_of_a_model_is_not_lost(keras, fk):
    """Keras catches it, and calls the model with variables that got no values."""

    class Late(keras.Model):
        def __init__(self):
            super().__init__(name="late")
            self.up = keras.layers.Dense(4, kernel_initializer=fk.RandomNormal(stddev=-1.0))

        def call(self, inputs):
            return self.up(inputs)

    with pytest.raises(ValueError, match="RandomNormal cannot draw the variable 'late/dense/kern"):
        Late()(np.ones((1, 4), "float32"))
