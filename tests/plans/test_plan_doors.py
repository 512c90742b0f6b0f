# SPDX-License-Identifier: MIT
"""Sources that a framework's room understands: which door is asked, and for what.

Stand-ins take the place of the doors, so no framework is needed; with torch, see
pytorch/test_module_sources.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType

import pytest

import fastinit as fi
from fastinit.checkpoints import layout_of
from fastinit.plans import plan_for
from fastinit.plans.sources import KINDS_OF_CLASSES, PLAN_DOORS

FOUND = fi.Plan([fi.Tensor("w", (4, 8), "he_normal()", "bfloat16")], name="found")


@pytest.fixture
def doors(monkeypatch):
    """What each door was asked for; every one answers with FOUND."""
    asked = []

    def stand_in(name):
        module = ModuleType(name)

        def plan(source, **arguments):
            asked.append((name, source, arguments))
            return FOUND

        module.plan = plan
        return module

    for kind in set(KINDS_OF_CLASSES.values()):
        name = PLAN_DOORS[kind]
        monkeypatch.setitem(sys.modules, name, stand_in(name))
    return asked


def object_of(full_name):
    """An object of a class that derives from a class of this name."""
    module, _, name = full_name.rpartition(".")
    return type("Derived", (type(name, (), {"__module__": module}),), {})()


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "model" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))
    return path


# --- which door ------------------------------------------------------------------------------


@pytest.mark.parametrize("full_name", KINDS_OF_CLASSES)
def test_an_object_goes_to_the_door_of_its_class(doors, full_name):
    source, kind = object_of(full_name), KINDS_OF_CLASSES[full_name]
    assert fi.plan(source) is FOUND
    assert doors == [(PLAN_DOORS[kind], source, {"rules": None, "dtype": None})]


def test_a_model_of_transformers_is_a_module(doors):
    """Its classes are of both packages; the first that is known decides."""
    module = type("Module", (), {"__module__": "torch.nn.modules.module"})
    model = type("LlamaModel", (module,), {"__module__": "transformers.models.llama"})()
    assert fi.plan(model) is FOUND
    assert doors[0][0] == "fastinit.torch"


@pytest.mark.parametrize("full_name", KINDS_OF_CLASSES)
def test_a_class_is_no_object_of_it(doors, full_name):
    with pytest.raises(ValueError, match="it is the class Derived; pass an object of it"):
        fi.plan(type(object_of(full_name)))
    assert doors == []


@pytest.mark.parametrize("key", ["model_type", "architectures"])
@pytest.mark.parametrize("name", ["config.json", "llama.json", "blob"])
def test_a_config_file_goes_to_transformers(doors, tmp_path, key, name):
    path = tmp_path / name
    path.write_text(json.dumps({key: ["llama"]}))
    assert fi.plan(path) is FOUND
    assert doors == [("fastinit.transformers", str(path), {"rules": None, "dtype": None})]


def test_a_folder_with_a_config_goes_to_transformers_as_a_folder(doors, config):
    """Where the code lies that a config may name."""
    (config.parent / "README.md").write_text("")
    (config.parent / "modeling_own.py").write_text("")
    assert fi.plan(config.parent) is FOUND
    assert doors == [("fastinit.transformers", str(config.parent), {"rules": None, "dtype": None})]


def test_a_folder_with_weights_and_a_config_is_a_checkpoint(doors, config):
    fi.write(FOUND, config.parent, seed=1)
    assert fi.plan(config.parent).name == "found"
    assert fi.plan(config.parent)["w"].scheme == FOUND["w"].scheme
    assert doors == []


@pytest.mark.parametrize("name", ["model.safetensors.index.json", ".x.fastinit", "fastinit.json"])
def test_a_folder_with_a_part_of_a_checkpoint_is_not_drawn_anew(doors, config, name):
    (config.parent / name).write_text("{}")
    with pytest.raises(fi.errors.CheckpointError, match=str(config.parent)):
        fi.plan(config.parent)
    assert doors == []


# --- for what --------------------------------------------------------------------------------


def test_rules_are_checked_and_trusted_before_a_door_is_asked(doors, config):
    for source in (config, object_of("torch.nn.modules.module.Module")):
        with pytest.raises(ValueError, match="no scheme is named 'nothing'"):
            fi.plan(source, rules={"w": "nothing()"})
        with pytest.raises(fi.errors.UntrustedError, match=r"my\.laws:laplace"):
            fi.plan(source, rules={"w": "my.laws:laplace()"})
    assert doors == []


def test_the_doors_of_modules_and_configs_get_the_rules(doors, config, tmp_path):
    """They decide before the model's code, which may leave tensors without a scheme."""
    (tmp_path / "rules.toml").write_text('[[rule]]\nnames = "w"\ninit = "zeros()"\n')
    wanted = fi.Rules([("w", "zeros()")])
    for rules in (tmp_path / "rules.toml", {"w": "zeros()"}, wanted):
        for source in (config, object_of("torch.nn.modules.module.Module")):
            assert fi.plan(source, rules=rules) is FOUND
            assert doors.pop()[2]["rules"] == wanted


def test_write_asks_for_the_dtype_of_the_model(doors, config, tmp_path):
    fi.write(config, tmp_path / "weights", seed=1, dtype="float16")
    assert doors.pop()[2]["dtype"] == "float16"
    layout_of(config.parent, seed=1, dtype="bfloat16")
    assert doors.pop()[2]["dtype"] == "bfloat16"
    layout_of(config.parent, seed=1)
    assert doors.pop()[2]["dtype"] is None
    assert fi.open(tmp_path / "weights")["w"].dtype == "bfloat16", "as the door decided"


def test_options_reach_a_config_alone(doors, config):
    options = {"architecture": "LlamaModel", "names": "module"}
    assert plan_for(config, options=options) is FOUND
    assert doors.pop()[2] == {"rules": None, "dtype": None, **options}
    plan_for(object_of("transformers.configuration_utils.PreTrainedConfig"), options=options)
    assert doors.pop()[2]["names"] == "module"
    module = object_of("torch.nn.modules.module.Module")
    for source, words in ((module, "it is a module"), (FOUND, "it is a Plan"), ("gpt2", "preset")):
        with pytest.raises(ValueError, match=f"architecture, names is given, and .*{words}: only"):
            plan_for(source, options=options)
    assert doors == []


def test_what_a_door_raises_is_raised(doors, config, monkeypatch):
    def fails(*_, **__):
        raise fi.errors.ModuleError("w: computed", {"w": "computed"})

    monkeypatch.setattr(sys.modules["fastinit.transformers"], "plan", fails)
    with pytest.raises(fi.errors.ModuleError, match="w: computed"):
        fi.plan(config)


# --- when ------------------------------------------------------------------------------------


def test_no_door_is_imported_before_it_is_asked():
    code = (
        "import sys, fastinit as fi; fi.plan('gpt2')\n"
        "print([m for m in sys.modules if m in ('torch', 'transformers', 'fastinit.torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
