# SPDX-License-Identifier: MIT
"""The backend numba: the bits of the native one, for any cut, stride, memory and target."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

import reference as ref  # noqa: E402 - only with Numba
from test_numba_bits import CASES, FEW  # noqa: E402
from twins import assert_same_bits, library_values, scheme_of  # noqa: E402

import fastinit as fi  # noqa: E402
from fastinit.backends import native, selection  # noqa: E402
from fastinit.numba import backend, lookups  # noqa: E402
from fastinit.numba.kept import kept  # noqa: E402
from fastinit.numba.quantiles import quantile  # noqa: E402
from fastinit.numerics.dtypes import resolve  # noqa: E402

TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def in_force():
    yield selection.select("numba")
    selection.select()


def natively(call):
    """What a call makes on the native backend."""
    selection.select("native")
    try:
        return call()
    finally:
        selection.select("numba")


def test_it_is_in_force(in_force):
    assert in_force is selection.active() is backend.BACKEND
    assert selection.active().name == "numba"
    in_force.check()


@pytest.mark.parametrize("dtype", ref.DTYPES)
def test_every_distribution_has_the_references_bits(dtype):
    for distribution, dtypes in CASES:
        if dtype in dtypes:
            where = (7, "h.0.w", distribution, 2**34 - 1030, 2100, dtype)
            assert_same_bits(library_values(*where), ref.values(*where))


@pytest.mark.parametrize("dtype", ref.DTYPES)
@pytest.mark.parametrize("start", [0, 1, 3, 2**33 + 5, 2**61 + 1])
def test_runs_of_any_length_are_parts_of_the_whole(dtype, start):
    for distribution in FEW:
        whole = ref.values(3, "w", distribution, start, 2100, dtype)
        for count in (0, 1, 2, 5, 63, 64, 65, 1021, 1023, 1024, 1025, 2100):
            ours = library_values(3, "w", distribution, start, count, dtype)
            assert_same_bits(ours, whole[:count])


@pytest.mark.parametrize("dtype", ref.DTYPES)
@pytest.mark.parametrize("threads", [1, 2])
def test_regions_strides_and_orders_are_those_of_the_native_backend(dtype, threads):
    shape, kind = (70, 41, 90), resolve(dtype).numpy

    def drawn(distribution):
        given = {"seed": 5, "name": "w", "threads": threads}
        scheme = scheme_of(distribution)
        yield fi.array(shape, scheme, dtype=dtype, region=np.s_[3:60:7, ::5, 2], **given)
        yield fi.array(shape, scheme, dtype=dtype, region=np.s_[:, 4:6, 80:], **given)
        yield fi.fill(np.zeros(shape, kind, "F"), scheme, **given)
        yield fi.fill(np.zeros(shape, kind)[::-1, :, ::-1], scheme, **given)
        gaps = np.zeros((70, 41, 180), kind)
        fi.fill(gaps[:, :, ::2], scheme, **given)
        yield gaps

    for distribution in FEW:
        theirs = natively(lambda: list(drawn(distribution)))  # noqa: B023 - called at once
        for our, their in zip(drawn(distribution), theirs, strict=True):
            assert_same_bits(our, their)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("text", ["normal(std=1)", "ones"])
def test_memory_that_is_not_aligned_is_filled_and_nothing_else(dtype, text):
    size, count = resolve(dtype).size, 1500
    memory = np.full(count * size + 3, 0xA5, np.uint8)
    fi.fill(memory[1:-2].view(resolve(dtype).numpy), text, seed=0, name="w")
    whole = natively(lambda: fi.array(count, text, seed=0, name="w", dtype=dtype))
    assert memory[1:-2].tobytes() == whole.tobytes()
    assert memory[[0, -2, -1]].tolist() == [0xA5] * 3


def test_raw_words_and_blocks_are_the_native_ones():
    for start, count in [(0, 0), (0, 1), (5, 2), (2**34 - 3, 9), (2**40 + 2, 2**18 + 7)]:
        ours = fi.stream(9, "w").words(start, count)
        assert_same_bits(ours, natively(lambda: fi.stream(9, "w").words(start, count)))  # noqa: B023
    given = {"counter": (1, 2**32 - 1, 3, 4), "key": (5, 2**31)}
    assert fi.philox4x32(**given) == natively(lambda: fi.philox4x32(**given))


def test_matrices_and_files_come_from_it(tmp_path):
    scheme = fi.sparse(0.5)
    ours = fi.array((40, 30), scheme, seed=0, name="w")
    assert_same_bits(ours, natively(lambda: fi.array((40, 30), scheme, seed=0, name="w")))
    fi.write(fi.Plan([fi.Tensor("w", (30, 40), fi.he_normal())]), tmp_path, seed=0)
    natively(lambda: fi.verify(tmp_path))
    fi.verify(tmp_path)


@pytest.mark.parametrize("octave", [0, 1, 40, 100])
def test_quantiles_in_registers_are_those_of_the_scalar_function(octave):
    exponents = range(1 if octave else -1, 31)
    f = np.array([2.0**e * (1 + n / 7) for e in exponents for n in range(7)], np.float32)
    f = np.concatenate([np.full(3, 2.0**30.5, np.float32), f, f[::-1]])
    expected = np.array([quantile(x, np.uint32(octave)) for x in f], np.float32)
    found = np.empty_like(f)
    lookups.quantiles_into(found, f, np.uint32(octave))
    assert_same_bits(found, expected)


def test_what_has_no_place_on_disk_is_compiled_all_the_same():
    """A function without a file has none, as one where neither package nor home is writable."""
    scope: dict[str, object] = {}
    exec("def double(x):\n    x *= 2", scope)
    x = np.ones(3)
    kept(scope["double"])(x)
    assert x.tolist() == [2.0] * 3


def run(code, **environment):
    path = [str(TESTS), str(TESTS / "package"), *sys.path]
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


TARGET = """
import reference as ref
from twins import assert_same_bits, library_values
from fastinit.numba import targets
print(targets.LANES)
for dtype in ("float32", "bfloat16", "float64"):
    for distribution in (ref.Normal(), ref.Truncated(1.0, 0.0, 6.0, 8.0), ref.Uniform(0.1, 0.7)):
        where = (7, "w", distribution, 2**34 - 5000, 20000, dtype)
        assert_same_bits(library_values(*where), ref.values(*where))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86_64: not in this machine")
@pytest.mark.parametrize(
    ("cpu", "features", "lanes"), [("x86-64", "", "1"), ("haswell", "+avx2,+fma", "8")]
)
def test_without_permutes_or_with_fewer_lanes_the_bits_are_the_same(cpu, features, lanes, tmp_path):
    target = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    found = run(TARGET, FASTINIT_BACKEND="numba", NUMBA_CACHE_DIR=str(tmp_path), **target)
    assert found == [lanes]


CACHE = """
import fastinit as fi
from fastinit.numba.fills import COMPILED_FILLS
fi.array(50, "normal(std=1)", seed=0, name="w")
stats = COMPILED_FILLS["float32"].stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_compiled_code_is_kept_for_the_next_process(tmp_path):
    kept = {"FASTINIT_BACKEND": "numba", "NUMBA_CACHE_DIR": str(tmp_path)}
    assert run(CACHE, **kept) == ["0", "1"]
    assert run(CACHE, **kept) == ["1", "0"]


def test_settings_of_other_libraries_change_no_bit():
    """As `tests/package/test_foreign_settings.py` has it for the native backend."""
    code = (
        "import numpy as np, fastinit as fi, reference as ref\n"
        "from foreign_settings import floating_point\n"
        "from twins import library_values\n"
        "for std in (1e-38, 1e-39):\n"
        "    for flush in (True, False):\n"
        "        where = (7, 'w', ref.Normal(std), 0, 5000, 'float32')\n"
        "        theirs = ref.values(*where).view('u4')\n"
        "        floating_point(flush=flush, rounding=0 if flush else 2)\n"
        "        ours = library_values(*where).view('u4')\n"
        "        floating_point()\n"
        "        print((ours == theirs).all())\n"
        "        fi.schemes.sampling._samplers.cache_clear()\n"
        "        fi.values.distributions._samplers_of.cache_clear()"
    )
    assert run(code, FASTINIT_BACKEND="numba") == ["True"] * 4


def test_without_numba_it_is_an_error_that_says_what_to_install():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import fastinit as fi\n"
        "try: fi.array(3, 'zeros', seed=0, name='w')\n"
        "except fi.errors.BackendError as error: print(error)"
    )
    assert " ".join(run(code, FASTINIT_BACKEND="numba")) == (
        "FASTINIT_BACKEND=numba: backend 'numba' cannot be used: fastinit.numba needs Numba 0.61 "
        "or newer, but numba is not installed: pip install 'fastinit-weights[numba]'"
    )


def test_the_command_line_says_that_it_is_in_force(main, capfd):
    code, out, _ = main("info")
    assert code == 0
    assert "backend          numba\n" in out
    assert selection.active() is not native.BACKEND
