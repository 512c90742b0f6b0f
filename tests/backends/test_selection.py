# SPDX-License-Identifier: MIT
"""Which backend is in force, and that everything a user can call goes through it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fastinit as fi
from fastinit.backends import instruction_sets, native, selection
from fastinit.errors import BackendError

PLAN = fi.Plan([fi.Tensor("w", (30, 40), fi.he_normal()), fi.Tensor("b", (40,), fi.zeros())])


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    selection.select()


class Counting:
    """The native backend, which counts what it is asked."""

    name = "counting"

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        self.calls.append(name)
        return getattr(native.BACKEND, name)


@pytest.fixture
def counting(monkeypatch):
    backend = Counting()
    monkeypatch.setattr(selection, "_active", backend)
    return backend


def test_the_native_backend_is_the_default():
    assert selection.select() is selection.active() is native.BACKEND
    assert selection.active().name == "native"


def test_an_unknown_backend_is_an_error_that_lists_the_known_ones():
    with pytest.raises(
        BackendError, match=r"^backend 'cuba' does not exist: choose from native, numba$"
    ):
        selection.select("cuba")
    assert selection.active() is native.BACKEND


def test_the_summary_says_what_is_in_force_and_why(monkeypatch):
    assert selection.summary()["backend from"] == "the best one here"
    monkeypatch.setenv("FASTINIT_BACKEND", "native")
    selection.select_from_environment()
    found = selection.summary()
    assert (found["backend"], found["backend from"]) == ("native", "FASTINIT_BACKEND")
    assert found["available"] == list(instruction_sets.available())
    monkeypatch.setenv("FASTINIT_BACKEND", "cuba")
    selection.select_from_environment()
    with pytest.raises(BackendError, match="cuba"):
        selection.summary()


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("FASTINIT_BACKEND", "")
    selection.select_from_environment()
    assert selection.active() is native.BACKEND


def test_a_wrong_variable_is_an_error_once_a_value_is_wanted(monkeypatch):
    monkeypatch.setenv("FASTINIT_BACKEND", "cu\x1bda")
    selection.select_from_environment()
    for call in (
        lambda: fi.array(3, fi.zeros(), seed=0, name="w"),
        lambda: fi.stream(0, "w").words(),
        lambda: fi.philox4x32((0, 0, 0, 0), (0, 0)),
    ):
        with pytest.raises(BackendError, match=r"^FASTINIT_BACKEND=cu\\x1bda: backend .* numba$"):
            call()
    assert fi.scheme("normal").distribution((3,)).std == 1  # no value is wanted


@pytest.mark.parametrize(
    ("module", "name"), [(selection, "_active"), (instruction_sets, "_refused")]
)
def test_a_refusal_keeps_nothing_of_the_calls_that_it_ended(monkeypatch, module, name):
    monkeypatch.setattr(module, name, BackendError("FASTINIT_ISA=mmx: it does not exist"))
    lengths = set()
    for _ in range(3):
        with pytest.raises(BackendError, match="mmx") as caught:
            selection.active()
        lengths.add(len(caught.traceback))
    assert len(lengths) == 1


def test_a_wrong_variable_does_not_hinder_the_import():
    script = "import fastinit as fi; print(fi.plan('gpt2').parameters)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"FASTINIT_BACKEND": "cuda9", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "124439808\n"


def test_arrays_words_and_files_come_from_the_backend_in_force(counting, tmp_path):
    def asked(call):
        counting.calls.clear()
        call()
        return set(counting.calls)

    def unseen(shape):
        return fi.array(shape, fi.uniform(-0.123, 0.456), seed=0, name="w")

    assert asked(lambda: unseen((31, 7))) == {"check", "samplers"}
    assert asked(lambda: fi.stream(0, "w").words(0, 5)) == {"check", "words"}
    assert asked(lambda: fi.philox4x32((0, 0, 0, 0), (0, 0))) == {"check", "philox4x32"}
    assert "words" in asked(lambda: fi.array((9, 8), fi.sparse(0.5), seed=0, name="w"))
    out = np.empty((64, 96), np.float32).T
    assert "copy" in asked(lambda: fi.fill(out, fi.normal(), seed=0, name="w"))
    assert "samplers" in asked(lambda: fi.write(PLAN, tmp_path, seed=0))
    assert "check" in asked(lambda: fi.verify(tmp_path))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", np.float64])
def test_numbers_are_plain_and_the_same_whoever_asks(dtype):
    distribution = fi.truncated_normal(std=0.5, low=-1.0).distribution((4,))
    numbers = distribution.numbers(dtype)
    assert numbers is distribution.numbers(dtype)
    assert numbers.kind == "truncated"
    assert (numbers.scale, numbers.shift, numbers.low) == (0.5, 0.0, -0.5)
    for field in numbers.__slots__:
        value = getattr(numbers, field)
        plain = value if isinstance(value, tuple) else (value,)
        assert {type(one) for one in plain} <= {str, float, int}, field
    with pytest.raises(AttributeError):
        numbers.scale = 1.0


def test_every_kind_of_numbers_is_one_that_the_native_backend_knows():
    """That its place in the list is C's, the tests of every distribution's bits show."""
    schemes = {
        "uniform": fi.uniform(0, 1),
        "normal": fi.normal(),
        "clipped": fi.clipped_normal(low=-1, high=1),
        "symmetric": fi.truncated_normal(low=-1, high=1),
        "truncated": fi.truncated_normal(low=-1, high=2),
        "constant": fi.constant(0.25),
    }
    assert tuple(schemes) == native.KINDS
    for kind, scheme in schemes.items():
        assert scheme.distribution((8,)).numbers("float32").kind == kind
