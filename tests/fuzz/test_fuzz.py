# SPDX-License-Identifier: MIT
"""The targets of targets.py by Hypothesis, in every run; run.py fuzzes them for longer.

What run.py finds becomes an example in the tests of the reader that it concerns.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import targets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import TARGETS, Finding

import fastinit as fi
from fastinit.errors import VerifyError

PIECES = [
    *b'{}[](),.:;"=\\ \0\n\xff-+0123456789eE',
    *(
        b"\\u0000",
        b"\\ud800",
        b"\xed\xa0\x80",
        b"1e999",
        b"NaN",
        b"9" * 30,
        b"null",
        b"true",
        b"[[",
    ),
    *(
        b"**",
        b"//0",
        b"%0",
        b"inf",
        b"sqrt(",
        b"__",
        b"{i}",
        b"{j}",
        b"[[tensor]]\n",
        b"::",
        b"...",
    ),
]
"""What mistakes and attacks are made of."""

edits = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.integers(0, 20),
        st.sampled_from([bytes([piece]) if isinstance(piece, int) else piece for piece in PIECES])
        | st.binary(max_size=3),
    ),
    max_size=5,
)


def edited(seed: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """The seed with some of its bytes replaced."""
    for place, gone, piece in changes:
        place %= len(seed) + 1
        seed = seed[:place] + piece + seed[place + gone % 8 :]
    return seed


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_nearly_right_is_read_or_refused(name, data):
    target = TARGETS[name]
    target.read(edited(data.draw(st.sampled_from(target.seeds())), data.draw(edits)))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=20, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(name, data):
    TARGETS[name].read(data)


WRONG = {"source": 7, "scheme": 1, "region": 3}
"""How many examples of a target are there to be refused; of all others none."""


@pytest.mark.parametrize("name", TARGETS)
def test_the_examples_are_read(name, monkeypatch):
    """Else nothing behind the first check would be fuzzed."""
    refused = []

    @contextmanager
    def noting(*kinds):
        try:
            yield
        except VerifyError:  # it is read, and of other values
            pass
        except kinds:
            refused.append(seed)

    monkeypatch.setattr(targets, "refusing", noting)
    for seed in TARGETS[name].seeds():
        TARGETS[name].read(seed)
    assert len({*refused}) == WRONG.get(name, 0), refused


def test_an_error_of_python_is_a_finding():
    with pytest.raises(Finding, match="ValueError at"), targets.refusing(ValueError):
        int("x")
    with pytest.raises(Finding, match="ZeroDivisionError"), targets.refusing(ZeroDivisionError):
        1 / 0  # noqa: B018


def test_an_error_of_another_kind_is_a_finding():
    with targets.refusing(ValueError):
        fi.array((2,), "nope()", seed=0, name="w")
    with pytest.raises(Finding, match="raise ValueError"), targets.refusing(TypeError):
        fi.array((2,), "nope()", seed=0, name="w")


RUN = Path(__file__).with_name("run.py")


def test_an_unknown_target_is_refused():
    done = subprocess.run([sys.executable, RUN, "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "target is 'nothing': choose from all, safetensors-file, " in done.stderr


def test_a_missing_fuzzer_is_no_finding():
    without = (
        "import runpy, sys; sys.modules['atheris'] = None\n"
        f"sys.argv = ['run.py', 'all']; runpy.run_path({str(RUN)!r}, run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": str(RUN.parent)}
    done = subprocess.run(
        [sys.executable, "-c", without], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "atheris is missing: pip install '.[fuzz]', with Python 3.11 to 3.13" in done.stderr
