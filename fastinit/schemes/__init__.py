# SPDX-License-Identifier: MIT
"""Schemes: from a tensor's shape to the distribution of its values.  No memory, no streams.

The name says whose convention it is.  `xavier_*` and `kaiming_*` are PyTorch's: "normal" is a
plain normal, there are `gain` and `nonlinearity`.  `glorot_*`, `he_*` and `lecun_*` are Keras's
and JAX's: "normal" is truncated at 2 sigma and corrected to the standard deviation asked for.

What all raise: TypeError where an argument is missing, unknown or of the wrong type; those that
look at fans, ValueError where `groups` or `packed` does not divide the shape, or an axis given is
not in it.
"""

from fastinit.schemes.activations import elu_normal as elu_normal
from fastinit.schemes.activations import selu_normal as selu_normal
from fastinit.schemes.activations import siren as siren
from fastinit.schemes.auto import auto as auto
from fastinit.schemes.cutoffs import mitchell as mitchell
from fastinit.schemes.cutoffs import olmo_core as olmo_core
from fastinit.schemes.cutoffs import torchtitan as torchtitan
from fastinit.schemes.cutoffs import torchtitan_output as torchtitan_output
from fastinit.schemes.depth import deepnorm as deepnorm
from fastinit.schemes.depth import ds_init as ds_init
from fastinit.schemes.depth import fixup as fixup
from fastinit.schemes.depth import sub_ln as sub_ln
from fastinit.schemes.depth import t_fixup as t_fixup
from fastinit.schemes.depth import t_fixup_embedding as t_fixup_embedding
from fastinit.schemes.gains import gain as gain
from fastinit.schemes.identities import dirac as dirac
from fastinit.schemes.identities import identity as identity
from fastinit.schemes.identities import zero_hadamard as zero_hadamard
from fastinit.schemes.language import depth_scaled_normal as depth_scaled_normal
from fastinit.schemes.language import dummy as dummy
from fastinit.schemes.language import gpt2_residual as gpt2_residual
from fastinit.schemes.language import megatron_scaled_normal as megatron_scaled_normal
from fastinit.schemes.language import ngpt as ngpt
from fastinit.schemes.language import small_init as small_init
from fastinit.schemes.language import wang_init as wang_init
from fastinit.schemes.matrices import delta_orthogonal as delta_orthogonal
from fastinit.schemes.matrices import orthogonal as orthogonal
from fastinit.schemes.matrices import sparse as sparse
from fastinit.schemes.matrices import spectral_normalised as spectral_normalised
from fastinit.schemes.modules import keras_lstm_bias as keras_lstm_bias
from fastinit.schemes.modules import torch_bias as torch_bias
from fastinit.schemes.modules import torch_bilinear as torch_bilinear
from fastinit.schemes.modules import torch_embedding as torch_embedding
from fastinit.schemes.modules import torch_linear as torch_linear
from fastinit.schemes.modules import torch_rnn as torch_rnn
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
from fastinit.schemes.width import mup_kaiming_normal as mup_kaiming_normal
from fastinit.schemes.width import mup_kaiming_uniform as mup_kaiming_uniform
from fastinit.schemes.width import mup_normal as mup_normal
from fastinit.schemes.width import mup_readout as mup_readout
from fastinit.schemes.width import mup_truncated_normal as mup_truncated_normal
from fastinit.schemes.width import mup_uniform as mup_uniform
from fastinit.schemes.width import mup_xavier_normal as mup_xavier_normal
from fastinit.schemes.width import mup_xavier_uniform as mup_xavier_uniform
from fastinit.schemes.width import spectral as spectral
