# SPDX-License-Identifier: MIT
"""What the pages show of PyTorch runs: the page of the room torch, its excerpts, and the README."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

import fastinit.torch as ft  # noqa: E402 - only where torch is

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/howto/torch.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
EXCERPT = re.compile(r"\[(examples/sharded/\w+\.py)\](?:(?!```).)*```python\n(.*?)```", re.DOTALL)


def blocks_without_prompts(text):
    """The blocks of a page that doctest does not run."""
    return [block for block in BLOCK.findall(text) if ">>>" not in block]


@pytest.mark.filterwarnings("ignore")  # of torch, about its own layers
def test_the_examples_of_the_page_run_and_print_what_it_says():
    found = doctest.testfile(str(ROOT / "docs/howto/torch.md"), module_relative=False)
    assert found.attempted > 40
    assert found.failed == 0


def test_the_excerpts_are_in_the_files_that_the_page_names():
    excerpts = EXCERPT.findall(PAGE)
    assert {name for name, _ in excerpts} == {
        "examples/sharded/fsdp2.py",
        "examples/sharded/hsdp.py",
        "examples/sharded/tp.py",
    }
    for name, excerpt in excerpts:
        lines = [line.strip() for line in (ROOT / name).read_text("utf-8").splitlines()]
        missing = [line for line in excerpt.splitlines() if line.strip() not in lines]
        assert missing == [], name


def test_every_block_that_is_not_an_example_is_an_excerpt_or_tested_here():
    excerpts = {excerpt for _, excerpt in EXCERPT.findall(PAGE)}
    others = [block for block in blocks_without_prompts(PAGE) if block not in excerpts]
    assert len(others) == 1
    assert "LlamaForCausalLM" in others[0]


def test_a_model_of_transformers_is_initialised_as_the_page_says():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=500,
        initializer_range=0.02,
    )
    block = next(block for block in blocks_without_prompts(PAGE) if "LlamaForCausalLM" in block)
    names = {"torch": torch, "ft": ft, "config": config}
    names["LlamaForCausalLM"] = transformers.LlamaForCausalLM
    exec(block, names)
    model, built = names["model"], transformers.LlamaForCausalLM(config)
    ft.initialize_(built, seed=0)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, built.state_dict()[name]), name
    assert torch.equal(model.model.rotary_emb.inv_freq, built.model.rotary_emb.inv_freq)
    assert abs(model.model.embed_tokens.weight.std().item() / 0.02 - 1) < 0.02


@pytest.mark.filterwarnings("ignore")  # of torch, about its own layers
def test_the_readme_changes_one_line():
    (block,) = (block for block in blocks_without_prompts(README) if "torch" in block)
    names = {"Model": lambda: torch.nn.Linear(8, 4), "sharded": torch.nn.Linear(8, 4)}
    exec(block, names)
    assert torch.equal(names["model"].weight, names["sharded"].weight)
    assert ft.verify(names["model"], seed=0) == 36
