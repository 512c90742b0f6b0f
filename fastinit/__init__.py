# SPDX-License-Identifier: MIT
"""Fill the weights of very large models in parallel, with the same bits everywhere.

Every weight is a pure function of the seed, the tensor's name, its index in the whole tensor and
the distribution; docs/stream.md defines every bit.  This file holds the public names and nothing
else.
"""

try:
    from fastinit import _native as _native
except ImportError as error:  # the source folder hides the installed package
    raise ImportError(
        f"fastinit's C extension is not built in {__path__[0]}: if fastinit is installed, run "
        "Python from another folder; to use this one, run pip install -e . in its parent"
    ) from error
from fastinit.arrays import array as array
from fastinit.arrays import fill as fill
from fastinit.checkpoints import Checkpoint as Checkpoint
from fastinit.checkpoints import VerifyError as VerifyError
from fastinit.checkpoints import open as open
from fastinit.checkpoints import verify as verify
from fastinit.checkpoints import write as write
from fastinit.errors import BackendError as BackendError
from fastinit.errors import CheckpointError as CheckpointError
from fastinit.errors import FastinitError as FastinitError
from fastinit.errors import PlanError as PlanError
from fastinit.fans import fans as fans
from fastinit.instruction_sets import select_from_environment as _select_from_environment
from fastinit.plans import Plan as Plan
from fastinit.plans import Tensor as Tensor
from fastinit.plans import plan as plan
from fastinit.plans import presets as presets
from fastinit.schemes import Scheme as Scheme
from fastinit.schemes import clipped_normal as clipped_normal
from fastinit.schemes import constant as constant
from fastinit.schemes import delta_orthogonal as delta_orthogonal
from fastinit.schemes import dirac as dirac
from fastinit.schemes import gain as gain
from fastinit.schemes import glorot_normal as glorot_normal
from fastinit.schemes import glorot_uniform as glorot_uniform
from fastinit.schemes import he_normal as he_normal
from fastinit.schemes import he_uniform as he_uniform
from fastinit.schemes import identity as identity
from fastinit.schemes import kaiming_normal as kaiming_normal
from fastinit.schemes import kaiming_uniform as kaiming_uniform
from fastinit.schemes import lecun_normal as lecun_normal
from fastinit.schemes import lecun_uniform as lecun_uniform
from fastinit.schemes import normal as normal
from fastinit.schemes import ones as ones
from fastinit.schemes import orthogonal as orthogonal
from fastinit.schemes import scheme as scheme
from fastinit.schemes import sparse as sparse
from fastinit.schemes import spectral_normalised as spectral_normalised
from fastinit.schemes import truncated_normal as truncated_normal
from fastinit.schemes import uniform as uniform
from fastinit.schemes import variance_scaling as variance_scaling
from fastinit.schemes import xavier_normal as xavier_normal
from fastinit.schemes import xavier_uniform as xavier_uniform
from fastinit.schemes import zero_hadamard as zero_hadamard
from fastinit.schemes import zeros as zeros
from fastinit.stream import Stream as Stream
from fastinit.stream import philox4x32 as philox4x32
from fastinit.stream import stream as stream

_select_from_environment()
__version__ = "0.1.0"
