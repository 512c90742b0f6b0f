# SPDX-License-Identifier: MIT
"""Plans: which tensors a model has, and where lists of them come from.  No values, no checkpoints.

``fastinit.plans.plan`` is the function; its module of the same name holds `Plan` and `Tensor`.
"""

from fastinit.plans.plan import Plan as Plan
from fastinit.plans.plan import Tensor as Tensor
from fastinit.plans.rules import Rules as Rules
from fastinit.plans.sources import plan as plan
from fastinit.plans.sources import presets as presets
