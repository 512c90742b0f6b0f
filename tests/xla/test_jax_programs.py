# SPDX-License-Identifier: MIT
"""What `fastinit.jax.init` reads of an init function, in JAX alone: distributions, ties, errors."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from intercepts import assert_same, jax_asks, ours

import fastinit as fi
from fastinit.errors import ModuleError

pytestmark = pytest.mark.frameworks
jax = pytest.importorskip("jax")

import fastinit.jax as fj  # noqa: E402 - only where JAX is
from fastinit.jax import reading  # noqa: E402

jnp, inits, random = jax.numpy, jax.nn.initializers, jax.random
KEY = random.key(0)

FACTORIES = [
    ("uniform", {}, (64, 48)),
    ("uniform", {"scale": 0.3}, (7,)),
    ("uniform", {"scale": -0.3}, (7,)),
    ("normal", {}, (64, 48)),
    ("normal", {"stddev": 0.02}, ()),
    ("truncated_normal", {"stddev": 0.02}, (64, 48)),
    ("truncated_normal", {"stddev": 2.0, "lower": -1.0, "upper": 3.0}, (5,)),
    *(
        ("variance_scaling", {"scale": 1.7, "mode": mode, "distribution": kind}, (3, 3, 24, 40))
        for mode in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
        for kind in ("truncated_normal", "normal", "uniform")
    ),
    *(
        (f"{name}_{kind}", axes, (6, 24, 40))
        for name in ("glorot", "xavier", "he", "kaiming", "lecun")
        for kind in ("normal", "uniform")
        for axes in (
            {},
            {"in_axis": 1, "out_axis": 2, "batch_axis": 0},
            {"in_axis": (0, 1), "out_axis": 2},
            {"in_axis": 2, "out_axis": (0, 1)},
        )
    ),
]
"""Every initializer that draws each element by itself, with arguments and a shape."""


def scheme_of(function, *args):
    """The scheme of the one array that a function returns."""
    (tensor,) = fj.plan(lambda *args: {"w": function(*args)}, *args)
    return tensor.scheme


@pytest.mark.parametrize(("name", "arguments", "shape"), FACTORIES)
def test_the_scheme_of_an_initializer_has_its_scale(name, arguments, shape):
    """JAX's own arithmetic in float64 differs by no more than two roundings."""
    init = getattr(inits, name)(**arguments)
    scheme = scheme_of(lambda key: init(key, shape), KEY)
    wide = jax_asks(jax, init, shape)
    if wide[0] == "uniform":
        wide = ("uniform", *sorted(wide[1:]))
    assert_same(ours(scheme, shape), wide, ulps=3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_scale_does_not_depend_on_the_dtype_that_is_asked_for(dtype):
    he = inits.he_normal()
    (tensor,) = fj.plan(lambda key: {"w": he(key, (1000, 1004), dtype)}, KEY)
    assert str(tensor.scheme) == "he_normal(layout='jax')"
    assert tensor.dtype == dtype


def test_matrices_and_constants_have_their_schemes():
    shapes = {
        "orthogonal(layout='jax')": lambda key: inits.orthogonal()(key, (4, 6)),
        "orthogonal(gain=2, column_axis=0)": lambda key: inits.orthogonal(2.0, 0)(key, (4, 6, 3)),
        "orthogonal(gain=3, column_axis=1)": lambda key: (
            1.5 * inits.orthogonal(2, -2)(key, (4, 6, 3))
        ),
        "delta_orthogonal(layout='jax')": lambda key: inits.delta_orthogonal()(key, (3, 4, 6)),
        "delta_orthogonal(gain=2, layout='jax')": (
            lambda key: inits.delta_orthogonal(2.0)(key, (3, 3, 3, 4, 6))
        ),
        "zeros()": lambda key: inits.zeros(key, (3,)),
        "ones()": lambda key: jnp.ones((2, 3)),
        "constant(value=0.1)": lambda key: inits.constant(0.1)(key, (3,)),
        "constant(value=-1.5)": lambda key: -jnp.full((3, 2), 1.0) * 1.5,
    }
    for text, function in shapes.items():
        assert str(scheme_of(function, KEY)) == text


def test_draws_without_an_initializer_are_read_from_their_program():
    expected = {
        "normal(std=0.02)": lambda k: random.normal(k, (4, 5)) * 0.02,
        "normal(std=0.25, mean=1)": lambda k: 1 + random.normal(k, (4, 5)) / 4,
        "normal(std=3)": lambda k: -(random.normal(k, (4, 5)) * 3),
        "uniform(low=-0.5, high=1.5)": lambda k: random.uniform(k, (4,), minval=-0.5, maxval=1.5),
        "uniform(low=-2, high=6)": lambda k: 2 - 4 * random.uniform(k, (4,), minval=-1),
        "truncated_normal(std=2, low=-1, high=3)": (
            lambda k: 2 * random.truncated_normal(k, -1, 3, (4,))
        ),
        "truncated_normal(std=2, low=-3, high=1)": (
            lambda k: -2 * random.truncated_normal(k, -1, 3, (4,))
        ),
        "constant(value=2)": lambda k: random.normal(k, (4,)) * 0 + 2,
    }
    for text, function in expected.items():
        assert str(scheme_of(function, KEY)) == text


def test_a_draw_may_pass_through_functions_casts_and_moves():
    init = inits.lecun_normal()

    def draw(key):
        made = jax.jit(lambda k: init(k, (8, 12)))(random.fold_in(key, 3))
        made = jax.checkpoint(lambda x: x.astype("bfloat16"))(made)
        return made.T.reshape(3, 4, 8)[None]

    assert str(scheme_of(draw, KEY)) == ("lecun_normal(in_axis=3, out_axis=(1, 2), batch_axis=0)")
    text = str(scheme_of(lambda key: draw(key).reshape(12, 8).reshape(96), KEY))
    assert text == f"truncated_normal(std={fi.lecun_normal().distribution((1, 8)).sigma!r})"
    joined = scheme_of(
        lambda key: jnp.concatenate([init(k, (8, 3)) for k in random.split(key)]), KEY
    )
    assert joined.distribution((16, 3)) == fi.lecun_normal().distribution((1, 8))
    halves = fj.plan(lambda key: tuple(jnp.split(init(key, (8, 4)), 2)), KEY)
    assert {half.scheme.distribution((4, 4)) for half in halves} == {joined.distribution((16, 3))}


def test_a_partial_function_of_jax_is_a_function():
    partial = jax.tree_util.Partial(lambda std, key: {"w": std * random.normal(key, (3,))})
    with pytest.raises(ModuleError, match="JAX's mul"):
        fj.plan(partial, 2.0, KEY)
    assert str(
        fj.plan(jax.tree_util.Partial(lambda key: {"w": random.normal(key)}), KEY)["w"].scheme
    ) == ("normal()")


def test_a_function_that_was_compiled_before_is_read_all_the_same():
    compiled = jax.jit(lambda key: inits.lecun_normal()(key, (8, 1000)))
    before = compiled(KEY)
    assert str(scheme_of(compiled, KEY)) == "lecun_normal(layout='jax')"
    np.testing.assert_array_equal(compiled(KEY), before)


# --- what is not understood ---------------------------------------------------------------------


def norm_of(key):
    values = random.normal(key, (4, 4))
    return values / jnp.linalg.norm(values)


NOT_UNDERSTOOD = [
    (norm_of, r"computed from a draw by JAX's \w+ \(test_jax_programs.py:\d+ in norm_of\)"),
    (lambda k: random.gamma(k, 2.0, (3,)), "by a function of jax.random that no scheme"),
    (lambda k: random.gumbel(k, (3,)), "JAX's log"),
    (lambda k: random.bernoulli(k, 0.5, (3,)).astype(float), "no scheme"),
    (lambda k: random.normal(k, (3,)) + random.normal(k, (3,)), "JAX's add"),
    (
        lambda k: random.normal(k, (3,), "bfloat16").astype("float32"),
        "drawn in bfloat16 and converted to",
    ),
    (lambda k: random.normal(k, (3,), "bfloat16").astype("float16"), "converted to float16"),
    (lambda k: jnp.zeros((4, 3)).at[1:].set(random.normal(k, (3, 3))), "a part of an array"),
    (lambda k: jnp.pad(random.normal(k, (3, 3)), 1), "JAX's pad"),
    (lambda k: inits.orthogonal()(k, (4, 4)) + 1, "added to a matrix"),
    (lambda k: inits.orthogonal()(k, (4, 4))[:2], "cut or reshaped"),
    (lambda k: inits.orthogonal()(k, (4, 4)).reshape(2, 8), "cut or reshaped"),
    (lambda k: inits.orthogonal()(k, (4, 4)).reshape(4, 2, 2), "columns of a matrix"),
    (lambda k: random.normal(k, (3,)) * jnp.arange(3.0), "JAX's mul"),
    (lambda k: random.normal(k, (3,)) / 0, "JAX's div"),
    (lambda k: 1 / random.normal(k, (3,)), "JAX's div"),
    (lambda k: random.normal(k, (3,)) * jnp.inf, "inf"),
    (lambda k: random.uniform(k, (3,), minval=2), "between 2 and 1, where nothing lies"),
    (lambda k: random.truncated_normal(k, 2, -2, (3,)), "between 2 and -2, where nothing lies"),
    (lambda k: jax.lax.cond(k[0] > 0, lambda: random.normal(k, (3,)), lambda: jnp.zeros(3)), "no"),
    (
        lambda k: jax.lax.fori_loop(0, 3, lambda i, x: x + random.normal(k, (3,)), jnp.zeros(3)),
        "no scheme|loop",
    ),
    (lambda k: random.randint(k, (3,), 0, 9), "no scheme describes"),
    (
        lambda k: jax.lax.scan(
            lambda w, k: (w + random.normal(k, (3,)), w), jnp.zeros(3), random.split(k)
        )[1],
        "goes through a loop",
    ),
]


@pytest.mark.parametrize(("function", "why"), NOT_UNDERSTOOD)
def test_what_is_not_understood_is_an_error_by_path(function, why):
    with pytest.raises(ModuleError, match="Nothing was allocated") as caught:
        fj.init(lambda key: {"layer": {"w": function(random.PRNGKey(3))}}, KEY, seed=0)
    assert list(caught.value.problems) == ["layer/w"]
    assert caught.match(why)


def test_arrays_that_share_values_are_an_error_unless_they_are_one_array():
    def tied(key):
        w = random.normal(key, (4, 4))
        return {"a": w, "b": w}

    def scaled(key):
        w = random.normal(key, (4, 4))
        return {"a": w, "b": 2 * w}

    def pair(one, other):
        def both(key):
            w, v = (random.normal(each, (4, 4)) for each in random.split(key))
            return {"a": one(w, v), "b": other(w, v)}

        return both

    def from_loop(key):
        def body(carry, key):
            w = random.normal(key, (4, 4))
            return carry, (w, w[:2])

        whole, cut = jax.lax.scan(body, 0, random.split(key, 5))[1]
        return {"a": whole[3:], "b": cut}

    overlapping = [
        pair(lambda w, v: w[:3], lambda w, v: w[2:]),
        pair(lambda w, v: w[:2], lambda w, v: w.T[2:]),
        pair(lambda w, v: w[:2], lambda w, v: w[::-1][2:]),
        pair(lambda w, v: w[:2], lambda w, v: w.reshape(16)[8:]),
        pair(lambda w, v: w[2:], lambda w, v: w[:, None][2:]),
        pair(lambda w, v: v[:2], lambda w, v: jnp.concatenate([w, v])[4:]),
        pair(lambda w, v: jnp.concatenate([v, w])[:4], lambda w, v: jnp.concatenate([w, v])[4:]),
        pair(lambda w, v: w[:2][1:], lambda w, v: w[1:3]),
        from_loop,
    ]
    made = fj.init(tied, KEY, seed=0)
    np.testing.assert_array_equal(made["a"], fi.array((4, 4), fi.normal(), seed=0, name="a"))
    np.testing.assert_array_equal(made["a"], made["b"])
    assert [tensor.name for tensor in fj.plan(tied, KEY)] == ["a"]
    for function in (scaled, *overlapping):
        with pytest.raises(ModuleError, match="it has values of 'a'"):
            fj.init(function, KEY, seed=0)
    apart = [
        pair(lambda w, v: w.T[:2], lambda w, v: w.T[2:]),
        pair(lambda w, v: w[:2][1:], lambda w, v: w[2:]),
        pair(lambda w, v: jnp.concatenate([w, v])[:3], lambda w, v: jnp.concatenate([w, v])[3:]),
    ]
    for function in apart:
        assert [str(tensor.scheme) for tensor in fj.plan(function, KEY)] == ["normal()"] * 2


@pytest.mark.parametrize(
    "given",
    [
        {"rules": {"a": "ones()"}},
        {"rules": {"b": "ones()"}},
        {"rules": {"b": "ones()"}, "schemes": "zeros()"},
        {"schemes": "normal(0.02)"},
        {"schemes": {"a": None, "b": "ones()"}},
    ],
    ids=str,
)
def test_one_array_of_two_names_has_one_scheme(given):
    """Biases that are one array of zeros are no tie: nothing was drawn."""

    def twice(key):
        norm, zeros = norm_of(key), jnp.zeros(3)
        w = random.normal(key, (4, 4))
        return {"a": w, "b": w, "c": {"a": norm, "b": norm}, "d": zeros, "e": zeros}

    rules = given.get("rules", {}) | {"c/b": "normal(3)", "d": "constant(5)"}
    schemes = given.get("schemes")
    made = fj.init(twice, KEY, seed=0, rules=rules, schemes=schemes and _spread(schemes))
    expected = fi.normal(0.02) if schemes == "normal(0.02)" else fi.ones()
    np.testing.assert_array_equal(made["a"], fi.array((4, 4), expected, seed=0, name="a"))
    assert made["a"] is made["b"]
    assert made["c"]["a"] is made["c"]["b"]
    np.testing.assert_array_equal(
        made["c"]["a"], fi.array((4, 4), fi.normal(3), seed=0, name="c/a")
    )
    assert float(made["d"][0]) == 5
    assert float(made["e"][0]) == 0


def _spread(schemes):
    """Schemes of `a` and `b` alone."""
    pair = schemes if isinstance(schemes, dict) else {"a": schemes, "b": schemes}
    return pair | dict.fromkeys("cde")


def test_all_problems_are_listed_up_to_a_limit():
    def many(key):
        return {f"w{n:02}": jnp.sin(random.normal(key, (3,))) for n in range(25)}

    with pytest.raises(ModuleError, match="25 arrays:") as caught:
        fj.init(many, KEY, seed=0)
    assert len(caught.value.problems) == 25
    assert caught.match("and 5 more")


# --- how it is read ----------------------------------------------------------------------------


def test_programs_are_read_where_nothing_is_compiled():
    def model(key):
        return inits.he_normal()(key, (3, 4))

    reading._functions.cache_clear()  # as in a process that never compiles
    with jax.disable_jit():
        assert str(scheme_of(model, KEY)) == "he_normal(layout='jax')"
    assert str(scheme_of(model, KEY)) == "he_normal(layout='jax')"


def test_recording_ends_with_the_call_and_other_threads_do_not_see_it():
    real = inits.normal.__globals__["random"]
    seen = []

    def model(key):
        assert inits.normal.__globals__["random"] is not real
        thread = threading.Thread(target=lambda: seen.append(jax.make_jaxpr(other)(key)))
        thread.start()
        thread.join()
        return inits.normal()(key, (3,))

    def other(key):
        return inits.normal()(key, (3,))

    fj.init(model, KEY, seed=0)
    assert "fastinit_mark" not in str(seen[0])
    assert inits.normal.__globals__["random"] is real
    with pytest.raises(ZeroDivisionError):
        fj.init(lambda: {"w": 1 / 0}, seed=0)
    assert inits.normal.__globals__["random"] is real


def test_without_marks_the_program_alone_gives_the_same_scales(monkeypatch):
    """As with a JAX whose initializers are written in another way."""
    monkeypatch.setattr("fastinit.jax.tracing.FACTORY_CODES", {})
    for name, arguments, shape in FACTORIES:
        init = getattr(inits, name)(**arguments)
        scheme = scheme_of(lambda key, init=init, shape=shape: init(key, shape), KEY)
        found, wide = ours(scheme, shape), jax_asks(jax, init, shape)
        if wide[0] == "uniform":
            wide = ("uniform", *sorted(wide[1:]))
        assert found[0] == wide[0]
        for mine, theirs in zip(found[1:], wide[1:], strict=True):
            assert math.isclose(mine, theirs, rel_tol=1e-6, abs_tol=1e-12)
