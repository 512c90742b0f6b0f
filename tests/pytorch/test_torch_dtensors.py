# SPDX-License-Identifier: MIT
"""`fill` and `init` of DTensors: each process fills its part, scales come from the whole.

A pretended process group lets one process be any rank.  Real ones, and which elements each process
has, are in the tests of shards.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastinit as fi

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
init = pytest.importorskip("fastinit.torch.init")
pytest.importorskip("fastinit.torch.shards")
SIZE = 4


@pytest.fixture(params=range(SIZE))
def mesh(request):
    """The mesh of 4 processes, of which this one is each in turn.

    Torch remembers the meshes of operations, as if a process could not become another: by a name,
    each rank has its own.
    """
    from torch import distributed
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", rank=request.param, world_size=SIZE, store=FakeStore())
    try:
        names = (f"as rank {request.param}",)
        yield distributed.init_device_mesh("cpu", (SIZE,), mesh_dim_names=names)
    finally:
        distributed.destroy_process_group()


def sharded(mesh, shape, axis=0):
    """An empty DTensor of a whole shape, this process's part of it, and where that lies."""
    from torch.distributed.tensor import DTensor, Shard

    pieces = torch.empty(shape, device="meta").chunk(SIZE, axis)
    rank = mesh.get_rank()
    first = sum(piece.shape[axis] for piece in pieces[:rank])
    local = torch.zeros(pieces[rank].shape)
    strides = torch.empty(shape, device="meta").stride()
    made = DTensor.from_local(
        local, mesh, [Shard(axis)], shape=torch.Size(shape), stride=strides, run_check=False
    )
    index = [slice(None)] * len(shape)
    index[axis] = slice(first, first + local.shape[axis])
    return made, made._local_tensor, tuple(index)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_process_fills_its_part(mesh, axis):
    tensor, local, place = sharded(mesh, (8, 12), axis)
    versions = tensor._version, local._version
    assert fi.fill(tensor, fi.he_normal(), seed=3, name="w") is tensor
    assert tensor._version > versions[0]
    assert local._version > versions[1]
    whole = fi.array((8, 12), fi.he_normal(), seed=3, name="w")
    assert np.array_equal(local.numpy(), whole[place])


def test_a_parameter_is_filled(mesh):
    tensor, local, place = sharded(mesh, (8, 12))
    parameter = torch.nn.Parameter(tensor)
    fi.fill(parameter, "normal(0.02)", seed=3, name="w", shape=(8, 12))
    assert np.array_equal(local, fi.array((8, 12), "normal(0.02)", seed=3, name="w")[place])


@pytest.mark.parametrize("options", [{"shape": (9, 12)}, {"region": np.s_[:8]}])
def test_a_dtensor_knows_its_region(mesh, options):
    tensor, local, _ = sharded(mesh, (8, 12))
    with pytest.raises(ValueError, match=r"^out is a DTensor of shape \(8, 12\), which kn"):
        fi.fill(tensor, "normal(0.02)", seed=3, name="w", **options)
    assert not local.any()


CALLS = {
    "uniform_": ((), (8, 12)),
    "normal_": ((), (8, 12)),
    "trunc_normal_": ((), (8, 12)),
    "xavier_uniform_": ((), (8, 12)),
    "xavier_normal_": ((), (8, 12)),
    "kaiming_uniform_": ((0, "fan_out"), (8, 12)),
    "kaiming_normal_": ((), (8, 12)),
    "orthogonal_": ((), (8, 12)),
    "sparse_": ((0.3,), (8, 12)),
    "eye_": ((), (8, 12)),
    "dirac_": ((2,), (8, 4, 3)),
    "constant_": ((0.5,), (8, 12)),
    "ones_": ((), (8, 12)),
    "zeros_": ((), (8, 12)),
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", CALLS)
def test_an_initialiser_fills_a_part_of_what_it_fills_alone(mesh, name, axis):
    arguments, shape = CALLS[name]
    tensor, local, place = sharded(mesh, shape, axis)
    assert getattr(init, name)(tensor, *arguments, seed=3, name="w") is tensor
    whole = getattr(init, name)(torch.empty(shape), *arguments, seed=3, name="w")
    assert torch.equal(local, whole[place])


def test_names_know_sharded_parameters(mesh):
    module = torch.nn.Module()
    tensor, local, place = sharded(mesh, (8, 12))
    module.weight = torch.nn.Parameter(tensor)
    whole = fi.array((8, 12), fi.xavier_uniform(), seed=5, name="weight")
    with init.names(module, seed=5):
        for alias in (module.weight, module.weight.data, module.weight.detach()):
            local.zero_()
            init.xavier_uniform_(alias)
            assert np.array_equal(local, whole[place])


def test_a_meta_dtensor_is_for_torchs_own_function(mesh):
    from torch.distributed.tensor import DTensor, Shard

    local = torch.empty(2, 12, device="meta")
    tensor = DTensor.from_local(local, mesh, [Shard(0)], run_check=False)
    assert init.orthogonal_(tensor) is tensor
    with pytest.raises(ValueError, match="on the meta device"):
        fi.fill(tensor, "normal(0.02)", seed=3, name="w")
