# SPDX-License-Identifier: MIT
"""Batches for modules, and the state of a module before and after.  Needs torch."""

from __future__ import annotations

import torch

import fastinit as fi


def normals(*shape, name="batch", seed=0):
    """A float32 tensor of standard normal values."""
    return torch.from_numpy(fi.array(shape, fi.normal(std=1.0), seed=seed, name=name))


def state(module):
    """Copies of all parameters and persistent buffers."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def same(one, other):
    """Whether two states are equal to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
