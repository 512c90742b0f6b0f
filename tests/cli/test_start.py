# SPDX-License-Identifier: MIT
"""Importing fastinit where something goes wrong: an exception that says what, never a signal.

The command line's own start is in test_cli_signals.py.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import fastinit
from fastinit.backends import _native
from fastinit.machine import _machine

EXTENSIONS = {module.__name__.rpartition(".")[2]: module for module in (_machine, _native)}

LOAD = """
import builtins, importlib.util, os, sys

spec = importlib.util.spec_from_file_location("NAME", "FILE")
module = importlib.util.module_from_spec(spec)
import_ = builtins.__import__
"""

SEEN = f"""{LOAD}
import collections.abc, inspect, types  # so that what they import is not seen

def seen(name, *rest, **named):
    print(name)
    return import_(name, *rest, **named)

builtins.__import__ = seen
spec.loader.exec_module(module)
"""

FAILS = f"""{LOAD}
def failing(name, *rest, **named):
    if name == sys.argv[1]:
        raise getattr(builtins, sys.argv[2])("the test's")
    return import_(name, *rest, **named)

builtins.__import__ = failing
try:
    spec.loader.exec_module(module)
except BaseException as error:
    print(type(error).__name__, error)
builtins.__import__ = import_
spec.loader.exec_module(importlib.util.module_from_spec(spec))  # and then it can be imported
print("imported")
"""

NO_MEMORY = f"""{LOAD}
import _testcapi, collections.abc, inspect, types

many = 0
while not many or codes[-1]:
    many += 100
    codes = []
    for number in range(many - 99, many + 1):
        child = os.fork()
        if child == 0:
            _testcapi.set_nomemory(number, number + 1 if sys.argv[1] == "once" else 0)
            try:
                spec.loader.exec_module(module)
                code = 0
            except MemoryError:
                code = 3
            finally:
                _testcapi.remove_mem_hooks()
            os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(*codes)
"""


def loading(script, extension):
    """The script, for one of the extensions."""
    module = EXTENSIONS[extension]
    return script.replace("NAME", module.__name__).replace("FILE", module.__file__)


def python(script, *arguments, options=()):
    """Run a script in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_extension_imports_little(extension):
    """Each import is a place where its start can be interrupted, and takes time."""
    done = python(loading(SEEN, extension))
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) <= {"inspect", "collections.abc"}


@pytest.mark.parametrize("error", ["ImportError", "KeyboardInterrupt", "MemoryError"])
@pytest.mark.parametrize("name", ["inspect", "collections.abc"])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_import_that_fails_while_an_extension_starts_is_that_exception(extension, name, error):
    if f"{name}\n" not in python(loading(SEEN, extension)).stdout:
        pytest.skip(f"this Python's {extension} does not import {name}")
    done = python(loading(FAILS, extension), name, error)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{error} the test's\nimported\n"


@pytest.mark.skipif(
    not importlib.util.find_spec("_testcapi"), reason="this Python has no _testcapi"
)
@pytest.mark.parametrize("how", ["once", "from then on"])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_no_memory_while_an_extension_starts_is_a_memory_error(extension, how):
    """The first allocation fails, then the second, and so on."""
    done = python(loading(NO_MEMORY, extension), how)
    assert done.returncode == 0, done.stderr
    codes = Counter(done.stdout.split())
    assert set(codes) == {"0", "3"}
    assert codes["3"] > {"_native": 100, "_machine": 50}[extension]


@pytest.mark.parametrize("name", ["inspect", "collections.abc", "types", "numpy", "hashlib"])
def test_a_module_that_cannot_be_imported_is_an_import_error(name):
    script = f"import sys; sys.modules[{name!r}] = None; import fastinit"
    done = python(script)
    assert done.returncode == 1
    assert "Error: " in done.stderr.splitlines()[-1]
    assert name in done.stderr


# --- the extension ---------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path):
    """A copy of what is imported up to the extension, without one; its folder."""
    folder = tmp_path / "fastinit"
    folder.mkdir()
    for name in ("__init__.py", "program.py", "start.py", "texts.py", "machine/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(Path(fastinit.__file__).parent / name, folder / name)
    return folder


def last_line(folder, statement="import fastinit"):
    """The last line of the traceback of an import from another folder; no site-packages (-S)."""
    script = f"import sys; sys.path.insert(0, {str(folder.parent)!r}); {statement}"
    done = python(script, options=["-S"])
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()[-1]


def test_an_extension_that_is_not_there_is_not_built(package):
    line = last_line(package)
    assert line.startswith(f"ImportError: fastinit.machine._machine is not built in {package}")
    assert "run pip install -e ." in line


@pytest.mark.parametrize("content", [b"", b"\x7fELF and no more", b"no library at all" * 100])
def test_an_extension_that_is_damaged_is_an_error_that_says_how(package, content):
    (package / "machine" / Path(_machine.__file__).name).write_bytes(content)
    line = last_line(package)
    assert line.startswith("ImportError: fastinit.machine._machine cannot be loaded: ")
    assert "file too short" in line or "invalid ELF header" in line or "not a mach-o" in line
    assert "pip install" not in line


def test_what_the_extension_cannot_import_is_named(package):
    shutil.copy(_machine.__file__, package / "machine")
    line = last_line(package, "sys.modules['inspect'] = None; import fastinit")
    words = "import of inspect halted; None in sys.modules"
    assert line == f"ImportError: fastinit.machine._machine cannot be loaded: {words}"


INTERPRETERS = """
import _xxsubinterpreters as interpreters
import fastinit
interpreters.run_string(interpreters.create(), "import fastinit")
"""


@pytest.mark.skipif(
    not importlib.util.find_spec("_xxsubinterpreters"), reason="this Python has other interpreters"
)
def test_a_second_interpreter_is_an_error_that_says_so():
    done = python(INTERPRETERS)
    assert done.returncode == 1
    assert "fastinit.machine._machine cannot be loaded: " in done.stderr
    last = done.stderr.splitlines()[-1]  # Cython says it, and from Python 3.12 on Python itself
    assert "one interpreter per process" in last or "not support loading in subinterpreters" in last
