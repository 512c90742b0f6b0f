# SPDX-License-Identifier: MIT
"""Which versions of Numba this room works with.  It imports Numba and uses nothing of it."""

from __future__ import annotations

import numpy as np

from fastinit.schemes.custom import INSTALL
from fastinit.versions import checked_version

OLDEST_NUMBA = (0, 61)
"""The first version for NumPy 2.1; 0.68 is what tests run."""

NUMBA_NEEDED = f"fastinit.numba needs Numba {OLDEST_NUMBA[0]}.{OLDEST_NUMBA[1]} or newer"


def check() -> None:
    """Import Numba.

    Raises:
        ImportError: it is not installed, older than `OLDEST_NUMBA`, or does not work with the
            NumPy at hand.  A newer one is not refused.
    """
    try:
        import numba
    except ModuleNotFoundError as error:
        package, _, part = str(error.name).partition(".")
        if package not in ("numba", "llvmlite"):
            raise
        what = f"a part of {package} ({part}) is missing" if part else f"{package} is not installed"
        again = " --force-reinstall" if part else ""
        raise ImportError(f"{NUMBA_NEEDED}, but {what}: {INSTALL}{again}", name="numba") from None
    except Exception as error:  # a Numba for another NumPy fails in any way
        raise ImportError(
            f"{NUMBA_NEEDED}, and the one installed does not work with NumPy {np.__version__} "
            f"({type(error).__name__}: {error}): pip install --upgrade numba, or if no newer one "
            "exists, an older NumPy",
            name="numba",
        ) from error
    checked_version(numba, "numba", needed=NUMBA_NEEDED, oldest=OLDEST_NUMBA, install=INSTALL)
