# SPDX-License-Identifier: MIT
"""docs/frameworks.md says something about every function and argument of the three frameworks.

The first column is compared with the frameworks' own signatures, defaults too; the calls in the
last or second column are bound to our signatures.  What the page says about scales is tested in
test_framework_scales.py and test_framework_modules.py, its examples in test_pages.py.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from intercepts import public

import fastinit as fi
from fastinit import schemes

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "frameworks.md").read_text()


def table(heading):
    """The rows of the first table under a heading, as lists of cells."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def text_above_table(heading):
    return PAGE.split(f"\n## {heading}\n")[1].split("\n|")[0]


def calls(cell):
    """The calls in a cell's code spans, parsed."""
    found = [ast.parse(code, mode="eval").body for code in re.findall("`([^`]+)`", cell)]
    return [node for node in found if isinstance(node, ast.Call)]


def described(heading):
    """Their functions by name: {argument: default, or None where the page gives none}."""
    found = {}
    for first, *_ in table(heading):
        node = ast.parse(first.strip("`"), mode="eval").body
        if isinstance(node, ast.Name):
            found[node.id] = {}
            continue
        found[node.func.id] = {argument.id: inspect.Parameter.empty for argument in node.args} | {
            keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords
        }
    return found


def arguments(function, common):
    """What a function of theirs takes beside `common`, with defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in common}


@pytest.mark.frameworks
def test_the_page_has_every_function_and_argument_of_torch(torch):
    names, rows = public(torch.nn.init, "torch.nn.init"), described("torch.nn.init")
    deprecated = {name for name in names if f"{name}_" in names}
    assert set(rows) == set(names) - deprecated
    for name in rows:
        assert rows[name] == arguments(names[name], ("tensor", "generator"))
    above = text_above_table("torch.nn.init")
    assert all(f"`{word}`" in above for word in {"tensor", "generator"} | deprecated)


@pytest.mark.frameworks
def test_the_page_has_every_function_and_argument_of_jax(jax):
    names, rows = public(jax.nn.initializers, "jax"), described("jax.nn.initializers")
    assert set(rows) == set(names) - {"Initializer"}
    returned = ("key", "shape", "dtype", "out_sharding")
    for name in rows:
        assert rows[name] == arguments(names[name], returned)
    init = inspect.signature(jax.nn.initializers.normal())
    assert tuple(init.parameters) == returned
    above = text_above_table("jax.nn.initializers")
    assert all(f"`{word}`" in above for word in (*returned, "Initializer"))


@pytest.mark.frameworks
def test_the_page_has_every_class_and_argument_of_keras(keras):
    names, rows = public(keras.initializers, "keras"), described("keras.initializers")
    left_out = ("STFT", "Initializer", "get", "serialize", "deserialize")
    section = PAGE.split("## keras.initializers")[1]
    assert {names[name] for name in (*rows, *left_out)} == set(names.values())
    for name in rows:
        assert rows[name] == arguments(names[name], ("seed",))
    for word in ("seed", *left_out[1:], *(name for name in names if name.endswith("Initializer"))):
        assert f"`{word}`" in section
    stft = arguments(names["STFT"], ())
    assert (
        "STFT("
        + ", ".join(f"{key}={value!r}" for key, value in stft.items()).replace("'", '"')
        + ")"
        in section
    )


HEADINGS = ["torch.nn.init", "jax.nn.initializers", "keras.initializers"]
HEADINGS += ["What layers start with", "What language models and others start with"]


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_call_of_ours_on_the_page_is_one_that_we_take(heading):
    for row in table(heading):
        found = calls(row[1] if heading in HEADINGS[:3] else row[2])
        assert found, row
        for call in found:
            signature = inspect.signature(getattr(fi, call.func.id))
            signature.bind(*call.args, **{word.arg: word.value for word in call.keywords})


def our_schemes():
    """Every public function that returns a Scheme."""
    things = {name: getattr(schemes, name) for name in dir(schemes) if not name.startswith("_")}
    functions = {name: thing for name, thing in things.items() if inspect.isfunction(thing)}
    return {
        name
        for name, function in functions.items()
        if inspect.signature(function).return_annotation == "Scheme" and name != "scheme"
    }


def test_every_scheme_of_ours_is_named_on_a_page():
    guide = (DOCS / "guide.md").read_text()
    names = our_schemes()
    assert len(names) > 50
    assert not [name for name in names if not re.search(rf"`(?:fi\.)?{name}\b", PAGE + guide)]
