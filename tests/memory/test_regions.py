# SPDX-License-Identifier: MIT
"""Regions as doors make them: pieces, axes in another order, and regions passed on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from fills import made, same

import fastinit as fi
from fastinit.memory.regions import Axis, Region, boxes, region_of

WHOLE = made((6, 8))


def drawn(region, shape=None):
    out = np.zeros(region.shape if shape is None else shape, np.float32)
    return fi.fill(out, fi.normal(0.02), seed=11, name="w", shape=(6, 8), region=region)


@pytest.mark.parametrize("region", [np.s_[1:5, ::2], np.s_[::-1, 3:], np.s_[:, 2], range(3, 30, 4)])
def test_a_region_passed_on_is_the_region(region):
    found = region_of((6, 8), region)
    assert region_of((6, 8), found) is found
    assert same(drawn(found), drawn(region, found.shape))


def test_any_steps_are_a_region():
    diagonal = Region(0, (Axis(6, 9),))
    assert same(drawn(diagonal), WHOLE.diagonal())
    assert same(drawn(Region(47, (Axis(6, -9),))), WHOLE[::-1, ::-1].diagonal())


def test_a_piece_of_a_region_is_that_of_the_array():
    region = region_of((6, 8), np.s_[1:, ::-2])
    piece = region.piece((2, 1), (3, 2))
    assert same(drawn(piece), WHOLE[1:, ::-2][2:5, 1:3])


def test_axes_in_another_order_are_those_of_the_array():
    region = region_of((6, 8), np.s_[1:, ::2]).permuted((1, 0))
    assert same(drawn(region), WHOLE[1:, ::2].T)


def test_an_empty_region_lies_anywhere():
    assert drawn(Region(99, (Axis(0, 1), Axis(3, 1)))).size == 0


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (
            Region(48, (Axis(1, 1),)),
            "^region has elements 48 to 48, but shape .6, 8. has elements 0",
        ),
        (Region(0, (Axis(7, 8),)), "^region has elements 0 to 48, but"),
        (Region(3, (Axis(2, 9), Axis(5, -1))), r"^region has elements -1 to 12, but .* 0 to 47$"),
    ],
)
def test_a_region_that_leaves_the_tensor_is_refused(region, words):
    out = np.zeros(region.shape, np.float32)
    with pytest.raises(IndexError, match=words):
        fi.fill(out, fi.normal(0.02), seed=11, name="w", shape=(6, 8), region=region)
    assert not out.any()


def test_the_boxes_of_a_shape_are_all_of_it_once_and_each_is_one_run():
    for shape, most in itertools.product(
        [(), (7,), (3, 5), (2, 3, 4), (4, 1, 3)], (1, 2, 5, 7, 99)
    ):
        seen, numbers = np.zeros(shape, int), np.arange(np.prod(shape, dtype=int)).reshape(shape)
        for box in boxes(shape, most):
            place = tuple(slice(along.start, along.stop) for along in box)
            seen[place] += 1
            run = numbers[place].ravel()
            assert run.size <= most
            assert (np.diff(run) == 1).all()
        assert (seen == 1).all()
