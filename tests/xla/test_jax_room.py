# SPDX-License-Identifier: MIT
"""The door to JAX: what is missing, what it imports, graphics cards by a fake driver."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import device_text
import fake_driver
import numpy as np
import pytest

import fastinit as fi

pytest.importorskip("jax")

from fastinit.jax import requirement

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
        ("jax", "fastinit.jax", "fastinit.jax needs JAX 0.8 or newer, which is not installed: pip"),
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


@pytest.fixture
def driver(monkeypatch, jax):
    """A machine with two cards, of which JAX has the second; its memory is that of the CPU."""
    from fastinit.jax import gpu

    if missing := device_text.missing():
        pytest.skip(f"{missing}: not in this machine")
    card = SimpleNamespace(platform="gpu", local_hardware_id=1, id=1)
    monkeypatch.setattr(gpu, "_devices", lambda sharding: [card])
    monkeypatch.setattr(gpu, "_ordinal", lambda device: 1)
    with fake_driver.installed(fake_driver.Card(), fake_driver.Card()) as installed:
        yield installed


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e4m3fn"])
def test_a_card_is_filled_in_place(driver, dtype):
    import fastinit.jax as fj

    given = {"seed": 0, "name": "w", "dtype": dtype}
    made = fj.array((9, 8), fi.normal(), region=np.s_[2:7], **given)
    expected = fi.array((9, 8), fi.normal(), region=np.s_[2:7], **given)
    assert np.asarray(made).tobytes() == expected.tobytes()
    assert [launch.device for launch in driver.launched] == [1]
    assert driver.synchronized == [0]


def test_what_a_card_cannot_draw_comes_from_the_cpu(driver):
    import fastinit.jax as fj

    made = fj.array((9, 8), fi.orthogonal(), seed=0, name="w")
    np.testing.assert_array_equal(made, fi.array((9, 8), fi.orthogonal(), seed=0, name="w"))
    assert not driver.launches


def test_what_belongs_in_the_hosts_memory_comes_from_the_cpu(driver, jax):
    import fastinit.jax as fj

    pinned = jax.sharding.SingleDeviceSharding(jax.devices()[0], memory_kind="pinned_host")
    made = fj.array((9, 8), fi.normal(), seed=0, name="w", sharding=pinned)
    assert made.sharding == pinned
    np.testing.assert_array_equal(made, fi.array((9, 8), fi.normal(), seed=0, name="w"))
    assert not driver.launches


def test_where_kernels_are_not_wanted_the_cpu_draws(driver, monkeypatch):
    import fastinit.jax as fj

    monkeypatch.setenv("FASTINIT_CUDA", "copy")
    made = fj.array((9, 8), fi.normal(), seed=0, name="w")
    np.testing.assert_array_equal(made, fi.array((9, 8), fi.normal(), seed=0, name="w"))
    assert not driver.launches
