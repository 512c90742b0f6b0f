# SPDX-License-Identifier: MIT
"""What `deferred` records of constructors, against what PyTorch does when they run on a CPU."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning"),
]
torch = pytest.importorskip("torch")

import torch_modules  # noqa: E402 - only where torch is
from scipy import stats  # noqa: E402
from torch_draws import last_draws  # noqa: E402

import fastinit.torch as ft  # noqa: E402
from fastinit.errors import ModuleError  # noqa: E402

MODULES = {**torch_modules.LAYERS, **torch_modules.HARD}
VALUES = 1_000_000
FALSE_ALARMS = 1e-7  # of each test; there are about 200


def materialised(make, seed, **options):
    with ft.deferred():
        module = make()
    return ft.materialize(module, seed=seed, **options)


def tensors_of(module):
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_the_tensors_are_those_of_the_constructor(make):
    """Names, order, shapes, dtypes, strides, gradients, ties; and no tensor is left on meta."""
    torch.manual_seed(0)
    theirs, ours = make(), materialised(make, 0)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for (name, one), (other_name, other) in zip(
        tensors_of(ours).items(), tensors_of(theirs).items(), strict=True
    ):
        assert name == other_name
        assert (one.shape, one.dtype, one.stride()) == (other.shape, other.dtype, other.stride())
        assert one.requires_grad == other.requires_grad
        assert type(one) is type(other)
        assert one.device.type == "cpu"
    tied = [name for name, _ in theirs.named_parameters(remove_duplicate=False)]
    assert [name for name, _ in ours.named_parameters(remove_duplicate=False)] == tied


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_the_scales_have_pytorchs_bits(make):
    """The numbers that PyTorch draws a whole tensor with are those of the distribution."""
    torch.manual_seed(0)
    draws = last_draws(make)
    with ft.deferred():
        module = make()
    plan = ft.plan(module, rules=None) if not _has_tables(module) else None
    for name, (kind, first, second) in draws.items():
        if plan is None or name not in plan:
            continue
        distribution = plan[name].scheme.distribution(plan[name].shape)
        if kind == "uniform":
            assert (distribution.low, distribution.high) == (first, second), name
        else:
            assert (distribution.centre, distribution.sigma) == (first, second), name


def _has_tables(module):
    try:
        ft.plan(module)
    except ModuleError:
        return True
    return False


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_the_values_have_pytorchs_distribution(make):
    """Two-sample Kolmogorov-Smirnov tests of each tensor, and equality where nothing is random."""
    samples = {}
    torch.manual_seed(1)
    theirs = [tensors_of(make()) for _ in range(3)]
    fixed = {
        name
        for name, tensor in theirs[0].items()
        if all(torch.equal(tensor, other[name]) for other in theirs[1:])
    }
    ours = tensors_of(materialised(make, 3))
    for name in fixed:
        assert torch.equal(ours[name], theirs[0][name]), name
    drawn = [name for name in ours if name not in fixed]
    if not drawn:
        return
    smallest = min(math.prod(ours[name].shape) for name in drawn)
    repeats = min(max(VALUES // 4 // max(smallest, 1), 4), 60)
    for number in range(repeats):
        for source, tensors in (
            ("torch", tensors_of(make())),
            ("fastinit", tensors_of(materialised(make, 100 + number))),
        ):
            for name in drawn:
                values = tensors[name].detach().double().numpy().reshape(-1)
                samples.setdefault((name, source), []).append(values)
    for name in drawn:
        one, other = (np.array(samples[name, source]) for source in ("fastinit", "torch"))
        assert np.isfinite(one).all()
        found = stats.ks_2samp(one.reshape(-1), other.reshape(-1), method="asymp")
        assert found.pvalue > FALSE_ALARMS, (name, found)
        equal = (one == one[0]).all(0)  # a padding row, a half that is not drawn
        assert (equal == (other == other[0]).all(0)).all(), name
        assert (one[:, equal] == other[:, equal]).all(), name
