# SPDX-License-Identifier: MIT
"""The pages people read: their Python examples run, and the README has its two commands."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastinit as fi

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md", "docs/frameworks.md"])
def test_the_examples_of_a_page_run_and_print_what_it_says(page):
    found = doctest.testfile(str(ROOT / page), module_relative=False)
    assert found.attempted > 10
    assert found.failed == 0


def test_the_plan_of_the_guide_is_a_plan(tmp_path):
    text = re.search(r"```toml\n(.*?)```", (ROOT / "docs/guide.md").read_text(), re.DOTALL)[1]
    (tmp_path / "model.toml").write_text(text)
    plan = fi.plan(tmp_path / "model.toml")
    assert [tensor.name for tensor in plan] == [
        "embed.weight",
        "layers.0.up.weight",
        "layers.0.down.weight",
        "layers.1.up.weight",
        "layers.1.down.weight",
    ]
    assert plan.parameters == 64 * 1000 + 4 * 64 * 256
    assert str(plan["layers.1.down.weight"].scheme) == "normal(std=0.01)"


def test_the_readme_has_two_set_up_commands_near_its_top():
    script = [sys.executable, ROOT / ".ci/readme_commands.py", ROOT / "README.md"]
    commands = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert commands.splitlines() == [
        "pip install . && fastinit write gpt2-xl gpt2-xl-init",
        "pip install -e '.[test]' && pytest",
    ]
    assert "pytest" in "\n".join((ROOT / "README.md").read_text().splitlines()[:40])


def test_every_link_to_a_file_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
