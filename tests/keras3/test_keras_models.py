# SPDX-License-Identifier: MIT
"""`plan` and `initialize` of whole models: names, rules, what is left alone, what is refused."""

from __future__ import annotations

import random

import numpy as np
import pytest
from keras_cases import numpy_of

import fastinit as fi

pytestmark = pytest.mark.frameworks


def values_of(variables):
    return [numpy_of(variable).tobytes() for variable in variables]


@pytest.fixture
def model(keras):
    """A functional model: a sequential one in it, a shared layer, a dropout and a batch norm."""
    layers = keras.layers
    inner = keras.Sequential([layers.Dense(8, name="a"), layers.BatchNormalization()], name="inner")
    shared = layers.Dense(8, name="shared")
    inputs = keras.Input((8,))
    hidden = shared(inner(shared(inputs)))
    hidden = layers.Dropout(0.5)(hidden)
    model = keras.Model(inputs, layers.Dense(3, name="head")(hidden), name="whole")
    model.compile("adam", "mse", metrics=["mae"])
    return model


def test_the_plan_has_the_paths_of_the_weights_once(model, fk):
    plan = fk.plan(model)
    assert [tensor.name for tensor in plan] == [weight.path for weight in model.weights]
    assert len({tensor.name for tensor in plan}) == len(plan) == 10
    assert plan.name == "whole"
    assert {tensor.dtype for tensor in plan} == {"float32"}
    assert {tensor.dtype for tensor in fk.plan(model, dtype="bfloat16")} == {"bfloat16"}
    assert plan["head/kernel"].scheme.reason == "GlorotUniform of Dense"


def test_a_model_is_a_source_of_plans(model, fk, tmp_path):
    assert fi.plan(model) == fk.plan(model)
    ruled = fi.plan(model, rules={"*/kernel": "he_normal()"})
    assert str(ruled["head/kernel"].scheme) == "he_normal(layout='keras')"
    fi.write(model, tmp_path / "weights", seed=3)
    fk.initialize(model, seed=3)
    weights = fi.open(tmp_path / "weights")
    for variable in model.weights:
        np.testing.assert_array_equal(weights[variable.path], numpy_of(variable))


def test_only_weights_change(keras, model, fk):
    model.fit(np.ones((4, 8), "float32"), np.ones((4, 3), "float32"), epochs=1, verbose=0)
    weights = {id(variable) for variable in model.weights}
    others = [v for v in model.variables if id(v) not in weights] + model.optimizer.variables
    state, before = random.getstate(), values_of(others)
    trained = values_of(model.weights)
    assert fk.initialize(model, seed=1) == {}
    assert len(others) > 5
    assert values_of(others) == before
    assert random.getstate() == state
    assert {id(variable) for variable in model.weights} == weights
    assert values_of(model.weights) != trained
    again = values_of(model.weights)
    fk.initialize(model, seed=1, threads=1)
    assert values_of(model.weights) == again
    model.fit(np.ones((4, 8), "float32"), np.ones((4, 3), "float32"), epochs=1, verbose=0)


def test_names_of_later_layers_do_not_change(keras, fk):
    first = keras.layers.LSTM(4, dropout=0.1)
    first.build((None, 3, 2))
    fk.plan(first)
    assert [keras.layers.LSTM(4).name, keras.layers.Dense(4).name] == ["lstm_1", "dense"]


def test_no_variable_is_left_without_a_value(keras, fk):
    from keras.src.backend.common import global_state

    layer = keras.layers.Dense(4)
    layer.build((None, 3))
    fk.plan(layer)
    assert not global_state.get_global_attribute("uninitialized_variables", [])
    with keras.StatelessScope():
        pass


def test_values_are_those_that_the_initializers_give(keras, fk):
    layer = keras.layers.Dense(8, kernel_initializer="fastinit>HeNormal", name="up")
    layer.build((None, 6))
    before = values_of(layer.weights)
    layer.kernel.assign(np.zeros((6, 8)))
    fk.initialize(layer, seed=0)
    assert values_of(layer.weights) == before
    fk.initialize(layer, seed=0, name="critic")
    same = fi.array((6, 8), fi.he_normal(layout="keras"), seed=0, name="critic/up/kernel")
    np.testing.assert_array_equal(numpy_of(layer.kernel), same)


def test_the_name_of_an_initializer_is_kept_unless_another_is_given(keras, fk):
    layer = keras.layers.Dense(8, kernel_initializer=fk.HeNormal(name="critic"), name="up")
    layer.build((None, 6))
    before = values_of(layer.weights)
    assert [tensor.name for tensor in fk.plan(layer)] == ["critic/up/kernel", "up/bias"]
    fk.initialize(layer, seed=0)
    assert values_of(layer.weights) == before
    names = [tensor.name for tensor in fk.plan(layer, name="other")]
    assert names == ["other/up/kernel", "other/up/bias"]


def test_automatic_schemes_see_the_path(keras, fk):
    automatic = fk.Initializer("auto('relu')")
    layer = keras.layers.Dense(8, kernel_initializer=automatic, name="fc1")
    layer.build((None, 6))
    before = values_of(layer.weights)
    assert str(fk.plan(layer)["fc1/kernel"].scheme) == "he_normal(layout='keras')"
    fk.initialize(layer, seed=0)
    assert values_of(layer.weights) == before
    fk.initialize(layer, seed=0, rules={"*/kernel": "auto('relu')"})
    assert values_of(layer.weights) == before


def test_rules_decide_before_layers_in_kerass_layout(model, fk):
    fk.initialize(model, seed=2, rules=[("head/*", "he_normal()"), ("*/bias", "ones()")])
    head = {variable.name: variable for variable in model.get_layer("head").weights}
    same = fi.array((8, 3), fi.he_normal(layout="keras"), seed=2, name="head/kernel")
    np.testing.assert_array_equal(numpy_of(head["kernel"]), same)
    assert numpy_of(model.get_layer("shared").bias).tolist() == [1.0] * 8


def test_a_rule_for_nothing_is_an_error(model, fk):
    before = values_of(model.weights)
    with pytest.raises(ValueError, match=r"^rule 1 \('tail/\*' -> zeros\(\)\) is never used"):
        fk.initialize(model, seed=2, rules={"tail/*": "zeros()"})
    assert values_of(model.weights) == before


def own(keras):
    """Layers of a user's own."""

    class Layer(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    @keras.saving.register_keras_serializable("tests")
    class Known(Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(shape=(3,), initializer="he_normal", name="scale")

    @keras.saving.register_keras_serializable("tests")
    class Function(Layer):
        def build(self, input_shape):
            def thirds(shape, dtype=None):
                return keras.ops.ones(shape, dtype) / 3

            self.scale = self.add_weight(shape=(3,), initializer=thirds, name="scale")

    @keras.saving.register_keras_serializable("tests")
    class Halved(keras.initializers.HeNormal):
        def __call__(self, shape, dtype=None):
            return super().__call__(shape, dtype) / 2

    class NoConfig(Layer):
        def __init__(self, table, **given):
            super().__init__(**given)
            self.scale = self.add_weight(shape=(len(table),), name="scale")

    return Known, Function, Halved, NoConfig


def test_a_layer_of_ones_own_is_asked_too(keras, fk):
    layer = own(keras)[0](name="own")
    layer.build((None, 3))
    assert str(fk.plan(layer)["own/scale"].scheme) == "he_normal(layout='keras')"


def test_what_is_not_understood_is_an_error_that_names_it(keras, fk):
    _, function, halved, no_config = own(keras)
    layers = [
        function(name="function"),
        keras.layers.Dense(3, kernel_initializer=halved(), name="halved"),
        no_config(np.arange(3), name="without"),
    ]
    model = keras.Sequential([keras.Input((3,)), *layers], name="odd")
    before = values_of(model.weights)
    with pytest.raises(fi.errors.ModuleError, match=r"^fastinit cannot draw\n3 weights:") as caught:
        fk.initialize(model, seed=0)
    assert values_of(model.weights) == before
    problems = caught.value.problems
    paths = [layers[0].scale.path, layers[1].kernel.path, layers[2].scale.path]
    assert sorted(problems) == sorted(paths)
    assert problems[paths[0]].startswith("Function makes it with thirds, which is no initializer")
    assert problems[paths[1]].startswith("Dense makes it with Halved, which is no initializer")
    assert problems[paths[2]].startswith("its layer, NoConfig, cannot be made again from its conf")
    with pytest.raises(fi.errors.ModuleError, match=r"^a plan cannot hold\n3 weights:"):
        fk.plan(model)
    left = fk.initialize(model, seed=0, strict=False)
    assert sorted(left) == sorted(paths)
    rules = [(["*/scale", "*halved/kernel"], "normal(0.1)")]
    assert fk.initialize(model, seed=0, rules=rules) == {}


def test_a_layer_without_a_configuration_is_made_with_the_layer_around_it(keras, fk):
    no_config = own(keras)[3]

    class Block(keras.layers.Layer):
        def __init__(self, **given):
            super().__init__(**given)
            self.inner = no_config(np.arange(3), name="inner")

        def build(self, input_shape):
            self.inner.build(input_shape)

    layer = Block(name="block")
    layer.build((None, 3))
    (tensor,) = fk.plan(layer)
    assert tensor.name == layer.inner.scale.path
    assert str(tensor.scheme) == "glorot_uniform(layout='keras')"
    assert tensor.scheme.reason == "GlorotUniform of NoConfig"


def test_two_weights_of_one_path_are_an_error(keras, fk):
    class Twice(keras.Model):
        def __init__(self):
            super().__init__(name="twice")
            self.one = keras.layers.Dense(4, name="same")
            self.two = keras.layers.Dense(4, name="same")

        def call(self, inputs):
            return self.two(self.one(inputs))

    model = Twice()
    model(np.ones((1, 4), "float32"))
    assert model.one.kernel.path == model.two.kernel.path
    with pytest.raises(fi.errors.ModuleError, match="2 weights have this path, and would have the"):
        fk.initialize(model, seed=0)


def test_the_statistics_of_data_and_integers_are_left(keras, fk):
    layer = keras.layers.Normalization()
    layer.adapt(np.arange(12, dtype="float32").reshape(6, 2))
    model = keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(2, name="up")])
    before = values_of(layer.weights)
    left = fk.initialize(model, seed=0)
    assert values_of(layer.weights) == before
    assert set(left) == {variable.path for variable in layer.weights}
    assert "adapt computes it from data" in left.values()


def test_a_model_that_is_not_built_is_refused(keras, fk):
    with pytest.raises(ValueError, match=r"^'later' is not built, so its weights have no shapes"):
        fk.plan(keras.Sequential([keras.layers.Dense(3)], name="later"))
    with pytest.raises(TypeError, match=r"^model is a list: need a model or a layer of Keras"):
        fk.initialize([], seed=0)


def test_bad_arguments_are_errors_before_anything_changes(keras, fk, model):
    before = values_of(model.weights)
    with pytest.raises(ValueError, match="seed is -1"):
        fk.initialize(model, seed=-1)
    with pytest.raises(TypeError, match="name is 3"):
        fk.initialize(model, seed=0, name=3)
    with pytest.raises(ValueError, match="axes"):
        fk.initialize(model, seed=0, rules={"*": "orthogonal()"})
    assert values_of(model.weights) == before


def test_a_renormalised_batch_starts_with_ones(keras, fk):
    layer = keras.layers.BatchNormalization(renorm=True)
    layer.build((None, 4))
    plan = fk.plan(layer)
    found = {name.partition("/")[2]: str(plan[name].scheme) for name in (t.name for t in plan)}
    assert found["moving_stddev"] == found["renorm_stddev"] == "ones()"
    for variable in layer.weights:
        same = fi.array((4,), plan[variable.path].scheme, seed=0, name="w")
        np.testing.assert_array_equal(numpy_of(variable), same)


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of Keras, as it quantises
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantised_weight_keeps_its_scales(keras, fk, mode):
    layer = keras.layers.Dense(8, name="up")
    layer.build((None, 16))
    layer.quantize(mode)
    beside = [variable for variable in layer.weights if variable.name != "bias"]
    before = values_of(beside)
    left = fk.initialize(layer, seed=0)
    assert set(left) == {variable.path for variable in beside} > {"up/kernel_scale"}
    assert values_of(beside) == before
    assert [tensor.name for tensor in fk.plan(layer)] == ["up/bias"]


def test_weights_of_float8_are_drawn_whatever_their_order(keras, fk):
    layer = keras.layers.Dense(8, name="up")
    layer.build((None, 16))
    layer.quantize("float8")
    assert fk.initialize(layer, seed=3) == {}
    same = fi.array((16, 8), fi.glorot_uniform(layout="keras"), seed=3, name="up/kernel")
    np.testing.assert_array_equal(numpy_of(layer.kernel), same)


def test_a_layer_that_its_configuration_does_not_describe_is_refused(keras, fk):
    class Narrow(keras.layers.Dense):
        """Its get_config, which is that of Dense, leaves out an argument."""

        def __init__(self, units, std=0.02, **given):
            super().__init__(units, **given)
            self._std = std

        def build(self, input_shape):
            self.kernel_initializer = keras.initializers.RandomNormal(stddev=self._std)
            super().build(input_shape)

    layer = Narrow(4, std=0.5, kernel_initializer="zeros", name="narrow")
    layer.build((None, 3))
    with pytest.raises(fi.errors.ModuleError, match=r"'narrow/kernel': .* has another _std\n"):
        fk.plan(layer)
    default = Narrow(4, name="default")
    default.build((None, 3))
    assert str(fk.plan(default)["default/kernel"].scheme) == "normal(std=0.02)"
    changed = keras.initializers.HeNormal()
    changed.scale = 0.5
    layer = keras.layers.Dense(4, kernel_initializer=changed, name="changed")
    layer.build((None, 3))
    with pytest.raises(fi.errors.ModuleError, match=r"'changed/kernel': .* another kernel_in"):
        fk.plan(layer)


def test_values_that_a_layer_assigns_in_its_build_are_not_taken_for_its_initializers(keras, fk):
    class Assigned(keras.layers.Layer):
        def build(self, input_shape):
            self.start = self.add_weight(shape=(3, 3), initializer="zeros", name="start")
            self.start.assign(np.eye(3))

    layer = Assigned(name="own")
    layer.build((None, 3))
    with pytest.raises(fi.errors.ModuleError, match=r"'own/start': .* assigns it values when"):
        fk.plan(layer)
    assert str(fk.plan(layer, rules={"*": "identity()"})["own/start"].scheme) == "identity()"


def test_an_initializer_without_a_scheme_is_a_problem_of_its_weight(keras, fk):
    values = keras.initializers.Constant([1.0, 2.0, 3.0, 4.0])
    layer = keras.layers.Dense(4, bias_initializer=values, name="up")
    layer.build((None, 3))
    with pytest.raises(fi.errors.ModuleError, match="'up/bias': Constant of Dense has no scheme"):
        fk.plan(layer)
    assert list(fk.initialize(layer, seed=0, strict=False)) == ["up/bias"]
    assert numpy_of(layer.bias).tolist() == [1, 2, 3, 4]


def test_an_initializer_that_is_not_registered_is_named(keras, fk):
    class Unknown(keras.initializers.HeNormal):
        pass

    layer = keras.layers.Dense(4, kernel_initializer=Unknown(), name="up")
    layer.build((None, 3))
    with pytest.raises(
        fi.errors.ModuleError, match=r"'up/kernel': .* made again .* Could not .*Unknown"
    ):
        fk.plan(layer)


def test_a_scheme_that_does_not_suit_a_dtype_is_an_error_before_anything_changes(keras, fk):
    layers = [keras.layers.Dense(4, name="one"), keras.layers.Dense(4, name="two", dtype="float16")]
    model = keras.Sequential([keras.Input((4,)), *layers], name="m")
    before = values_of(model.weights)
    with pytest.raises(fi.errors.ModuleError, match=r"'m/two/bias': constant.* does not suit it"):
        fk.initialize(model, seed=1, rules={"*two/bias": "constant(1e6)"})
    assert values_of(model.weights) == before


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")  # JAX's
def test_a_variable_of_float64_is_drawn_as_the_backend_holds_it(keras, fk):
    layer = keras.layers.Dense(4, dtype="float64", name="up")
    layer.build((None, 3))
    dtype = numpy_of(layer.kernel).dtype.name
    assert dtype == ("float32" if keras.backend.backend() == "jax" else "float64")
    fk.initialize(layer, seed=1)
    scheme = fi.glorot_uniform(layout="keras")
    same = fi.array((3, 4), scheme, seed=1, name="up/kernel", dtype=dtype)
    np.testing.assert_array_equal(numpy_of(layer.kernel), same)


def test_an_adapter_is_drawn_as_keras_draws_it(keras, fk):
    layer = keras.layers.Dense(8, name="up")
    layer.build((None, 6))
    layer.enable_lora(2)
    plan = fk.plan(layer)
    assert str(plan["up/lora_kernel_a"].scheme) == "he_uniform(layout='keras')"
    assert str(plan["up/lora_kernel_b"].scheme) == "zeros()"
