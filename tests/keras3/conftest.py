# SPDX-License-Identifier: MIT
"""Keras on the backend that KERAS_BACKEND names, and fastinit's room for it."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture(scope="session")
def fk(keras):
    return importlib.import_module("fastinit.keras")


@pytest.fixture(autouse=True)
def as_in_a_new_process(request):
    """Layers without a name are counted from the first, and no policy or seed is left behind."""
    if "keras" not in request.fixturenames:
        return
    keras = request.getfixturevalue("keras")
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy("float32")
