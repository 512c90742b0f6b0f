# SPDX-License-Identifier: MIT
"""benchmarks/device.py without a card: what it refuses, and that it finds a wrong bit."""

from __future__ import annotations

import ctypes
import json
import sys
from dataclasses import replace

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

import cuda_tensors  # noqa: E402 - these import torch
import device  # noqa: E402
import device_bits  # noqa: E402
import fake_driver  # noqa: E402

from fastinit import cuda  # noqa: E402

CHECKS = [
    ("normal(0.02)", "float32", name) for name in ("from an odd start", "transposed", "batch")
]


@pytest.fixture
def few_checks(monkeypatch):
    monkeypatch.setattr(device_bits, "checks", lambda: iter(CHECKS))


@pytest.fixture
def cards():
    with fake_driver.installed(), cuda_tensors.pretended() as pretended:
        yield pretended


def test_without_a_card_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["device.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.main() == 2
    assert "device.py needs a card: torch" in capsys.readouterr().err


def test_a_card_that_is_too_old_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["device.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with fake_driver.installed(fake_driver.Card(architecture=70)):
        assert device.main() == 2
    assert "7.0" in capsys.readouterr().err


def test_right_bits_are_no_failure(monkeypatch, capsys, tmp_path, few_checks):
    file = tmp_path / "found.json"
    options = ["device.py", "--toy", "--only", "bits", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", options)
    monkeypatch.setattr(device, "TOY", replace(device.TOY, only=1))
    assert device.main() == 0
    assert "bits: 3 checks, 0 wrong" in capsys.readouterr().out
    assert json.loads(file.read_text())["bits"] == {"checks": 3, "wrong": []}


@pytest.mark.parametrize("place", [-1, 0], ids=["before it", "in it"])
def test_a_wrong_byte_is_found_in_a_tensor_and_beside_it(cards, few_checks, monkeypatch, place):
    real = cuda.draw

    def draw(tasks):
        tasks = list(tasks)
        real(tasks)
        first = ctypes.c_ubyte.from_address(min(task.out.pointer for task in tasks) + place)
        first.value ^= 1

    monkeypatch.setattr(cuda, "draw", draw)
    found = device_bits.run(cuda_tensors.CARD, 1)
    assert found == {"checks": 3, "wrong": [", ".join(check) for check in CHECKS]}


def test_every_layout_has_its_memory_to_itself():
    """No two elements share an address, or a check could not say what was written."""
    for layout in device_bits.LAYOUTS.values():
        room = torch.zeros(layout.offset + layout.extent, dtype=torch.int32)
        room.as_strided(layout.shape, layout.strides, layout.offset).add_(1)
        assert room.max() == 1
        assert int(room.sum()) == torch.Size(layout.shape).numel()
