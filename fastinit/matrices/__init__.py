# SPDX-License-Identifier: MIT
"""Distributions of a whole tensor: values that depend on their place, or on each other.

matrix.py says what they share, rows.py what their samplers do.  placed.py and blocks.py put other
distributions in their places, points.py and hadamard.py are known element by element; sparse.py
looks at whole columns first, orthogonal.py and spectral.py at the whole tensor, by linear algebra.
"""

from fastinit.matrices.blocks import Blocks as Blocks
from fastinit.matrices.hadamard import Hadamard as Hadamard
from fastinit.matrices.matrix import Matrix as Matrix
from fastinit.matrices.matrix import wide as wide
from fastinit.matrices.orthogonal import Orthogonal as Orthogonal
from fastinit.matrices.placed import Placed as Placed
from fastinit.matrices.points import Points as Points
from fastinit.matrices.sparse import SparseNormal as SparseNormal
from fastinit.matrices.spectral import SpectralNormal as SpectralNormal
