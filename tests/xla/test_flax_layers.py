# SPDX-License-Identifier: MIT
"""Flax's layers, of linen and of nnx, filled by fastinit against the same layers by themselves."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import fastinit as fi

pytestmark = pytest.mark.frameworks
jax = pytest.importorskip("jax")
nn = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")

import fastinit.jax as fj  # noqa: E402 - only where JAX is

jnp = jax.numpy
LEVEL = 1e-5
"""Of a two-sample test; the seeds are fixed, and about 60 samples are compared."""


class Experts(nn.Module):
    """A mixture of experts: parameters of its own, a router, and vmapped layers."""

    @nn.compact
    def __call__(self, x):
        lecun = nn.initializers.lecun_normal(in_axis=1, out_axis=2, batch_axis=0)
        up = self.param("up", lecun, (8, x.shape[-1], 64))
        scale = self.param("scale", lambda key, n: 1 + 0.1 * jax.random.normal(key, (n,)), 999)
        gates = nn.Dense(8, use_bias=False, kernel_init=nn.initializers.normal(0.02))(x)
        each = nn.vmap(
            nn.Dense,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,
            out_axes=0,
            axis_size=8,
        )(40)
        return gates.sum() + each(x).sum() + up.sum() + scale.sum()


class Layers(nn.Module):
    """Four transformer blocks under one scan, with rematerialisation."""

    @nn.compact
    def __call__(self, x):
        block = nn.scan(
            nn.remat(Block),
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            length=4,
        )
        return block()(x, None)[0]


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        y = nn.LayerNorm()(x)
        y = nn.MultiHeadDotProductAttention(4, dropout_rate=0.1, deterministic=True)(y, y)
        x = x + y
        y = nn.Dense(96, kernel_init=nn.initializers.xavier_uniform())(nn.RMSNorm()(x))
        return x + nn.DenseGeneral(x.shape[-1])(nn.gelu(y)), None


ONES = jnp.ones((2, 6, 6, 48))
LINEN = {
    "Dense": (nn.Dense(256), ONES),
    "Dense in bfloat16": (nn.Dense(256, param_dtype=jnp.bfloat16), ONES),
    "DenseGeneral": (nn.DenseGeneral((8, 32), axis=(-2, -1)), ONES),
    "DenseGeneral with batch": (nn.DenseGeneral(32, axis=-1, batch_dims=(0,)), ONES),
    "Einsum": (nn.Einsum((48, 8, 32), "...d,dnh->...nh"), ONES),
    "Conv": (nn.Conv(64, (3, 3)), ONES),
    "Conv in groups": (nn.Conv(64, (3, 3), feature_group_count=4), ONES),
    "ConvTranspose": (nn.ConvTranspose(64, (3, 3)), ONES),
    "Embed": (nn.Embed(300, 64), jnp.ones((3,), int)),
    "LayerNorm": (nn.LayerNorm(), ONES),
    "BatchNorm": (nn.BatchNorm(use_running_average=False), ONES),
    "GroupNorm": (nn.GroupNorm(8), ONES),
    "PReLU": (nn.PReLU(), ONES),
    "attention": (nn.MultiHeadDotProductAttention(8, qkv_features=128), ONES),
    "LSTM": (nn.RNN(nn.LSTMCell(64)), ONES[0]),
    "GRU": (nn.RNN(nn.GRUCell(64)), ONES[0]),
    "MGU": (nn.RNN(nn.MGUCell(64)), ONES[0]),
    "OptimizedLSTM": (nn.RNN(nn.OptimizedLSTMCell(64)), ONES[0]),
    "SimpleCell": (nn.RNN(nn.SimpleCell(64)), ONES[0]),
    "ConvLSTM": (nn.RNN(nn.ConvLSTMCell(16, (3, 3))), ONES[None]),
    "experts": (Experts(), ONES[0, 0]),
    "layers": (Layers(), ONES[0]),
}


def by_name(tree):
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(value)
        for path, value in found
    }


def assert_alike(ours, theirs):
    """Equal shapes and dtypes, equal values where nothing is drawn, and equal distributions."""
    ours, theirs = by_name(ours), by_name(theirs)
    assert list(ours) == list(theirs)
    for name, value in ours.items():
        other = theirs[name]
        assert (value.shape, value.dtype) == (other.shape, other.dtype), name
        if len(np.unique(other)) <= 2:
            np.testing.assert_array_equal(value, other, err_msg=name)
            continue
        one, two = (each.astype(float).reshape(-1) for each in (value, other))
        spread = np.hypot(*(np.std(each**2) / each.size**0.5 for each in (one, two)))
        assert abs(np.mean(one**2) - np.mean(two**2)) < 5 * spread, name
        if value.dtype == np.float32:
            assert scipy.stats.ks_2samp(one, two).pvalue > LEVEL, name


def key_of(seed):
    """A key of the generator that compiles fastest."""
    return jax.random.key(seed, impl="unsafe_rbg")


FAST = ("Dense", "DenseGeneral", "Conv in groups")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FAST else [pytest.mark.slow]) for n in LINEN]
)
def test_a_layer_of_linen_starts_as_by_itself(name):
    layer, inputs = LINEN[name]
    theirs = jax.jit(layer.init)(key_of(3), inputs)
    assert_alike(fj.init(layer.init, key_of(0), inputs, seed=0), theirs)


@pytest.mark.parametrize("wrapper", [nn.WeightNorm, nn.SpectralNorm])
def test_layers_that_divide_by_a_norm_are_an_error(wrapper):
    def init(key, inputs):
        options = {"update_stats": False} if wrapper is nn.SpectralNorm else {}
        return wrapper(nn.Dense(32)).init(key, inputs, **options)

    with pytest.raises(fi.errors.ModuleError, match="computed from a draw") as caught:
        fj.init(init, key_of(0), ONES, seed=0)
    assert "params/layer_instance/kernel" in caught.value.problems


def test_the_schemes_of_layers_are_those_that_the_page_lists():
    """The rows of docs/frameworks.md, in stacked layers too."""
    plan = fj.plan(Layers().init, jax.random.key(0), ONES[0])
    block = "params/ScanCheckpointBlock_0"
    attention = f"{block}/MultiHeadDotProductAttention_0"
    assert {tensor.name: str(tensor.scheme) for tensor in plan if "kernel" in tensor.name} == {
        f"{attention}/{each}/kernel": "lecun_normal(in_axis=1, out_axis=(2, 3), batch_axis=0)"
        for each in ("key", "query", "value")
    } | {
        f"{attention}/out/kernel": "lecun_normal(in_axis=(1, 2), out_axis=3, batch_axis=0)",
        f"{block}/Dense_0/kernel": "glorot_uniform(layout='jax', batch_axis=0)",
        f"{block}/DenseGeneral_0/kernel": "lecun_normal(layout='jax', batch_axis=0)",
    }
    assert (
        str(
            fj.plan(nn.Embed(300, 64).init, jax.random.key(0), jnp.ones(3, int))[
                "params/embedding"
            ].scheme
        )
        == "normal(std=0.125)"
    )


def test_defaults_and_attributes_that_were_made_long_before_are_recognised():
    default = nn.linear.default_kernel_init
    tree = fj.plan(lambda key: {"w": default(key, (10, 30))}, jax.random.key(0))
    assert str(tree["w"].scheme) == "lecun_normal(layout='jax')"


def test_partitioned_parameters_are_named_and_sharded_as_others():
    init = nn.with_partitioning(nn.initializers.he_normal(), ("x", None))
    layer, inputs = nn.Dense(16, kernel_init=init), jnp.ones((2, 8))
    mesh = jax.make_mesh((1,), ("x",))
    abstract = jax.eval_shape(layer.init, jax.random.key(0), inputs)
    shardings = nn.get_sharding(abstract, mesh)
    made = fj.init(layer.init, jax.random.key(0), inputs, seed=0, shardings=shardings)
    kernel = made["params"]["kernel"]
    assert isinstance(kernel, nn.Partitioned)
    assert kernel.value.sharding.spec == jax.sharding.PartitionSpec("x", None)
    expected = fi.array((8, 16), fi.he_normal(layout="jax"), seed=0, name="params/kernel")
    np.testing.assert_array_equal(kernel.value, expected)


def test_a_flax_and_a_torch_model_of_the_same_names_agree(torch):
    import fastinit.torch as ft

    rules = {"*.bias": "zeros()", "*.weight": "normal(0.02)"}

    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    model = Head()
    ft.initialize_(model, seed=0, rules=rules)
    shapes = {
        f"{layer}.{kind}": jax.ShapeDtypeStruct(shape, "float32")
        for layer in ("up", "down")
        for kind, shape in (("weight", (8, 8)), ("bias", (8,)))
    }
    ours = fj.init(shapes, seed=0, rules=rules)
    for name, value in model.state_dict().items():
        assert np.asarray(ours[name]).tobytes() == value.numpy().tobytes()


def test_passing_a_module_says_to_pass_its_init_function():
    with pytest.raises(TypeError, match=r"source is a Dense: pass its init function"):
        fj.init(nn.Dense(3), jax.random.key(0), ONES, seed=0)


# --- nnx ----------------------------------------------------------------------------------------


class Model(nnx.Module):
    """Layers of every kind, a tied one, a stack, random state."""

    def __init__(self, rngs, width=32):
        self.embed = nnx.Embed(99, width, rngs=rngs)
        self.tied = self.embed
        self.linear = nnx.Linear(width, 64, rngs=rngs)
        self.general = nnx.LinearGeneral(width, (4, 8), rngs=rngs)
        self.einsum = nnx.Einsum("ab,bcd->acd", (width, 4, 8), (4, 8), rngs=rngs)
        self.conv = nnx.Conv(8, 16, (3, 3), rngs=rngs)
        self.transposed = nnx.ConvTranspose(8, 16, (3, 3), rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, width, rngs=rngs, decode=False)
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs), nnx.RMSNorm(width, rngs=rngs)])
        self.batch_norm = nnx.BatchNorm(width, rngs=rngs)
        self.cells = nnx.List(
            [
                nnx.LSTMCell(width, 24, rngs=rngs),
                nnx.OptimizedLSTMCell(width, 24, rngs=rngs),
                nnx.GRUCell(width, 24, rngs=rngs),
                nnx.SimpleCell(width, 24, rngs=rngs),
            ]
        )
        self.lora = nnx.LoRA(width, 4, width, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.scale = nnx.Param(0.02 * jax.random.normal(rngs.params(), (999,)))

        @nnx.split_rngs(splits=3)
        @nnx.vmap
        def layers(rngs):
            return nnx.Linear(width, width, rngs=rngs)

        self.layers = layers(rngs)


def make():
    return Model(nnx.Rngs(key_of(0), dropout=3))


def plain(state):
    """A state with the words of keys in place of keys."""
    return jax.tree.map(
        lambda value: (
            jax.random.key_data(value)
            if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
            else value
        ),
        nnx.to_pure_dict(state),
    )


@pytest.mark.slow
def test_a_model_of_nnx_starts_as_by_itself():
    ours, theirs = fj.nnx.init(make, seed=0), jax.jit(lambda: nnx.state(make()))()
    assert_alike(plain(nnx.state(ours)), plain(theirs))
    assert ours.tied is ours.embed
    kernel = fi.array((32, 64), fi.lecun_normal(layout="jax"), seed=0, name="linear/kernel")
    np.testing.assert_array_equal(ours.linear.kernel[...], kernel)
    stack = fj.nnx.plan(make)["layers/kernel"]
    assert str(stack.scheme) == "lecun_normal(layout='jax', batch_axis=0)"


def test_random_state_is_what_the_model_has():
    def small():
        return nnx.Dropout(0.5, rngs=nnx.Rngs(0, dropout=3))

    ours, theirs = fj.nnx.init(small, seed=0), small()
    for each in (ours, theirs):
        each.rngs()
    states = [plain(nnx.state(each, nnx.RngState)) for each in (ours, theirs)]
    assert jax.tree.leaves(states[0])
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_arrays_that_nnx_loses_in_a_traced_constructor_are_an_error():
    class Tables(nnx.Module):
        def __init__(self, kept):
            self.table = kept(jnp.arange(4.0) + 1)

    class Two(nnx.Module):
        def __init__(self, kept):
            self.tables = nnx.List([Tables(kept)])

    for call in (lambda make: fj.nnx.init(make, seed=0), fj.nnx.plan):
        with pytest.raises(fi.errors.ModuleError, match=r"mark them by nnx\.data") as caught:
            call(lambda: Two(lambda array: array))
        assert list(caught.value.problems) == ["tables/0/table"]
    model = Two(lambda array: array)
    with pytest.raises(ValueError, match="'tables/0/table' with shape None"):
        fj.nnx.update(model, lambda: Two(lambda array: array), seed=0, only=...)
    for kept in (nnx.data, nnx.Variable):
        made = fj.nnx.init(lambda kept=kept: Two(kept), seed=0)
        np.testing.assert_array_equal(made.tables[0].table[...], np.arange(4.0) + 1)


def test_update_draws_parameters_and_keeps_all_else():
    def make():
        layers = [nnx.BatchNorm(8, rngs=nnx.Rngs(0)), nnx.Linear(8, 16, rngs=nnx.Rngs(0))]
        return nnx.Sequential(*layers, nnx.Dropout(0.5, rngs=nnx.Rngs(3)))

    model, fresh = make(), fj.nnx.init(make, seed=5)
    before = plain(nnx.state(model, nnx.Not(nnx.Param)))
    assert fj.nnx.update(model, make, seed=5) is model
    jax.tree.map(
        np.testing.assert_array_equal,
        nnx.to_pure_dict(nnx.state(model, nnx.Param)),
        nnx.to_pure_dict(nnx.state(fresh, nnx.Param)),
    )
    jax.tree.map(np.testing.assert_array_equal, plain(nnx.state(model, nnx.Not(nnx.Param))), before)


def test_update_draws_in_the_dtype_of_the_model():
    def make(dtype):
        return nnx.Linear(4, 8, rngs=nnx.Rngs(0), param_dtype=dtype)

    model = fj.nnx.update(make(jnp.float32), lambda: make(jnp.bfloat16), seed=5)
    expected = fi.array((4, 8), fi.lecun_normal(layout="jax"), seed=5, name="kernel")
    np.testing.assert_array_equal(model.kernel[...], expected)


def test_update_without_a_function_needs_rules_or_schemes():
    model = nnx.Linear(4, 8, rngs=nnx.Rngs(0), param_dtype=jnp.bfloat16)
    with pytest.raises(fi.errors.ModuleError, match="'kernel': it is in a tree without a function"):
        fj.nnx.update(model, seed=0, rules={"bias": "ones()"})
    fj.nnx.update(model, seed=0, rules={"bias": "ones()"}, schemes=fi.normal(0.02))
    kernel = fi.array((4, 8), fi.normal(0.02), seed=0, name="kernel", dtype="bfloat16")
    np.testing.assert_array_equal(np.asarray(model.kernel[...]), kernel)
    assert float(model.bias[...].mean()) == 1


def test_update_refuses_the_function_of_another_model_and_a_choice_of_nothing():
    model = nnx.Linear(4, 8, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"only=.*BatchStat.* chooses no variable of the model"):
        fj.nnx.update(model, seed=0, only=nnx.BatchStat, schemes="normal")
    with pytest.raises(ValueError, match=r"makes 'bias' with shape \(9,\), but the model has"):
        fj.nnx.update(model, lambda: nnx.Linear(4, 9, rngs=nnx.Rngs(0)), seed=0)


def test_shardings_of_a_state_are_taken_by_their_places():
    mesh = jax.make_mesh((1,), ("x",))
    rows, everywhere = (
        jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)) for axes in ("x", ())
    )

    def linear():
        return nnx.Linear(8, 16, rngs=nnx.Rngs(0))

    shardings = jax.tree.map(lambda value: rows, nnx.state(nnx.eval_shape(linear)))
    assert isinstance(shardings, nnx.State)
    made = fj.nnx.init(linear, seed=0, shardings=shardings)
    assert made.kernel[...].sharding == rows
    made = fj.nnx.init(linear, seed=0, shardings=everywhere, dtype="bfloat16")
    assert made.kernel[...].sharding == everywhere
    assert made.kernel[...].dtype == jnp.bfloat16
