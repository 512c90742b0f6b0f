# SPDX-License-Identifier: MIT
"""The door to JAX: what is missing, what it imports, graphics cards by stand-ins."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastinit as fi
from fastinit.jax import requirement
from fastinit.memory.regions import region_of
from fastinit.numerics.dtypes import resolve
from fastinit.schemes.sampling import sampler
from fastinit.values.stream import checked

pytestmark = pytest.mark.frameworks


def run(code):
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_fastinit_does_not_import_jax():
    done = run(
        "import fastinit, sys; assert 'jax' not in sys.modules and 'flax' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("hidden", "imported", "says"),
    [
        ("jax", "fastinit.jax", "fastinit.jax needs JAX 0.7 or newer, which is not installed: pip"),
        ("flax", "fastinit.jax.nnx", "fastinit.jax.nnx needs Flax 0.12 or newer, which is not"),
    ],
)
def test_a_missing_framework_says_how_to_install_it(hidden, imported, says):
    done = run(f"import sys; sys.modules[{hidden!r}] = None; import {imported}")
    assert done.returncode == 1
    assert says in done.stderr


@pytest.mark.parametrize(
    ("check", "module"), [(requirement.check, "jax"), (requirement.check_flax, "flax")]
)
def test_versions(monkeypatch, check, module):
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(__version__="0.6.3"))
    with pytest.raises(ImportError, match=r"or newer, but 0\.6\.3 is installed"):
        check()
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(__version__="99.0"))
    check()


def test_fill_of_a_jax_array_names_the_room(jax):
    with pytest.raises(TypeError, match=r"immutable: to make one, call fastinit\.jax\.array, or"):
        fi.fill(jax.numpy.zeros(3), fi.normal(), seed=0, name="w")


def test_the_room_has_its_public_names(jax):
    import fastinit.jax as fj

    assert dir(fj) == ["array", "init", "initializers", "nnx", "plan"]
    with pytest.raises(AttributeError, match="no attribute 'fill'"):
        _ = fj.fill


# --- graphics cards -----------------------------------------------------------------------------


@dataclass(frozen=True)
class StandInArray:
    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    device: int
    stream: int


@dataclass(frozen=True)
class StandInTask:
    out: StandInArray
    source: Any
    part: Any


class StandInCuda:
    """In the place of `fastinit.cuda`; its card is JAX's CPU device, whose memory it fills."""

    DeviceArray, DeviceTask = StandInArray, StandInTask

    def __init__(self):
        self.tasks, self.waited, self.kernels = [], [], True

    def can_draw(self, source):
        return True

    def decide(self, device):
        return self.kernels

    def draw(self, tasks):
        import ctypes

        from fastinit.memory import arrays

        for task in tasks:
            self.tasks.append(task)
            size = int(np.prod(task.out.shape)) * task.source.dtype.size
            memory = (ctypes.c_char * size).from_address(task.out.pointer)
            kind = task.source.dtype.numpy
            out = np.ndarray(task.out.shape, kind, memory, 0, task.out.strides)
            arrays.draw(out, task.source, task.part, 1)

    def synchronize(self, device):
        self.waited.append(device)


@pytest.fixture
def cuda(monkeypatch, jax):
    from fastinit.jax import gpu

    found = StandInCuda()
    device = SimpleNamespace(platform="gpu", local_hardware_id=3, id=3)
    monkeypatch.setattr(gpu, "import_module", lambda name: found)
    monkeypatch.setattr(gpu, "_devices", lambda sharding: [device])
    monkeypatch.setattr(gpu, "_ordinal", lambda device: 3)
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn"])
def test_a_card_is_filled_in_place(cuda, dtype):
    import fastinit.jax as fj

    given = {"seed": 0, "name": "w", "dtype": dtype}
    made = fj.array((9, 8), fi.normal(), region=np.s_[2:7], **given)
    expected = fi.array((9, 8), fi.normal(), region=np.s_[2:7], **given)
    assert np.asarray(made).tobytes() == expected.tobytes()
    assert [task.out.device for task in cuda.tasks] == cuda.waited == [3]
    assert cuda.tasks[0].part.shape == (5, 8)
    assert cuda.tasks[0].out.strides == (8 * resolve(dtype).size, resolve(dtype).size)


def test_where_kernels_cannot_run_the_cpu_draws(cuda):
    import fastinit.jax as fj

    cuda.kernels = False
    made = fj.array((9, 8), fi.normal(), seed=0, name="w")
    np.testing.assert_array_equal(made, fi.array((9, 8), fi.normal(), seed=0, name="w"))
    assert not cuda.tasks


def test_without_the_room_cuda_or_a_card_the_cpu_draws(monkeypatch, jax):
    from fastinit.jax import gpu

    source = sampler(fi.normal(), (3,), checked(0, "w"), resolve("float32"))
    assert not gpu.can_draw(source, None)
    card = SimpleNamespace(platform="gpu", local_hardware_id=0, id=0)
    monkeypatch.setattr(gpu, "_devices", lambda sharding: [card])
    monkeypatch.setattr(gpu, "ROOM", "fastinit.there_is_no_such_room")
    assert not gpu.can_draw(source, None)
    assert region_of((3,), None).shape == (3,)
