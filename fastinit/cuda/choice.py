# SPDX-License-Identifier: MIT
"""Whether kernels draw on a device, or the CPU draws and the values are copied.

No bit depends on it.
"""

from __future__ import annotations

import os
import warnings
from functools import lru_cache

from fastinit.cuda import devices
from fastinit.errors import BackendError, BackendWarning
from fastinit.texts import QUOTED, printable

CUDA_VARIABLE = "FASTINIT_CUDA"

CUDA_SETTINGS = ("kernels", "copy")
"""What it may be: raise an error where kernels cannot run; or never use them."""

_said: set[str] = set()
"""Reasons of which a warning was given."""


def problem(device: int) -> str | None:
    """Why kernels cannot run on a device, or None if they can.

    Args:
        device: its number, as the CUDA driver counts.

    Raises:
        BackendError: FASTINIT_CUDA has an unknown value.

    >>> import os
    >>> os.environ["FASTINIT_CUDA"] = "copy"
    >>> problem(0)
    'FASTINIT_CUDA=copy asks for the CPU'
    >>> del os.environ["FASTINIT_CUDA"]
    """
    if setting() == "copy":
        return f"{CUDA_VARIABLE}=copy asks for the CPU"
    return _problem(device)


def decide(device: int) -> bool:
    """Whether kernels draw on a device: if not, the CPU draws and the values are copied.

    Warns:
        BackendWarning: kernels cannot run there; once per process and reason.

    Raises:
        BackendError: they cannot, and FASTINIT_CUDA=kernels asks for them; or that variable has an
            unknown value.
    """
    asked = setting()
    if asked == "copy":
        return False
    reason = _problem(device)
    if reason is None:
        return True
    if asked == "kernels":
        raise BackendError(
            f"{CUDA_VARIABLE}=kernels: they cannot run on CUDA device {device}: {reason}"
        )
    if reason not in _said:
        _said.add(reason)
        warnings.warn(
            f"the CPU draws the values of CUDA device {device}, and they are copied: {reason}; set "
            f"{CUDA_VARIABLE}=copy to omit this notice",
            BackendWarning,
            stacklevel=3,
        )
    return False


def setting() -> str | None:
    """What FASTINIT_CUDA asks for; None if it is not set.

    Raises:
        BackendError: it has an unknown value.
    """
    asked = os.environ.get(CUDA_VARIABLE) or None
    if asked is not None and asked not in CUDA_SETTINGS:
        raise BackendError(
            f"{CUDA_VARIABLE}={printable(asked, QUOTED)} means nothing: choose from "
            f"{', '.join(CUDA_SETTINGS)}, or unset it"
        )
    return asked


@lru_cache(maxsize=64)
def _problem(device: int) -> str | None:
    try:
        devices.check(device)
    except (ImportError, BackendError) as error:
        return str(error)
    return None
