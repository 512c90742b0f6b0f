# SPDX-License-Identifier: MIT
"""Docstrings: their examples run, and every public name has one.  What they say: test_help.py."""

from __future__ import annotations

import ast
import builtins
import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import fastinit
from fastinit.schemes.registry import SCHEMES

PACKAGE = Path(fastinit.__file__).parent
MODULES = sorted(
    ".".join(("fastinit", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)
PUBLIC = {
    **{name: getattr(fastinit, name) for name in (*fastinit.__all__, "open")},
    **{f"schemes.{name}": getattr(fastinit.schemes, name) for name in fastinit.schemes.__all__},
    **{f"errors.{name}": getattr(fastinit.errors, name) for name in fastinit.errors.__all__},
}
EXPORTED = [name for name, thing in PUBLIC.items() if not inspect.ismodule(thing)]
CLASSES = [name for name in EXPORTED if inspect.isclass(PUBLIC[name])]
FUNCTIONS = [name for name in EXPORTED if inspect.isfunction(PUBLIC[name])]


def test_the_modules_are_found():
    """Or the tests below would be of nothing."""
    assert {"fastinit.memory.arrays", "fastinit.schemes.plain", "fastinit.cli"} < set(MODULES)
    assert "fill" in FUNCTIONS
    assert {"fastinit.torch.memory", "fastinit.numba.words"} < set(MODULES)
    assert "errors.VerifyError" in CLASSES
    assert len(FUNCTIONS) > 25


def framework_of(name):
    """The framework that a module needs, or an empty text."""
    room = ".".join(name.split(".")[1:2])
    return room if room in ("torch", "transformers", "jax", "numba", *ELSEWHERE) else ""


ELSEWHERE = ("keras", "tensorflow")
"""Rooms whose examples tests/keras3 runs, on each backend of Keras."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.frameworks] if framework_of(name) else [])
        for name in MODULES
        if framework_of(name) not in ELSEWHERE
    ],
)
def test_the_examples_of_a_module_run(name):
    if framework := framework_of(name):
        pytest.importorskip(framework)
    module = importlib.import_module(name)
    found = doctest.testmod(module)
    assert found.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in MODULES if not framework_of(name)]
    tests = [test for module in modules for test in finder.find(module)]
    assert sum(len(test.examples) for test in tests) > 40


@pytest.mark.parametrize("name", EXPORTED)
def test_a_public_name_has_a_docstring_of_its_own(name):
    thing = PUBLIC[name]
    assert thing.__doc__, name
    first = thing.__doc__.strip().splitlines()[0]
    assert re.match(r"[A-Z0-9`(min]", first), first
    assert first.endswith((".", ":")), first
    bases = thing.__mro__[1:] if inspect.isclass(thing) else ()
    assert all(base.__doc__ != thing.__doc__ for base in bases)


@pytest.mark.parametrize("name", EXPORTED)
def test_the_public_methods_of_a_class_have_docstrings(name):
    thing = PUBLIC[name]
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
    assert {name for name in dir(fastinit) if name != "__version__"} == {
        *("Checkpoint", "FastinitError", "Plan", "Rules", "Scheme", "Tensor"),
        *("array", "errors", "fans", "fill", "open", "philox4x32", "plan", "presets"),
        *(
            "diff",
            "refill",
            "regenerate",
            "scheme",
            "schemes",
            "stats",
            "stream",
            "verify",
            "write",
        ),
        *("auto", "clipped_normal", "constant", "dirac", "glorot_normal", "glorot_uniform"),
        *("he_normal", "he_uniform", "identity", "kaiming_normal", "kaiming_uniform"),
        *("lecun_normal", "lecun_uniform", "normal", "ones", "orthogonal", "sparse"),
        *("truncated_normal", "uniform", "variance_scaling", "xavier_normal", "xavier_uniform"),
        "memmap",
        "zeros",
    }


def test_an_import_of_everything_replaces_nothing_of_python():
    names = {}
    exec("from fastinit import *", names)
    assert set(names) - {"__builtins__"} == set(fastinit.__all__)
    assert not set(names) & set(dir(builtins))


def test_every_scheme_is_in_schemes_and_nothing_else():
    assert set(fastinit.schemes.__all__) == {*SCHEMES, "Scheme", "gain", "scheme"}
    assert dir(fastinit.schemes) == sorted(fastinit.schemes.__all__)
    for name, maker in SCHEMES.items():
        assert getattr(fastinit.schemes, name) is maker
    with pytest.raises(AttributeError, match="no attribute 'he_norml'"):
        fastinit.schemes.he_norml  # noqa: B018 - it raises


def test_every_error_is_a_fastinit_error_and_a_builtin_one():
    """So that `except OSError` and `except ValueError` work as one expects."""
    assert issubclass(fastinit.errors.BackendError, RuntimeError)
    assert issubclass(fastinit.errors.PlanError, ValueError)
    assert issubclass(fastinit.errors.CheckpointError, OSError)
    assert issubclass(fastinit.errors.VerifyError, fastinit.errors.CheckpointError)
    for error in (
        fastinit.errors.BackendError,
        fastinit.errors.PlanError,
        fastinit.errors.CheckpointError,
    ):
        assert issubclass(error, fastinit.FastinitError)


def test_the_version_is_that_of_the_project():
    metadata = pytest.importorskip("importlib.metadata")
    try:
        version = metadata.version("fastinit-weights")
    except metadata.PackageNotFoundError:
        pytest.skip("fastinit-weights is not installed, only importable")
    assert fastinit.__version__ == version
