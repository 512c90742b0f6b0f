# SPDX-License-Identifier: MIT
"""Machines and settings: the same bits with and without FMA, and where denormals are flushed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

TESTS = Path(__file__).parents[1]

TARGET = """
import sys
import numpy as np
import numba_loops as loops, reference as ref
from reference_logarithms import minus_log
from twins import assert_same_bits, words_for

@loops.numba.njit
def fused(x):
    return loops.fn.minus_log(x)

fused(np.float32(2.0))
code = "".join(fused.inspect_asm().values())
print("vfmadd" in code, "fmaf" in code)
several = ref.Normal(0.02, 0.3), ref.Truncated(1.0, 0.0, -1.0, 3.0), ref.Uniform(-1e-44, 0.7)
for dtype in ("float32", "float64", "float8_e4m3fn"):
    words = words_for(dtype)
    for distribution in several:
        ours = loops.mapped(words, distribution, dtype)
        assert_same_bits(ours, ref.map_words(words, distribution, dtype))
        where = (7, "w", distribution, 2**34 - 40, 300, dtype)
        assert_same_bits(loops.drawn(*where), ref.values(*where))
x = np.random.default_rng(1).random(5000).astype(np.float32)
out = np.empty_like(x)
loops.logarithms(out, x)
assert_same_bits(out, minus_log(x))
"""


def run(code, **environment):
    """What a new Python prints; the tests' own modules can be imported."""
    path = os.pathsep.join([str(TESTS), str(TESTS / "package"), *sys.path])
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86_64: not in this machine")
@pytest.mark.parametrize(
    ("cpu", "features", "by"),
    [
        ("x86-64", "", ["False", "True"]),
        ("nehalem", "", ["False", "True"]),
        ("haswell", "+avx2,+fma", ["True", "False"]),
    ],
    ids=["no AVX", "SSE4.2", "FMA"],
)
def test_with_and_without_fused_instructions_the_bits_are_the_same(cpu, features, by):
    assert run(TARGET, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES=features) == by


FLUSHED = """
import numpy as np
import numba_loops as loops, reference as ref
from foreign_settings import floating_point
from reference_logarithms import minus_log
from twins import words_for

distribution, words = ref.Normal(1e-38), words_for("float32")
numbers = loops.fn.numbers(loops.scheme_of(distribution), (8,))
theirs = ref.map_words(words, distribution, "float32")
tiny = np.arange(1, 2**20, 7, dtype=np.uint32).view(np.float32)
codes = [ref.DTYPES[dtype] for dtype in loops.ROUNDINGS]
narrow = [tiny.astype(dtype) for dtype in codes]
logarithms = minus_log(tiny)
out, other = np.empty_like(theirs), np.empty_like(tiny)

def run():
    loops.values(out, numbers, words)
    loops.logarithms(other, tiny)

def right(ours, expected):
    return (ours.view("u4") == expected.view("u4")).all()

run()
guarded = loops.fn.default_floats(run)

floating_point(flush=True)
run()
flushed = right(out, theirs)
guarded()
same = right(out, theirs), right(other, logarithms)
rounded = [
    (loops.rounded(tiny, d).view(f"u{w.itemsize}") == w.view(f"u{w.itemsize}")).all()
    for d, w in zip(loops.ROUNDINGS, narrow)
]
floating_point()
print(flushed, *same, *rounded)
"""


def test_where_denormals_are_flushed_default_floats_keeps_them():
    """Without it they are lost; roundings, made of integers, keep them in any state."""
    assert run(FLUSHED) == ["False", *["True"] * 6]
