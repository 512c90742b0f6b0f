# SPDX-License-Identifier: MIT
"""Headers of safetensors files: what the reference reader takes, and what is refused and why.

How much a hostile header may cost is in test_hostile_headers.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from checkpoint_plans import safetensors_file
from hypothesis import given, settings
from hypothesis import strategies as st
from malformed_headers import F32, MALFORMED
from safetensors import SafetensorError, safe_open

import fastinit.checkpoints as checkpoints
from fastinit.checkpoints.formats.safetensors.dtypes import BITS
from fastinit.errors import CheckpointError


def verdicts(path):
    """(we accept, safetensors accepts)."""
    ours = theirs = True
    try:
        checkpoints.open(path)
    except CheckpointError:
        ours = False
    try:
        with safe_open(path, "numpy"):
            pass
    except (SafetensorError, OSError):
        theirs = False
    return ours, theirs


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_are_refused_as_the_reference_does_or_more_strictly(tmp_path, case):
    data, expected, message = MALFORMED[case]
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    assert verdicts(path) == expected
    if message:
        with pytest.raises(CheckpointError, match=message):
            checkpoints.open(path)


def test_the_dtypes_are_those_of_the_reference(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_file({"a": {**F32, "dtype": "F31"}}, b"1234"))
    with pytest.raises(SafetensorError) as caught, safe_open(path, "numpy"):
        pass
    known = set(re.findall(r"`(\w+)`", str(caught.value).split("expected one of")[1]))
    assert {"BOOL", "BF16", "F64"} <= known <= set(BITS)
    for code in known:
        form = {"dtype": code, "shape": [8], "data_offsets": [0, BITS[code]]}
        path.write_bytes(safetensors_file({"a": form}, bytes(BITS[code])))
        assert verdicts(path) == (True, True), code


GOOD = safetensors_file(
    {
        "__metadata__": {"format": "pt"},
        "a": F32,
        "b": {"dtype": "BF16", "shape": [2, 0], "data_offsets": [4, 4]},
        "c": {"dtype": "U8", "shape": [], "data_offsets": [4, 5]},
    },
    b"12345",
    pad=b"  ",
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(GOOD) - 1),
            st.one_of(
                st.sampled_from(list(b'0123456789-.eE"[]{}:, \x00\n\\u')), st.integers(0, 255)
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_mutation_is_accepted_that_the_reference_refuses(changes):
    data = bytearray(GOOD)
    for place, byte in changes:
        data[place] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.safetensors")
        path.write_bytes(data)
        ours, theirs = verdicts(path)
    assert theirs or not ours
