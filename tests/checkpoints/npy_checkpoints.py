# SPDX-License-Identifier: MIT
"""The plan that the tests of .npy folders write, and its files.  Holds no test."""

from __future__ import annotations

from checkpoint_plans import arrays_plan

RECIPE = "fastinit.json"
OPTIONS = {"seed": 3, "format": "npy"}
PLAN = arrays_plan()
FILES = tuple(f"{tensor.name}.npy" for tensor in PLAN)
