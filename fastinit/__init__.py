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
from fastinit.plans import Rules as Rules
from fastinit.plans import Tensor as Tensor
from fastinit.plans import plan as plan
from fastinit.plans import presets as presets
from fastinit.schemes import Scheme as Scheme
from fastinit.schemes import auto as auto
from fastinit.schemes import clipped_normal as clipped_normal
from fastinit.schemes import constant as constant
from fastinit.schemes import deepnorm as deepnorm
from fastinit.schemes import delta_orthogonal as delta_orthogonal
from fastinit.schemes import depth_scaled_normal as depth_scaled_normal
from fastinit.schemes import dirac as dirac
from fastinit.schemes import ds_init as ds_init
from fastinit.schemes import dummy as dummy
from fastinit.schemes import elu_normal as elu_normal
from fastinit.schemes import fixup as fixup
from fastinit.schemes import gain as gain
from fastinit.schemes import glorot_normal as glorot_normal
from fastinit.schemes import glorot_uniform as glorot_uniform
from fastinit.schemes import gpt2_residual as gpt2_residual
from fastinit.schemes import he_normal as he_normal
from fastinit.schemes import he_uniform as he_uniform
from fastinit.schemes import identity as identity
from fastinit.schemes import kaiming_normal as kaiming_normal
from fastinit.schemes import kaiming_uniform as kaiming_uniform
from fastinit.schemes import keras_lstm_bias as keras_lstm_bias
from fastinit.schemes import lecun_normal as lecun_normal
from fastinit.schemes import lecun_uniform as lecun_uniform
from fastinit.schemes import megatron_scaled_normal as megatron_scaled_normal
from fastinit.schemes import mitchell as mitchell
from fastinit.schemes import mup_kaiming_normal as mup_kaiming_normal
from fastinit.schemes import mup_kaiming_uniform as mup_kaiming_uniform
from fastinit.schemes import mup_normal as mup_normal
from fastinit.schemes import mup_readout as mup_readout
from fastinit.schemes import mup_truncated_normal as mup_truncated_normal
from fastinit.schemes import mup_uniform as mup_uniform
from fastinit.schemes import mup_xavier_normal as mup_xavier_normal
from fastinit.schemes import mup_xavier_uniform as mup_xavier_uniform
from fastinit.schemes import ngpt as ngpt
from fastinit.schemes import normal as normal
from fastinit.schemes import olmo_core as olmo_core
from fastinit.schemes import ones as ones
from fastinit.schemes import orthogonal as orthogonal
from fastinit.schemes import scheme as scheme
from fastinit.schemes import selu_normal as selu_normal
from fastinit.schemes import siren as siren
from fastinit.schemes import small_init as small_init
from fastinit.schemes import sparse as sparse
from fastinit.schemes import spectral as spectral
from fastinit.schemes import spectral_normalised as spectral_normalised
from fastinit.schemes import sub_ln as sub_ln
from fastinit.schemes import t_fixup as t_fixup
from fastinit.schemes import t_fixup_embedding as t_fixup_embedding
from fastinit.schemes import torch_bias as torch_bias
from fastinit.schemes import torch_bilinear as torch_bilinear
from fastinit.schemes import torch_embedding as torch_embedding
from fastinit.schemes import torch_linear as torch_linear
from fastinit.schemes import torch_rnn as torch_rnn
from fastinit.schemes import torchtitan as torchtitan
from fastinit.schemes import torchtitan_output as torchtitan_output
from fastinit.schemes import truncated_normal as truncated_normal
from fastinit.schemes import uniform as uniform
from fastinit.schemes import variance_scaling as variance_scaling
from fastinit.schemes import wang_init as wang_init
from fastinit.schemes import xavier_normal as xavier_normal
from fastinit.schemes import xavier_uniform as xavier_uniform
from fastinit.schemes import zero_hadamard as zero_hadamard
from fastinit.schemes import zeros as zeros
from fastinit.stream import Stream as Stream
from fastinit.stream import philox4x32 as philox4x32
from fastinit.stream import stream as stream

_select_from_environment()
__version__ = "0.1.0"
