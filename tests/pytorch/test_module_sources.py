# SPDX-License-Identifier: MIT
"""A PyTorch module as a source: the plan of fastinit.torch, wherever sources are taken."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

import fastinit as fi  # noqa: E402 - only where torch is
import fastinit.torch as ft  # noqa: E402
from fastinit.errors import ModuleError  # noqa: E402


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up = torch.nn.Linear(8, 16)
        self.norm = torch.nn.LayerNorm(16, dtype=torch.float32)


def small():
    with ft.deferred():
        return Small()


@pytest.mark.parametrize("make", [small, Small])
def test_a_module_is_a_source_recorded_or_built(make):
    module = make()
    plan = fi.plan(module)
    assert plan == ft.plan(module)
    assert [t.name for t in plan] == ["up.weight", "up.bias", "norm.weight", "norm.bias"]
    assert all("in reset_parameters" in t.scheme.reason for t in plan)


def test_write_takes_a_module_and_the_dtype_of_the_model(tmp_path):
    module = small()
    fi.write(module, tmp_path / "a", seed=1, dtype="bfloat16")
    fi.write(ft.plan(module, dtype="bfloat16"), tmp_path / "b", seed=1)
    for file in (tmp_path / "b").iterdir():
        assert (tmp_path / "a" / file.name).read_bytes() == file.read_bytes()
    dtypes = {name: str(array.dtype) for name, array in fi.open(tmp_path / "a").items()}
    assert dtypes == dict.fromkeys(("up.weight", "up.bias"), "bfloat16") | dict.fromkeys(
        ("norm.weight", "norm.bias"), "float32"
    )
    ft.materialize(module, seed=1, dtype=torch.bfloat16)
    for name, tensor in module.state_dict().items():
        written = fi.open(tmp_path / "a")[name]
        assert (tensor.float().numpy() == written.astype(np.float32)).all()


def test_rules_go_on_top_of_a_module(tmp_path):
    (tmp_path / "rules.toml").write_text('[[rule]]\nnames = "up.*"\ninit = "zeros()"\n')
    plan = fi.plan(small(), rules=tmp_path / "rules.toml")
    assert [str(t.scheme) for t in plan] == ["zeros()", "zeros()", "ones()", "zeros()"]
    assert [t.scheme.reason for t in plan][:2] == ["rule 1", "rule 1"]
    assert "in reset_parameters" in plan["norm.bias"].scheme.reason
    with pytest.raises(ValueError, match="is never used: it matches no tensor"):
        fi.plan(small(), rules=[("down.*", "zeros()")])


def test_a_rule_makes_what_nothing_initialised():
    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.empty(4, 4))

    with ft.deferred():
        module = Bare()
    with pytest.raises(ModuleError, match="weight"):
        fi.plan(module)
    assert str(fi.plan(module, rules=[("weight", "ones()")])["weight"].scheme) == "ones()"


def test_other_things_of_torch_are_no_sources():
    for source, words in (
        (Small, "it is the class Small; pass an object of it"),
        (small().state_dict(), "it is a dict"),
        (torch.zeros(3), "it is a Tensor"),
    ):
        with pytest.raises(ValueError, match=f"is not a source of a plan: {words}"):
            fi.plan(source)
    with pytest.raises(ValueError, match="architecture is given, and it is a module"):
        fi.plans.plan_for(small(), options={"architecture": "X"})
