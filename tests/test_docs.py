# SPDX-License-Identifier: MIT
"""Docstrings: their examples run, every public name has one, every argument is spoken of."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import fastinit

PACKAGE = Path(fastinit.__file__).parent
MODULES = sorted(
    ["fastinit"]
    + [
        found.name
        for found in pkgutil.walk_packages(fastinit.__path__, "fastinit.")
        if not found.name.endswith(("__main__", "_native"))
    ]
)
PUBLIC = sorted(name for name in vars(fastinit) if not name.startswith("_"))
EXPORTED = [name for name in PUBLIC if not inspect.ismodule(getattr(fastinit, name))]
ERRORS = [name for name in EXPORTED if inspect.isclass(getattr(fastinit, name))]
FUNCTIONS = [name for name in EXPORTED if inspect.isfunction(getattr(fastinit, name))]


def test_the_modules_are_found():
    """Or the tests below would be of nothing."""
    assert {"fastinit.arrays", "fastinit.schemes.plain", "fastinit.cli"} < set(MODULES)
    assert "fill" in FUNCTIONS
    assert "VerifyError" in ERRORS
    assert len(FUNCTIONS) > 25


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module)
    assert found.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    tests = [test for name in MODULES for test in finder.find(importlib.import_module(name))]
    assert sum(len(test.examples) for test in tests) > 40


@pytest.mark.parametrize("name", EXPORTED)
def test_a_public_name_has_a_docstring_of_its_own(name):
    thing = getattr(fastinit, name)
    assert thing.__doc__, name
    first = thing.__doc__.strip().splitlines()[0]
    assert re.match(r"[A-Z0-9`(min]", first), first
    assert first.endswith((".", ":")), first
    bases = thing.__mro__[1:] if inspect.isclass(thing) else ()
    assert all(base.__doc__ != thing.__doc__ for base in bases)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "presets"])
def test_a_public_function_has_an_example_or_says_what_it_raises(name):
    text = getattr(fastinit, name).__doc__
    assert ">>> " in text or "Raises:" in text, name


@pytest.mark.parametrize("name", ["fill", "array", "write", "verify", "open", "fans", "scheme"])
def test_a_main_function_speaks_of_every_argument(name):
    function = getattr(fastinit, name)
    described = set(re.findall(r"\b\w+\b", function.__doc__.split("Args:")[-1]))
    parameters = [p for p in inspect.signature(function).parameters if p != "self"]
    if "Args:" in function.__doc__:
        missing = [parameter for parameter in parameters if parameter not in described]
        assert missing == []
    else:
        assert len(parameters) <= 1


@pytest.mark.parametrize("name", EXPORTED)
def test_the_public_methods_of_a_class_have_docstrings(name):
    thing = getattr(fastinit, name)
    if not inspect.isclass(thing):
        return
    for key, value in vars(thing).items():
        if not key.startswith("_") and (callable(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{key}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_a_source_file_opens_with_its_licence_and_a_docstring(path):
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "# SPDX-License-Identifier: MIT"
    docstring = ast.get_docstring(ast.parse("\n".join(lines)))
    assert docstring
    assert docstring[0].isupper() or docstring[0] == "`"


def test_the_public_names_are_these():
    """A name added or lost by accident; add it to the documentation, then here."""
    assert set(EXPORTED) == {
        *("array", "fill", "open", "verify", "write", "Checkpoint", "VerifyError"),
        *("BackendError", "CheckpointError", "FastinitError", "PlanError"),
        *("auto", "Rules"),
        *("identity", "dirac", "zero_hadamard", "orthogonal", "delta_orthogonal"),
        *("sparse", "spectral_normalised"),
        *("Plan", "Tensor", "plan", "presets", "Scheme", "scheme", "Stream", "stream"),
        *("philox4x32", "fans", "gain", "uniform", "normal", "truncated_normal"),
        *("clipped_normal", "constant", "zeros", "ones", "variance_scaling"),
        *("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"),
        *("glorot_uniform", "glorot_normal", "he_uniform", "he_normal"),
        *("lecun_uniform", "lecun_normal"),
        *("gpt2_residual", "megatron_scaled_normal", "depth_scaled_normal", "small_init"),
        *("wang_init", "ngpt", "dummy", "torchtitan", "torchtitan_output", "olmo_core", "mitchell"),
        *("deepnorm", "sub_ln", "fixup", "t_fixup", "t_fixup_embedding", "ds_init"),
        *("mup_normal", "mup_uniform", "mup_truncated_normal", "mup_xavier_uniform"),
        *("mup_xavier_normal", "mup_kaiming_uniform", "mup_kaiming_normal", "mup_readout"),
        *("spectral", "siren", "selu_normal", "elu_normal", "torch_linear", "torch_bias"),
        *("torch_bilinear", "torch_rnn", "torch_embedding", "keras_lstm_bias"),
    }


def test_every_error_is_a_fastinit_error_and_a_builtin_one():
    """So that `except OSError` and `except ValueError` work as one expects."""
    assert issubclass(fastinit.BackendError, RuntimeError)
    assert issubclass(fastinit.PlanError, ValueError)
    assert issubclass(fastinit.CheckpointError, OSError)
    assert issubclass(fastinit.VerifyError, fastinit.CheckpointError)
    for error in (fastinit.BackendError, fastinit.PlanError, fastinit.CheckpointError):
        assert issubclass(error, fastinit.FastinitError)


def test_the_version_is_that_of_the_project():
    metadata = pytest.importorskip("importlib.metadata")
    try:
        version = metadata.version("fastinit-weights")
    except metadata.PackageNotFoundError:
        pytest.skip("fastinit-weights is not installed, only importable")
    assert fastinit.__version__ == version
