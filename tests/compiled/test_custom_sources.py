# SPDX-License-Identifier: MIT
"""Custom distributions in sources and in rules on top of them: named, trusted, compared."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.frameworks
pytest.importorskip("numba")

import custom_laws as laws  # noqa: E402 - only with Numba

import fastinit as fi  # noqa: E402

LAPLACE = "custom_laws:laplace(scale=0.02)"
PLAN = fi.Plan(
    [
        fi.Tensor("a", (64, 32), laws.laplace(scale=0.02)),
        fi.Tensor("b", (64, 32), laws.student()),
        fi.Tensor("c", (64, 32), "zeros()"),
    ]
)
USED = [laws.laplace, laws.student]
RULES = f'[[rule]]\nnames = ["b", "c"]\ninit = "{LAPLACE}"\n'


@pytest.fixture
def folder(tmp_path):
    fi.write(PLAN, tmp_path / "w", seed=3)
    return tmp_path / "w"


def test_the_recipe_of_a_checkpoint_names_what_is_given(folder):
    with pytest.raises(fi.errors.UntrustedError, match="no text makes fastinit import a module"):
        fi.plan(folder)
    with pytest.raises(fi.errors.UntrustedError, match=r"pass custom=\[student\]"):
        fi.plan(folder, custom=[laws.laplace])
    assert {t.name: t.scheme for t in fi.plan(folder, custom=USED)} == {
        t.name: t.scheme for t in PLAN
    }
    fi.write(folder, folder.parent / "again", seed=3, custom=USED)
    for name, array in fi.open(folder).items():
        assert (fi.open(folder.parent / "again")[name] == array).all()


def test_what_a_rule_replaces_needs_no_trust(folder):
    found = fi.plan(folder, rules=[("b", "ones()")], custom=[laws.laplace])
    assert [str(t.scheme) for t in found] == [LAPLACE, "ones()", "zeros()"]
    assert len(fi.plan(folder, rules=[("[ab]", "ones()")])) == 3


def test_another_source_is_another_distribution(folder, monkeypatch):
    monkeypatch.setattr(laws.student, "_digest", "1" * 64)
    with pytest.raises(ValueError, match="custom_laws:student has another source here"):
        fi.plan(folder, custom=USED)
    assert len(fi.plan(folder, custom=USED, rules=[("b", "zeros()")])) == 3


def test_json_plans_name_what_is_given(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(PLAN.to_json()))
    assert fi.plan(path, custom=USED) == PLAN
    with pytest.raises(ValueError, match="no text makes fastinit import a module"):
        fi.plan(path)


def test_rules_name_what_is_given(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    rows = [(["b", "c"], LAPLACE)]
    plain = fi.Plan([fi.Tensor(name, (8, 8), "ones()") for name in "abc"])
    expected = ["ones()", LAPLACE, LAPLACE]
    for made in (
        fi.plan(plain, rules=path, custom=USED),
        fi.plan(plain, rules=rows, custom=USED),
        fi.plan(plain, rules=fi.Rules(rows, custom=USED)),
        fi.plan(plain, rules=[(["b", "c"], laws.laplace(scale=0.02))]),
        plain.with_rules(rows, keep_unmatched=True, custom=[laws.laplace]),
    ):
        assert [str(t.scheme) for t in made] == expected
        assert made["b"].scheme.function is laws.laplace
    with pytest.raises(TypeError, match="custom is"):
        plain.with_rules(rows, custom=laws.laplace)


def test_the_command_line_trusts_modules_for_rules_and_checkpoints(folder, main, monkeypatch):
    path = folder.parent / "rules.toml"
    path.write_text(RULES)
    code, _, error = main("plan", "gpt2", "--rules", path)
    assert (code, "--trust custom_laws" in error) == (2, True)
    code, out, error = main("plan", folder, "--rules", path, "--trust", "custom_laws")
    assert (code, error, out.count(LAPLACE)) == (0, "", 3)
    code, _, error = main("write", folder, folder.parent / "x", "--dry-run")
    assert (code, "--trust custom_laws" in error) == (2, True)
    code, _, error = main("write", folder, folder.parent / "x", "--trust", "custom_laws")
    assert (code, error) == (0, "")
    assert fi.verify(folder.parent / "x", custom=USED).tensors == 3
