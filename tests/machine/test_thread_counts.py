# SPDX-License-Identifier: MIT
"""How many threads are used: the argument, FASTINIT_THREADS, or what this process may use."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

import fastinit
from fastinit.backends import instruction_sets
from fastinit.machine import cpus
from fastinit.machine.parallel import MOST, thread_count


@pytest.fixture(autouse=True)
def no_variable_and_no_quota(monkeypatch):
    monkeypatch.delenv("FASTINIT_THREADS", raising=False)
    monkeypatch.setattr(cpus, "_current_quota", lambda: math.inf)


def test_the_argument_wins_over_the_variable(monkeypatch):
    monkeypatch.setenv("FASTINIT_THREADS", "7")
    assert thread_count(3) == 3
    assert thread_count(None) == thread_count() == 7


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("FASTINIT_THREADS", "")
    assert thread_count() == len(os.sched_getaffinity(0))


def test_the_default_is_the_cpus_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5})
    assert thread_count() == 3


def test_without_affinity_the_default_is_every_cpu(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert thread_count() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert thread_count() == 1


@pytest.mark.parametrize("threads", [0, -1, True, 2.0, "2"])
def test_an_impossible_argument_says_what_works(threads):
    with pytest.raises(ValueError, match="pass a whole number of 1 or more, or None"):
        thread_count(threads)


@pytest.mark.parametrize("text", ["0", "000", "-1", "two", "1.5", " 2", "²"])
def test_an_impossible_variable_is_named(monkeypatch, text):
    monkeypatch.setenv("FASTINIT_THREADS", text)
    with pytest.raises(ValueError, match=r"FASTINIT_THREADS is .*whole number of 1 or more"):
        thread_count()


@pytest.mark.parametrize("digits", [4, 20, 5000])
def test_more_threads_than_any_machine_runs_are_refused(monkeypatch, digits):
    assert thread_count(MOST) == MOST
    with pytest.raises(ValueError, match="threads is over 8,192: no machine has more CPUs"):
        thread_count(10**digits - 1)
    monkeypatch.setenv("FASTINIT_THREADS", f"00{MOST}")
    assert thread_count() == MOST
    monkeypatch.setenv("FASTINIT_THREADS", "9" * digits)
    with pytest.raises(ValueError, match="FASTINIT_THREADS is over 8,192: no machine"):
        thread_count()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: thread_count(np.ones(3)), r"^threads is array\(.*whole number of 1 or more"),
        (
            lambda: fastinit.fans((4, 4), groups=np.ones(3)),
            r"^groups is array\(.*whole number",
        ),
        (
            lambda: fastinit.schemes.deepnorm(encoder_layers=np.ones(3)),
            r"^encoder_layers is array\(.*whole number",
        ),
    ],
)
def test_an_array_where_a_whole_number_must_be_is_named(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_an_endless_variable_is_quoted_short(monkeypatch):
    monkeypatch.setenv("FASTINIT_THREADS", "x\x1b" * 100_000)
    with pytest.raises(ValueError, match="FASTINIT_THREADS is 'x") as caught:
        thread_count()
    assert len(str(caught.value)) < 500
    monkeypatch.setattr(instruction_sets, "_refused", None)
    monkeypatch.setenv("FASTINIT_ISA", "x\x1b" * 100_000)
    before = instruction_sets.active()
    instruction_sets.select_from_environment()
    with pytest.raises(fastinit.errors.BackendError, match="FASTINIT_ISA=x") as caught:
        instruction_sets.check()
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)
    instruction_sets.select(before)
