# SPDX-License-Identifier: MIT
"""Keras that is missing, old or on another backend gives a message; `import fastinit` needs none.

These tests need no Keras; they pretend that some version is there.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import pytest

import fastinit

PATH = Path(fastinit.__file__).parent / "keras/requirement.py"


@pytest.fixture
def requirement():
    """The module itself: its package imports Keras."""
    spec = importlib.util.spec_from_file_location("requirement", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pretend(monkeypatch):
    """Make `import keras` find something else."""

    def replace(version, backend):
        found = types.SimpleNamespace(
            __version__=version, backend=types.SimpleNamespace(backend=lambda: backend)
        )
        monkeypatch.setitem(sys.modules, "keras", found)

    return replace


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
@pytest.mark.parametrize("version", ["3.12.0", "3.15.1", "4.0"])
def test_a_new_version_is_taken(requirement, pretend, version, backend):
    pretend(version, backend)
    requirement.check()


@pytest.mark.parametrize("version", ["2.15.0", "3.11.3"])
def test_an_old_version_is_refused(requirement, pretend, version):
    pretend(version, "jax")
    words = rf"^fastinit\.keras needs Keras 3\.12 or newer, but {version} is installed: pip install"
    with pytest.raises(ImportError, match=words):
        requirement.check()


def test_another_backend_is_refused(requirement, pretend):
    pretend("3.15.1", "openvino")
    with pytest.raises(ImportError, match=r"and Keras runs on openvino: set KERAS_BACKEND before"):
        requirement.check()


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("keras", "fastinit.keras needs Keras 3.12 or newer, which is not installed: pip install"),
        ("tensorflow", "Keras runs on tensorflow, which is not installed: pip install tensorflow"),
        ("optree", "No module named 'optree'"),
    ],
)
def test_what_is_not_installed_is_named(requirement, monkeypatch, missing, words):
    class Finder:
        """Finds Keras, which fails to import what is missing."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "keras":
                raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(ImportError, match=words.replace(".", r"\.")) as caught:
        requirement.check()
    assert caught.value.name == missing


def test_fastinit_imports_neither_keras_nor_tensorflow():
    code = (
        "import sys, fastinit, fastinit.tensorflow; "
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
