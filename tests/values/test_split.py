# SPDX-License-Identifier: MIT
"""`Sampler.split`: which samplers draw the elements of a tensor of several distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi
from fastinit.numerics.dtypes import resolve
from fastinit.schemes.sampling import sampler
from fastinit.values.stream import checked

SHAPE = (12, 10)
SCHEMES = (
    "normal(1)",
    "orthogonal()",
    "xavier_normal(packed=(2, 4, 6))",
    "parts(normal(1), '3', zeros())",
    "parts(normal(1), ':, 2:5', uniform(-1, 1))",
    "parts(normal(1), ':, ::3', ones())",
    "parts(normal(1), '2:9, 3:7', zeros(), '5', uniform(-1, 1))",
)


def source_of(scheme):
    return sampler(scheme, SHAPE, checked(7, "w"), resolve("float32"))


@pytest.mark.parametrize("scheme", SCHEMES)
@given(st.integers(0, 119), st.integers(1, 120))
def test_each_element_is_drawn_once_by_its_own_sampler(scheme, start, count):
    count = min(count, 120 - start)
    found = np.full(120, np.nan, np.float32)
    for rows in source_of(scheme).split(start, count):
        for row in range(rows.rows):
            first = rows.start + row * rows.start_step
            assert np.isnan(found[first : first + rows.count]).all()
            rows.sampler.draw(found[first : first + rows.count].view(np.uint8), first)
    wanted = fi.array(SHAPE, scheme, seed=7, name="w").reshape(-1)
    inside = slice(start, start + count)
    assert np.array_equal(found[inside].view("u4"), wanted[inside].view("u4"))
    assert np.isnan(found[:start]).all()
    assert np.isnan(found[start + count :]).all()


def test_parts_of_columns_are_rows():
    """A tensor of any number of rows is split into as many pieces as it has parts."""
    found = list(source_of("parts(normal(1), ':, 2:5', uniform(-1, 1))").split(0, 120))
    assert [(rows.start, rows.start_step, rows.rows, rows.count) for rows in found] == [
        (0, 10, 12, 2),
        (2, 10, 12, 3),
        (5, 10, 12, 5),
    ]
