# SPDX-License-Identifier: MIT
"""Checkpoints that are there, made anew in part.  Draws as a write does, and knows no engine."""
