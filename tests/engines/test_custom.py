# SPDX-License-Identifier: MIT
"""Custom distributions travel to the workers by the names of their modules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from checkpoint_plans import contents

import fastinit as fi

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]  # Numba compiles in each worker


def test_a_worker_imports_the_custom_distributions_of_a_plan(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[1])])
    import custom_laws as laws

    plan = fi.Plan([fi.Tensor("w", (300, 50), laws.laplace(scale=0.1))])
    fi.write(plan, tmp_path / "a", seed=3)
    fi.write(plan, tmp_path / "b", seed=3, engine="local", workers=2)
    assert contents(tmp_path / "b") == contents(tmp_path / "a")
