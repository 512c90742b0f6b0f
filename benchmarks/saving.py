# SPDX-License-Identifier: MIT
"""How a benchmark leaves its results; how it measures is in fastinit/bench/measure.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def save(path: Path | str | None, content: dict[str, Any]) -> None:
    """Write the results as JSON if a path was given."""
    if path:
        Path(path).write_text(json.dumps(content, indent=2) + "\n")
