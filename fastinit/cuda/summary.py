# SPDX-License-Identifier: MIT
"""What `fastinit info` shows of CUDA.  No context is made on any device."""

from __future__ import annotations

from fastinit.cuda import choice, devices
from fastinit.errors import BackendError


def summary() -> str | list[str]:
    """A line per device, with what draws there; or one line on why there is none.

    Raises:
        BackendError: FASTINIT_CUDA has an unknown value.
    """
    choice.setting()  # an unknown one is an error without a device, too
    try:
        count = devices.count()
    except (ImportError, BackendError) as error:
        return f"none: {error}"
    return [_line(number) for number in range(count)]


def _line(number: int) -> str:
    reason = choice.problem(number)
    what = "kernels" if reason is None else f"copies of what the CPU draws: {reason}"
    found = devices.description(number)
    return f"{number}: {found.name}, sm_{found.architecture}: {what}"
