# SPDX-License-Identifier: MIT
"""The zero of the gallery's functions; no function."""

import numpy as np

ZERO = np.float32(0.0)
"""In float32, so that what it is added to keeps its type; a sum with it is never -0."""
