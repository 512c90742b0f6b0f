# SPDX-License-Identifier: MIT
"""Builds a module again and again by PyTorch and by fastinit, and compares the samples.

PyTorch's builds on a CPU are the oracle.  The modules are in torch_modules.py and
torch_snippets.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy import stats

import fastinit.torch as ft

FALSE_ALARMS = 1e-8
"""How often each test of a sample fails although the distribution is right; the seeds are fixed."""
STANDARD_ERRORS = 9.0
"""A bound for each element's mean and deviation, which are tested by the thousand."""
MOST_ELEMENTS = 20_000
"""Elements of a tensor that are compared."""

Maker = Callable[[], torch.nn.Module]
Tensors = dict[str, torch.Tensor]


def materialised(make: Maker, seed: int, **options: object) -> torch.nn.Module:
    """The module as fastinit makes it."""
    with ft.deferred():
        module = make()
    return ft.materialize(module, seed=seed, **options)


def tensors_of(module: torch.nn.Module) -> Tensors:
    """Parameters and buffers by all their names."""
    parameters = module.named_parameters(remove_duplicate=False)
    return {**dict(parameters), **dict(module.named_buffers(remove_duplicate=False))}


def assert_as_pytorch_makes(make: Maker, builds: int) -> None:
    """Names, shapes, dtypes, shared memory, equal tensors, fixed values and distributions."""
    torch.manual_seed(1)
    theirs = [tensors_of(make()) for _ in range(builds)]
    ours = [tensors_of(materialised(make, 100 + number)) for number in range(builds)]
    assert list(ours[0]) == list(theirs[0])
    for name, other in theirs[0].items():
        one = ours[0][name]
        assert (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device), name
        assert (type(one), one.requires_grad) == (type(other), other.requires_grad), name
        assert_same_sample(*(values_of(found, name) for found in (ours, theirs)), name)
    assert sorted(same_memory(ours[0])) == sorted(same_memory(theirs[0]))
    assert sorted(equal_values(ours[0])) == sorted(equal_values(theirs[0]))


def values_of(builds: list[Tensors], name: str) -> np.ndarray:
    """A tensor of several builds as an array (builds, elements)."""
    flat = [_real(tensors[name].detach()).reshape(-1) for tensors in builds]
    if flat[0].numel() > MOST_ELEMENTS:
        chosen = torch.from_numpy(np.random.default_rng(0).choice(flat[0].numel(), MOST_ELEMENTS))
        flat = [values[chosen] for values in flat]
    return torch.stack(flat).numpy()


def _real(tensor: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor.double()


def assert_same_sample(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    """Equal where nothing is random, and two samples of one distribution elsewhere."""
    fixed = constant(ours)
    np.testing.assert_array_equal(fixed, constant(theirs), what)
    np.testing.assert_array_equal(ours[0][fixed], theirs[0][fixed], what)
    one, other = ours[:, ~fixed], theirs[:, ~fixed]
    if not one.size:
        return
    assert np.isfinite(one).all(), what
    found = stats.ks_2samp(one.reshape(-1), other.reshape(-1), method="asymp")
    assert found.pvalue > FALSE_ALARMS, (what, found, one.std(), other.std())
    if len(one) >= 30:
        spread = np.maximum(one.std(0), other.std(0))
        for found, elements in ((one.mean(0) - other.mean(0), 2), (one.std(0) - other.std(0), 4)):
            errors = np.abs(found) / spread * math.sqrt(len(one) / elements)
            assert errors.max() < STANDARD_ERRORS, (what, errors.argmax())


def constant(builds: np.ndarray) -> np.ndarray:
    """Which elements are the same in all builds."""
    return (builds == builds[0]).all(0) | np.isnan(builds).all(0)


def same_memory(tensors: Tensors) -> Iterator[tuple[str, ...]]:
    """Names of tensors that lie on one another."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            groups.setdefault((tensor.data_ptr(), tensor.numel()), []).append(name)
    return (tuple(names) for names in groups.values() if len(names) > 1)


def equal_values(tensors: Tensors) -> Iterator[tuple[str, ...]]:
    """Names of drawn tensors that have the same values."""
    groups: dict[tuple[torch.Size, bytes], list[str]] = {}
    for name, tensor in tensors.items():
        values = _real(tensor.detach()).contiguous()
        if values.numel() > 3 and values.unique().numel() > 3:
            groups.setdefault((tensor.shape, values.numpy().tobytes()), []).append(name)
    return (tuple(names) for names in groups.values() if len(names) > 1)
