# SPDX-License-Identifier: MIT
"""Which versions and backends of Keras this room works with.  It looks at these alone."""

from __future__ import annotations

from fastinit.versions import checked_version

OLDEST_KERAS = (3, 12)
"""The first version that is taken; 3.15 is what tests run."""

BACKENDS_OF_KERAS = ("jax", "tensorflow", "torch")
"""The backends that can train, and whose tensors memory.py fills."""

KERAS_NEEDED = f"fastinit.keras needs Keras {OLDEST_KERAS[0]}.{OLDEST_KERAS[1]} or newer"

_INSTALL = "pip install keras"


def check() -> None:
    """Import Keras.

    Raises:
        ImportError: it, or the framework of its backend, is not installed; it is older than
            `OLDEST_KERAS`, which a newer one is not refused for; or its backend is another than
            those of `BACKENDS_OF_KERAS`.
    """
    try:
        import keras
    except ModuleNotFoundError as error:
        if error.name == "keras":
            raise ImportError(
                f"{KERAS_NEEDED}, which is not installed: {_INSTALL}", name="keras"
            ) from None
        if error.name in BACKENDS_OF_KERAS:
            raise ImportError(
                f"Keras runs on {error.name}, which is not installed: pip install {error.name}, or "
                f"set KERAS_BACKEND to {' or '.join(BACKENDS_OF_KERAS)}, whichever is installed",
                name=error.name,
            ) from error
        raise
    checked_version(keras, "keras", needed=KERAS_NEEDED, oldest=OLDEST_KERAS, install=_INSTALL)
    backend = keras.backend.backend()
    if backend not in BACKENDS_OF_KERAS:
        raise ImportError(
            f"fastinit.keras fills tensors of {', '.join(BACKENDS_OF_KERAS)}, and Keras runs on "
            f"{backend}: set KERAS_BACKEND before Keras is imported",
            name="keras",
        )
