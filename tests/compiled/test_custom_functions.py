# SPDX-License-Identifier: MIT
"""The decorator: what it takes and refuses, equality, pickles, threads."""

from __future__ import annotations

import copy
import inspect
import math
import multiprocessing
import pickle
import random
import subprocess
import sys
import threading

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
numba = pytest.importorskip("numba")

import custom_laws as laws  # noqa: E402 - only with Numba
from made_up import defined  # noqa: E402

import fastinit as fi  # noqa: E402
import fastinit.numba as fn  # noqa: E402
from fastinit.numba import loops  # noqa: E402

# ---- what is refused at decoration --------------------------------------------------------------

SIGNATURES = {
    "def f(scale): return scale": r"^f: its first parameter is not a draw: name it after .* z \(",
    "def f(): return 1.0": "first parameter is not a draw",
    "def f(*z): return 1.0": r"^f: \*z takes any number of arguments: name each, such as def lap",
    "def f(z, **more): return z": "takes any number of arguments",
    "def f(z, a, s): return z": "^f: the draw s stands after the number a: put draws first",
    "def f(z=0.0): return z": "^f: the draw z has a default: draws have none",
    "def f(z, a='x'): return z": "^f: the default of a is 'x': need a number",
    "def f(z, a=float('inf')): return z": "^f: the default of a is inf: need a finite number",
    "def f(z, a=None): return z": "^f: the default of a is None: need a number",
    "def f(z, *, a=1.0): return z": r"^f: a stands after a \*, which Numba does not take",
    "def f(z, é=1.0): return z": "^f: files cannot hold the name 'é': use ASCII letters",
    "async def f(z): return z": "^f is a coroutine: need a function that returns a number",
    "def f(z): yield z": "^f is a generator: need a function",
    "async def f(z): yield z": "^f is an asynchronous generator",
    "f = lambda z: z": "^distribution got a lambda, which no file can name: write def",
    "f = 3": "^distribution got 3: need a function, such as def laplace",
    "class f: pass": "^distribution got <class .*: need a function",
    "def g(z): return z\nf = functools.wraps(g)(lambda *a: g(*a))": "^g wraps another function",
    "f = np.sin": "^distribution got <ufunc 'sin'>: need a function",
}


@pytest.mark.parametrize("text", SIGNATURES)
def test_a_signature_that_cannot_be_is_refused_with_one_that_can(text):
    with pytest.raises(TypeError, match=SIGNATURES[text]):
        fn.distribution(defined(text))


def test_an_error_of_the_function_is_shown_with_its_line():
    def broken(z, scale=1.0):
        halved = z / 2
        return halved + "text"

    line = inspect.getsourcelines(broken)[1] + 2
    words = rf"broken cannot be compiled for float32 tensors \(.*_functions\.py, line {line}\): "
    with pytest.raises(TypeError, match=words) as caught:
        fn.distribution(broken)
    assert isinstance(caught.value.__cause__, numba.core.errors.NumbaError)


@pytest.mark.parametrize("text", ["return (z, z)", "return None", "return 1j * z", "return 'z'"])
def test_a_result_that_is_no_number_is_an_error_at_decoration(text):
    with pytest.raises(TypeError, match="f cannot be compiled for float32 tensors"):
        fn.distribution(defined(f"def f(z): {text}"))


@pytest.mark.parametrize("text", ["np.random.random()", "random.gauss(z, 1.0)"])
def test_numbers_of_another_generator_are_refused_at_decoration(text):
    with pytest.raises(
        TypeError, match=r"^made_up:f uses a random generator .* take draws instead"
    ):
        fn.distribution(defined(f"def f(z): return {text}", random=random))


@pytest.mark.parametrize(("text", "value"), [("return 3", 3), ("return z > -99", 1)])
def test_whole_numbers_and_truths_are_numbers(text, value):
    law = fn.distribution(defined(f"def f(z): {text}"))()
    assert (fi.array(9, law, seed=0, name="w", dtype="bfloat16") == value).all()


# ---- what is refused at a call ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: laws.ternary(), TypeError, r"^custom_laws:ternary needs scale: write custom_laws"),
        (lambda: laws.laplace(0.1), TypeError, "^custom_laws:laplace got 0.1 without a name"),
        (lambda: laws.laplace(std=1), TypeError, "has no number 'std': write .*laplace.scale=...."),
        (lambda: laws.laplace(s=1), TypeError, "no number 's': it is drawn, not given"),
        (
            lambda: laws.laplace(scale="1"),
            TypeError,
            "^custom_laws:laplace: scale is '1': need a .*without quotes: scale=1$",
        ),
        (lambda: laws.laplace(scale=True), TypeError, "custom_laws:laplace: scale is True"),
        (lambda: laws.laplace(scale=math.nan), ValueError, "need a finite number"),
        (
            lambda: fi.array(3, laws.laplace, seed=0, name="w"),
            TypeError,
            r"call it, laplace\(scale=",
        ),
    ],
)
def test_a_call_that_cannot_be_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_function_of_no_module_works_in_memory():
    scope = {}
    exec("def f(z, std=2.0): return z * std", scope)
    scope["f"].__module__ = None
    law = fn.distribution(scope["f"])
    assert law.label == "__main__:f"
    w = fi.array((9,), law(), seed=0, name="w")
    assert (w == 2 * fi.array((9,), "normal(std=1)", seed=0, name="w")).all()


# ---- the scheme ---------------------------------------------------------------------------------


def test_it_is_a_scheme_like_any_other():
    law = laws.laplace(scale=2)
    assert isinstance(law, fi.schemes.Scheme)
    assert str(law) == repr(law) == "custom_laws:laplace(scale=2)"
    assert str(laws.laplace()) == str(laws.laplace(scale=1)) == "custom_laws:laplace()"
    assert law == laws.laplace(scale=np.float64(2.0)) != laws.laplace()
    assert hash(law) == hash(laws.laplace(scale=2.0))
    assert str(inspect.signature(laws.laplace)).startswith("(*, scale=1.0) -> ")
    assert laws.laplace.__name__ == "laplace"
    assert repr(laws.laplace) == "<custom distribution custom_laws:laplace>"


def test_functions_of_one_name_are_not_equal():
    """As in a notebook, whose cell runs again: neither schemes nor samplers may be mixed up."""
    first, second = (
        fn.distribution(defined(f"def f(z): return z * np.float32({n})")) for n in (2, 3)
    )
    assert str(first()) == str(second())
    assert first() != second()
    one, other = (fi.array(5, law(), seed=0, name="w") for law in (first, second))
    assert (one / 2 * 3 == other).all()


def test_rules_and_plans_take_it():
    rules = fi.Rules([("*.bias", "zeros()"), ("*", laws.laplace(scale=0.5))])
    assert rules.scheme_for("a.weight", (3, 4)) == laws.laplace(scale=0.5)


def test_other_schemes_take_it():
    law, size = laws.laplace(scale=0.5), (40, 30)
    whole = fi.array(size, law, seed=1, name="w")
    clipped = fi.schemes.mapped(law, "minimum(maximum(x, -1), 1)")
    assert (fi.array(size, clipped, seed=1, name="w") == np.clip(whole, -1, 1)).all()
    copied = fi.schemes.same_as("w", law)
    assert (fi.array(size, copied, seed=1, name="other") == whole).all()
    sliced = fi.schemes.slice_of("w", size, "3:9, ::4", law)
    assert (fi.array((6, 8), sliced, seed=1, name="other") == whole[3:9, ::4]).all()
    parted = fi.array(size, fi.schemes.parts(fi.zeros(), "3:9", law), seed=1, name="w")
    assert (parted[3:9] == whole[3:9]).all()
    assert not parted[9:].any()
    of_two = fi.schemes.parts(fi.zeros(), "5", laws.student())
    assert (
        fi.array(size, of_two, seed=1, name="w")[5]
        == fi.array(size, laws.student(), seed=1, name="w")[5]
    ).all()
    norms = fi.schemes.norms_of("w", size, 0, clipped)
    ours = fi.array((40, 1), norms, seed=1, name="g")
    np.testing.assert_allclose(ours[:, 0], np.linalg.norm(np.clip(whole, -1, 1), axis=1), 1e-6)
    with pytest.raises(ValueError, match=r"the formula may have no finite value"):
        fi.array(size, fi.schemes.mapped(law, "log(x)"), seed=1, name="w")
    with pytest.raises(ValueError, match="can reach"):
        fi.array(size, fi.schemes.mapped(law, "2 * x"), seed=1, name="w")


# ---- copies and pickles -------------------------------------------------------------------------


def test_copies_are_the_same_object_and_pickles_find_it_by_import():
    for scheme in (laws.laplace(scale=2), fi.schemes.parts(fi.zeros(), "1", laws.student())):
        assert copy.copy(scheme) == copy.deepcopy(scheme) == scheme
        again = pickle.loads(pickle.dumps(scheme))
        assert again == scheme
        assert hash(again) == hash(scheme)
    assert pickle.loads(pickle.dumps(laws.laplace)) is laws.laplace
    assert copy.deepcopy(laws.laplace) is laws.laplace


def test_what_cannot_be_found_again_is_not_pickled():
    law = fn.distribution(defined("def f(z): return z"))()
    with pytest.raises(
        pickle.PicklingError, match=r"made_up:f cannot be pickled: made_up has nothing"
    ):
        pickle.dumps(law)
    assert copy.deepcopy(law) == law


def test_another_source_is_not_taken_from_a_pickle(monkeypatch):
    text = pickle.dumps(laws.laplace(scale=2))
    digest = laws.laplace.digest
    monkeypatch.setitem(laws.laplace.__dict__, "_digest", "0" * 64)
    words = (
        rf"^custom_laws:laplace was pickled with a source of SHA-256 {digest}, but here it has 0+"
    )
    with pytest.raises(ValueError, match=words):
        pickle.loads(text)
    monkeypatch.setattr(laws, "laplace", 3)
    with pytest.raises(ValueError, match="custom_laws here has no such distribution"):
        pickle.loads(text)


def total(scheme):
    return float(fi.array((64,), scheme, seed=0, name="w").sum())


def test_another_process_draws_the_same():
    scheme = fi.schemes.parts(laws.laplace(scale=0.5), "3:", laws.student())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(total, (scheme,)) == total(scheme)


# ---- threads, forks, Ctrl-C ---------------------------------------------------------------------


def test_threads_that_decorate_and_fill_at_once_compile_once(monkeypatch):
    compiled = []
    plain = loops.MapLoop.__init__

    def counted(self, label, *args):
        compiled.append(label)
        plain(self, label, *args)

    monkeypatch.setattr(loops.MapLoop, "__init__", counted)
    function = fn.distribution(defined("def f(z): return z + z"))
    assert len(compiled) == 2
    function._loops.clear()
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(fi.array(9, function(), seed=0, name="w").tolist())
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiled) == 3
    assert found == [found[0]] * 4


FORKS = """
import os, signal, sys, threading, warnings
import fastinit as fi, fastinit.numba as fn
warnings.simplefilter("ignore")
def made(n):
    scope = {}
    exec(f"def f(z, a=1.0): return z * a + {n}", scope)
    return fi.array(5, fn.distribution(scope["f"])(), seed=0, name="w")
made(0)
stop = False
def work():
    n = 1
    while not stop:
        made(n)
        n += 1
threading.Thread(target=work, daemon=True).start()
hung = 0
for n in range(6):
    child = os.fork()
    if child == 0:
        signal.alarm(40)
        made(-n)
        os._exit(0)
    hung += os.waitpid(child, 0)[1] != 0
    if hung:
        break
print(hung)
os._exit(0)
"""


def test_a_child_forked_while_another_thread_decorates_can_decorate():
    run = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, timeout=240
    )
    assert run.stdout.split() == ["0"]


def test_the_callers_floating_point_state_changes_nothing():
    torch = pytest.importorskip("torch")
    law, wide = laws.scaled(std=1e-40), laws.student()
    plain = [fi.array(999, each, seed=0, name="w").tobytes() for each in (law, wide)]
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormals")
    try:
        flushed = [fi.array(999, each, seed=0, name="w").tobytes() for each in (law, wide)]
    finally:
        torch.set_flush_denormal(False)
    assert flushed == plain
    assert np.count_nonzero(np.frombuffer(plain[0], np.float32)) > 990


# ---- PyTorch ------------------------------------------------------------------------------------


def test_torch_tensors_and_modules_take_it():
    torch = pytest.importorskip("torch")
    import fastinit.torch as ft

    law = laws.laplace(scale=0.02)
    ours = fi.array((6, 5), law, seed=3, name="weight", dtype="bfloat16")
    tensor = fi.fill(torch.empty(6, 5, dtype=torch.bfloat16), law, seed=3, name="weight")
    assert (tensor.view(torch.int16).numpy() == ours.view(np.int16)).all()
    module = torch.nn.Linear(5, 6, bias=False)
    ft.initialize_(module, rules=[("*", law)], seed=3)
    wide = fi.array((6, 5), law, seed=3, name="weight")
    assert (module.weight.detach().numpy() == wide).all()
    ft.verify(module, rules=[("*", law)], seed=3)
    inexact = [("*", laws.logarithmic(scale=0.02))]
    ft.initialize_(module, rules=inexact, seed=3)
    with torch.no_grad():
        module.weight *= 1 + 2.0**-22
    ft.verify(module, rules=inexact, seed=3)
    with torch.no_grad():
        module.weight[2, 3] *= 1 + 2.0**-18
    with pytest.raises(fi.errors.ModuleError, match=r"first at index \(2, 3\)"):
        ft.verify(module, rules=inexact, seed=3)
