# SPDX-License-Identifier: MIT
"""docs/frameworks.md says something about every function and argument of the three frameworks.

The first column of a framework's table is compared with its own signatures, defaults too; the
calls in the scheme's column are bound to our signatures.  Each row about a rule is a scheme of the
std that its formula says.  What the page says about scales is tested in test_framework_scales.py
and the files beside it, its examples in test_pages.py.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import tomllib
from pathlib import Path

import originals
import pytest
from framework_page import DOCS, PAGE, RULES, SHAPE, rows, schemes_in, section, table
from intercepts import public

import fastinit as fi
from fastinit.schemes.registry import SCHEMES
from fastinit.values import distributions

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parents[1]


def text_above_table(heading):
    return section(heading).split("\n|")[0]


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
HEADINGS += ["What layers start with", RULES]


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_call_of_ours_on_the_page_is_one_that_we_take(heading):
    for row in table(heading):
        found = calls(row[1] if heading in HEADINGS[:3] else row[2])
        assert found, row
        for call in found:
            signature = inspect.signature(getattr(fi.schemes, call.func.id))
            signature.bind(*call.args, **{word.arg: word.value for word in call.keywords})


def test_every_scheme_of_the_layers_is_a_text_that_we_read():
    """The names in it are the layer's sizes."""
    sizes = {"hidden": 16, "fan_in": 8, "in1": 8, "padding_idx": 0, "width": 96}
    for *_, cell in table("What layers start with"):
        for text in schemes_in(cell):
            scheme = fi.scheme(text, sizes)
            assert fi.scheme(str(scheme)) == scheme


# --- rules -----------------------------------------------------------------------------------

ROWS = list(rows())
IDS = [f"{row.rule}: {row.tensors}" for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_scheme_of_a_row_is_one_and_has_the_rows_sigma(row):
    """The schemes that draw numbers have a formula, but for those of other layouts and shapes."""
    scheme = row.scheme()
    assert fi.scheme(str(scheme)) == scheme
    if not row.sigma:
        return
    found = scheme.distribution(SHAPE)
    sigma = found.sigma if isinstance(found, distributions.TruncatedNormal) else found.std
    assert sigma == pytest.approx(row.sigma_of(), rel=4e-15, abs=0)


def test_a_row_lacks_a_formula_only_where_its_shape_is_another_or_it_draws_nothing():
    without = {row.scheme().name for row in ROWS if not row.sigma}
    assert without == {
        *("constant", "zeros", "ones", "orthogonal", "zero_hadamard", "spectral_normalised"),
        "torch_embedding",  # with a row of zeros
        *("variance_scaling", "glorot_uniform", "lecun_normal"),  # by axes, corrected
    }


def test_the_prior_of_detectron2_is_one_in_a_hundred():
    (row,) = [row for row in ROWS if row.tensors == "cls_score of RetinaNet, bias"]
    assert row.scheme() == fi.constant(-math.log(99))


PAPER, REPOSITORY = "a paper", "not on the package index"
NOT_RUN = {
    **dict.fromkeys(["DeepSeek", "MiniCPM", "CompleteP", "ReZero, SkipInit", "SELU"], PAPER),
    **dict.fromkeys(["DeepNorm", "Magneto sub-LN", "T-Fixup", "Fixup", "DS-Init"], PAPER),
    **dict.fromkeys(["nGPT", "GPT-NeoX", "DS-Init, bzhangGo/zero", "ELU"], REPOSITORY),
    **dict.fromkeys(["nanochat", "modded-nanogpt", "RWKV-7", "detectron2"], REPOSITORY),
    "BERT, google-research": "for TensorFlow 1",
    "Gemma, google-deepmind": "needs kauldron and 20 others to import",
    "llm-foundry": "needs PyTorch 2.7",
    "MaxText": "needs Python 3.12",
    "Megatron-LM with muP": "the megatron-core that has it needs Python 3.12",
    **dict.fromkeys(["OLMo mitchell", "OLMo full_megatron"], "145 MB"),
    "dummy weights": "vLLM and SGLang need CUDA",
    "spectral condition": "the nanotron on the package index is older than the rule",
}
"""Rules of which no test runs the original or its few lines, and why; sigma is checked above."""


def test_every_rule_is_run_or_says_why_not():
    sources = [
        path.read_text() for path in TESTS.glob("test_framework_*.py") if "table" not in path.name
    ]
    text = "\n".join(sources)
    run = {row.rule for row in ROWS if f'"{row.rule}"' in text}
    assert {row.rule for row in ROWS} - run == set(NOT_RUN)


def pinned():
    """The versions that the project's extra and CI install."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = " ".join(extras["optional-dependencies"]["originals"])
    listed += (ROOT / ".ci/run").read_text()
    return dict(re.findall(r"([\w.-]+)==([\w.]+)", listed))


def test_the_page_speaks_of_the_versions_that_are_installed_for_its_tests():
    pins = pinned()
    assert {name: pins.get(name) for name in originals.VERSIONS} == originals.VERSIONS
    for name, version in originals.VERSIONS.items():
        assert f"{name} {version}" in PAGE.lower(), name


def test_every_scheme_of_ours_is_named_on_a_page():
    guide = (DOCS / "howto" / "schemes.md").read_text()
    assert len(SCHEMES) > 50
    assert not [name for name in SCHEMES if not re.search(rf"`(?:fi\.)?{name}\b", PAGE + guide)]
