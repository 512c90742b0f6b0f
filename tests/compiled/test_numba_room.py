# SPDX-License-Identifier: MIT
"""The room itself: its names, its mistakes, what a fork does, and no Numba or a broken one."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import reference as ref

import fastinit as fi

PATH = Path(fi.__file__).parent / "numba/requirement.py"


@pytest.fixture
def fn():
    pytest.importorskip("numba")
    return importlib.import_module("fastinit.numba")


# ---- which Numba --------------------------------------------------------------------------------


@pytest.fixture
def requirement():
    """The module itself: its package imports Numba."""
    spec = importlib.util.spec_from_file_location("requirement", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pretend(monkeypatch):
    """Make `import numba` find something else."""

    def replace(**attributes):
        monkeypatch.setitem(sys.modules, "numba", types.SimpleNamespace(**attributes))

    return replace


@pytest.fixture
def failing(monkeypatch):
    """Make `import numba` raise an error."""

    def replace(error):
        genuine = builtins.__import__

        def refuse(name, *args, **kwargs):
            if name == "numba":
                raise error
            return genuine(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)

    return replace


@pytest.mark.parametrize("version", ["0.61.0", "0.68.1", "0.70.0dev0", "1.0"])
def test_a_new_version_is_taken(requirement, pretend, version):
    pretend(__version__=version)
    requirement.check()


@pytest.mark.parametrize("version", ["0.60.0", "0.9.2"])
def test_an_old_version_is_refused_with_the_one_that_works(requirement, pretend, version):
    pretend(__version__=version)
    words = rf"^fastinit\.numba needs Numba 0\.61 or newer, but {version} is installed: pip inst"
    with pytest.raises(ImportError, match=words) as caught:
        requirement.check()
    assert caught.value.name == "numba"


@pytest.mark.parametrize(
    ("attributes", "place"),
    [({"__file__": "/home/me/numba.py"}, "/home/me/numba.py"), ({"__path__": ["/x"]}, "/x")],
)
def test_what_is_only_called_numba_is_refused(requirement, pretend, attributes, place):
    pretend(**attributes)
    with pytest.raises(ImportError, match=rf"finds at .*{place}.* has no version: rename that"):
        requirement.check()


@pytest.mark.parametrize("missing", ["numba", "llvmlite"])
def test_without_numba_a_message_says_what_to_install(requirement, failing, missing):
    failing(ModuleNotFoundError(f"No module named {missing!r}", name=missing))
    words = rf"but {missing} is not installed: pip install 'fastinit-weights\[numba\]'$"
    with pytest.raises(ImportError, match=words):
        requirement.check()


def test_a_numba_of_which_a_part_is_missing_is_a_message(requirement, failing):
    failing(ModuleNotFoundError("No module named 'llvmlite.binding'", name="llvmlite.binding"))
    words = r"but a part of llvmlite \(binding\) is missing: pip install .* --force-reinstall$"
    with pytest.raises(ImportError, match=words):
        requirement.check()


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("module 'numpy' has no attribute 'trapz'"),
        ImportError("Numba needs NumPy 2.4 or less. Got NumPy 2.5."),
        SystemError("initialization of _internal failed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_numba_that_is_broken_for_this_numpy_is_a_message(requirement, failing, error):
    failing(error)
    words = rf"does not work with NumPy {re.escape(np.__version__)} \({type(error).__name__}: "
    with pytest.raises(ImportError, match=words + ".*pip install --upgrade numba") as caught:
        requirement.check()
    assert caught.value.__cause__ is error


def test_errors_of_numbas_own_imports_are_passed_on(requirement, failing):
    error = ModuleNotFoundError("No module named 'yaml'", name="yaml")
    failing(error)
    with pytest.raises(ModuleNotFoundError, match="yaml") as caught:
        requirement.check()
    assert caught.value is error


def test_fastinit_itself_does_not_import_numba():
    code = "import fastinit, sys; print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_everything_else_works_without_numba():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import fastinit as fi\n"
        "print(fi.array(3, 'normal(std=1)', seed=0, name='w').size)\n"
        "import fastinit.numba"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == ["3"]
    assert run.stderr.splitlines()[-1] == (
        "ImportError: fastinit.numba needs Numba 0.61 or newer, but numba is not installed: "
        "pip install 'fastinit-weights[numba]'"
    )


# ---- names --------------------------------------------------------------------------------------


@pytest.mark.frameworks
def test_the_public_names_are_these(fn):
    """A name added or lost by accident; add it to docs/howto/numba.md, then here."""
    assert dir(fn) == sorted(fn.__all__)
    assert set(fn.__all__) == {
        *("philox4x32", "block", "word", "word64", "stream", "numbers", "value", "element"),
        *("uniform", "normal", "clipped_normal", "truncated_normal", "minus_log"),
        *("signed_uniform", "signed_uniform64", "standard_normal", "standard_normal64"),
        *("to_bfloat16", "to_float16", "to_float8_e4m3fn", "to_float8_e5m2", "default_floats"),
        *("UniformNumbers", "NormalNumbers", "ClippedNumbers", "TruncatedNumbers"),
        *("exp", "expm1", "cos_turns", "sin_turns", "arctan", "sign_and_tail"),
        *("ConstantNumbers", "StreamNumbers", "distribution", "CustomDistribution"),
    }
    assert all(inspect.getdoc(getattr(fn, name)) for name in fn.__all__)


@pytest.mark.frameworks
def test_the_table_is_that_of_the_page(fn):
    octaves = importlib.import_module("fastinit.numba.octaves")
    np.testing.assert_array_equal(octaves.octave_table().view("u4"), ref.OCTAVES.view("u4"))


# ---- numbers, and mistakes ----------------------------------------------------------------------


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("text", "dtype", "kind"),
    [
        ("uniform(-1, 1)", "float32", "UniformNumbers"),
        ("normal(std=1)", "float64", "NormalNumbers"),
        ("normal(std=1)", "float8_e5m2", "ClippedNumbers"),
        ("clipped_normal(std=1)", "bfloat16", "ClippedNumbers"),
        ("truncated_normal(std=1)", "float16", "TruncatedNumbers"),
        ("truncated_normal(std=1, low=0, high=1)", "float16", "TruncatedNumbers"),
        ("ones", "float8_e4m3fn", "ConstantNumbers"),
    ],
)
def test_the_class_of_numbers_is_the_distribution(fn, text, dtype, kind):
    found = fn.numbers(text, (8, 8), dtype=dtype)
    assert type(found).__name__ == kind
    real = np.float64 if dtype == "float64" else np.float32
    assert type(found[0]) is real
    assert found == fn.numbers(fi.scheme(text), 64, dtype=dtype)


@pytest.mark.frameworks
def test_auto_looks_at_the_name(fn):
    assert fn.numbers("auto", (8,), name="h.0.ln.bias") == fn.numbers("zeros", (8,))


@pytest.mark.frameworks
@pytest.mark.parametrize("text", ["orthogonal", "log_uniform(1, 2)", "identity"])
def test_schemes_of_whole_tensors_are_refused(fn, text):
    with pytest.raises(ValueError, match=r"'.*' makes elements that depend on .* fastinit\.fill$"):
        fn.numbers(text, (8, 8))


@pytest.mark.frameworks
def test_other_mistakes_have_the_words_of_array(fn):
    with pytest.raises(TypeError, match="need a text, such as 'normal"):
        fn.numbers(3, (8,))
    with pytest.raises(ValueError, match="beyond float16's largest"):
        fn.numbers("normal(std=1e6)", (8,), dtype="float16")
    with pytest.raises(ValueError, match="seed"):
        fn.stream(-1, "w")
    with pytest.raises(ValueError, match="lone surrogate"):
        fn.stream(0, "\ud800")


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("name", "text", "need"),
    [
        ("uniform", "normal(std=1)", "UniformNumbers"),
        ("normal", "uniform(0, 1)", "NormalNumbers or ClippedNumbers"),
        ("clipped_normal", "normal(std=1)", "ClippedNumbers"),
        ("truncated_normal", "clipped_normal(std=1)", "TruncatedNumbers"),
    ],
)
def test_numbers_of_another_distribution_are_an_error_of_typing(fn, name, text, need):
    from numba.core.errors import TypingError

    with pytest.raises(TypingError, match=rf"fastinit\.numba\.{name} got .*: need .*, {need}"):
        getattr(fn, name)(fn.numbers(text, (8,)), 5)
    with pytest.raises(TypingError, match=r"fastinit\.numba\.value got float64: need what"):
        fn.value(0.5, 5)
    with pytest.raises(TypingError, match=r"fastinit\.numba\.element got UniTuple"):
        fn.element((1.0, 2.0), 5, 5, 5)


# ---- forks --------------------------------------------------------------------------------------

FORKS = """
import os, signal, sys, threading, warnings
import numba
GUARD
warnings.simplefilter("ignore")

def compile_something(n):
    code = f"def f(x):\\n    return x + {n}"
    scope = {}
    exec(code, scope)
    return numba.njit(scope["f"])(1)

compile_something(0)
stop = False
def work():
    n = 1
    while not stop:
        compile_something(n)
        n += 1

thread = threading.Thread(target=work, daemon=True)
thread.start()
hung = 0
for n in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if compile_something(-n) == 1 - n else 1)
    hung += os.waitpid(child, 0)[1] != 0
    if hung:
        break
stop = True
print(hung)
os._exit(0)
"""


@pytest.mark.frameworks
def test_a_child_forked_while_another_thread_compiles_can_compile(fn):
    code = FORKS.replace("GUARD", "import fastinit.numba; fastinit.numba._forks.guard()")
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    )
    assert run.stdout.split() == ["0"]
