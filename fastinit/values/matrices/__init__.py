# SPDX-License-Identifier: MIT
"""Distributions of a whole tensor: values that depend on their place, or on each other.

matrix.py says what they share.  placed.py, blocks.py and overlays.py put other distributions in
their places, and boxes.py says which places a box has; points.py and hadamard.py are known element
by element; sparse.py looks at whole columns first, orthogonal.py and spectral.py at the whole
tensor, by linear algebra; norms.py and slices.py look at another tensor.
"""

from fastinit.values.matrices.blocks import Blocks
from fastinit.values.matrices.boxes import Box
from fastinit.values.matrices.hadamard import Hadamard
from fastinit.values.matrices.matrix import Matrix, wide
from fastinit.values.matrices.norms import Norms
from fastinit.values.matrices.orthogonal import Orthogonal
from fastinit.values.matrices.overlays import Overlay
from fastinit.values.matrices.placed import Placed
from fastinit.values.matrices.points import Points
from fastinit.values.matrices.slices import Slice
from fastinit.values.matrices.sparse import SparseNormal
from fastinit.values.matrices.spectral import SpectralNormal

__all__ = [
    "Blocks",
    "Box",
    "Hadamard",
    "Matrix",
    "Norms",
    "Orthogonal",
    "Overlay",
    "Placed",
    "Points",
    "Slice",
    "SparseNormal",
    "SpectralNormal",
    "wide",
]
