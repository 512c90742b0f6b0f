# SPDX-License-Identifier: MIT
"""Checkpoints in object stores, by obstore: `write` is all that the rest of the package sees."""

from fastinit.checkpoints.objects.write import write

__all__ = ["write"]
