# SPDX-License-Identifier: MIT
"""Rules: which one decides, what they make of a plan, and their TOML form."""

from __future__ import annotations

import ast
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastinit as fi
from fastinit.plans.rules import MAX_MATCHES, MAX_PATTERN, NamedScheme, chosen
from fastinit.plans.toml import read_toml

RULES = [
    (["*.bias", "*.beta"], "zeros()"),
    ("h.[0-3].*", fi.normal(std=0.01)),
    ("h.?.up.weight", "ones()"),
    ("*", "auto('gelu')"),
]


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("h.0.up.bias", fi.zeros()),
        ("h.9.ln.beta", fi.zeros()),
        ("h.3.up.weight", fi.normal(std=0.01)),
        ("h.4.up.weight", fi.ones()),
        ("h.44.fc1.weight", fi.he_normal()),
        ("H.0.fc1.weight", fi.he_normal()),
        ("deep.h.0.fc1.weight", fi.he_normal()),
    ],
)
def test_the_first_rule_that_matches_the_whole_name_decides(name, scheme):
    assert fi.Rules(RULES).scheme_for(name, (8, 4)) == scheme


def test_an_auto_of_a_rule_is_settled_and_says_why():
    made = fi.Rules(RULES).scheme_for("deep.fc1.weight", (8, 4))
    assert made.reason == "linear, by 'fc1': He, for gelu"


def test_rules_are_values():
    rules = fi.Rules(RULES)
    assert rules == fi.Rules(iter(RULES))
    assert hash(rules) == hash(fi.Rules(RULES))
    assert rules != fi.Rules(RULES[:-1])
    again = pickle.loads(pickle.dumps(rules))
    assert again == rules
    assert again.scheme_for("h.4.up.weight", (3,)) == fi.ones()
    assert str(rules.rules[0]) == "'*.bias', '*.beta' -> zeros()"


@given(st.text())
def test_a_star_matches_every_name(name):
    assert fi.Rules([("*", "zeros()")]).number(name) == 0


def test_a_preset_is_drawn_anew_by_rules():
    plan = fi.plan("mixtral-8x7b")
    rules = [("*.gate.weight", "normal(std=0.006)"), ("*", "auto('silu', layers=32)")]
    made = plan.with_rules(rules)
    assert made == plan.with_rules(fi.Rules(rules))
    assert (made.name, made.dtype, made.config) == (plan.name, plan.dtype, plan.config)
    assert [(row.name, row.shape, row.dtype) for row in made] == [
        (row.name, row.shape, row.dtype) for row in plan
    ]
    layer = "model.layers.7"
    assert made[f"{layer}.block_sparse_moe.gate.weight"].scheme == fi.normal(std=0.006)
    expert = f"{layer}.block_sparse_moe.experts.3"
    assert made[f"{expert}.w1.weight"].scheme == fi.he_normal()
    assert made[f"{expert}.w2.weight"].scheme == fi.variance_scaling(1 / 32)
    assert made["model.norm.weight"].scheme == fi.ones()
    assert made.digest != plan.digest


TORCH = ("*", "auto('silu', layers=4)")
KERAS = ("*", "auto('silu', layers=4, layout='keras')")
NO_ROLE = {
    "gpt-oss-120b": [("*.sinks", "zeros()"), ("*.experts.*", KERAS[1])],
    "mamba2-2.7b": [
        (["*.dt_bias", "*.A_log", "*.D"], "zeros()"),
    ],
}
"""What auto refuses, and names: the rules that must come first."""


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(name, marks=pytest.mark.slow if "deepseek" in name else ())
        for name in fi.presets()
    ],
)
def test_auto_knows_every_tensor_of_every_preset_but_those_it_names(preset):
    first = NO_ROLE.get(preset, [])
    made = fi.plan(preset).with_rules([*first, KERAS if preset.startswith("gpt2") else TORCH])
    reasons = {tensor.name: tensor.scheme.reason for tensor in made}
    known = [name for name, reason in reasons.items() if not re.fullmatch(r"rule \d", reason)]
    others = {name.rpartition(".")[2] for name in reasons.keys() - set(known)}
    assert known
    assert others == {"gpt-oss-120b": {"sinks"}, "mamba2-2.7b": {"dt_bias", "A_log", "D"}}.get(
        preset, set()
    )


def test_a_dtype_stays_with_its_tensor():
    plan = fi.Plan([fi.Tensor("w", (2,), "zeros()", "float16")])
    assert plan.with_rules([("w", "ones()")])["w"] == fi.Tensor("w", (2,), "ones()", "float16")


# --- TOML ------------------------------------------------------------------------------------

MODEL = """
[sizes]
width = 16
layers = 2

[[rule]]
names = ["*.gate.weight", "*.router.weight"]
init = "normal(std=1/sqrt(width))"

[[rule]]
names = "*"
init = "auto(activation='silu', layers=layers)"

[[tensor]]
name = "embed.weight"
shape = "(100, width)"
init = "normal(std=0.5)"

[[tensor]]
name = "layers.{i}.gate.weight"
repeat = "layers"
shape = "(4, width)"

[[tensor]]
name = "layers.{i}.down_proj.weight"
repeat = "layers"
shape = "(width, 4*width)"
dtype = "float16"
"""


def test_a_tensor_without_an_init_has_the_rules():
    plan = read_toml(MODEL, "model.toml")
    assert plan["embed.weight"].scheme == fi.normal(0.5)
    assert plan["layers.1.gate.weight"].scheme == fi.normal(0.25)
    down = plan["layers.0.down_proj.weight"]
    assert down == fi.Tensor(down.name, (16, 64), fi.variance_scaling(0.5), "float16")
    assert down.scheme.reason.endswith("over sqrt(2 * 2) as in GPT-2")


def test_a_plan_file_with_rules_is_written_and_verified(tmp_path):
    path = tmp_path / "model.toml"
    path.write_text(MODEL)
    fi.write(path, tmp_path / "weights", seed=1)
    assert fi.verify(tmp_path / "weights").digest == fi.plan(path).digest


TENSOR = '[[tensor]]\nname = "w.{i}"\nrepeat = 2\nshape = [2]\n'
RULE = '[[rule]]\nnames = "*"\ninit = "zeros()"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TENSOR, "tensor 1: key 'init' is missing"),
        ("rule = []\n" + TENSOR, "tensor 1: key 'init' is missing"),
        (RULE.replace("*", "*.0") + TENSOR, r"tensor 1 'w\.{i}': no rule matches tensor 'w\.1'"),
        (
            RULE + TENSOR + 'init = "ones()"',
            r"rule 1 \('\*' -> zeros\(\)\) is never used: every tensor",
        ),
        (RULE + RULE + TENSOR, r"rule 2 .* is never used: rules before it decide all it matches"),
        (RULE.replace("*", "*.bais") + RULE + TENSOR, r"rule 1 \('\*\.bais' -> zeros\(\)\) is nev"),
        ("rule = 1\n" + TENSOR, r"key rule is 1; it must be a list of tables, each headed \[\[rul"),
        ("rule = [1]\n" + TENSOR, "rule 1: 1 is not a table with the keys names, init"),
        (RULE + "nmaes = 1\n" + TENSOR, "rule 1: unknown key 'nmaes'; .*did you mean 'names'"),
        (RULE.replace("init", "#") + TENSOR, "rule 1: key 'init' is missing"),
        (RULE.replace("names", "#") + TENSOR, "rule 1: key 'names' is missing"),
        (RULE.replace('"*"', "1") + TENSOR, "rule 1: key names is 1; it must be a pattern such as"),
        (RULE.replace('"*"', "[1]") + TENSOR, r"rule 1: names are \[1\]: need a pat"),
        (RULE.replace('"*"', "[]") + TENSOR, r"rule 1: names are \[\]: need a patte"),
        (RULE.replace('"*"', '""') + TENSOR, "rule 1: a pattern has 0 characters; need 1"),
        (RULE.replace('"zeros()"', "1") + TENSOR, "rule 1: key init is 1; it must be a text"),
        (RULE.replace("zeros", "zeroes") + TENSOR, "rule 1: init 'zeroes.*did you mean 'zeros'"),
        (RULE.replace("zeros()", "normal(1/i)") + TENSOR, "rule 1: init .*unknown size 'i'"),
        (
            RULE.replace("zeros()", "auto") + TENSOR,
            "tensor 1 'w.{i}': tensor 'w",
        ),
    ],
    ids=lambda text: text[-40:],
)
def test_a_plan_file_whose_rules_cannot_be_is_refused(text, words):
    with pytest.raises(fi.errors.PlanError, match=words) as caught:
        read_toml(text, "model.toml")
    assert str(caught.value).startswith("model.toml: ")


# --- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        ("*", TypeError, r"a rule is '\*': need \(names, scheme\), such as \('\*\.bias', 'zeros"),
        (("*",), TypeError, r"a rule is \('\*',\): need"),
        (1, TypeError, "a rule is 1: need"),
        ((1, "zeros()"), TypeError, "names are 1: need a pattern, or a list of them"),
        ((b"*", "zeros()"), TypeError, r"names are b'\*'"),
        (([], "zeros()"), TypeError, r"names are \[\]"),
        ((["*", 1], "zeros()"), TypeError, r"names are \['\*', 1\]"),
        (("", "zeros()"), ValueError, "a pattern has 0 characters; need 1 to 256"),
        (("*" * (MAX_PATTERN + 1), "zeros()"), ValueError, "has 257 characters; need 1 to 256"),
        (("*", "zeroes()"), ValueError, "no scheme is named 'zeroes'"),
        (("*", 1), TypeError, "init is 1: need a text"),
    ],
)
def test_a_wrong_rule_is_refused(rule, error, words):
    with pytest.raises(error, match=words):
        fi.Rules([rule])


def test_a_path_is_no_rules():
    words = r"rules is 'rules.toml': need pairs \(names, scheme\); fastinit.plan reads a file"
    with pytest.raises(TypeError, match=words):
        fi.Rules("rules.toml")


def test_a_tensor_that_no_rule_matches_is_named():
    words = r"no rule matches tensor 'w'; add one, such as \('w', 'zeros\(\)'\) or, as the last"
    with pytest.raises(ValueError, match=words):
        fi.Rules([("*.bias", "zeros()")]).scheme_for("w", (3,))
    with pytest.raises(ValueError, match=r"no rule matches tensor 'wte\.weight'"):
        fi.plan("gpt2").with_rules([("*.bias", "zeros()")])


def test_a_rule_that_decides_nothing_is_an_error_with_its_text():
    plan = fi.Plan([fi.Tensor("up.bias", (3,), "ones()")])
    words = r"rule 1 \('\*\.bais', '\*\.b' -> zeros\(\)\) is never used: it matches no tensor"
    with pytest.raises(ValueError, match=words):
        plan.with_rules([(["*.bais", "*.b"], "zeros()"), ("*", "zeros()")])
    words = r"rule 2 \('\*\.bias' -> zeros\(\)\) is never used: rules before it decide all it"
    with pytest.raises(ValueError, match=words):
        plan.with_rules([("*", "ones()"), ("*.bias", "zeros()")])


def test_a_hostile_pattern_takes_no_time():
    pattern = "*a" * 120 + "b"
    with pytest.raises(ValueError, match="no rule matches"):
        fi.Rules([(pattern, "zeros()")]).number("a" * 256)


def test_a_plan_without_tensors_has_no_rule_to_miss():
    assert len(fi.Plan([]).with_rules([("*", "ones()")])) == 0
    assert len(read_toml(RULE + TENSOR.replace("= 2", "= 0", 1), "model.toml")) == 0


def test_a_mapping_is_its_items():
    assert fi.Rules({"*.bias": "zeros()", "*": fi.ones()}) == fi.Rules(
        [("*.bias", "zeros()"), ("*", "ones()")]
    )
    plan = fi.Plan([fi.Tensor("w", (3,), "ones()")])
    assert plan.with_rules({"*": "zeros()"})["w"].scheme == fi.zeros()


def test_one_rule_is_made_and_checked_by_itself():
    rule = NamedScheme.of((["a.*", "b"], "zeros()"))
    assert rule.matches("a.1")
    assert not rule.matches("c")
    assert fi.Rules([rule]) == fi.Rules([(["a.*", "b"], "zeros()")])


def test_every_tensor_is_matched_once(monkeypatch):
    asked = []
    matches = NamedScheme.matches
    monkeypatch.setattr(
        NamedScheme, "matches", lambda rule, name: asked.append(name) or matches(rule, name)
    )
    plan = fi.Plan([fi.Tensor(f"w.{i}", (3,), "ones()") for i in range(5)])
    plan.with_rules([("w.*", "zeros()")])
    assert asked == [f"w.{i}" for i in range(5)]


def test_patterns_times_tensors_are_bounded_before_any_is_matched(monkeypatch):
    rules = fi.Rules([([f"w.{i}" for i in range(1000)], "zeros()"), ("*", "ones()")])
    rules.check_count(MAX_MATCHES // 1001)
    words = "1001 patterns for 49951 tensors are too many: their product may be 50000000; use fewer"
    with pytest.raises(ValueError, match=words):
        rules.check_count(MAX_MATCHES // 1001 + 1)
    monkeypatch.setattr("fastinit.plans.rules.MAX_MATCHES", 3)
    plan = fi.Plan([fi.Tensor(f"w.{i}", (3,), "ones()") for i in range(2)])
    with pytest.raises(ValueError, match="2 patterns for 2 tensors are too many"):
        plan.with_rules([("w.0", "zeros()"), ("*", "zeros()")])
    with pytest.raises(
        fi.errors.PlanError, match=r"model\.toml: 2 patterns for 2 tensors are too many"
    ):
        read_toml(RULE + RULE + TENSOR, "model.toml")
    own = TENSOR + 'init = "ones()"\n'
    with pytest.raises(
        fi.errors.PlanError, match="every tensor that it matches has an init already"
    ):
        read_toml(RULE + RULE + own, "model.toml")


def test_a_rule_whose_tensors_have_an_init_says_so():
    words = (
        r"rule 1 \('\*' -> zeros\(\)\) is never used: every tensor that it matches has an init alr"
    )
    with pytest.raises(fi.errors.PlanError, match=words):
        read_toml(RULE + TENSOR + 'init = "ones()"\n', "model.toml")
    rule = RULE.replace('"*"', '"x"')
    with pytest.raises(fi.errors.PlanError, match="is never used: it matches no tensor"):
        read_toml(rule + TENSOR + 'init = "ones()"\n', "model.toml")


def test_a_tensor_that_no_rule_of_a_file_matches_is_answered_in_toml():
    words = (
        r"no rule matches tensor 'w\.0'; add one, such as \[\[rule\]\] with names = \"w\.0\" and "
        r"init = 'zeros\(\)' or, as the last, one with names = '\*' and init = 'auto\(\)'$"
    )
    with pytest.raises(fi.errors.PlanError, match=words):
        read_toml(RULE.replace('"*"', '"x"') + TENSOR, "model.toml")


@pytest.mark.parametrize("name", ["w[0]", "a*", "?", "[!a]", "x.]["])
def test_a_pattern_that_is_offered_matches_the_name(name):
    with pytest.raises(ValueError, match="no rule matches") as caught:
        fi.Rules([("none", "zeros()")]).number(name)
    text = str(caught.value)
    offered = ast.literal_eval(text[text.index("as (") + 3 : text.index(" or, as")])
    assert fi.Rules([offered]).number(name) == 0


def test_a_pattern_too_long_to_offer_is_not_offered():
    words = r"add one, such as \('\*\.weight', 'zeros\(\)'\)"
    with pytest.raises(ValueError, match=words):
        fi.Rules([]).number("[" * (MAX_PATTERN // 3 + 1))


# --- patterns without schemes --------------------------------------------------------------------


def test_names_are_chosen_in_their_order_and_once():
    names = ["b.bias", "a.weight", "a.bias", "c"]
    assert chosen(["c", "*.bias", "b*"], names) == ["b.bias", "a.bias", "c"]
    assert chosen("*", names) == names


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ("*.bais", r"no tensor matches '\*\.bais'"),
        (["a.weight", "a.weigth"], "no tensor matches 'a.weigth'; did you mean 'a.weight'"),
        ("w[0]", re.escape("no tensor matches 'w[0]'; to match that very name, write 'w[[]0]'")),
        ("", "a pattern has 0 characters"),
        ([], "names are"),
        (3, "names are 3"),
    ],
)
def test_a_pattern_that_chooses_nothing_is_refused(patterns, message):
    with pytest.raises((TypeError, ValueError), match=message):
        chosen(patterns, ["a.weight", "w[0]"])


def test_too_many_patterns_are_refused():
    with pytest.raises(ValueError, match="use fewer patterns that match more names"):
        chosen(["*"] * 10, range(MAX_MATCHES // 10 + 1))
