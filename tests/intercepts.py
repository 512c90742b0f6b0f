# SPDX-License-Identifier: MIT
"""What a framework's initialiser asks of its generator, caught on the way.  No test.

Both sides are put in the same words: ("uniform", low, high), ("normal", mean, std),
("truncated", mean, sigma, low, high) with the bounds in sigmas, ("constant", value).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from fastinit.values import distributions

Asked = tuple[Any, ...]


def ours(scheme, shape) -> Asked:
    """What our scheme asks of the stream."""
    found = scheme.distribution(shape)
    if isinstance(found, distributions.Uniform):
        return "uniform", found.low, found.high
    if isinstance(found, distributions.Normal):
        return "normal", found.centre, found.sigma
    if isinstance(found, distributions.TruncatedNormal):
        return "truncated", found.centre, found.sigma, found.low, found.high
    assert isinstance(found, distributions.Constant)
    return "constant", found.value


def assert_same(ours: Asked, theirs: Asked, ulps: float = 0) -> None:
    """Equal kinds, and numbers that are equal, or no more than `ulps` of float64 apart."""
    assert ours[0] == theirs[0]
    for mine, other in zip(ours[1:], theirs[1:], strict=True):
        assert abs(mine - other) <= ulps * math.ulp(other), (ours, theirs)


def public(module, home: str) -> dict[str, Any]:
    """The functions and classes of a module by name, without what it imports from elsewhere."""
    found = {}
    for name in dir(module):
        thing = getattr(module, name)
        made = inspect.isfunction(thing) or inspect.isclass(thing)
        if made and not name.startswith("_") and thing.__module__.startswith(home):
            found[name] = thing
    return found


@contextmanager
def torch_draws(torch) -> Iterator[list[tuple[Any, Asked]]]:
    """Each (tensor, what it is asked for) that torch draws meanwhile; it still draws."""
    draws = []
    uniform, normal = torch.Tensor.uniform_, torch.Tensor.normal_

    def record_uniform(self, low=0.0, high=1.0, *, generator=None):
        draws.append((self, ("uniform", low, high)))
        return uniform(self, low, high, generator=generator)

    def record_normal(self, mean=0.0, std=1.0, *, generator=None):
        draws.append((self, ("normal", mean, std)))
        return normal(self, mean, std, generator=generator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "uniform_", record_uniform)
        patch.setattr(torch.Tensor, "normal_", record_normal)
        yield draws


def torch_asks(torch, initialiser, shape, *args, **kwargs) -> Asked:
    """What an initialiser of torch asks for a tensor of `shape`; it must be one draw."""
    with torch_draws(torch) as draws:
        initialiser(torch.empty(shape), *args, **kwargs)
    ((_, asked),) = draws
    return asked


def jax_asks(jax, initialiser, shape, dtype="float64") -> Asked:
    """What an initialiser of jax makes of standard variates: those it gets here are all one.

    So what it returns is its factor, worked out in `dtype` by its own arithmetic.
    """
    standard: list[Asked] = []

    def one(kind, *bounds):
        standard.append((kind, *bounds))
        return jax.numpy.ones((), dtype)

    def normal(key, shape, dtype, *, out_sharding=None):
        return one("normal")

    def uniform(key, shape, dtype, minval=0.0, maxval=1.0, *, out_sharding=None):
        return one("uniform", minval, maxval)

    def truncated_normal(key, lower, upper, shape, dtype, *, out_sharding=None):
        return one("truncated", lower, upper)

    random = jax.nn.initializers.normal.__globals__["random"]
    stubs = {"normal": normal, "uniform": uniform, "truncated_normal": truncated_normal}
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(dtype == "float64"):
        for name, stub in stubs.items():
            patch.setattr(random, name, stub)
        factor = initialiser(jax.random.key(0), shape, dtype)
        assert (factor.shape, factor.dtype) == ((), dtype)
        factor = float(factor)
    ((kind, *bounds),) = standard
    if kind == "uniform":
        return "uniform", bounds[0] * factor, bounds[1] * factor
    return ("normal", 0.0, factor) if kind == "normal" else ("truncated", 0.0, factor, *bounds)


KERAS_CUT = (-2.0, 2.0)
"""Where Keras truncates, which it takes no argument for; shown by test_framework_scales.py."""


@contextmanager
def keras_draws(
    keras, *, still: bool = False, instead=lambda shape, dtype: None
) -> Iterator[list[tuple[tuple[int, ...], Asked]]]:
    """Each (shape, what it is asked for) that Keras's initialisers draw meanwhile.

    They draw it `still`, or get what `instead` returns.
    """
    draws = []
    initialisers = keras.initializers.RandomNormal.__call__.__globals__
    real = initialisers["random"]

    def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        draws.append((tuple(shape), ("normal", mean, stddev)))
        if not still:
            return instead(shape, dtype)
        return real.normal(shape, mean, stddev, dtype, seed)

    def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
        draws.append((tuple(shape), ("uniform", minval, maxval)))
        if not still:
            return instead(shape, dtype)
        return real.uniform(shape, minval, maxval, dtype, seed)

    def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        draws.append((tuple(shape), ("truncated", mean, stddev, *KERAS_CUT)))
        if not still:
            return instead(shape, dtype)
        return real.truncated_normal(shape, mean, stddev, dtype, seed)

    stub = SimpleNamespace(
        normal=normal,
        uniform=uniform,
        truncated_normal=truncated_normal,
        SeedGenerator=real.SeedGenerator,
        make_default_seed=real.make_default_seed,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(initialisers, "random", stub)
        yield draws


def keras_asks(keras, initialiser, shape) -> Asked:
    """What an initialiser of Keras asks for a tensor of `shape`; nothing is drawn."""
    with keras_draws(keras) as draws:
        initialiser(shape)
    ((asked_shape, asked),) = draws
    assert asked_shape == tuple(shape)
    return asked
