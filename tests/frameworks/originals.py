# SPDX-License-Identifier: MIT
"""The packages whose rules docs/frameworks.md describes, and what their tensors are compared with.

Imports them and compares samples; holds no test and none of their code.
"""

from __future__ import annotations

import abc
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import math
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from framework_page import rule
from scipy import stats

import fastinit as fi
from fastinit.values import distributions

VERSIONS = {
    "ai2-olmo-core": "3.0.0",
    "diffusers": "0.42.1",
    "flax": "0.12.8",
    "gensim": "4.4.0",
    "litgpt": "0.5.13",
    "loralib": "0.1.2",
    "megatron-core": "0.16.1",
    "modula": "0.0.0.0.0.2",
    "mup": "1.0.0",
    "open_clip_torch": "3.3.0",
    "peft": "0.21.2",
    "siren-pytorch": "0.1.7",
    "stable-baselines3": "2.9.2",
    "timm": "1.0.31",
    "torch-geometric": "2.8.1",
    "torchscale": "0.3.0",
    "torchtitan": "0.3.0",
    "unit-scaling": "0.3.5",
    "zero-init": "0.3",
}
"""Each distribution on the package index, and the version that the page describes."""

MOCKED = {
    "ai2-olmo-core": ("bettermap", "cached_path", "importlib_resources", "pandas"),
    "litgpt": ("jsonargparse", "lightning", "torchmetrics"),
    "open_clip_torch": ("ftfy", "torchvision"),
    "timm": ("torchvision",),
    "torchscale": ("fairscale", "torchvision"),
    "torchtitan": (
        *("datasets", "spmd_types", "tensorboard", "torch_checkpointing", "torchdata"),
        *("torchvision", "triton", "tyro", "wandb", "torchtitan.components.dataloader"),
        "torchtitan.models.flux.flux_datasets",
    ),
}
"""Modules that an original imports for other purposes, and that would pull in gigabytes or another
PyTorch.  While it is imported they are replaced, as Sphinx's ``autodoc_mock_imports`` does."""


class _AnyClass(abc.ABCMeta):
    def __getattr__(cls, name: str) -> Any:
        return _attribute(name)


class _Anything(metaclass=_AnyClass):
    """A class to inherit from, a decorator and a value: whatever a mocked module's name may be."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __init_subclass__(cls, **kwargs: Any) -> None:
        pass

    def __class_getitem__(cls, key: Any) -> type:
        return cls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if args else self

    def __getattr__(self, name: str) -> Any:
        return _attribute(name)()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def _attribute(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return _AnyClass(name, (_Anything,), {})


class _Mock(types.ModuleType):
    __path__: list[str] = []  # noqa: RUF012  the import system reads it from the module
    __version__ = "0"

    def __getattr__(self, name: str) -> Any:
        return _attribute(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a mock for every module in `roots`, and for their submodules."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self.roots = roots

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if any(f"{name}.".startswith(f"{root}.") for root in self.roots):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Mock(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


@contextmanager
def _mocked(roots: tuple[str, ...]) -> Iterator[None]:
    finder = _Finder(roots)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Mock)]:
            del sys.modules[name]


def original(package: str, module: str) -> Any:
    """A module of an original; skips the test where the package of that version is missing."""
    wanted = VERSIONS[package]
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} {wanted} is not installed")
    if found != wanted:
        pytest.skip(f"{package} {wanted} is not installed, but {found} is")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        roots = MOCKED.get(package, ())
        if "torchvision" in roots and importlib.util.find_spec("transformers"):
            importlib.import_module("transformers.modeling_utils")  # notes what is installed
        with _mocked(roots):
            return importlib.import_module(module)


# --- comparison ------------------------------------------------------------------------------

SEED = 20_26
ALPHA = 1e-6
"""How often each test of a sample fails although the distribution is right; the seeds are fixed."""
MOST = 2**17
"""Values of a tensor that are looked at."""
STANDARD_ERRORS = 4.9
"""What a normal exceeds in size with probability 0.96e-6."""


def cdf_of(found: distributions.Distribution) -> Any:
    """The cumulative distribution function of one of ours, by SciPy."""
    if isinstance(found, distributions.Uniform):
        return stats.uniform(found.low, found.high - found.low).cdf
    if isinstance(found, distributions.Normal):
        return stats.norm(found.centre, found.sigma).cdf
    assert isinstance(found, distributions.TruncatedNormal)
    return stats.truncnorm(found.low, found.high, found.centre, found.sigma).cdf


def values_of(tensor: Any) -> np.ndarray:
    """A tensor of PyTorch or JAX as an array."""
    return np.asarray(tensor.detach() if hasattr(tensor, "detach") else tensor)


def assert_starts_as(tensor: Any, scheme: fi.Scheme, what: str = "") -> None:
    """The values are a sample of the scheme's distribution, or what it makes if it draws none.

    Two tests of ALPHA each: Kolmogorov-Smirnov's, and the standard deviation, of which 16,384
    values show a difference of 2.7 %.  An orthogonal matrix must have ours' Gram matrix.
    """
    values = values_of(tensor)
    found = scheme.distribution(values.shape)
    if scheme.name == "orthogonal":
        assert_orthogonal(values, scheme)
        return
    if not found.std or not isinstance(found, distributions.Independent):
        np.testing.assert_array_equal(values, made(scheme, values.shape), err_msg=what)
        return
    assert values.size >= 96, what
    flat = values.ravel()
    sample = np.float64(flat[:: 1 + flat.size // MOST])
    assert stats.kstest(sample, cdf_of(found)).pvalue > ALPHA, (what, scheme, sample.std())
    error = STANDARD_ERRORS / math.sqrt(2 * sample.size)  # of a normal; a uniform's is smaller
    assert abs(sample.std() / found.std - 1) < error, (what, scheme, sample.std(), found.std)


def made(scheme: fi.Scheme, shape: tuple[int, ...]) -> np.ndarray:
    """Our values."""
    return fi.array(shape, scheme, seed=0, name="w")


def assert_orthogonal(theirs: np.ndarray, scheme: fi.Scheme) -> None:
    """Both are one gain times a matrix with orthonormal rows or columns."""
    ours = made(scheme, theirs.shape)
    small = theirs.shape[0] <= theirs[0].size
    grams = []
    for values in (theirs, ours):
        matrix = np.float64(values).reshape(len(values), -1)
        grams.append(matrix @ matrix.T if small else matrix.T @ matrix)
    np.testing.assert_allclose(grams[0], grams[1], atol=1e-5 * grams[1].max())
    assert grams[1].max() > 0


# --- the page's rows --------------------------------------------------------------------------


def assert_rows(name: str, tensors: Mapping[str, Sequence[Any]], **sizes: float) -> None:
    """Each tensor starts as the row of its key says; a key names a row of the rule `name`."""
    found = rule(name)
    for key, group in tensors.items():
        assert group, key
        for tensor in group:
            assert_starts_as(tensor, found[key].scheme(**sizes), f"{name}: {key}")


def built(torch: Any, make: Callable[[], Any]) -> Any:
    """A model of its own seed."""
    torch.manual_seed(SEED)
    return make()


def matrices(model: Any, *, without: tuple[str, ...] = ()) -> list[Any]:
    """A model's weights of two axes or more, whose names hold none of `without`."""
    return [
        tensor
        for name, tensor in model.named_parameters()
        if tensor.dim() > 1 and not any(word in name for word in without)
    ]


def named(model: Any, *words: str) -> list[Any]:
    """The parameters whose names hold one of the words."""
    found = [
        tensor for name, tensor in model.named_parameters() if any(word in name for word in words)
    ]
    assert found, words
    return found


def drawn(torch: Any, init: Callable[[Any], Any], shape: tuple[int, ...] = (256, 128)) -> Any:
    """A tensor that an original's function filled."""
    torch.manual_seed(SEED)
    tensor = torch.empty(shape)
    init(tensor)
    return tensor


def titan(torch: Any, family: str, size: str, *parts: str, **given: str) -> dict[str, Any]:
    """The parameters of some parts of one of torchtitan's models, by name.

    The model is built on the meta device, and only the parts get memory and their `param_init`.
    """
    module = original("torchtitan", f"torchtitan.models.{family}")
    configs = next(thing for name, thing in vars(module).items() if name.endswith("_configs"))
    with torch.device("meta"):
        model = configs[size](**given).build()
    torch.manual_seed(SEED)
    found: dict[str, Any] = {}
    for part in parts:
        inside = model.get_submodule(part)
        for child in inside.modules():
            for name, tensor in child.named_parameters(recurse=False):
                setattr(child, name, torch.nn.Parameter(torch.empty(tensor.shape)))
            getattr(child, "_init_self_parameters", lambda: None)()
        found |= {f"{part}.{name}": tensor for name, tensor in inside.named_parameters()}
    return found
