# SPDX-License-Identifier: MIT
"""What several tests of checkpoints share."""

from __future__ import annotations

from pathlib import Path

import pytest
from npy_checkpoints import OPTIONS, PLAN

import fastinit as fi


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished checkpoint of .npy files."""
    fi.write(PLAN, tmp_path / "done", **OPTIONS)
    return tmp_path / "done"
