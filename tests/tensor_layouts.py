# SPDX-License-Identifier: MIT
"""Torch tensors in every layout that has memory, and what they must hold when filled.  No test."""

from __future__ import annotations

import fastinit as fi

LAYOUTS = {
    "plain": ((6, 4), lambda t, d: t.zeros(6, 4, dtype=d)),
    "transposed": ((6, 4), lambda t, d: t.zeros(4, 6, dtype=d).T),
    "every other": ((6, 4), lambda t, d: t.zeros(12, 8, dtype=d)[::2, ::2]),
    "columns": ((6, 4), lambda t, d: t.zeros(6, 9, dtype=d)[:, 3:7]),
    "offset": ((6, 4), lambda t, d: t.zeros(31, dtype=d)[7:].view(6, 4)),
    "channels last": (
        (5, 3, 4, 2),
        lambda t, d: t.zeros(5, 3, 4, 2, dtype=d).to(memory_format=t.channels_last),
    ),
    "permuted": ((3, 5, 2), lambda t, d: t.zeros(2, 3, 5, dtype=d).permute(1, 2, 0)),
    "diagonal": ((5,), lambda t, d: t.zeros(5, 5, dtype=d).diagonal()),
    "scalar": ((), lambda t, d: t.zeros((), dtype=d)),
    "one": ((1, 1), lambda t, d: t.zeros(1, 1, dtype=d)),
    "empty": ((0, 3), lambda t, d: t.zeros(0, 3, dtype=d)),
    "empty inside": ((3, 0), lambda t, d: t.zeros(3, 0, dtype=d)),
    "parameter": ((6, 4), lambda t, d: t.nn.Parameter(t.zeros(6, 4, dtype=d))),
    "view of a parameter": ((3, 4), lambda t, d: t.nn.Parameter(t.zeros(6, 4, dtype=d))[1::2]),
    "of a graph": ((6, 4), lambda t, d: t.zeros(6, 4, dtype=d, requires_grad=True).clone()),
    "grown": ((6, 4), lambda t, d: t.zeros(0, dtype=d).resize_(6, 4)),
    "long": ((3, 70_001), lambda t, d: t.zeros(3, 70_001, dtype=d)),
    "long transposed": ((1031, 257), lambda t, d: t.zeros(257, 1031, dtype=d).T),
}
"""By name: the shape, and what makes a tensor of it of torch and a dtype."""

DTYPES = ["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"]


def bits(torch, tensor):
    """The words of a tensor's elements, in row-major order, by torch's own reading."""
    tensor = tensor.detach().resolve_neg().contiguous().clone()
    words = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize]
    return tensor.view(words).numpy().reshape(tensor.shape)


def expected_bits(shape, scheme, dtype, **options):
    """The same of the array that fastinit makes."""
    array = fi.array(shape, scheme, dtype=dtype, **options)
    return array.view(f"i{array.itemsize}".replace("i1", "u1"))
