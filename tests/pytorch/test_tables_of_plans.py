# SPDX-License-Identifier: MIT
"""Tables that constructors compute, as the schemes of a plan."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

import fastinit as fi  # noqa: E402 - only where torch is
import fastinit.torch as ft  # noqa: E402
from fastinit.errors import ModuleError  # noqa: E402


class Table(torch.nn.Module):
    def __init__(self, make):
        super().__init__()
        self.weight = torch.nn.Parameter(make(), requires_grad=False)


def planned(make):
    with ft.deferred():
        module = Table(make)
    return ft.plan(module)["weight"]


def frequencies(width, divisor):
    return torch.exp(-math.log(10000) * torch.arange(width // 2) / divisor)


def halves(rows, width):
    angles = torch.arange(rows).float()[:, None] * frequencies(width, width // 2)
    return torch.cat([angles.sin(), angles.cos()], -1)


def whisper(rows, width):
    angles = torch.arange(rows).float()[:, None] * frequencies(width, width // 2 - 1)
    return torch.cat([angles.sin(), angles.cos()], -1)


def padded(rows, width):
    table = whisper(rows, width)
    table[1] = 0
    return table


def interleaved(rows, width):
    angles = torch.arange(rows).float()[:, None] * frequencies(width, width // 2)
    table = torch.zeros(rows, width)
    table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()
    return table


def offsets(heads, levels, points):
    """`sampling_offsets.bias`, as transformers 5.24 computes it in modeling_rt_detr.py."""
    angles = torch.arange(heads) * (2 * math.pi / heads)
    rays = torch.stack([angles.cos(), angles.sin()], -1)
    rays = (rays / rays.abs().max(-1, keepdim=True)[0]).view(heads, 1, 1, 2)
    return (rays * torch.arange(1, points + 1)[:, None]).repeat(1, levels, 1, 1).view(-1)


def upsampler(width, factor):
    """`conv.weight`, as transformers 5.24 makes it in modeling_nemotron3_diarization.py."""
    weight = torch.zeros(factor * width, width, 3)
    weight[:, :, 1] = torch.eye(width).repeat(factor, 1)
    return weight


ANGLE = "(2 * pi * (i0 // {}) / {})"
RAYS = (
    "(1 + i0 // 2 % {}) * ((1 - i0 % 2) * cos{angle} + i0 % 2 * sin{angle}) / "
    "maximum(abs(cos{angle}), abs(sin{angle}))"
)

SCHEMES = {
    "table(expression='10000.0 ** -(i0 / n0)')": lambda: frequencies(256, 128),
    f"table(expression='{RAYS.format(4, angle=ANGLE.format(32, 8))}')": lambda: offsets(8, 4, 4),
    f"table(expression='{RAYS.format(8, angle=ANGLE.format(48, 6))}')": lambda: offsets(6, 3, 8),
    "table(expression='maximum(0, 1 - abs(i0 % n1 - i1)) * maximum(0, 1 - abs(i2 - n2 // 2))')": (
        lambda: upsampler(32, 8)
    ),
    "zeros()": lambda: torch.ones(300, 4) - 1,
    "constant(value=2.5)": lambda: torch.full((300,), 5.0) / 2,
    "identity()": lambda: torch.eye(40),
    "linspace(start=0, end=300, axis=0)": lambda: torch.arange(301.0),
    "linspace(start=-1, end=1, axis=0)": lambda: torch.linspace(-1, 1, 500)[:, None].repeat(1, 3),
    "linspace(start=0, end=7, axis=1)": lambda: torch.arange(8.0).repeat(100, 1),
    "log_arange(axis=1)": lambda: torch.log(torch.arange(1, 17).float()).repeat(100, 1),
    "log_arange(start=2, step=0.5, axis=0)": lambda: torch.log(2 + torch.arange(300.0) / 2),
    "sinusoid(kind='halves')": lambda: halves(64, 32),
    "sinusoid(kind='halves', endpoint=True)": lambda: whisper(1500, 64),
    "sinusoid(kind='halves', endpoint=True, padding=1)": lambda: padded(200, 16),
    "sinusoid(kind='interleaved')": lambda: interleaved(512, 16),
    "literal(values=(0.5, 2, -3))": lambda: torch.tensor([0.5, 2, -3]),
}


@pytest.mark.parametrize(("text", "make"), SCHEMES.items(), ids=SCHEMES)
def test_a_table_is_a_scheme(text, make):
    tensor = planned(make)
    assert str(tensor.scheme) == text
    values = fi.array(tensor.shape, tensor.scheme, seed=0, name="weight")
    theirs = make().numpy()
    rows = len(theirs) if "sinusoid" in text else 8
    assert np.abs(values - theirs).max() <= 2e-6 * rows
    exact = bool((values == theirs).all())
    assert exact == ("up to rounding" not in tensor.scheme.reason)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("text", "make"),
    {
        "sinusoid(kind='halves')": lambda: halves(64, 32),
        "sinusoid(kind='halves', endpoint=True, padding=1)": lambda: padded(200, 16),
        "sinusoid(kind='interleaved')": lambda: interleaved(300, 16),
        "log_arange(axis=1)": lambda: torch.log(torch.arange(1, 17).float()).repeat(100, 1),
        "linspace(start=0, end=1, axis=0)": lambda: torch.linspace(0, 1, 300),
    }.items(),
    ids=range(5),
)
def test_a_table_of_a_narrow_type_is_the_rounded_scheme(text, make, dtype):
    tensor = planned(lambda: make().to(dtype))
    assert str(tensor.scheme) == text
    values = fi.array(tensor.shape, tensor.scheme, seed=0, name="weight", dtype=tensor.dtype)
    ulp = torch.finfo(dtype).eps
    theirs = make().to(dtype).double().numpy()
    assert np.abs(values.astype(np.float64) - theirs).max() <= ulp * np.abs(theirs).max()


def test_what_is_computed_in_a_narrow_type_is_not_the_rounded_formula():
    """Such as the table of Whisper, whose angles have 8 bits under bfloat16 as default dtype."""

    def angles_in_bfloat16():
        angles = torch.arange(300)[:, None] * frequencies(32, 16).bfloat16()
        return torch.cat([angles.sin(), angles.cos()], -1)

    with pytest.raises(ModuleError, match="it is a table of 9,600 values"):
        planned(angles_in_bfloat16)


def test_a_module_has_pytorchs_own_values():
    with ft.deferred():
        module = Table(lambda: whisper(1500, 64))
    assert torch.equal(ft.materialize(module, seed=0).weight, whisper(1500, 64))


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.sin(torch.arange(300.0)),
        lambda: torch.arange(300.0) ** 2,
        lambda: halves(64, 32) * 1.01,
    ],
)
def test_other_tables_are_errors(make):
    with pytest.raises(ModuleError, match=r"'weight': it is a table of .* values"):
        planned(make)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_an_error(value):
    for make in (
        lambda: torch.tensor(value),
        lambda: torch.full((300,), value),
        lambda: torch.full((300,), 1.0).index_fill(0, torch.tensor([3]), value),
    ):
        with pytest.raises(ModuleError, match="'weight': some of its values are not finite"):
            planned(make)
