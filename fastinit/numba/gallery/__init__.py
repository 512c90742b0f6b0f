# SPDX-License-Identifier: MIT
"""A gallery of distributions, each a function of draws under `distribution`.

This file holds the public names.  docs/stream.md, section 23, defines every bit; a scheme's text
may name them wherever it stands, such as ``fastinit.numba.gallery:laplace(scale=0.02)``.

>>> import fastinit as fi
>>> import fastinit.numba.gallery as gallery
>>> w = fi.array((64, 64), gallery.laplace(scale=0.02), seed=0, name="w", dtype="bfloat16")
>>> text = "fastinit.numba.gallery:laplace(scale=0.02)"
>>> bool((w == fi.array((64, 64), text, seed=0, name="w", dtype="bfloat16")).all())
True
"""

from fastinit.numba.gallery.angles import von_mises
from fastinit.numba.gallery.blocks import block_mask, block_normal
from fastinit.numba.gallery.discrete import quantised_uniform, sign, ternary
from fastinit.numba.gallery.mixtures import normal_mixture, spike_and_slab
from fastinit.numba.gallery.positive import exponential, kumaraswamy, lognormal
from fastinit.numba.gallery.symmetric import laplace, logistic, student_t

__all__ = [
    "block_mask",
    "block_normal",
    "exponential",
    "kumaraswamy",
    "laplace",
    "logistic",
    "lognormal",
    "normal_mixture",
    "quantised_uniform",
    "sign",
    "spike_and_slab",
    "student_t",
    "ternary",
    "von_mises",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)
