# SPDX-License-Identifier: MIT
"""The pages people read: examples run, links lead somewhere, and maps of the code agree with it."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastinit as fi

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fastinit"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text("utf-8")
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("[!.]*/*.md"),
    *(ROOT / "docs").glob("*/*.md"),
    *PACKAGE.glob("*/*.md"),
]
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


@pytest.mark.parametrize("page", ["README.md", "docs/frameworks.md"])
def test_the_examples_of_a_page_run_and_print_what_it_says(page):
    found = doctest.testfile(str(ROOT / page), module_relative=False)
    assert found.attempted > 10
    assert found.failed == 0


def test_the_plan_of_the_page_is_a_plan(tmp_path):
    page = (ROOT / "docs/howto/plans.md").read_text("utf-8")
    text = re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1]
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


def test_the_readme_can_be_read_in_one_sitting():
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def anchors(page):
    """What links to the headings of a page are called."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def test_the_index_links_every_page():
    index = ROOT / "docs/index.md"
    linked = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text())}
    others = {index, *PACKAGE.glob("*/*.md"), *(ROOT / "docs/project").glob("*.md")}
    reference = {page for page in linked if page.suffix == ".rst"}
    assert linked - reference == set(PAGES) - others
    assert reference == set((ROOT / "docs/reference").glob("*.rst"))


def test_the_index_calls_pages_by_their_titles():
    """Those outside `docs/` have names of files."""
    index = ROOT / "docs/index.md"
    rows = re.findall(r"^\| \[([^]]+)\]\((\w\S*\.md)\) \|", index.read_text("utf-8"), re.MULTILINE)
    assert len(rows) > 30
    for text, page in rows:
        assert (index.parent / page).read_text("utf-8").startswith(f"# {text}\n"), page


def test_the_site_has_every_page_that_the_index_links():
    """On the site, `project/` has what lies outside `docs/`."""
    text = (ROOT / "docs/index.md").read_text("utf-8")
    trees = "".join(re.findall(r"{toctree}(.*?)```", text, re.DOTALL))
    listed = re.findall(r"^(?:\w+ <)?([\w/-]+)>?$", trees, re.MULTILINE)
    docs = ROOT / "docs"
    pages = {page.relative_to(docs).with_suffix("") for page in docs.rglob("*.md")}
    pages |= {page.relative_to(docs).with_suffix("") for page in docs.rglob("*.rst")}
    assert sorted(listed) == sorted(str(page) for page in pages if page.name != "index")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_a_readme_of_at_most_15_lines(room):
    lines = (PACKAGE / room / "README.md").read_text("utf-8").splitlines()
    assert re.fullmatch(rf"# {room}: .*\?", lines[0])
    assert len(lines) <= 15
    assert "must not" in " ".join(lines)


def test_the_page_of_the_architecture_names_exactly_the_rooms_that_exist():
    section = ARCHITECTURE.split("## The rooms")[1].split("\n## ")[0]
    named = re.findall(r"^\| `(\w+)/` \|", section, re.MULTILINE)
    assert sorted(named) == ROOMS


def test_the_page_of_the_architecture_names_the_modules_that_are_in_no_room():
    modules = {path.name for path in PACKAGE.glob("*.py")}
    assert {name for name in modules if f"`{name}`" not in ARCHITECTURE} == set()


def places(page):
    """The files that a page names in code spans."""
    spans = re.findall(r"`([\w./]+)`", page.read_text("utf-8"))
    return {span for span in spans if re.search(r"\w\.(py|pyx|c|h|md|json)$|\w/$", span)}


@pytest.mark.parametrize("name", ["architecture", "glossary"])
def test_every_place_that_a_map_of_the_code_names_exists(name):
    found = places(ROOT / f"docs/{name}.md")
    assert len(found) > 20
    assert {at for at in found if not ((ROOT / at).exists() or (PACKAGE / at).exists())} == set()


def test_the_functions_of_the_walks_are_where_the_page_says():
    walked = re.findall(r"^\| \d+ \| [^|]+ \| `(\S+)` \| `([\w.]+)` \|", ARCHITECTURE, re.MULTILINE)
    assert len(walked) > 20
    for file, function in walked:
        path = PACKAGE / file if (PACKAGE / file).exists() else ROOT / file
        name = function.split(".")[-1]
        assert re.search(rf"(def|class|fi_status) {name}\b", path.read_text("utf-8")), function


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_that_the_readme_of_a_room_names_exists(room):
    folder = PACKAGE / room
    found = places(folder / "README.md")
    assert {at for at in found if not ((folder / at).exists() or (ROOT / at).exists())} == set()
