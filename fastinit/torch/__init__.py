# SPDX-License-Identifier: MIT
"""PyTorch: modules, tensors and shards get their weights by name, and torch.nn.init does too.

This file holds the public names.  `fastinit.fill` takes tensors without this import.
"""

from fastinit.torch import requirement as _requirement

_requirement.check()

# isort: split
from fastinit.torch import init  # noqa: E402 - only now
from fastinit.torch.initialize import initialize_  # noqa: E402
from fastinit.torch.lsuv import LsuvReport, ScaledLayer, lsuv_  # noqa: E402
from fastinit.torch.materialize import accelerate, deferred, materialize  # noqa: E402
from fastinit.torch.memory import empty, fill  # noqa: E402
from fastinit.torch.plans import plan  # noqa: E402
from fastinit.torch.propagation import Propagation, Signal, propagation  # noqa: E402
from fastinit.torch.propagation_figure import plot_propagations  # noqa: E402
from fastinit.torch.report import Report  # noqa: E402
from fastinit.torch.verify import verify  # noqa: E402

__all__ = [
    "LsuvReport",
    "Propagation",
    "Report",
    "ScaledLayer",
    "Signal",
    "accelerate",
    "deferred",
    "empty",
    "fill",
    "init",
    "initialize_",
    "lsuv_",
    "materialize",
    "plan",
    "plot_propagations",
    "propagation",
    "verify",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)
