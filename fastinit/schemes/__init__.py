# SPDX-License-Identifier: MIT
"""Schemes: from a tensor's shape to the distribution of its values.  No memory, no streams.

The name says whose convention it is.  `xavier_*` and `kaiming_*` are PyTorch's: "normal" is a
plain normal, there are `gain` and `nonlinearity`.  `glorot_*`, `he_*` and `lecun_*` are Keras's
and JAX's: "normal" is truncated at 2 sigma and corrected to the standard deviation asked for.
"""

from fastinit.schemes.gains import gain as gain
from fastinit.schemes.identities import dirac as dirac
from fastinit.schemes.identities import identity as identity
from fastinit.schemes.identities import zero_hadamard as zero_hadamard
from fastinit.schemes.matrices import delta_orthogonal as delta_orthogonal
from fastinit.schemes.matrices import orthogonal as orthogonal
from fastinit.schemes.matrices import sparse as sparse
from fastinit.schemes.matrices import spectral_normalised as spectral_normalised
from fastinit.schemes.plain import clipped_normal as clipped_normal
from fastinit.schemes.plain import constant as constant
from fastinit.schemes.plain import normal as normal
from fastinit.schemes.plain import ones as ones
from fastinit.schemes.plain import truncated_normal as truncated_normal
from fastinit.schemes.plain import uniform as uniform
from fastinit.schemes.plain import zeros as zeros
from fastinit.schemes.scaled import glorot_normal as glorot_normal
from fastinit.schemes.scaled import glorot_uniform as glorot_uniform
from fastinit.schemes.scaled import he_normal as he_normal
from fastinit.schemes.scaled import he_uniform as he_uniform
from fastinit.schemes.scaled import kaiming_normal as kaiming_normal
from fastinit.schemes.scaled import kaiming_uniform as kaiming_uniform
from fastinit.schemes.scaled import lecun_normal as lecun_normal
from fastinit.schemes.scaled import lecun_uniform as lecun_uniform
from fastinit.schemes.scaled import variance_scaling as variance_scaling
from fastinit.schemes.scaled import xavier_normal as xavier_normal
from fastinit.schemes.scaled import xavier_uniform as xavier_uniform
from fastinit.schemes.scheme import Scheme as Scheme
from fastinit.schemes.scheme import scheme as scheme
