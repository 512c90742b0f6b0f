# SPDX-License-Identifier: MIT
"""Checkpoints on disk: write, verify, open, and map.  Knows plans, not frameworks."""

from fastinit.checkpoints.analysis.diff import DiffReport, TensorDiff, diff
from fastinit.checkpoints.analysis.stats import StatsReport, TensorStats, stats
from fastinit.checkpoints.layout import Layout, Shard, layout_of
from fastinit.checkpoints.maps import memmap
from fastinit.checkpoints.read import Checkpoint, open_checkpoint
from fastinit.checkpoints.renewal.refill import Refilled, RefillReport, refill
from fastinit.checkpoints.renewal.regenerate import RegenerateReport, regenerate
from fastinit.checkpoints.verify import VerifyReport, verify
from fastinit.checkpoints.write import WriteReport, write, write_shard

open = open_checkpoint

__all__ = [
    "Checkpoint",
    "DiffReport",
    "Layout",
    "RefillReport",
    "Refilled",
    "RegenerateReport",
    "Shard",
    "StatsReport",
    "TensorDiff",
    "TensorStats",
    "VerifyReport",
    "WriteReport",
    "diff",
    "layout_of",
    "memmap",
    "open",
    "open_checkpoint",
    "refill",
    "regenerate",
    "stats",
    "verify",
    "write",
    "write_shard",
]
