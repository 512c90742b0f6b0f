# SPDX-License-Identifier: MIT
"""Fills sharded JAX arrays in this process and checks them; a test runs it.  No test.

python jax_shards.py devices                     8 pretended devices
python jax_shards.py process PORT RANK           one of 2 processes with 4 devices each
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
DEVICES = 8 if sys.argv[1] == "devices" else 4
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"

import jax  # noqa: E402 - the settings are read at import
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from jax.sharding import NamedSharding  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402

import fastinit as fi  # noqa: E402
import fastinit.jax as fj  # noqa: E402
from fastinit.jax import blocks  # noqa: E402

SHAPE = (64, 48)
HE = fi.he_normal(layout="jax")
SPECS = {
    P("x"): 4,
    P(None, "x"): 4,
    P("y"): 2,
    P("x", "y"): 8,
    P("y", "x"): 8,
    P(("x", "y")): 8,
    P(None, ("y", "x")): 8,
    P(): 1,
}
"""Each way to cut a matrix on a mesh of 4 x 2, with the number of distinct blocks."""

filled: list[tuple[int, ...]] = []
"""The shapes of the blocks that were filled."""


def count_blocks():
    real = blocks.empty

    def counted(shape, dtype):
        filled.append(tuple(shape))
        return real(shape, dtype)

    blocks.empty = counted


def assert_part(array, expected):
    """Every block that is here is that of the whole."""
    assert array.shape == expected.shape
    for shard in array.addressable_shards:
        np.testing.assert_array_equal(np.asarray(shard.data), expected[shard.index])


def check_specs(mesh, blocks_here):
    """Arrays of every sharding, in wide and narrow types, drawn once for each block."""
    for spec, count in SPECS.items():
        sharding = NamedSharding(mesh, spec)
        for dtype in ("float32", "bfloat16", "float8_e4m3fn"):
            expected = fi.array(SHAPE, HE, seed=20, name="w", dtype=dtype)
            filled.clear()
            made = fj.array(SHAPE, HE, seed=20, name="w", dtype=dtype, sharding=sharding)
            assert made.sharding == sharding
            assert_part(made, expected)
            assert len(filled) == blocks_here(spec, count), (spec, filled)
            assert sum(map(np.prod, filled)) == expected.size * len(filled) // count
    rows = NamedSharding(mesh, P("x"))
    part = fj.array((99, 48), HE, seed=20, name="w", region=np.s_[3:67], sharding=rows)
    assert_part(part, fi.array((99, 48), HE, seed=20, name="w")[3:67])


def model(key):
    """A tree with a stack of layers, an orthogonal matrix, a table, a counter and a tie."""
    lecun, orthogonal = jax.nn.initializers.lecun_normal(), jax.nn.initializers.orthogonal()
    keys = jax.random.split(key, 4)
    up = lecun(key, SHAPE)
    return {
        "up": up,
        "tied": up,
        "tied_elsewhere": up,
        "stack": jax.vmap(lambda key: lecun(key, SHAPE))(keys),
        "square": orthogonal(key, (16, 16)),
        "table": jax.numpy.arange(8.0),
        "steps": jax.numpy.zeros((), int),
    }


def check_tree(mesh):
    """A tree by a tree of shardings equals the tree without any, block by block."""
    whole = fj.init(model, jax.random.key(0), seed=3)
    specs = {
        "up": P("x", "y"),
        "tied": P("x", "y"),
        "tied_elsewhere": P("y"),
        "stack": P("y", None, "x"),
        "square": P(None, "y"),
        "table": P("x"),
        "steps": P(),
    }
    shardings = {name: NamedSharding(mesh, spec) for name, spec in specs.items()}
    made = fj.init(model, jax.random.key(0), seed=3, shardings=shardings)
    for name, value in made.items():
        assert value.sharding == shardings[name], name
        assert_part(value, np.asarray(whole[name]))
    assert made["up"] is made["tied"]
    abstract = {"w": jax.ShapeDtypeStruct(SHAPE, "float32", sharding=shardings["up"])}
    made = fj.init(abstract, seed=3, schemes=HE)
    assert made["w"].sharding == shardings["up"]
    assert_part(made["w"], fi.array(SHAPE, HE, seed=3, name="w"))


def check_refusals(mesh):
    """An axis that the mesh does not divide is JAX's error, before anything is filled."""
    uneven = NamedSharding(mesh, P("x"))
    filled.clear()
    with pytest.raises(ValueError, match="63"):
        jax.device_put(np.zeros((63, 48), "float32"), uneven)
    with pytest.raises(ValueError, match="dimension size is 63"):
        fj.array((63, 48), HE, seed=0, name="w", sharding=uneven)

    def one_is_uneven(key):
        return {"a": jax.random.normal(key, (64,)), "b": jax.random.normal(key, (63,))}

    with pytest.raises(ValueError, match=r"'b': .*dimension size is 63"):
        fj.init(one_is_uneven, jax.random.key(0), seed=0, shardings=uneven)
    both = NamedSharding(mesh, P("x", "y"))
    with pytest.raises(ValueError, match=r"'a': shape \(64,\) has fewer axes than NamedSharding"):
        fj.init(one_is_uneven, jax.random.key(0), seed=0, shardings=both)
    nowhere = NamedSharding(mesh.abstract_mesh, P("x"))
    with pytest.raises(ValueError, match=r"'w': the mesh of NamedSharding.* is abstract"):
        fj.init(
            {"w": jax.ShapeDtypeStruct((64, 48), "float32", sharding=nowhere)}, seed=0, schemes=HE
        )
    assert not filled


def check_places(mesh):
    """Arrays of one tree may be on different devices, or in the memory of the host."""
    wide = NamedSharding(mesh, P("x"))
    last = jax.sharding.SingleDeviceSharding(jax.local_devices()[-1])

    def mixed(key):
        return {
            "a": jax.random.normal(key, (64,)),
            "b": jax.numpy.arange(64.0),
            "c": jax.numpy.arange(3.0),
            "d": jax.numpy.arange(5.0),
        }

    shardings = {"a": last, "b": wide, "c": last, "d": None}
    made = fj.init(mixed, jax.random.key(0), seed=0, shardings=shardings)
    for name in "abc":
        assert made[name].sharding == shardings[name]
    assert made["d"].devices() == {jax.local_devices()[0]}
    assert_part(made["b"], np.arange(64.0))
    pinned = wide.with_memory_kind("pinned_host")
    made = fj.array(SHAPE, HE, seed=0, name="w", sharding=pinned)
    assert made.sharding == pinned
    assert_part(made, fi.array(SHAPE, HE, seed=0, name="w"))


def check_initializers(mesh):
    """Initializers inside a sharded jit, and placed by out_sharding."""
    he, key = fj.initializers.he_normal(), jax.random.key(7)
    sharding = NamedSharding(mesh, P("x", "y"))
    alone = np.asarray(he(key, SHAPE))
    inside = jax.jit(lambda key: he(key, SHAPE), out_shardings=sharding)(key)
    assert_part(inside, alone)
    assert_part(he(key, SHAPE, out_sharding=sharding), alone)


def check_nnx(mesh):
    """A model of nnx is made sharded, and drawn anew where it is."""
    from flax import nnx

    sharding = NamedSharding(mesh, P(None, "x"))

    def model():
        return nnx.Linear(16, 32, use_bias=False, rngs=nnx.Rngs(0))

    made = fj.nnx.init(model, seed=3, shardings=sharding)
    for seed in (3, 4):
        expected = fi.array((16, 32), fi.lecun_normal(layout="jax"), seed=seed, name="kernel")
        fj.nnx.update(made, model, seed=seed)
        assert made.kernel[...].sharding == sharding
        assert_part(made.kernel[...], expected)


def on_devices():
    count_blocks()
    mesh = jax.make_mesh((4, 2), ("x", "y"))
    check_specs(mesh, lambda spec, count: count)
    check_tree(mesh)
    check_refusals(mesh)
    check_places(mesh)
    check_initializers(mesh)
    check_nnx(mesh)


def peak():
    """The highest memory of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def in_a_process(port, rank):
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
    assert (jax.device_count(), jax.local_device_count()) == (8, 4)
    count_blocks()
    mesh = jax.make_mesh((4, 2), ("x", "y"))
    here = {d.id for d in jax.local_devices()}

    def blocks_here(spec, count):
        places = NamedSharding(mesh, spec).devices_indices_map(SHAPE)
        return len({str(index) for device, index in places.items() if device.id in here})

    check_specs(mesh, blocks_here)
    check_tree(mesh)
    check_refusals(mesh)
    size = 2**28
    tall = NamedSharding(mesh, P(("x", "y")))
    fj.array((8, 2**13), fi.normal(), seed=0, name="warm", sharding=tall)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    before = peak()
    made = fj.array((2**10, size // 2**12), fi.normal(), seed=0, name="large", sharding=tall)
    grown = peak() - before
    assert made.nbytes == size
    assert grown < 0.6 * size, (rank, grown)
    corner = fi.array(made.shape, fi.normal(), seed=0, name="large", region=np.s_[:1, :9])
    if rank == 0:
        first = next(s for s in made.addressable_shards if s.index[0].start in (0, None))
        np.testing.assert_array_equal(np.asarray(first.data)[:1, :9], corner)
    jax.distributed.shutdown()


if __name__ == "__main__":
    if sys.argv[1] == "devices":
        on_devices()
    else:
        in_a_process(int(sys.argv[2]), int(sys.argv[3]))
    print("done")
