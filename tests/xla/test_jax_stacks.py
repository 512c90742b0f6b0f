# SPDX-License-Identifier: MIT
"""Stacked layers, and draws whose axes move: each has the fans of its initializer, once."""

from __future__ import annotations

import numpy as np
import pytest
from intercepts import ours

import fastinit as fi
from fastinit.errors import ModuleError

pytestmark = pytest.mark.frameworks
jax = pytest.importorskip("jax")

import fastinit.jax as fj  # noqa: E402 - only where JAX is

jnp, inits, random = jax.numpy, jax.nn.initializers, jax.random
KEY = random.key(0)


def scheme_of(function):
    """The scheme of the one array that a function of a key returns."""
    (tensor,) = fj.plan(lambda key: {"w": function(key)}, KEY)
    return tensor.scheme


def stacked_by_scan(init, shape):
    return lambda key: jax.lax.scan(lambda c, k: (c, init(k, shape)), 0, random.split(key, 5))[1]


def stacked_by_carry(init, shape):
    def body(key, _):
        key, own = random.split(key)
        return key, init(own, shape)

    return lambda key: jax.lax.scan(body, key, None, 5)[1]


def stacked_by_vmap(init, shape):
    return lambda key: jax.vmap(lambda k: init(k, shape))(random.split(key, 5))


def stacked_inside(init, shape):
    def stacked(key):
        return jax.vmap(lambda k: init(k, shape), out_axes=1)(random.split(key, 5))

    return stacked


def stacked_twice(init, shape):
    return lambda key: jax.vmap(stacked_by_scan(init, shape))(random.split(key, 2))


def stacked_by_hand(init, shape):
    def stacked(key):
        one, *others = (init(k, shape) for k in random.split(key, 5))
        return jnp.concatenate([one[None], jnp.stack(others)])

    return stacked


STACKS = [
    stacked_by_scan,
    stacked_by_carry,
    stacked_by_vmap,
    stacked_inside,
    stacked_twice,
    stacked_by_hand,
]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", ["lecun_normal", "glorot_uniform", "orthogonal"])
def test_the_layers_of_a_stack_have_the_fans_of_one_layer(stack, name):
    function, shape = stack(getattr(inits, name)(), (24, 40)), (24, 40)
    whole = jax.eval_shape(function, KEY).shape
    scheme = scheme_of(function)
    alone = getattr(fi.schemes, name)(layout="jax")
    if name == "orthogonal":
        made = np.asarray(fj.init(function, KEY, seed=3), "float64")
        layers = np.moveaxis(made, 1, 0) if stack is stacked_inside else made.reshape(-1, 24, 40)
        for layer in layers:
            np.testing.assert_allclose(layer @ layer.T, np.eye(24), atol=1e-5)
        assert len({layer.tobytes() for layer in layers}) == len(layers)
    else:
        assert scheme.distribution(whole) == alone.distribution(shape)


@pytest.mark.parametrize("keys_of", [random.key, random.PRNGKey])
@pytest.mark.parametrize(
    "init",
    [inits.normal(), inits.orthogonal(), fj.initializers.normal()],
    ids=["normal", "orthogonal", "of fastinit"],
)
def test_layers_of_equal_keys_are_refused(init, keys_of):
    """JAX would give all layers the same values."""
    copies = [
        lambda key: jnp.stack([key] * 5),
        lambda key: jnp.broadcast_to(key, (5, *key.shape)),
        lambda key: jnp.tile(key[None], (5, *[1] * key.ndim)).reshape(5, *key.shape),
    ]
    for several in copies:
        functions = [
            lambda key, several=several: jax.vmap(lambda k: init(k, (3, 3)))(several(key)),
            lambda key, several=several: jax.lax.map(lambda k: init(k, (3, 3)), several(key)),
        ]
        for function in functions:
            with pytest.raises(ModuleError, match="one draw is repeated"):
                fj.init(function, keys_of(0), seed=0)
    fold = jax.vmap(random.fold_in, (None, 0))
    fj.init(lambda key: jax.vmap(lambda k: init(k, (3, 3)))(fold(key, jnp.arange(5))), KEY, seed=0)


def test_rows_of_one_key_are_refused():
    """JAX would give all layers the same values."""
    init = inits.normal()
    repeated = [
        lambda key: jax.lax.scan(lambda c, _: (c, init(key, (3,))), 0, None, 5)[1],
        lambda key: jax.vmap(lambda _: init(key, (3,)), out_axes=0, axis_size=5)(jnp.zeros(5)),
        lambda key: jnp.tile(init(key, (1, 3)), (2, 1)),
        lambda key: jnp.concatenate([init(key, (3,))[:2]] * 2),
        lambda key: init(key, ()) * jnp.ones(3),
        lambda key: jnp.full((3, 4), 2.0) - init(key, (3, 1)),
    ]
    for function in repeated:
        with pytest.raises(ModuleError):
            fj.init(function, KEY, seed=0)


def moved(made, rng):
    """An array whose axes are transposed, split, merged or joined by another one."""
    axis = int(rng.integers(made.ndim))
    before, dim, after = made.shape[:axis], made.shape[axis], made.shape[axis + 1 :]
    match rng.integers(4):
        case 0:
            return made.transpose(rng.permutation(made.ndim))
        case 1 if dim % 2 == 0:
            return made.reshape(*before, 2, dim // 2, *after)
        case 2 if after:
            return made.reshape(*before, -1, *after[1:])
    return made[None]


@pytest.mark.parametrize("trial", range(40))
def test_fans_stay_those_of_the_initializer_wherever_its_axes_go(trial, monkeypatch):
    """The scale of an initializer that is recognised, against that which its program shows."""
    rng = np.random.default_rng(trial)
    shape = tuple(map(int, rng.choice([1, 2, 3, 4, 6, 8], rng.integers(2, 5))))
    first, second, *others = map(int, rng.permutation(len(shape)))
    init = inits.variance_scaling(
        1.5,
        rng.choice(["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]),
        rng.choice(["normal", "uniform", "truncated_normal"]),
        first,
        second,
        tuple(others[: rng.integers(3)]),
    )
    made_of = init
    for number in rng.integers(len(STACKS), size=rng.integers(3)):
        made_of = stacked_again(STACKS[number], made_of)

    def draw(key):
        moves = np.random.default_rng(trial)
        made = made_of(key, shape)
        for _ in range(3):
            made = moved(made, moves)
        return made

    whole = jax.eval_shape(draw, KEY).shape
    recognised = ours(scheme_of(draw), whole)
    monkeypatch.setattr("fastinit.jax.tracing.FACTORY_CODES", {})
    read = ours(scheme_of(draw), whole)
    assert recognised[0] == read[0]
    np.testing.assert_allclose(recognised[1:], read[1:], rtol=1e-6)


def stacked_again(stack, init):
    """An initializer of a stack of what another one makes."""
    return lambda key, shape: stack(init, shape)(key)
