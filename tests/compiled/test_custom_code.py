# SPDX-License-Identifier: MIT
"""What is read from a custom distribution's code: whether its bits are portable, and its digest."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
numba = pytest.importorskip("numba")

import custom_laws as laws  # noqa: E402 - only with Numba
from fills import sampler_of  # noqa: E402
from made_up import defined  # noqa: E402

import fastinit as fi  # noqa: E402
import fastinit.numba as fn  # noqa: E402
from fastinit.numba import audit  # noqa: E402
from fastinit.numba.code import digest_of, functions_of  # noqa: E402

# ---- portability --------------------------------------------------------------------------------


def test_what_ieee_defines_and_what_this_room_offers_is_portable():
    for law in laws.PORTABLE:
        assert law.function.portable, law.function.not_portable_because
        assert law.function.not_portable_because == ()
        assert sampler_of(law, (8,)).tolerance == 0


LIBRARY = {
    "def f(s): return np.log(abs(s))": ("log",),
    "def f(z): return math.exp(z)": ("exp",),
    "def f(z): return math.sin(z) + math.cos(z)": ("cos", "sin"),
    "def f(u, a=2.0): return u ** a": ("pow",),
    "def f(z): return math.erf(z)": ("erf",),
    "def f(z): return math.tanh(z)": ("tanh",),
    "def f(z): return math.log1p(z * z)": ("log1p",),
    "def f(z): return math.hypot(z, z)": ("hypot",),
    "def f(z): return z * math.log(2.0)": ("log",),
    "def f(z): return quick(z)": ("fast-math",),
    "def f(z): return helper(z)": ("exp",),
}


@numba.njit(fastmath=True)
def quick(z):
    return z * z * z + z


@numba.njit
def helper(z):
    return math.exp(z)


@pytest.mark.parametrize("text", LIBRARY)
def test_the_c_librarys_functions_and_fast_math_are_not_portable(text):
    function = fn.distribution(defined(text, quick=quick, helper=helper))
    assert not function.portable
    assert set(LIBRARY[text]) <= set(function.not_portable_because)


@pytest.mark.parametrize(
    "text",
    [
        "def f(z): return math.sqrt(abs(z))",
        "def f(z): return np.floor(z * 8) / 8",
        "def f(w): return (w >> 3) % 5",
        "def f(z): return min(max(z, -1.0), 1.0)",
        "def f(z): return z ** 2 + z ** 3",
        "def f(z): return np.copysign(z, -1.0) if np.isfinite(z) else 0.0",
        "def f(z, a=2.0): return round(z * a) / a",
        "def f(s): return book[int(abs(s) * 4)]",
    ],
)
def test_exact_operations_are_portable(text):
    function = fn.distribution(defined(text, book=np.array([0.5, 1.0, 2.0, 4.0])))
    assert function.portable, function.not_portable_because


@pytest.mark.parametrize("how", ["named", "of a module", "in a closure"])
def test_constants_that_the_c_library_computed_are_found_wherever_they_are(how):
    """LLVM leaves no call of log(2): only the Python code says where the number is from."""
    scope = {"math": math, "__name__": "another_module"}
    exec("def constant(): return math.log(2.0)", scope)
    other = types.ModuleType("another_module")
    other.constant = numba.njit(scope["constant"])
    if how == "named":
        f = defined("def f(z): return z * constant()", constant=other.constant)
    elif how == "of a module":
        f = defined("def f(z): return z * other.constant()", other=other)
    else:
        f = defined("def of(g):\n def f(z): return z * g(2.0)\n return f\nf = of(math.log)")
    assert fn.distribution(f).not_portable_because == ("log",)


def test_the_audit_knows_names_that_it_has_not_seen():
    """A call of anything unknown is a reason, so a new Numba cannot hide one."""
    llvm = (
        'declare double @llvm.fmuladd.f64(double, double)\ndeclare float @"__svml_logf8"(float)\n'
    )
    assert audit.reasons(f"{llvm}declare i32 @numba_new(i32)\n", []) == (
        "fmuladd", "log", "numba_new",
    )  # fmt: skip


# ---- digests ------------------------------------------------------------------------------------


def test_the_digest_covers_what_the_function_needs_of_its_module(tmp_path, monkeypatch):
    text = """
import numba, numpy as np
import fastinit.numba as fn
SHIFT = 0.25
TABLE = np.array([1.0, 2.0])
UNUSED = 7
SCALE = 1.5
def other(x):
    return x
@numba.njit
def inner(x):
    return x + SHIFT
@numba.njit
def helper(x):
    return inner(x) * TABLE[1]
@fn.distribution
def law(z, a=SCALE):
    return helper(z) * a
"""
    found = {}
    changes = {
        "same": ("", ""),
        "number": ("0.25", "0.26"),
        "array": ("2.0]", "2.5]"),
        "default": ("1.5", "1.75"),
        "helper": ("inner(x) *", "inner(x) +"),
        "inner": ("x + SHIFT", "x - SHIFT"),
        "itself": (" * a", " + a"),
        "unused": ("UNUSED = 7", "UNUSED = 8"),
        "other": ("return x\n@", "return -x\n@"),
    }
    monkeypatch.syspath_prepend(tmp_path)
    for key, (old, new) in changes.items():
        (tmp_path / f"law_{key}.py").write_text(text.replace(old, new) if old else text)
        found[key] = __import__(f"law_{key}").law.digest
    assert found["same"] == found["unused"] == found["other"]
    assert len(set(found.values())) == len(found) - 2
    assert set(functions_of(laws.moved.__wrapped__)) == {"moved", "halved"}


def test_the_digest_is_that_of_the_source_that_was_compiled(tmp_path, monkeypatch):
    """Not of what the file, or a number of the module, became meanwhile."""
    text = "import fastinit.numba as fn\nA = 2.0\n@fn.distribution\ndef law(z): return z * A\n"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "law_kept.py").write_text(text)
    (tmp_path / "law_edited.py").write_text(text)
    kept, edited = __import__("law_kept"), __import__("law_edited")
    (tmp_path / "law_edited.py").write_text(text.replace("z * A", "z + A + 1"))
    edited.A = 3.0
    assert edited.law.digest == kept.law.digest != ""


def test_attributes_and_numbers_of_any_name_hide_nothing():
    f = defined("def f(z, self=2.0): return z * self")
    f.map = f.digest = 3
    law = fn.distribution(f)
    doubled = fi.array(5, law(), seed=0, name="w")
    assert (fi.array(5, law(self=1), seed=0, name="w") * 2 == doubled).all()
    assert law.digest == ""


def test_a_function_without_a_source_has_no_digest():
    assert digest_of(defined("def f(z): return z")) == ""
