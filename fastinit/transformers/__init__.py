# SPDX-License-Identifier: MIT
"""Hugging Face's transformers: a configuration becomes a model, or the plan of a checkpoint.

This file holds the public names.
"""

from fastinit.transformers import requirement as _requirement

_requirement.check()

# isort: split
from fastinit.transformers.models import from_config  # noqa: E402 - only now
from fastinit.transformers.plans import plan  # noqa: E402

__all__ = ["from_config", "plan"]


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)
