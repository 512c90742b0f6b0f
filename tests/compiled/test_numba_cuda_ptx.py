# SPDX-License-Identifier: MIT
"""CUDA kernels, compiled by NVVM for several cards and run by an interpreter of PTX.

No card is needed, and none is used: what the assembler and a card make of the PTX is not seen.
"""

from __future__ import annotations

import re
import types

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")
pytest.importorskip("numba_cuda")

import cuda_checks as checks  # noqa: E402 - only with Numba and its CUDA target
import cuda_kernels as kernels  # noqa: E402
import numba  # noqa: E402
import ptx  # noqa: E402
from numba import cuda  # noqa: E402
from numba.core.errors import TypingError  # noqa: E402

import fastinit.numba as fn  # noqa: E402

OPTIONS = {
    "default": {},
    "fastmath": {"fastmath": True},
    "fastmath without optimisation": {"fastmath": True, "opt": False},
}
CARDS = [(7, 5), (8, 0), (9, 0), (10, 0), (12, 0)]
"""Compute capabilities; CUDA 13 has none below 7.5."""


@pytest.fixture(autouse=True)
def no_card(monkeypatch):
    """numba-cuda asks the card what it can do when one function calls another."""
    found = types.SimpleNamespace(compute_capability=(9, 0))
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: found)


_TEXTS = {}


def compiled(kernel, *arguments, card=(9, 0), **options):
    """The PTX of a kernel for arguments like these."""
    signature = tuple(numba.typeof(argument) for argument in arguments)
    known = kernel, signature, card, tuple(options.items())
    if known not in _TEXTS:
        settings = {"cc": card, "device": False, "abi": "numba", **options}
        _TEXTS[known], _ = cuda.compile(kernel, signature, **settings)
    return _TEXTS[known]


def launcher(**options):
    """Compile a kernel, look at the PTX, and run it."""

    def launch(kernel, out, *arguments):
        text = compiled(kernel, out, *arguments, **options)
        assert not changeable(text)
        ptx.Program(text).run(out.size, out, *arguments)

    return launch


INLINE = re.compile(r"// begin inline asm\n(.*?)// end inline asm", re.DOTALL)
FLOAT = re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z]\S*\.f(?:32|64)\S*)\s", re.MULTILINE)
HARMLESS = re.compile(
    r"(ld|st)(\.param|\.global|\.const|\.local)?\.f\d\d|(mov|selp)\.f\d\d"  # bits that are moved
    r"|cvt\.rn\.f\d\d\.[su]\d\d"  # of integers, which are not denormal
    r"|setp\.[a-z]+\.f64"  # nothing is flushed in float64
)
EXACT = re.compile(
    r"(add|sub|mul|fma|div|sqrt)\.rn\.f\d\d|neg\.f\d\d|setp\.[lg]t\.f\d\d|selp\.f\d\d"
    r"|cvt\.rn\.f32\.f64"
)


def changeable(text):
    """The operations on floats that NVVM or the assembler may change, or has changed."""
    inline = re.findall(r"[a-z]\S*\.f(?:32|64)\S*(?=\s)", " ".join(INLINE.findall(text)))
    outside = FLOAT.findall(INLINE.sub("", text))
    return [name for name in outside if not HARMLESS.fullmatch(name)] + [
        name for name in inline if not EXACT.fullmatch(name)
    ]


# ---- bits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_under_any_options(options, check):
    check(launcher(**options), 3)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"sm_{card[0]}{card[1]}")
def test_for_each_card(card):
    launch = launcher(card=card, fastmath=True)
    checks.values_of_extreme_words_are_the_references(launch, 7, ("float32", "float64"))
    checks.golden_logarithms(launch, 7)


# ---- that these tests can fail ------------------------------------------------------------------


def test_the_operators_of_python_are_fused_and_flushed():
    """Why the functions do not use them, and that the interpreter and the look at PTX see it."""
    x = np.random.default_rng(3).normal(size=1000).astype(np.float32)
    out = np.zeros_like(x)
    text = compiled(kernels.unguarded, out, x)
    assert set(changeable(text)) == {"fma.rn.f32"}
    ptx.Program(text).run(x.size, out, x)
    assert (out != x * x + x).sum() > 100
    fast = compiled(kernels.unguarded, out, x, fastmath=True)
    assert set(changeable(fast)) == {"fma.rn.ftz.f32"}
    with pytest.raises(KeyError, match=r"fma\.rn\.ftz"):
        ptx.Program(fast).run(x.size, out, x)


# ---- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "text", "need"),
    [
        (fn.uniform, "normal(std=1)", "UniformNumbers"),
        (fn.truncated_normal, "uniform(-1, 1)", "TruncatedNumbers"),
        (fn.value, None, "UniformNumbers or NormalNumbers or"),
    ],
)
def test_other_numbers_are_refused_when_a_kernel_is_compiled(function, text, need):
    numbers = fn.numbers(text, 8) if text else np.float32(1)
    words, out = np.zeros(3, np.uint32), np.zeros(3, np.float32)
    with pytest.raises(TypingError, match=rf"fastinit\.numba\.{function.__name__} got .*{need}"):
        compiled(kernels.of_words(function), out, numbers, words)
