# SPDX-License-Identifier: MIT
"""NVRTC compiles the device text for every architecture, without a warning and without a device."""

from __future__ import annotations

import device_text
import pytest
from device_fills import DTYPES
from tracking import device

pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.skipif(device.missing() is not None, reason=f"{device.missing()} is not installed"),
]

OFTEN = ("sm_75", "sm_90")
"""The oldest, which has none of the conversions by hardware, and one that has all."""


def kernels(kinds=("rows", "scattered", "jobs")):
    return [
        f"{kind}_{kernel}_{dtype}"
        for kind in kinds
        for kernel in device_text.KERNELS
        for dtype in DTYPES.values()
    ]


@pytest.mark.parametrize("architecture", device.ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["FI_BFLOAT16", "FI_FLOAT8_E4M3FN"])
def test_a_kernel_compiles_alone_for_every_architecture(architecture, dtype):
    code = device.compiled(architecture, f"-DFI_ONLY=FI_ROWS(FI_NORMAL,{dtype})")
    assert f"rows_FI_NORMAL_{dtype}".encode() in code
    assert sum(name.encode() in code for name in kernels()) == 1


@pytest.mark.parametrize("kind", ["ROWS", "SCATTERED", "JOBS"])
@pytest.mark.parametrize("kernel", ["FI_SYMMETRIC,FI_FLOAT32", "FI_CLIPPED,FI_FLOAT64"])
def test_every_kind_compiles_for_short_rows(kind, kernel):
    assert device.compiled("sm_80", f"-DFI_ONLY=FI_{kind}({kernel})", "-DV_GROUPS=1")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", OFTEN)
def test_every_kernel_compiles(architecture):
    code = device.compiled(architecture)
    assert [name for name in kernels() if name.encode() not in code] == []


@pytest.mark.long
@pytest.mark.parametrize("architecture", sorted(set(device.ARCHITECTURES) - set(OFTEN)))
def test_every_kernel_compiles_for_every_architecture(architecture):
    code = device.compiled(architecture)
    assert [name for name in kernels() if name.encode() not in code] == []


def test_the_text_names_what_it_does_not_define():
    with pytest.raises(device.TrackingError, match=r"(?s)FI_ONLY=FI_ROWS.*identifier .FI_GAUSS"):
        device.compiled("sm_90", "-DFI_ONLY=FI_ROWS(FI_GAUSS,FI_FLOAT32)")
