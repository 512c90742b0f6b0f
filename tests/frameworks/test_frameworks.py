# SPDX-License-Identifier: MIT
"""fastinit with the frameworks' tensors: filled in place, of any type and layout, and in shards.

Their initialisers are compared with ours in test_framework_*.py.  Nothing here is downloaded.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest

import fastinit as fi

pytestmark = pytest.mark.frameworks

SEED = 20_26

# --- torch tensors ---------------------------------------------------------------------------


def test_the_array_of_a_tensor_is_filled_in_place(torch):
    """Tensors themselves are filled in tests/pytorch."""
    tensor = torch.full((33, 65), math.nan)
    returned = fi.fill(tensor.numpy(), fi.he_normal(), seed=SEED, name="w")
    assert returned.ctypes.data == tensor.data_ptr()
    expected = fi.array((33, 65), fi.he_normal(), seed=SEED, name="w")
    np.testing.assert_array_equal(tensor.numpy(), expected)


def test_an_initialiser_or_a_tensor_is_no_scheme(torch):
    with pytest.raises(TypeError, match=r"fastinit's is fastinit.schemes.kaiming_uniform\(\)$"):
        fi.array((3,), torch.nn.init.kaiming_uniform_, seed=0, name="w")
    with pytest.raises(TypeError, match=r"gain is tensor\(.*; a scheme takes no array: give both"):
        fi.orthogonal(torch.zeros(3, 4))


def test_torchs_flushing_of_denormals_changes_no_bit(torch):
    if not torch.set_flush_denormal(True):
        pytest.skip("torch: this processor cannot flush denormals")
    try:
        assert float(torch.tensor(1e-40) * 1) == 0
        diagonal = fi.array((3, 3), "identity(1e-40)", seed=0, name="w")
        schemes = fi.normal(1e-310), fi.normal(2e-310)
        values = [fi.array((9,), each, seed=0, name="w", dtype="float64") for each in schemes]
    finally:
        torch.set_flush_denormal(False)
    assert diagonal.trace() == np.float32(1e-40) * 3
    np.testing.assert_allclose(values[1], 2 * values[0], rtol=1e-9)
    assert values[0].any()


def test_a_shape_may_be_torchs_or_hold_its_integers(torch):
    for shape in (torch.Size([3, 4]), torch.tensor([3, 4]), (torch.tensor(3), 4)):
        assert fi.array(shape, fi.he_normal(), seed=0, name="w").shape == (3, 4)
    with pytest.raises(ValueError, match=r"an axis of tensor\(3.5000\): need integers >= 0"):
        fi.fans((torch.tensor(3.5), 4))


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
