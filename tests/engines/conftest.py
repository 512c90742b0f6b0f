# SPDX-License-Identifier: MIT
"""Where the tests of engines find what they share with those of checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "checkpoints"))
