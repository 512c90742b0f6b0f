# SPDX-License-Identifier: MIT
"""Rules on top of a source: what they decide, what stays, and files that hold them."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi
from fastinit.errors import PlanError
from fastinit.plans import rules as rules_module
from fastinit.plans.toml import read_rules

SMALL = fi.Plan(
    [
        fi.Tensor("wte.weight", (8, 4), "normal(std=0.02)", "float16"),
        fi.Tensor("h.0.fc1.weight", (16, 4), "he_normal()"),
        fi.Tensor("h.0.fc1.bias", (16,), "zeros()"),
        fi.Tensor("h.1.fc1.weight", (16, 4), "he_normal()"),
    ],
    name="small",
    dtype="bfloat16",
    config={"model_type": "small"},
)


def schemes_of(plan):
    return {tensor.name: str(tensor.scheme) for tensor in plan}


# --- Plan.with_rules -------------------------------------------------------------------------


def test_tensors_that_no_rule_matches_keep_their_schemes_if_asked():
    made = SMALL.with_rules([("h.*.weight", "lecun_normal()")], keep_unmatched=True)
    assert schemes_of(made) == {
        "wte.weight": "normal(std=0.02)",
        "h.0.fc1.weight": "lecun_normal()",
        "h.0.fc1.bias": "zeros()",
        "h.1.fc1.weight": "lecun_normal()",
    }
    with pytest.raises(ValueError, match=r"no rule matches tensor 'wte\.weight'"):
        SMALL.with_rules([("h.*.weight", "lecun_normal()")])


def test_nothing_but_the_schemes_changes():
    made = SMALL.with_rules({"*": "ones()"}, keep_unmatched=True)
    assert [(t.name, t.shape, t.dtype) for t in made] == [(t.name, t.shape, t.dtype) for t in SMALL]
    assert (made.name, made.dtype, made.config) == (SMALL.name, SMALL.dtype, SMALL.config)
    assert set(schemes_of(made).values()) == {"ones()"}
    assert SMALL.with_rules([], keep_unmatched=True) == SMALL


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("none", "zeros()")], "rule 1 .* is never used: it matches no tensor"),
        ([("wte.*", "zeros()"), ("wt?.*", "ones()")], "rule 2 .* rules before it decide all it"),
    ],
)
def test_a_rule_that_decides_nothing_is_an_error_though_others_are_kept(rows, words):
    with pytest.raises(ValueError, match=words):
        SMALL.with_rules(rows, keep_unmatched=True)


names = st.text(st.sampled_from("ab.01"), min_size=1, max_size=5)
patterns = st.text(st.sampled_from("ab.0*?"), min_size=1, max_size=4)


@given(st.lists(names, min_size=1, max_size=8, unique=True), st.lists(patterns, max_size=4))
def test_the_first_pattern_that_matches_decides_and_else_all_stays(names, patterns):
    plan = fi.Plan([fi.Tensor(name, (2,), f"constant({n})") for n, name in enumerate(names)])
    rows = [(pattern, f"constant({100 + n})") for n, pattern in enumerate(patterns)]
    deciding = [
        next((n for n, pattern in enumerate(patterns) if fnmatchcase(name, pattern)), None)
        for name in names
    ]
    if set(range(len(patterns))) - set(deciding):
        with pytest.raises(ValueError, match="is never used"):
            plan.with_rules(rows, keep_unmatched=True)
        return
    made = plan.with_rules(rows, keep_unmatched=True)
    values = [n if rule is None else 100 + rule for n, rule in enumerate(deciding)]
    assert schemes_of(made) == {
        name: str(fi.constant(value)) for name, value in zip(names, values, strict=True)
    }
    assert [t.scheme.reason for t in made] == [
        "" if rule is None else f"rule {rule + 1}" for rule in deciding
    ]


def test_a_scheme_says_which_rule_it_comes_from_unless_something_chose_it():
    rows = [("*.bias", "zeros()"), ("h.*", "auto('relu')")]
    made = SMALL.with_rules(rows, keep_unmatched=True)
    assert made["h.0.fc1.bias"].scheme.reason == "rule 1"
    assert made["h.0.fc1.weight"].scheme.reason.startswith("linear, by 'fc1'")
    assert made["wte.weight"].scheme.reason == ""
    again = SMALL.with_rules([("*", made["h.0.fc1.weight"].scheme)])
    assert again["wte.weight"].scheme.reason == made["h.0.fc1.weight"].scheme.reason
    assert fi.Rules(rows) == fi.Rules([("*.bias", fi.zeros()), rows[1]])


def test_every_tensor_is_still_matched_once(monkeypatch):
    asked = []
    matches = rules_module.NamedScheme.matches
    monkeypatch.setattr(
        rules_module.NamedScheme,
        "matches",
        lambda rule, name: asked.append(name) or matches(rule, name),
    )
    SMALL.with_rules([("h.*", "zeros()")], keep_unmatched=True)
    assert asked == [tensor.name for tensor in SMALL]


# --- fastinit.plan(source, rules=...) --------------------------------------------------------

RULES = """
description = "depth scaling"
[sizes]
layers = 2
[[rule]]
names = ["h.*.weight", "lm_head.weight"]
init = "normal(std=0.02 / sqrt(2 * layers))"
"""


@pytest.mark.parametrize("kind", ["plan", "toml", "json"])
def test_rules_go_on_top_of_any_plan(tmp_path, kind):
    source = SMALL
    if kind == "json":
        source = tmp_path / "plan.json"
        source.write_text(json.dumps(SMALL.to_json()))
    if kind == "toml":
        source = tmp_path / "plan.toml"
        source.write_text(
            '[[rule]]\nnames = "wte.*"\ninit = "zeros()"\n'
            '[[tensor]]\nname = "wte.weight"\nshape = [8, 4]\n'
            '[[tensor]]\nname = "h.{i}.fc1.weight"\nrepeat = 2\nshape = [16, 4]\ninit = "ones()"\n'
        )
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    for rules in (path, str(path), read_rules(RULES, "x"), {"h.*.weight": "normal(std=0.01)"}):
        made = fi.plan(source, rules=rules)
        plain = fi.plan(source)
        assert [t.name for t in made] == [t.name for t in plain]
        for tensor in made:
            ruled = tensor.name in ("h.0.fc1.weight", "h.1.fc1.weight")
            assert (str(tensor.scheme) == "normal(std=0.01)") == ruled
            assert ruled or tensor == plain[tensor.name]


def test_rules_go_on_top_of_a_preset_and_change_the_digest():
    made = fi.plan("gpt2", rules=[("wte.weight", "zeros()")])
    assert made.digest != fi.plan("gpt2").digest
    assert schemes_of(made) == {**schemes_of(fi.plan("gpt2")), "wte.weight": "zeros()"}


def test_rules_of_a_file_are_those_of_a_plan_file():
    found = read_rules(RULES, "rules.toml")
    assert found == fi.Rules([(["h.*.weight", "lm_head.weight"], "normal(0.01)")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "key 'rule' is missing"),
        ("rule = 1", "key rule is 1; it must be a list of tables"),
        ("[rule", "not valid TOML"),
        (RULES + "name = 1\n", "rule 1: unknown key 'name'"),
        ("name = 'x'\n" + RULES, "unknown key 'name'; known keys: rule, description, sizes"),
        ("description = 1\n[[rule]]\n", "key description is 1; it must be a text"),
        (RULES.replace("layers = 2", "layers = 'x'"), "table sizes: .*unknown size 'x'"),
        (RULES.replace("2 * layers", "2 * depth"), "rule 1: .*unknown size 'depth'"),
        (RULES + '[[tensor]]\nname = "w"\n', "it has tensors, so it is a plan"),
        (RULES.replace("normal", "nromal"), "rule 1: .*did you mean 'normal'"),
    ],
)
def test_a_file_that_does_not_hold_rules_is_an_error_with_its_path(tmp_path, text, words):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=words) as caught:
        fi.plan("gpt2", rules=path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_of_rules_is_no_plan(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    with pytest.raises(PlanError, match=r"it has rules and no tensors: pass it as rules= \(--rule"):
        fi.plan(path)


@pytest.mark.parametrize(
    ("rules", "error", "words"),
    [
        ("*", ValueError, r"rules is '\*'; give rules, or the path of a \.toml file with \[\[rule"),
        ("rules.json", ValueError, "rules is 'rules.json'; give rules, or the path of a .toml"),
        ("none.toml", PlanError, "none.toml: cannot be read"),
        (3, TypeError, "not iterable"),
        ([3], TypeError, "a rule is 3: need"),
        ([("*", "zeroes()")], ValueError, "did you mean 'zeros'"),
    ],
)
def test_what_are_no_rules_is_refused(rules, error, words):
    with pytest.raises(error, match=words):
        fi.plan("gpt2", rules=rules)


# --- trust -----------------------------------------------------------------------------------

CUSTOM = [("h.*", "my.laws:laplace(scale=0.02)")]


def test_rules_name_no_custom_distribution_that_was_not_given(tmp_path):
    words = "my.laws:laplace is a custom distribution, and no text makes fastinit import a module"
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nnames = "h.*"\ninit = "my.laws:laplace(scale=0.02)"\n')
    for call in (
        lambda: fi.plan(SMALL, rules=CUSTOM),
        lambda: fi.plan(SMALL, rules=path),
        lambda: fi.Rules(CUSTOM),
        lambda: SMALL.with_rules(CUSTOM, keep_unmatched=True),
    ):
        with pytest.raises(ValueError, match=words):
            call()
