# SPDX-License-Identifier: MIT
"""Shards in the hands of workers: tasks, answers, and who runs them.  Names no file."""
