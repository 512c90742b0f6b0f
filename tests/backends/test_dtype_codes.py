# SPDX-License-Identifier: MIT
"""Dtypes have the same names and sizes in Python and in C, which gives them their codes."""

import pytest

from fastinit.backends import _native
from fastinit.numerics.dtypes import DTYPES

CODES = _native.dtypes()


def test_python_and_c_know_the_same_dtypes():
    assert sorted(CODES) == sorted(DTYPES)


def test_codes_count_from_0():
    assert list(CODES.values()) == list(range(len(CODES)))


@pytest.mark.parametrize("name", CODES)
def test_an_element_has_the_same_size_in_python_and_c(name):
    spec = _native.Spec(dtype=CODES[name], distribution=0, key=0, subsequence=0)
    assert spec.item_size == DTYPES[name].size


def test_a_code_past_the_last_is_an_error():
    code = len(CODES)
    with pytest.raises(ValueError, match=rf"^dtype code {code} is unknown to the C layer$"):
        _native.Spec(dtype=code, distribution=0, key=0, subsequence=0)
