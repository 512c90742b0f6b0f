# SPDX-License-Identifier: MIT
"""TensorFlow without Keras: an initializer of a scheme makes wholes and parts of one tensor."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

import fastinit as fi
from fastinit.tensorflow import initializer

SCHEME = fi.he_normal(layout="keras")


@pytest.fixture
def tf():
    if os.environ.get("KERAS_BACKEND") != "tensorflow":
        pytest.skip("runs with KERAS_BACKEND=tensorflow")
    return pytest.importorskip("tensorflow")


def whole(shape, dtype="float32"):
    return fi.array(shape, SCHEME, seed=3, name="w", dtype=dtype)


@pytest.mark.frameworks
def test_a_variable_has_the_bytes_of_numpys_tensor(tf):
    init = initializer(SCHEME, seed=3, name="w")
    for dtype in (tf.float32, tf.bfloat16, tf.float16, tf.float64):
        for shape in ((6, 4), [6, 4], tf.TensorShape([6, 4])):
            found = tf.Variable(init(shape, dtype))
            assert found.dtype == dtype
            assert found.numpy().tobytes() == whole((6, 4), dtype.name).tobytes()
    assert init((6, 4)).dtype == tf.float32
    lazily = tf.Variable(lambda: init((6, 4)))
    np.testing.assert_array_equal(lazily.numpy(), whole((6, 4)))


@pytest.mark.frameworks
def test_a_text_is_a_scheme(tf):
    found = initializer("he_normal(layout='keras')", seed=3, name="w")((6, 4))
    np.testing.assert_array_equal(found.numpy(), whole((6, 4)))


@pytest.mark.frameworks
def test_a_part_has_the_values_of_the_whole(tf):
    init = initializer(SCHEME, seed=3, name="w")
    part = init((10, 4), partition_shape=(3, 4), partition_offset=(5, 0))
    np.testing.assert_array_equal(part.numpy(), whole((10, 4))[5:8])
    shape, offset = tf.TensorShape([3, 2]), tf.constant([5, 1])
    part = init((10, 4), partition_shape=shape, partition_offset=offset)
    np.testing.assert_array_equal(part.numpy(), whole((10, 4))[5:8, 1:3])
    with pytest.raises(IndexError, match="leaves"):
        init((10, 4), partition_shape=(6, 4), partition_offset=(5, 0))
    with pytest.raises(IndexError, match=r"^partition_offset is \[-2, 0\]: need numbers >= 0"):
        init((10, 4), partition_shape=(2, 4), partition_offset=(-2, 0))
    with pytest.raises(TypeError, match=r"^partition_offset is None and partition_shape is \(2, 4"):
        init((10, 4), partition_shape=(2, 4))


@pytest.mark.frameworks
def test_variables_of_version_1_are_parts_of_the_whole(tf):
    init = initializer(SCHEME, seed=3, name="w")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        one = tf.compat.v1.get_variable("one", (10, 4), initializer=init)
        parts = tf.compat.v1.get_variable(
            "parts", (10, 4), initializer=init, partitioner=tf.compat.v1.fixed_size_partitioner(3)
        )
        session.run(tf.compat.v1.global_variables_initializer())
        assert [len(part.shape) and int(part.shape[0]) for part in parts] == [4, 3, 3]
        np.testing.assert_array_equal(session.run(one), whole((10, 4)))
        np.testing.assert_array_equal(session.run(tf.convert_to_tensor(parts)), whole((10, 4)))


def test_bad_arguments_are_errors_at_once():
    with pytest.raises(ValueError, match="no scheme is named 'he_norml'"):
        initializer("he_norml()", seed=0, name="w")
    with pytest.raises(ValueError, match="seed is -1"):
        initializer(SCHEME, seed=-1, name="w")
    with pytest.raises(TypeError, match="name is None"):
        initializer(SCHEME, seed=0, name=None)


def test_a_missing_tensorflow_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"^fastinit\.tensorflow needs TensorFlow, which is not"):
        initializer(SCHEME, seed=0, name="w")((3, 4))
