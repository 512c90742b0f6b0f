# SPDX-License-Identifier: MIT
"""Versions of PyTorch: none and an old one give a message, and a newer one is taken.

These tests need no torch; they pretend that some version is there.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import pytest

import fastinit

PATH = Path(fastinit.__file__).parent / "torch/requirement.py"


@pytest.fixture
def requirement():
    """The module itself: its package imports torch."""
    spec = importlib.util.spec_from_file_location("requirement", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pretend(monkeypatch):
    """Make `import torch` find something else."""

    def replace(**attributes):
        monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(**attributes))

    return replace


@pytest.mark.parametrize("version", ["2.6.0", "2.6.0+cpu", "2.13.0a0+git1234", "2.100.1", "3.0"])
def test_a_new_version_is_taken(requirement, pretend, version):
    pretend(__version__=version)
    requirement.check()


@pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cu124", "2.0.0.dev20230101"])
def test_an_old_version_is_refused_with_the_one_that_works(requirement, pretend, version):
    pretend(__version__=version)
    words = rf"^fastinit\.torch needs PyTorch 2\.6 or newer, but {version} is installed: pip inst"
    with pytest.raises(ImportError, match=words.replace("+", r"\+")) as caught:
        requirement.check()
    assert caught.value.name == "torch"


@pytest.mark.parametrize(
    ("attributes", "place"),
    [
        ({"__file__": "/home/me/torch.py"}, "/home/me/torch.py"),
        ({"__path__": ["/x/torch"]}, "/x/to"),
    ],
)
def test_what_is_only_called_torch_is_refused(requirement, pretend, attributes, place):
    pretend(**attributes)
    with pytest.raises(ImportError, match=rf"finds at .*{place}.* has no version: rename"):
        requirement.check()


def test_errors_of_torchs_own_imports_are_passed_on(requirement, monkeypatch):
    class Finder:
        @staticmethod
        def find_spec(name, path, target=None):
            raise ModuleNotFoundError("No module named 'sympy'", name="sympy")

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder])
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'sympy'$"):
        requirement.check()


FILLS = """
import sys
sys.modules["torch"] = None
import fastinit as fi
{}
"""
CALLS = {
    "import": "import fastinit.torch",
    "fill": """
tensor = type("Tensor", (), {"__module__": "torch"})()
fi.fill(tensor, "normal", seed=0, name="w")
""",
}


@pytest.mark.parametrize("call", CALLS)
def test_without_torch_there_is_a_message(call):
    command = [sys.executable, "-c", FILLS.format(CALLS[call])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: fastinit.torch needs PyTorch 2.6 or newer, which is not installed: "
        "pip install torch"
    )


def test_fastinit_alone_imports_no_framework():
    command = [sys.executable, "-c", "import sys, fastinit; print('torch' in sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
