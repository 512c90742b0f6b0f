# SPDX-License-Identifier: MIT
"""Plans: which tensors a model has, and where plans come from.  No values, no checkpoints."""

from fastinit.plans.rules import Rules
from fastinit.plans.sources import plan, plan_for, presets
from fastinit.plans.tensors import Plan, Tensor

__all__ = [
    "Plan",
    "Rules",
    "Tensor",
    "plan",
    "plan_for",
    "presets",
]
