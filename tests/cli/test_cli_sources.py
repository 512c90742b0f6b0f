# SPDX-License-Identifier: MIT
"""The command line: sources of every kind, the options of configs, rules, and reasons in tables.

A stand-in takes the place of fastinit.transformers.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from dataclasses import replace
from types import ModuleType

import pytest
from command_line import assert_one_line, in_a_process

import fastinit as fi

CALL = "transformers/models/llama/modeling_llama.py:423 in _init_weights"
DOWN = "transformers/models/llama/modeling_llama.py:430 in _init_weights"


def reasoned(text, reason):
    return replace(fi.scheme(text), reason=reason)


def recorded(layers=2, experts=3):
    """A plan such as a recording of a model gives."""
    tensors = [fi.Tensor("embed.weight", (9, 4), reasoned("normal(std=0.02)", CALL), "float32")]
    for i in range(layers):
        fused = f"layers.{i}.experts.up"
        for j in range(experts):
            text = f"parts(zeros(), '{j}, 0:2', same_as('{fused}', normal(std=0.02)))"
            name = f"layers.{i}.experts.{j}.up.weight"
            tensors.append(fi.Tensor(name, (4, 4), reasoned(text, CALL), "bfloat16"))
        scheme = reasoned(f"normal(std={0.02 / (i + 1)})", DOWN)
        tensors.append(fi.Tensor(f"layers.{i}.down.weight", (4, 4), scheme, "bfloat16"))
        tensors.append(fi.Tensor(f"layers.{i}.norm.weight", (4,), "ones()", "bfloat16"))
    return fi.Plan(tensors, name="model")


@pytest.fixture
def asked(monkeypatch):
    """What fastinit.transformers was asked for; it answers with `recorded`."""
    calls = []
    module = ModuleType("fastinit.transformers")

    def plan(source, *, rules, dtype, **options):
        print("a word of the model's code")
        calls.append((source, dtype, options))
        return recorded().with_rules(rules or [], keep_unmatched=True)

    module.plan = plan
    monkeypatch.setitem(sys.modules, "fastinit.transformers", module)
    return calls


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "llama"}')
    return path


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nnames = "*.norm.weight"\ninit = "constant(0.5)"\n')
    return path


def columns(out):
    """The rows of the table that `plan` prints, split into cells."""
    return [re.split(r"  +", line) for line in out.splitlines()[:-1]]


# --- configs ---------------------------------------------------------------------------------


def test_a_config_is_planned_and_written(asked, config, tmp_path, main):
    code, out, err = main("plan", config)
    assert (code, err) == (0, "a word of the model's code\n")
    assert out.splitlines()[-1] == f"11 tensors, {recorded().parameters:,} parameters, 416 B"
    code, out, err = main("write", config, tmp_path / "w", "--json")
    assert (code, json.loads(out)["tensors"]) == (0, 11)
    assert asked == [(str(config), None, {})] * 2
    assert fi.verify(tmp_path / "w").plan == "model"


def test_the_options_of_a_config_reach_it(asked, config, tmp_path, main):
    options = ["--architecture", "LlamaModel", "--names", "module", "--trust-remote-code"]
    given = {"architecture": "LlamaModel", "names": "module", "trust_remote_code": True}
    assert main("plan", config, *options, "--dtype", "bfloat16")[0] == 0
    assert asked == [(str(config), "bfloat16", given)]
    assert (
        main("write", config, tmp_path / "w", *options, "--dtype", "float16", "--dry-run")[0] == 0
    )
    assert asked[1:] == [(str(config), "float16", given)]
    assert main("plan", tmp_path, "--names", "hub")[0] == 0
    assert asked[2:] == [(str(tmp_path), None, {"names": "hub"})]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--architecture", "X"], "architecture"),
        (["--names", "hub"], "names"),
        (["--dummy"], "dummy"),
        (["--trust-remote-code"], "trust_remote_code"),
    ],
)
def test_the_options_of_a_config_are_for_nothing_else(asked, small, tmp_path, main, options, name):
    fi.write(fi.plan(small), tmp_path / "weights", seed=0)
    sources = {"gpt2": "gpt2 is a preset", small: "is a plan", tmp_path / "weights": "a checkpoint"}
    for source, words in sources.items():
        for arguments in (["plan", source], ["write", source, tmp_path / "w"]):
            code, out, err = main(*arguments, *options)
            assert (code, out) == (2, "")
            assert_one_line(err, f"{name} is given, and .*{words}: only a transformers config take")
    assert asked == []


def test_a_version_that_was_not_tested_is_told_in_one_line(asked, config, main, monkeypatch):
    def warns(*_, **__):
        warnings.warn("not tested", fi.errors.VersionWarning, stacklevel=1)
        return recorded()

    monkeypatch.setattr(sys.modules["fastinit.transformers"], "plan", warns)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, _, err = main("plan", config)
    assert code == 0
    assert_one_line(err, "^fastinit: not tested$")


def test_a_module_error_is_one_line(asked, config, main, monkeypatch):
    def fails(*_, **__):
        raise fi.errors.ModuleError("cannot plan\n  w: computed", {"w": "computed"})

    monkeypatch.setattr(sys.modules["fastinit.transformers"], "plan", fails)
    code, out, err = main("plan", config)
    assert (code, out) == (2, "")
    assert_one_line(err, "cannot plan w: computed")


# --- reasons ---------------------------------------------------------------------------------


def test_layers_and_experts_share_a_row_with_the_call_they_came_from(asked, config, main):
    rows = columns(main("plan", config)[1])
    assert rows[0] == ["tensor", "shape", "dtype", "init", "tensors", "bytes", "why"]
    assert [row[0] for row in rows[1:]] == [
        "embed.weight",
        "layers.*.experts.*.up.weight",
        "layers.*.down.weight",
        "layers.*.norm.weight",
        "layers.*.down.weight",
    ]
    experts = "parts(zeros(), '*, 0:2', same_as(of='layers.*.experts.up', init=normal(std=0.02)))"
    assert rows[2][3:] == [experts, "6", "192 B", CALL]
    assert [rows[3][3], rows[5][3]] == ["normal(std=0.02)", "normal(std=0.01)"], "scales are shown"
    assert rows[3][4:] == ["1", "32 B", DOWN]
    assert rows[4] == ["layers.*.norm.weight", "(4,)", "bfloat16", "ones()", "2", "16 B"]


def test_a_row_shows_the_numbers_that_all_its_tensors_share(tmp_path, main):
    tensors = [
        ("a.weight", "parts(normal(), '1', zeros())"),
        *((f"h.{i}.copy", "same_as('h.0.own', zeros())") for i in range(3)),
        *((f"h.{i}.table", f"table('{i + 2} * i0')") for i in range(2)),
    ]
    plan = fi.Plan([fi.Tensor(name, (4,), init) for name, init in tensors])
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.to_json()))
    assert [row[3] for row in columns(main("plan", path)[1])[1:]] == [
        "parts(normal(), '1', zeros())",
        "same_as(of='h.0.own', init=zeros())",
        "table(expression='2 * i0')",
        "table(expression='3 * i0')",
    ]


def test_every_tensor_has_its_own_row_and_reason_if_asked(asked, config, main):
    rows = columns(main("plan", config, "--all")[1])[1:]
    assert [row[0] for row in rows] == [t.name for t in recorded()]
    assert [row[3] for row in rows] == [str(t.scheme) for t in recorded()]
    assert rows[2][6] == CALL


def test_reasons_are_in_the_json(asked, config, main):
    form = json.loads(main("plan", config, "--json")[1])
    assert form["reasons"] == {t.name: t.scheme.reason for t in recorded() if t.scheme.reason}
    assert fi.Plan.from_json(form["plan"]) == recorded()


# --- rules -----------------------------------------------------------------------------------


def test_rules_go_on_top_of_a_config(asked, config, rules, tmp_path, main):
    rows = columns(main("plan", config, "--rules", rules)[1])
    assert rows[4][3:] == ["constant(value=0.5)", "2", "16 B", "rule 1"]
    assert rows[1][6] == CALL
    assert main("write", config, tmp_path / "w", "--rules", rules)[0] == 0
    opened = fi.open(tmp_path / "w")
    assert (opened["layers.1.norm.weight"] == 0.5).all()
    expected = fi.array((9, 4), "normal(0.02)", seed=0, name="embed.weight")
    assert (opened["embed.weight"] == expected).all()


def test_rules_go_on_top_of_any_source(small, tmp_path, main):
    path = tmp_path / "rules.toml"
    path.write_text('[[rule]]\nnames = "h.*"\ninit = "zeros()"\n')
    fi.write(fi.plan(small), tmp_path / "weights", seed=0)
    for number, source in enumerate((small, tmp_path / "weights")):
        code, out, err = main("write", source, tmp_path / str(number), "--rules", path, "--json")
        assert (code, err, json.loads(out)["tensors"]) == (0, "", 5)
        opened = fi.open(tmp_path / str(number))
        assert not opened["h.2.mlp.weight"].any()
        assert (opened["wte.weight"] == fi.open(tmp_path / "weights")["wte.weight"]).all()
    code, out, _ = main("write", small, tmp_path / "x", "--rules", path, "--dry-run")
    assert (code, (tmp_path / "x").exists()) == (0, False)
    assert "would write 90,176 parameters in 5 tensors" in out


def test_rules_make_weights_of_a_checkpoint_without_a_recipe(tmp_path, main):
    from safetensors.numpy import save_file

    save_file({"up.weight": fi.array((4, 4), "ones()", seed=0, name="x")}, tmp_path / "x")
    code, _, err = main("plan", tmp_path / "x")
    assert code == 2
    assert_one_line(err, r"nothing says how 1 of its tensors .* under \[\[rule\]\] in the file for")
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nnames = "*"\ninit = "he_normal()"\n')
    assert main("write", tmp_path / "x", tmp_path / "w", "--rules", rules, "--seed", 4)[0] == 0
    expected = fi.array((4, 4), "he_normal()", seed=4, name="up.weight")
    assert (fi.open(tmp_path / "w")["up.weight"] == expected).all()


# --- checkpoints and plans -------------------------------------------------------------------


def test_a_checkpoint_is_written_anew_with_another_seed(small, tmp_path, main):
    assert main("write", small, tmp_path / "a")[0] == 0
    assert main("write", tmp_path / "a", tmp_path / "b", "--seed", 7)[0] == 0
    assert main("write", small, tmp_path / "c", "--seed", 7)[0] == 0
    assert {n: a.tobytes() for n, a in fi.open(tmp_path / "b").items()} == {
        n: a.tobytes() for n, a in fi.open(tmp_path / "c").items()
    }


def test_a_checkpoint_is_overwritten_by_its_saved_plan_and_not_by_itself(small, tmp_path, main):
    folder = tmp_path / "weights"
    assert main("write", small, folder)[0] == 0
    for dry in ([], ["--dry-run"]):
        code, out, err = main("write", folder, folder, "--seed", 1, "--overwrite", *dry)
        assert (code, out) == (2, "")
        assert_one_line(
            err, "is the checkpoint that is to be replaced.*fastinit plan SOURCE --json"
        )
    (tmp_path / "plan.json").write_text(main("plan", folder, "--json")[1])
    assert main("write", tmp_path / "plan.json", folder, "--seed", 1, "--overwrite")[0] == 0
    assert fi.verify(folder).seed == 1


# --- completion ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("fastinit plan gpt2", ["plain,gpt2", "plain,gpt2-xl", "file,gpt2"]),
        ("fastinit write ./x", ["file,./x"]),
        ("fastinit plan gpt2 --rules r", ["file,r"]),
        ("fastinit plan gpt2 --names m", ["plain,module"]),
        ("fastinit plan gpt2 --arch", ["plain,--architecture"]),
    ],
)
def test_shells_complete_sources_and_their_options(words, completions):
    count = str(len(words.split()) - 1)
    done = in_a_process(_FASTINIT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count)
    assert done.stdout.split() == completions


def test_the_help_says_what_a_source_may_be(main):
    for name in ("plan", "write"):
        text = " ".join(main(name, "--help")[1].split())
        assert "SOURCE is a preset, as `info` lists them; a .toml or .json plan; a safetens" in text
