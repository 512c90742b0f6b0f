# SPDX-License-Identifier: MIT
"""Which versions of JAX and Flax this room works with.  It looks at versions alone."""

from __future__ import annotations

from fastinit.versions import installed

OLDEST_JAX = (0, 8)
"""The first version with which tests have passed; 0.10.2 is what they run."""

OLDEST_FLAX = (0, 12)
"""The first version in which a state of nnx holds variables."""

NEEDED_JAX = f"fastinit.jax needs JAX {OLDEST_JAX[0]}.{OLDEST_JAX[1]} or newer"
NEEDED_FLAX = f"fastinit.jax.nnx needs Flax {OLDEST_FLAX[0]}.{OLDEST_FLAX[1]} or newer"


def check() -> None:
    """Import JAX.

    Raises:
        ImportError: it is not installed or older than `OLDEST_JAX`.  A newer one is not refused.
    """
    install = "pip install jax"
    installed("jax", needed=NEEDED_JAX, oldest=OLDEST_JAX, install=install, parts=("jaxlib",))


def check_flax() -> None:
    """Import Flax.

    Raises:
        ImportError: it is not installed or older than `OLDEST_FLAX`.  A newer one is not refused.
    """
    installed("flax", needed=NEEDED_FLAX, oldest=OLDEST_FLAX, install="pip install flax")
