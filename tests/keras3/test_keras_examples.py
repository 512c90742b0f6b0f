# SPDX-License-Identifier: MIT
"""The examples in the docstrings and on the page of Keras run, on each backend."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import fastinit

pytestmark = [
    pytest.mark.frameworks,
    # Keras 3.15 on PyTorch, about its own variables under NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
]

PACKAGE = Path(fastinit.__file__).parent
MODULES = sorted(f"fastinit.keras.{path.stem}" for path in (PACKAGE / "keras").glob("[!_]*.py"))
PAGE = PACKAGE.parent / "docs/howto/keras.md"


@pytest.mark.parametrize("name", [*MODULES, "fastinit.tensorflow"])
def test_the_examples_of_a_module_run(keras, fk, name):
    if name == "fastinit.tensorflow" and keras.backend.backend() != "tensorflow":
        pytest.skip("runs with KERAS_BACKEND=tensorflow")
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder()
    runner = doctest.DocTestRunner()
    for test in finder.find(module):
        keras.utils.clear_session(free_memory=False)
        runner.run(test)
    assert runner.failures == 0


def test_the_examples_of_the_page_run_and_print_what_it_says(keras, fk):
    pytest.importorskip("sklearn")
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 30
    assert found.failed == 0
