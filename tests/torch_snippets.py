# SPDX-License-Identifier: MIT
"""What constructors do to tensors, a line each: what is computed, what is drawn, what is refused.

Whole modules are in torch_modules.py.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import init
from torch.nn.functional import interpolate, one_hot

empty, ones, zeros, full, arange = torch.empty, torch.ones, torch.zeros, torch.full, torch.arange
randn, rand = torch.randn, torch.rand


class Holder(nn.Module):
    """A module whose parameters a function makes."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        with torch.no_grad():
            made = make()
        for number, tensor in enumerate(made if isinstance(made, tuple) else (made,)):
            if not isinstance(tensor, nn.Parameter):
                real = tensor.is_floating_point() or tensor.is_complex()
                tensor = nn.Parameter(tensor, requires_grad=real)
            self.register_parameter(f"w{number}", tensor)


def after(change: Callable[[torch.Tensor], Any], tensor: torch.Tensor) -> torch.Tensor:
    """The tensor after something was done to it."""
    change(tensor)
    return tensor


def truncated(tensor: torch.Tensor) -> torch.Tensor:
    """A standard normal truncated at two sigmas, as libraries make it of a uniform."""
    edge = math.erf(math.sqrt(2))
    return tensor.uniform_(-edge, edge).erfinv_().mul_(math.sqrt(2)).clamp_(-2, 2)


def recurrence() -> torch.Tensor:
    """Each element from the one before it."""
    table = zeros(300)
    for index in range(1, 300):
        table[index] = table[index - 1] * 0.5 + 1
    return table


def many_steps(table: torch.Tensor, count: int) -> torch.Tensor:
    """A tensor that is changed in place again and again."""
    for _ in range(count):
        table.add_(1)
    return table


def positions() -> torch.Tensor:
    """A table that is written number by number."""
    table = zeros(20, 6)
    for row in range(20):
        for column in range(6):
            table[row, column] = math.sin(row + column)
    return table


COMPUTED: dict[str, Callable[[], Any]] = {
    "a number rounded to float16": lambda: full((3,), 0.1, dtype=torch.float16).float(),
    "a number rounded to float32": lambda: full((3,), 0.1).double(),
    "a number rounded to an integer": lambda: full((3,), 2.7, dtype=torch.int64).float(),
    "an overflow": lambda: full((3,), 70000.0).half(),
    "infinities": lambda: full((3, 3), -math.inf),
    "not a number": lambda: full((3,), math.nan),
    "complex numbers": lambda: full((4,), 1j),
    "bits of integers": lambda: ones(4, dtype=torch.int32).view(torch.float32).clone(),
    "bits written as integers": lambda: after(lambda w: w.view(torch.int32).fill_(1), empty(4)),
    "halves seen as floats": lambda: zeros(8, dtype=torch.float16).view(torch.float32).clone(),
    "an identity changed": lambda: init.eye_(empty(4, 4)) * 2 + 1,
    "an identity shifted": lambda: init.eye_(empty(6, 6))[1:, :5].clone(),
    "a Dirac kernel halved": lambda: init.dirac_(empty(6, 6, 3)) / 2,
    "a diagonal": lambda: after(lambda w: w.diagonal().fill_(1.0), zeros(6, 6)),
    "overlapping windows": lambda: arange(6.0).as_strided((4, 3), (1, 1)).clone(),
    "a part through another view": lambda: after(
        lambda w: w.view(3, 8)[:, 3:5].fill_(1), zeros(24)
    ),
    "out": lambda: after(lambda w: torch.add(ones(4), 2, out=w), empty(4)),
    "a resized tensor": lambda: after(lambda w: w.resize_(8)[4:].fill_(1), zeros(4)),
    "item": lambda: torch.tensor([x.item() for x in torch.linspace(0, 0.1, 5)]),
    "tolist": lambda: torch.tensor(torch.linspace(0, 0.1, 5).tolist()),
    "numpy": lambda: torch.from_numpy(arange(5.0).numpy() * 2),
    "an array of a tensor": lambda: torch.tensor(np.asarray(arange(4.0)) * 2),
    "a number": lambda: full((3,), float(torch.tensor(2.0).sqrt())),
    "a condition": lambda: ones(3) if arange(5).sum() > 3 else zeros(3),
    "a comparison": lambda: ones(3) if torch.equal(ones(2), ones(2)) else zeros(3),
    "a size": lambda: ones(int(torch.tensor([3, 4]).sum())),
    "nonzero": lambda: torch.eye(4).nonzero().float(),
    "a selection": lambda: arange(6.0)[arange(6) % 2 == 0],
    "unique values": lambda: torch.tensor([3.0, 1.0, 3.0]).unique(),
    "repetitions": lambda: arange(3.0).repeat_interleave(torch.tensor([1, 0, 2])),
    "numbers that are tensors": lambda: torch.tensor([[torch.tensor(1.0), 2.0], [3.0, ones(())]]),
    "data by name": lambda: torch.tensor(data=[1.0, 2.0]),
    "a list of indices": lambda: after(lambda w: w.__setitem__([0, 3], 2.0), zeros(6)),
    "an array of indices": lambda: arange(6.0)[np.array([1, 4])],
    "cpu": lambda: arange(5.0).cpu() * 2,
    "to a device and dtype": lambda: arange(5).to("cpu", torch.float64).to(ones(1)),
    "a tensor on the CPU beside one on meta": lambda: (
        torch.linspace(0, 1, 5, device="cpu") * arange(5)
    ),
    "one-hot rows": lambda: one_hot(arange(3)).float(),
    "interpolated": lambda: interpolate(arange(4.0).view(1, 1, 4), size=7, mode="linear")[0],
    "a running product": lambda: torch.cumprod(1 - torch.linspace(1e-4, 0.02, 10), 0).sqrt(),
    "a legacy tensor": lambda: torch.Tensor([1.0, 2.0]),
    "vmap": lambda: torch.vmap(lambda x: x * 2)(arange(4.0)),
    "a recurrence": recurrence,
    "3,000 steps": lambda: many_steps(zeros(3), 3000),
    "numbers one by one": positions,
}
"""What needs no random numbers: the values must be equal."""

DRAWN: dict[str, Callable[[], Any]] = {
    "scaled by an equal tensor": lambda: randn(6, 5) * full((5,), 3.0),
    "fans of another shape": lambda: init.xavier_uniform_(empty(6, 40)).T.reshape(24, 10),
    "fans of fewer axes": lambda: empty(1, 6, 40).copy_(init.xavier_uniform_(empty(6, 40))),
    "fans flattened": lambda: init.kaiming_normal_(empty(9, 6, 3)).flatten(),
    "fans flattened in another order": lambda: init.kaiming_normal_(empty(9, 6, 3)).mT.flatten(),
    "fans of a matrix seen": lambda: after(
        lambda w: init.xavier_uniform_(w.view(8, -1)), empty(8, 4, 3)
    ),
    "one row": lambda: randn(30) * ones(1, 30),
    "rsub": lambda: torch.rsub(rand(6, 5), 3, alpha=2),
    "sub": lambda: torch.sub(rand(6, 5), 3, alpha=2),
    "legacy": lambda: torch.Tensor(6, 5).normal_() + torch.FloatTensor(6, 5).zero_(),
    "on the CPU beside one on meta": lambda: full((6, 5), 2.0, device="cpu") * randn(6, 5),
    "written into one on the CPU": lambda: after(
        lambda w: w[2:].copy_(randn(4, 5)), zeros(6, 5, device="cpu")
    ),
    "a padding row scaled": lambda: nn.Embedding(20, 10, padding_idx=3).weight.mul(0.5),
    "a padding row shifted": lambda: nn.Embedding(20, 10, padding_idx=3).weight.add(0.1),
    "stacked orthogonal": lambda: torch.stack([init.orthogonal_(empty(6, 4)) for _ in range(3)]),
    "orthogonal experts": lambda: after(lambda w: [*map(init.orthogonal_, w)], empty(3, 4, 6)),
    "orthogonal transposed": lambda: after(lambda w: init.orthogonal_(w.T), empty(6, 9)),
    "truncated, then scaled": lambda: truncated(empty(40, 50)) * 0.02 + 0.01,
    "truncated by its bounds alone": lambda: torch.erfinv(2 * rand(40, 50) * 0.9 - 0.9),
    "nearly constant, clamped": lambda: (1 + 1e-7 * randn(6, 50).double()).clamp(
        1 - 1e-7, 1 + 1e-7
    ),
    "halves": lambda: (lambda w: (w[:3].clone(), w[3:].clone()))(randn(6, 5)),
    "columns": lambda: (lambda w: (w[:, :2].clone(), w[:, 2:].T.clone()))(randn(6, 4)),
    "parts of one memory": lambda: tuple(map(nn.Parameter, randn(6, 4).unbind(1))),
    "one memory": lambda: (lambda w: (w, nn.Parameter(w.data)))(nn.Parameter(randn(6, 5))),
    "a copy": lambda: (lambda w: (w, w.clone()))(randn(6, 5)),
    "a narrow copy": lambda: (lambda w: (w, w.half()))(randn(6, 5)),
    "a draw's copy": lambda: copy.deepcopy(randn(6, 5)),
    "dtype and device": lambda: randn(6, 5).to("cpu", torch.bfloat16).cpu(),
    "experts": lambda: after(lambda w: [*map(init.xavier_uniform_, w)], empty(100, 3, 4)),
    "experts with a padding row": lambda: after(
        lambda w: [*map(init.normal_, w), w[1].zero_()], empty(5, 30)
    ),
    "heads joined and flattened": lambda: torch.cat(
        [randn(2, 3, 4, 10), randn(2, 1, 4, 10), randn(2, 1, 4, 10)], 1
    ).view(-1, 10),
    "a generator": lambda: init.normal_(empty(6, 5), generator=torch.default_generator),
}
"""What is random: each element must have PyTorch's distribution."""

COARSE = "it has the coarse values of torch.bfloat16, in torch.float32"
REPEATED = "one draw is repeated over several elements"
SAME_DRAW = "it is computed from the same draw as w., and not a copy of it"
FOREIGN = "its values were drawn by numpy.random"


def placed(start: int, draw: torch.Tensor) -> torch.Tensor:
    """A draw as three rows of a tensor of zeros."""
    return after(lambda w: w[start : start + 3].copy_(draw), zeros(6, 4))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a row repeated": (lambda: randn(1, 5) * ones(6, 5), REPEATED),
    "a number repeated": (lambda: randn(()) * ones(6, 5), REPEATED),
    "a row added": (lambda: ones(6, 5) + randn(5), REPEATED),
    "integers": (lambda: (rand(6, 5) * 10).long().float(), "a draw is turned into torch.int64"),
    "signs": (lambda: randn(6, 5).bool().float(), "a draw is turned into torch.bool"),
    "widened": (lambda: randn(6, 5).bfloat16().float(), COARSE),
    "widened by a sum": (lambda: randn(6, 5).bfloat16() + ones(6, 5), COARSE),
    "widened by cat": (lambda: torch.cat([randn(6, 5).bfloat16(), ones(1, 5)]), COARSE),
    "another float64": (
        lambda: (lambda w: (w, w.double()))(randn(6, 5)),
        "it is computed from w0, in torch.float64 instead of torch.float32",
    ),
    "complex": (lambda: randn(4, dtype=torch.cfloat), "a draw is turned into torch.complex64"),
    "a complex view": (
        lambda: torch.view_as_complex(randn(4, 2)),
        "it was written as torch.float32, and is torch.complex64",
    ),
    "other places": (lambda: (lambda w: (placed(0, w), placed(3, w)))(randn(3, 4)), SAME_DRAW),
    "twice": (lambda: (lambda w: torch.cat([w, w]))(randn(3, 4)), SAME_DRAW),
    "rows shared": (
        lambda: (lambda w: (nn.Parameter(w[:4]), nn.Parameter(w[2:])))(zeros(6, 4)),
        "it is another view of the memory of 'w0', which fastinit cannot keep together",
    ),
    "norms changed": (
        lambda: (lambda w: (w, w.norm(dim=1).clone().mul_(2)))(randn(6, 5)),
        "it is computed from a draw by torch's mul",
    ),
    "norms filled": (
        lambda: (lambda w: (w, ones(6).mul_(w.norm())))(randn(6, 5)),
        "one draw is repeated|by torch's mul",
    ),
    "several written at once": (
        lambda: after(lambda w: torch._foreach_mul_([w], 0.5), ones(3)),
        "torch's _foreach_mul changes it",
    ),
    "too many steps": (lambda: many_steps(randn(3), 2000), "it was computed in too many steps"),
    "numpy after another tensor": (
        lambda: (lambda a: (torch.tensor([1.0, 2.0]), torch.from_numpy(a)))(np.random.rand(5)),
        FOREIGN,
    ),
    "dirac stacked": (
        lambda: torch.stack([init.dirac_(empty(4, 4, 3)), randn(4, 4, 3)]),
        r"it is a part of shape \(1, 4, 4, 3\) that dirac\(\) made of shape \(4, 4, 3\)",
    ),
    "part of a table": (
        lambda: after(lambda w: w[:3].copy_(arange(3)), randn(6)),
        "a part of it is a table, which no scheme makes",
    ),
    "rows by a list": (
        lambda: after(lambda w: w.__setitem__([0, 3], 0.0), randn(6, 5)),
        "it is computed from a draw by torch's index_put",
    ),
    "many parts": (
        lambda: after(lambda w: [w[i].normal_(std=i + 1) for i in range(70)], empty(70, 5)),
        "it was written in more than 64 parts",
    ),
}
"""What fastinit has no scheme for, and what it says."""
