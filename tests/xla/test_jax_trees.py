# SPDX-License-Identifier: MIT
"""Trees and arrays of `fastinit.jax`: rules, what is computed, NumPy's bytes, wrong arguments."""

from __future__ import annotations

import numpy as np
import pytest

import fastinit as fi
from fastinit.errors import ModuleError

pytestmark = pytest.mark.frameworks
jax = pytest.importorskip("jax")

import fastinit.jax as fj  # noqa: E402 - only where JAX is

jnp, inits, random = jax.numpy, jax.nn.initializers, jax.random
KEY = random.key(0)


def test_what_depends_on_no_draw_is_computed():
    def state(key, steps):
        return {
            "key": random.fold_in(key, 1),
            "steps": steps + 1,
            "table": jnp.sin(jnp.arange(6.0)),
            "flag": jnp.array(True),
            "infinite": jnp.full((2,), -jnp.inf),
            "w": random.normal(key, (2,)),
        }

    made = fj.init(state, KEY, jnp.array([3]), seed=0)
    expected = state(KEY, jnp.array([3]))
    for name in ("steps", "table", "flag", "infinite"):
        np.testing.assert_array_equal(made[name], expected[name])
        assert made[name].dtype == expected[name].dtype
    assert random.key_data(made["key"]).tolist() == random.key_data(expected["key"]).tolist()
    assert (
        fj.init(state, KEY, jnp.array([3]), seed=0, dtype="bfloat16")["table"].dtype == "bfloat16"
    )
    with pytest.raises(ModuleError, match="'steps': it is computed from argument leaf 1"):
        fj.init(state, KEY, jax.ShapeDtypeStruct((1,), int), seed=0)
    with pytest.raises(ModuleError, match="not finite"):
        fj.plan(state, KEY, jnp.array([3]))
    rules = [("infinite", "zeros()")]
    plan = fj.plan(state, KEY, jnp.array([3]), rules=rules)
    assert [tensor.name for tensor in plan] == ["infinite", "table", "w"]
    np.testing.assert_array_equal(
        fi.array((6,), plan["table"].scheme, seed=0, name="table"), expected["table"]
    )


def test_products_of_matrices_are_computed_as_by_the_function():
    """Rotary tables are such products; the way in which programs are traced must not reach them."""

    def state(key):
        angles = jnp.einsum("i,j->ij", jnp.arange(5.0), jnp.linspace(0.3, 0.7, 3))
        return {"angles": angles @ angles.T, "w": random.normal(key, (2,))}

    made, expected = fj.init(state, KEY, seed=0), jax.jit(state)(KEY)
    np.testing.assert_array_equal(made["angles"], expected["angles"])
    np.testing.assert_array_equal(
        fi.array((5, 5), fj.plan(state, KEY)["angles"].scheme, seed=0, name="angles"),
        expected["angles"],
    )


def test_a_long_table_needs_a_rule_in_a_plan():
    def table(key):
        return {"t": jnp.sin(jnp.arange(9999.0))}

    assert fj.init(table, KEY, seed=0)["t"].shape == (9999,)
    with pytest.raises(ModuleError, match="9,999 values"):
        fj.plan(table, KEY)


def test_rules_come_first_then_schemes_then_the_function():
    def model(key):
        return {"a": random.normal(key, (3, 3)), "b": jnp.sin(random.normal(key, (3, 3)))}

    given = {"a": fi.ones(), "b": "constant(2)"}
    made = fj.init(model, KEY, seed=0, rules={"a": "zeros()"}, schemes=given)
    assert {name: float(value.mean()) for name, value in made.items()} == {"a": 0, "b": 2}
    kept = fj.init(model, KEY, seed=0, schemes={"a": None, "b": fi.ones()})
    np.testing.assert_array_equal(kept["a"], fi.array((3, 3), fi.normal(), seed=0, name="a"))
    assert fj.plan(model, KEY, schemes="ones")["a"].scheme == fi.ones()
    with pytest.raises(ValueError, match=r"rule 1 .* is never used"):
        fj.init(model, KEY, seed=0, rules={"c": "zeros()"})
    with pytest.raises(ValueError, match="schemes has another structure"):
        fj.init(model, KEY, seed=0, schemes={"a": fi.ones()})
    with pytest.raises(ValueError, match="a rule gives n zeros"):
        fj.init(lambda: {"n": jnp.zeros(3, int)}, seed=0, rules={"n": "zeros()"})


def test_an_abstract_tree_takes_rules_or_schemes():
    tree = {
        "mlp": {"Dense_0": {"kernel": jax.ShapeDtypeStruct((8, 32), "bfloat16")}},
        "steps": [jax.ShapeDtypeStruct((3,), "float32")],
    }
    auto = fi.auto(layout="jax")
    made = fj.init(tree, seed=5, schemes=auto, rules={"steps/0": "zeros()"})
    kernel = fi.array((8, 32), auto, seed=5, name="mlp/Dense_0/kernel", dtype="bfloat16")
    np.testing.assert_array_equal(np.asarray(made["mlp"]["Dense_0"]["kernel"]), kernel)
    prefixed = fj.init({"w": tree["steps"][0]}, seed=5, schemes=fi.normal(), prefix="generator/")
    np.testing.assert_array_equal(
        prefixed["w"], fi.array((3,), fi.normal(), seed=5, name="generator/w")
    )
    with pytest.raises(ModuleError, match="'steps/0': it is in a tree without a function"):
        fj.init(tree, seed=5, rules={"mlp/*": "zeros()"})


def test_same_seed_name_and_scheme_give_numpys_bytes():
    def model(key):
        return {"a": {"w": inits.he_normal()(key, (64, 96)), "v": inits.normal(0.02)(key, (999,))}}

    for dtype in ("float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"):
        made = fj.init(model, KEY, seed=7, dtype=dtype)["a"]
        he = fi.he_normal(layout="jax")
        for name, scheme in (("w", he), ("v", fi.normal(0.02))):
            expected = fi.array(made[name].shape, scheme, seed=7, name=f"a/{name}", dtype=dtype)
            assert np.asarray(made[name]).tobytes() == expected.tobytes(), (dtype, name)


def test_arrays_without_axes_or_elements_are_numpys_too():
    shapes = {"a": (), "b": (0,), "c": (3, 0), "d": (1, 1)}
    tree = {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in shapes.items()}
    made = fj.init(tree, seed=7, schemes=fi.normal())
    for name, shape in shapes.items():
        np.testing.assert_array_equal(made[name], fi.array(shape, fi.normal(), seed=7, name=name))


def test_a_checkpoint_of_its_plan_has_the_same_values(tmp_path):
    def model(key):
        return {"up": inits.he_normal()(key, (8, 16)), "bias": jnp.zeros(16)}

    fi.write(fj.plan(model, KEY), tmp_path / "weights", seed=4)
    made, saved = fj.init(model, KEY, seed=4), fi.open(tmp_path / "weights")
    assert {name: (saved[name] == np.asarray(made[name])).all() for name in made} == {
        "bias": True,
        "up": True,
    }


def test_arguments_are_checked_before_anything_is_allocated(monkeypatch):
    def model(key):
        return {"w": random.normal(key, (3,))}

    def never(*args):
        raise AssertionError("allocated")

    monkeypatch.setattr("fastinit.jax.blocks.empty", never)
    mistakes = [
        (lambda: fj.init(model, KEY, seed=-1), ValueError, "seed"),
        (lambda: fj.init(model, KEY, seed=0.5), TypeError, "seed"),
        (lambda: fj.init(model, KEY, seed=0, dtype="int8"), ValueError, "dtype"),
        (lambda: fj.init(model, KEY, seed=0, dtype="float64"), ValueError, "jax_enable_x64"),
        (
            lambda: fj.init({"w": np.zeros(3)}, seed=0, schemes="normal"),
            ValueError,
            "dtype 'float64' of 'w' needs JAX's 64-bit mode",
        ),
        (lambda: fj.init(model, KEY, seed=0, threads=0), ValueError, "threads"),
        (lambda: fj.init(model, KEY, seed=0, prefix=3), TypeError, "prefix is 3"),
        (
            lambda: fj.init(model, KEY, seed=0, schemes=fi.normal(1e36), dtype="float16"),
            ValueError,
            "'w': normal can reach 6.4e",
        ),
        (
            lambda: fj.init(model, KEY, seed=0, schemes=fi.he_normal()),
            ValueError,
            r"'w' by he_normal\(\): shape \(3,\) has no fans",
        ),
        (lambda: fj.init(model, KEY, seed=0, shardings="x"), TypeError, "sharding is a str"),
        (lambda: fj.init({"w": 3}, seed=0), TypeError, "'w' is a int"),
        (lambda: fj.init({"w": jnp.zeros(3)}, KEY, seed=0), TypeError, "1 arguments"),
        (lambda: fj.init({"a/b": KEY, "a": {"b": KEY}}, seed=0), ValueError, "named 'a/b'"),
        (lambda: fj.array((3,), "normal", seed=0, name="w", dtype="float64"), ValueError, "64-bit"),
        (lambda: fj.array((3,), "normal", seed=0, name="w", sharding=3), TypeError, "sharding is"),
        (lambda: fj.array((3,), "normal", seed=0, name="w", threads=0), ValueError, "threads"),
    ]
    for call, kind, why in mistakes:
        with pytest.raises(kind, match=why):
            call()


def test_float64_is_drawn_in_full_where_jax_has_it():
    with jax.enable_x64(True):
        made = fj.array((9,), fi.normal(), seed=0, name="w", dtype="float64")
        expected = fi.array((9,), fi.normal(), seed=0, name="w", dtype="float64")
        assert np.asarray(made).tobytes() == expected.tobytes()


def test_a_region_is_the_slice_of_the_whole():
    whole = fi.array((9, 8), fi.normal(), seed=0, name="w")
    for region in (np.s_[2:5], np.s_[::2, 3], np.s_[:, 1:7:3], range(5, 60, 2)):
        made = fj.array((9, 8), fi.normal(), seed=0, name="w", region=region)
        flat = (
            whole.reshape(-1)[region.start : region.stop : region.step]
            if isinstance(region, range)
            else whole[region]
        )
        np.testing.assert_array_equal(made, flat)


def test_arrays_can_be_trained_and_donated():
    made = fj.init(lambda key: {"w": random.normal(key, (200, 300))}, KEY, seed=0)
    expected = fi.array((200, 300), fi.normal(), seed=0, name="w")
    slope = jax.grad(lambda tree: (tree["w"] ** 2).sum())(made)
    np.testing.assert_array_equal(slope["w"], 2 * expected)
    doubled = jax.jit(lambda x: 2 * x, donate_argnums=0)(made["w"])
    np.testing.assert_array_equal(doubled, 2 * expected)


def test_no_array_moves_without_being_told_to():
    def model(key):
        return {"w": inits.he_normal()(key, (3, 4)), "table": jnp.arange(3.0) * 2}

    with jax.transfer_guard("disallow"):
        made = fj.init(model, KEY, seed=0)
    expected = fi.array((3, 4), fi.he_normal(layout="jax"), seed=0, name="w")
    np.testing.assert_array_equal(made["w"], expected)


def test_the_default_device_is_used():
    device = jax.devices()[-1]
    for default in (device, "cpu", None):
        with jax.default_device(default):
            made = fj.array((3,), fi.normal(), seed=0, name="w")
        np.testing.assert_array_equal(made, fi.array((3,), fi.normal(), seed=0, name="w"))


def test_the_cpu_takes_the_memory_that_was_filled(monkeypatch):
    """No second copy of a large array; the address says so."""
    from fastinit.jax import blocks

    addresses = []

    def noted(shape, dtype):
        memory = real(shape, dtype)
        addresses.append(memory.ctypes.data)
        return memory

    real = blocks.empty
    monkeypatch.setattr(blocks, "empty", noted)
    made = fj.array((1000, 1000), fi.normal(), seed=0, name="w")
    assert made.unsafe_buffer_pointer() == addresses[0]
