# SPDX-License-Identifier: MIT
"""Engines: who runs the tasks of a write, on this machine or on many.  Draws nothing."""

from fastinit.checkpoints.dispatching.engine import Engine
from fastinit.engines.base import ExecutorEngine

__all__ = ["Engine", "ExecutorEngine"]
