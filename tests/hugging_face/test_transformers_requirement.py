# SPDX-License-Identifier: MIT
"""Versions of transformers: none and an old one give a message, an untested one a warning.

These tests need no transformers; they pretend that some version is there.
"""

import importlib.util
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

import fastinit
from fastinit.errors import VersionWarning

PATH = Path(fastinit.__file__).parent / "transformers/requirement.py"
NEEDED = r"^fastinit\.transformers needs transformers 5\.8 or newer"


@pytest.fixture
def requirement():
    """The module itself: its package imports transformers."""
    spec = importlib.util.spec_from_file_location("requirement", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pretend(monkeypatch):
    """Make `import transformers` find something else."""

    def replace(**attributes):
        monkeypatch.setitem(sys.modules, "transformers", types.SimpleNamespace(**attributes))

    return replace


@pytest.mark.parametrize("version", ["5.24.0", "5.24.1.dev0"])
def test_a_tested_version_is_taken(requirement, pretend, version):
    pretend(__version__=version)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        requirement.check()


@pytest.mark.parametrize("version", ["5.8.0", "5.25.0", "6.1"])
def test_another_one_is_taken_with_a_warning(requirement, pretend, version):
    pretend(__version__=version)
    words = rf"tested with transformers 5\.24, and {version} is installed"
    with pytest.warns(VersionWarning, match=words):
        requirement.check()


def test_an_old_version_is_refused_with_the_one_that_works(requirement, pretend):
    pretend(__version__="5.7.0")
    words = NEEDED + r", but 5\.7\.0 is installed: pip install --upgrade transformers$"
    with pytest.raises(ImportError, match=words) as caught:
        requirement.check()
    assert caught.value.name == "transformers"


def test_what_is_only_called_transformers_is_refused(requirement, pretend):
    pretend(__path__=["/x/transformers"])
    with pytest.raises(ImportError, match=r"finds at .*/x/transformers.* has no version: rename"):
        requirement.check()


def test_without_transformers_there_is_a_message():
    program = "import sys; sys.modules['transformers'] = None; import fastinit.transformers"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: fastinit.transformers needs transformers 5.8 or newer, which is not "
        "installed: pip install transformers"
    )
