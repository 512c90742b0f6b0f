# SPDX-License-Identifier: MIT
"""Tensors that are filled by way of the CPU: chunks, layouts, and the turns of pinned buffers.

No card is needed: CPU tensors take the same way here, with chunks of a few elements.
"""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest
from tensor_layouts import LAYOUTS, bits, expected_bits

import fastinit as fi
from fastinit.memory.regions import region_of
from fastinit.numerics.dtypes import resolve
from fastinit.schemes.sampling import sampler
from fastinit.values.stream import checked

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")
copies = pytest.importorskip("fastinit.torch.copies")

SCHEMES = ["normal(0.02)", "uniform(-1, 1)", "constant(3)"]


def drawn(tensor, scheme, size, shape=None, region=None):
    shape = tuple(tensor.shape) if shape is None else shape
    source = sampler(scheme, shape, checked(26, "w"), resolve(tensor.dtype))
    copies.draw(tensor, source, region_of(shape, region), 1, size=size)
    return tensor


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float8_e5m2", "float64"])
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if "long" not in name])
def test_chunks_of_any_size_make_the_whole(layout, dtype):
    shape, make = LAYOUTS[layout]
    wanted = expected_bits(shape, "normal(0.02)", dtype, seed=26, name="w")
    for size in (0, 8, 24, 40, 100, 2**20):
        tensor = drawn(make(torch, getattr(torch, dtype)), "normal(0.02)", size)
        assert np.array_equal(bits(torch, tensor), wanted), size


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("layout", ["long", "long transposed"])
def test_large_tensors_are_cut(layout, scheme):
    shape, make = LAYOUTS[layout]
    tensor = drawn(make(torch, torch.float32), scheme, 2**16)
    wanted = expected_bits(shape, scheme, "float32", seed=26, name="w")
    assert np.array_equal(bits(torch, tensor), wanted)


@pytest.mark.parametrize("region", [np.s_[1:5, ::2], np.s_[3], range(5, 23, 3), np.s_[::-1]])
def test_a_region_is_cut_as_the_whole_is(region):
    whole = fi.array((6, 4), "normal(0.02)", seed=26, name="w")
    wanted = whole.reshape(-1)[region] if isinstance(region, range) else whole[region]
    if isinstance(region, range):
        wanted = whole.reshape(-1)[region.start : region.stop : region.step]
    for size in (4, 12, 2**20):
        tensor = drawn(torch.zeros(wanted.shape), "normal(0.02)", size, (6, 4), region)
        assert np.array_equal(tensor.numpy(), wanted)


DEVICE = """
import numpy as np, torch, torch._lazy.ts_backend, fastinit as fi, fastinit.torch as ft
from fastinit.torch import init

torch._lazy.ts_backend.init()
whole = fi.array((6, 4), "normal(0.02)", seed=26, name="w")
flat = whole.reshape(-1)
cases = {
    "plain": (lambda t: t, whole),
    "transposed": (lambda t: t.view(4, 6).T, whole),
    "columns": (lambda t: t[:, 1:3], fi.array((6, 2), "normal(0.02)", seed=26, name="w")),
    "every other": (lambda t: t[::2], fi.array((3, 4), "normal(0.02)", seed=26, name="w")),
    "parameter": (torch.nn.Parameter, whole),
    "scalar": (lambda t: t[0, 0], fi.array((), "normal(0.02)", seed=26, name="w")),
    "empty": (lambda t: t[:0], np.zeros((0, 4), np.float32)),
}
for name, (make, wanted) in cases.items():
    tensor = make(torch.zeros(6, 4, device="lazy"))
    assert fi.fill(tensor, "normal(0.02)", seed=26, name="w") is tensor
    np.testing.assert_array_equal(tensor.detach().cpu().numpy(), wanted, err_msg=name)
module = torch.nn.Linear(4, 6, device="lazy")
with init.names(module, seed=26):
    init.kaiming_uniform_(module.weight)
wanted = fi.array((6, 4), "kaiming_uniform()", seed=26, name="weight")
np.testing.assert_array_equal(module.weight.detach().cpu().numpy(), wanted)
rows = torch.empty(2, 4, device="lazy", dtype=torch.bfloat16)
fi.fill(rows, "normal(0.02)", seed=26, name="w", shape=(6, 4), region=np.s_[2:4])
wanted = fi.array((6, 4), "normal(0.02)", seed=26, name="w", dtype="bfloat16", region=np.s_[2:4])
np.testing.assert_array_equal(rows.cpu().float().numpy(), wanted.astype(np.float32))
assert ft.empty((2, 3), device="lazy").device.type == "lazy"
print("all filled")
"""


def test_a_device_that_the_cpu_cannot_write_to_is_filled():
    """Torch's lazy device is in every build: like XLA, it has no memory to see."""
    command = [sys.executable, "-W", "ignore", "-c", DEVICE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "all filled\n", done.stderr


def test_an_inference_tensor_is_copied_to():
    with torch.inference_mode():
        tensor = torch.zeros(6, 4)
    drawn(tensor, "normal(0.02)", 16)
    wanted = expected_bits((6, 4), "normal(0.02)", "float32", seed=26, name="w")
    assert np.array_equal(bits(torch, tensor.clone()), wanted)


def test_a_copy_that_fails_midway_bumps_the_version(monkeypatch):
    """Memory that a graph saved was changed, although the call failed."""
    view = torch.zeros(3, dtype=torch.complex64).conj().imag

    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(copies.arrays, "draw", fail)
    before = view._version
    with pytest.raises(KeyboardInterrupt):
        fi.fill(view, "normal(1)", seed=0, name="w")
    assert view._version > before


def test_a_pinned_buffer_is_reused_only_after_its_copy(monkeypatch):
    """CUDA's part, with what it calls stood in for: there is no card here."""
    log = []

    class Event:
        def __init__(self):
            self.number = len(log)
            log.append("made")

        def synchronize(self):
            log.append(("wait", self.number))

        def record(self, stream):
            log.append(("record", self.number, stream))

    empty = torch.empty
    made = []

    def pinned(count, *, pin_memory, **options):
        made.append((count, pin_memory, options))
        return empty(count, **options)

    stand_in = types.SimpleNamespace(Event=Event, current_stream=lambda device: f"stream {device}")
    monkeypatch.setattr(copies.torch, "cuda", stand_in)
    monkeypatch.setattr(copies.torch, "empty", pinned)
    buffers = copies._pinned(empty(3, dtype=torch.bfloat16), 5)
    taken = [next(buffers) for _ in range(4)]
    assert made == [(5, True, {"dtype": torch.bfloat16, "device": "cpu"})] * 2
    assert taken[0] is taken[2] is not taken[1] is taken[3]
    assert log == [
        *("made", "made"),
        ("wait", 0),
        ("record", 0, "stream cpu"),
        ("wait", 1),
        ("record", 1, "stream cpu"),
        ("wait", 0),
        ("record", 0, "stream cpu"),
        ("wait", 1),
    ]
