# SPDX-License-Identifier: MIT
"""`fastinit.jax.initializers` against jax.nn.initializers: names, laws, transformations."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import scipy.stats
from intercepts import public

import fastinit as fi

pytestmark = pytest.mark.frameworks
jax = pytest.importorskip("jax")

import fastinit.jax as fj  # noqa: E402 - only where JAX is
from fastinit.jax import primitives  # noqa: E402

jnp = jax.numpy
KEY, SHAPE = jax.random.key(7), (24, 40)
ARGUMENTS = {
    "constant": {"value": 3.0},
    "variance_scaling": {"scale": 1.5, "mode": "fan_avg", "distribution": "normal"},
}
THEIRS = {
    name: f for name, f in public(jax.nn.initializers, "jax").items() if name != "Initializer"
}
DRAWN = sorted(set(fj.initializers.__all__) - {"zeros", "ones", "constant"})


def made(module, name):
    function = getattr(module, name)
    return function if name in ("zeros", "ones") else function(**ARGUMENTS.get(name, {}))


def test_every_name_of_jax_is_there_with_the_same_arguments():
    assert set(THEIRS) == set(fj.initializers.__all__)
    for name, theirs in THEIRS.items():
        parameters = (
            [(p.name, p.default, p.kind) for p in inspect.signature(each).parameters.values()]
            for each in (getattr(fj.initializers, name), theirs)
        )
        ours, expected = parameters
        assert ours == expected, name
    protocol = inspect.signature(fj.initializers.normal()).parameters
    assert list(protocol) == list(inspect.signature(jax.nn.initializers.normal()).parameters)


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_the_law_is_jaxs(name):
    shape = (3, 24, 40) if name == "delta_orthogonal" else (240, 200)
    key = jax.random.key(3, impl="unsafe_rbg")
    ours = np.asarray(made(fj.initializers, name)(key, shape))
    theirs = np.asarray(made(jax.nn.initializers, name)(key, shape))
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if name not in DRAWN:
        np.testing.assert_array_equal(ours, theirs)
        return
    assert scipy.stats.ks_2samp(ours.reshape(-1), theirs.reshape(-1)).pvalue > 1e-5
    if "orthogonal" in name:
        assert (np.flatnonzero(ours.any(axis=-1)) == np.flatnonzero(theirs.any(axis=-1))).all()


def test_the_seed_is_the_key():
    words = np.asarray(jax.random.key_data(jax.random.key(5))).astype(np.uint64)
    seed = int(words[0]) << 32 | int(words[1])
    he = fj.initializers.he_normal()
    expected = fi.array(SHAPE, fi.he_normal(layout="jax"), seed=seed, name="jax.initializers")
    np.testing.assert_array_equal(he(jax.random.key(5), SHAPE), expected)
    np.testing.assert_array_equal(he(jax.random.PRNGKey(5), SHAPE), expected)
    wide = [np.asarray(he(jax.random.key(n, impl="rbg"), SHAPE)) for n in (1, 1, 2)]
    assert (wide[0] == wide[1]).all()
    assert not (wide[0] == wide[2]).any()


@pytest.mark.parametrize("name", ["lecun_normal", "orthogonal"])
def test_transformations_change_no_value(name):
    init = getattr(fj.initializers, name)()
    keys = jax.random.split(KEY, 3)
    alone = np.stack([init(key, SHAPE) for key in keys])

    def one(key):
        return init(key, SHAPE)

    np.testing.assert_array_equal(jax.vmap(one)(keys), alone)
    np.testing.assert_array_equal(jax.jit(one)(keys[1]), alone[1])
    np.testing.assert_array_equal(jax.jit(jax.vmap(one))(keys), alone)
    np.testing.assert_array_equal(jax.vmap(one, out_axes=1)(keys), np.moveaxis(alone, 0, 1))
    scanned = jax.lax.scan(lambda carry, key: (carry, one(key)), 0, keys)[1]
    np.testing.assert_array_equal(scanned, alone)
    grid = keys.reshape(3, 1)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(one))(grid), alone[:, None])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2**18 + 1,)])
def test_shapes_at_the_edges(shape):
    normal = fj.initializers.normal(1.0)
    keys = jax.random.split(KEY, 2)
    for made in (
        jax.vmap(lambda key: normal(key, shape))(keys),
        jax.jit(jax.vmap(lambda key: normal(key, shape)))(keys),
    ):
        for key, values in zip(keys, made, strict=True):
            seed = primitives.seed_of(jax.random.key_data(key))
            expected = fi.array(shape, fi.normal(), seed=seed, name="jax.initializers")
            np.testing.assert_array_equal(values, expected)
            np.testing.assert_array_equal(normal(key, shape), expected)


def test_shapes_without_memory():
    found = jax.eval_shape(lambda key: fj.initializers.he_normal()(key, SHAPE, "bfloat16"), KEY)
    assert (found.shape, found.dtype) == (SHAPE, jnp.bfloat16)


def test_dtypes():
    normal = fj.initializers.normal(dtype="float16")
    assert normal(KEY, SHAPE).dtype == jnp.float16
    assert normal(KEY, SHAPE, jnp.bfloat16).dtype == jnp.bfloat16
    wide = np.asarray(fj.initializers.normal()(KEY, SHAPE))
    narrow = np.asarray(normal(KEY, SHAPE, jnp.bfloat16))
    np.testing.assert_array_equal(narrow, wide.astype(narrow.dtype))
    with jax.enable_x64(True):
        assert fj.initializers.normal()(KEY, (3,)).dtype == np.float64
    with pytest.raises(ValueError, match="complex64"):
        normal(KEY, SHAPE, "complex64")


def test_mistakes():
    init = fj.initializers
    mistakes = [
        (lambda: init.he_normal()(3, SHAPE), TypeError, "key is 3: need a key"),
        (lambda: init.normal()(np.ones(2), SHAPE), TypeError, "need a key, such as"),
        (lambda: init.normal()(jax.random.split(KEY), SHAPE), TypeError, r"shape \(2,\): need one"),
        (lambda: init.orthogonal(column_axis=5)(KEY, SHAPE), ValueError, "has no axis 5"),
        (lambda: init.he_normal()(KEY, (3,)), ValueError, r"shape \(3,\) has no axis -2"),
        (lambda: init.he_normal()(KEY, (3, -1)), ValueError, "-1"),
        (lambda: init.normal("a"), TypeError, "need a number, not 'a'"),
        (lambda: init.variance_scaling(1.0, "fan", "normal")(KEY, SHAPE), ValueError, "fan"),
        (lambda: init.normal()(KEY, SHAPE, out_sharding="x"), TypeError, "sharding is a str"),
    ]
    for call, kind, why in mistakes:
        with pytest.raises(kind, match=why):
            call()


@pytest.mark.parametrize("name", DRAWN)
def test_init_reads_them_as_jaxs(name):
    shape = (3, 24, 40) if name == "delta_orthogonal" else (4, 24, 40)
    ours, theirs = (
        fj.plan(lambda key, m=module: {"w": made(m, name)(key, shape)}, KEY)["w"].scheme
        for module in (fj.initializers, jax.nn.initializers)
    )
    assert ours == theirs


def test_init_reads_them_in_stacks():
    init = fj.initializers.lecun_normal()

    def stack(key):
        return {"w": jax.vmap(lambda key: init(key, SHAPE))(jax.random.split(key, 3))}

    assert str(fj.plan(stack, KEY)["w"].scheme) == "lecun_normal(layout='jax', batch_axis=0)"


def test_a_parameter_of_linen_has_the_values_of_its_path():
    nn = pytest.importorskip("flax.linen")

    class Two(nn.Module):
        more: bool = False

        @nn.compact
        def __call__(self, x):
            if self.more:
                x = nn.Dense(8, name="extra")(x)
            init = fj.initializers.he_normal()
            return nn.Dense(8, name="b", kernel_init=init)(
                nn.Dense(8, name="a", kernel_init=init)(x)
            )

    x = jnp.ones((1, 8))
    few, more = Two().init(KEY, x)["params"], Two(more=True).init(KEY, x)["params"]
    for name in ("a", "b"):
        np.testing.assert_array_equal(few[name]["kernel"], more[name]["kernel"])
    assert not (few["a"]["kernel"] == few["b"]["kernel"]).any()
