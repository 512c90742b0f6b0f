# SPDX-License-Identifier: MIT
"""fastinit with the frameworks' tensors: filled in place, of any type and layout, and in shards.

Their initialisers are compared with ours in test_framework_*.py.  Nothing here is downloaded.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import fastinit as fi

pytestmark = pytest.mark.frameworks

SEED = 20_26

# --- torch tensors ---------------------------------------------------------------------------


def test_a_float32_tensor_is_filled_in_place(torch):
    tensor = torch.full((33, 65), math.nan)
    returned = fi.fill(tensor.numpy(), fi.he_normal(), seed=SEED, name="w")
    assert returned.ctypes.data == tensor.data_ptr()
    expected = fi.array((33, 65), fi.he_normal(), seed=SEED, name="w")
    np.testing.assert_array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize(
    ("name", "integer", "dtype"),
    [
        ("bfloat16", "int16", ml_dtypes.bfloat16),
        ("float8_e4m3fn", "uint8", ml_dtypes.float8_e4m3fn),
        ("float8_e5m2", "uint8", ml_dtypes.float8_e5m2),
    ],
)
def test_a_tensor_of_a_type_numpy_lacks_is_filled_in_place(torch, name, integer, dtype):
    tensor = torch.zeros((33, 65), dtype=getattr(torch, name))
    view = tensor.view(getattr(torch, integer)).numpy().view(dtype)
    returned = fi.fill(view, fi.normal(0.5), seed=SEED, name="w")
    assert returned.ctypes.data == tensor.data_ptr()
    expected = fi.array((33, 65), fi.normal(0.5), seed=SEED, name="w", dtype=name)
    np.testing.assert_array_equal(tensor.float().numpy(), expected.astype(np.float32))
    assert tensor.float().std() > 0.4


@pytest.mark.parametrize("name", ["float16", "float64"])
def test_a_tensor_of_a_type_numpy_has_is_filled_in_place(torch, name):
    tensor = torch.zeros((33, 65), dtype=getattr(torch, name))
    fi.fill(tensor.numpy(), fi.normal(0.5), seed=SEED, name="w")
    expected = fi.array((33, 65), fi.normal(0.5), seed=SEED, name="w", dtype=name)
    np.testing.assert_array_equal(tensor.numpy(), expected, strict=True)


def test_the_memory_format_changes_no_value(torch):
    """torch's own values depend on it."""
    plain = torch.empty((8, 3, 16, 16))
    last = torch.empty((8, 3, 16, 16), memory_format=torch.channels_last)
    for tensor in (plain, last):
        fi.fill(tensor.numpy(), fi.he_normal(), seed=SEED, name="w")
    assert plain.stride() != last.stride()
    assert torch.equal(plain, last)


def test_a_transposed_tensor_is_filled_through_its_view(torch):
    tensor = torch.empty((65, 33))
    fi.fill(tensor.T.numpy(), fi.he_normal(), seed=SEED, name="w")
    expected = fi.array((33, 65), fi.he_normal(), seed=SEED, name="w")
    np.testing.assert_array_equal(tensor.numpy(), expected.T)


def test_a_parameter_is_filled_through_detach_and_keeps_its_gradient_flag(torch):
    layer = torch.nn.Linear(65, 33)
    fi.fill(layer.weight.detach().numpy(), fi.he_normal(), seed=SEED, name="w")
    expected = fi.array((33, 65), fi.he_normal(), seed=SEED, name="w")
    np.testing.assert_array_equal(layer.weight.detach().numpy(), expected)
    assert layer.weight.requires_grad
    assert torch.isfinite(layer(torch.ones(2, 65))).all()


def test_a_tensor_itself_is_refused_and_the_way_is_shown(torch):
    tensor = torch.zeros(3)
    with pytest.raises(TypeError, match=r"out is a Tensor.*t\.detach\(\)\.numpy\(\)"):
        fi.fill(tensor, fi.normal(), seed=0, name="w")
    assert torch.equal(tensor, torch.zeros(3))


def test_an_expanded_tensor_is_refused(torch):
    tensor = torch.zeros(3, 1).expand(3, 4)
    with pytest.raises(ValueError, match=r"read-only|share one place"):
        fi.fill(tensor.numpy(), fi.normal(), seed=0, name="w")


# --- jax shards -----------------------------------------------------------------------------

SHARDED = """
import jax, numpy as np, fastinit as fi
from jax.sharding import NamedSharding, PartitionSpec

shape = (64, 48)
asked = []

def shard(index):
    asked.append(index)
    return fi.array(shape, fi.he_normal(layout="keras"), seed=20, name="w", region=index)

expected = fi.array(shape, fi.he_normal(layout="keras"), seed=20, name="w")
mesh = jax.make_mesh((4, 2), ("x", "y"))
for spec in (PartitionSpec("x", "y"), PartitionSpec(None, "x"), PartitionSpec(("x", "y"))):
    array = jax.make_array_from_callback(shape, NamedSharding(mesh, spec), shard)
    np.testing.assert_array_equal(np.asarray(array), expected)
assert any(index[0].start == 48 and index[1].start == 24 for index in asked), asked
"""


def test_jax_asks_for_shards_and_their_union_is_the_whole(jax):
    """`make_array_from_callback` on 8 pretended devices asks for slices; each is filled alone."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "ignore", "-c", SHARDED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
