# SPDX-License-Identifier: MIT
"""Suggestions for names that are misspelt: good for everyday plans, cheap for the largest."""

from __future__ import annotations

import random
import re
import time

import pytest

import fastinit as fi
from fastinit.suggestions import suggestion

BUDGET = 0.25  # seconds; it takes 0.04 on an idle machine


def seconds(name, known):
    """The CPU time of the fastest of three suggestions."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        suggestion(name, known)
        times.append(time.process_time() - begin)
    return min(times)


@pytest.fixture(scope="module")
def layers():
    """The names of a model with 200,000 tensors."""
    words = ["attn.q", "attn.k", "attn.v", "attn.o", "mlp.up", "mlp.down", "mlp.gate", "norm"]
    names = [f"model.layers.{i}.{word}_proj.weight" for i in range(25_000) for word in words]
    return dict.fromkeys(["model.embed_tokens.weight", *names, "model.norm.weight", "lm_head"])


@pytest.fixture(scope="module")
def unlike():
    """A million names with nothing in common."""
    digits = random.Random(1).randbytes(20 * 10**6).hex()
    return dict.fromkeys(digits[40 * i : 40 * i + 20 + i % 20] for i in range(10**6))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("model.layers.24999.mlp.up_proj.wieght", "model.layers.24999.mlp.up_proj.weight"),
        ("model.layers.12345.atn.q_proj.weight", "model.layers.12345.attn.q_proj.weight"),
        ("model.layer.777.mlp.gate_proj.weight", "model.layers.777.mlp.gate_proj.weight"),
        ("model.layers.9.mlp.up.weight", "model.layers.9.mlp.up_proj.weight"),
        ("model.embed_token.weight", "model.embed_tokens.weight"),
        ("lm_haed", "lm_head"),
        ("model.norms.weight", "model.norm.weight"),
    ],
)
def test_the_name_that_was_meant_is_suggested_in_a_large_plan(layers, name, meant):
    assert repr(meant) in suggestion(name, layers)
    assert seconds(name, layers) < BUDGET


def test_a_layer_that_does_not_exist_gets_one_that_does(layers):
    found = re.findall("'(.*?)'", suggestion("model.layers.25000.mlp.up_proj.weight", layers))
    assert len(found) == 3
    assert layers.keys() >= set(found)


def test_one_slip_is_noticed_among_a_million_names_with_nothing_in_common(unlike):
    names = list(unlike)
    for place in (0, 500_000):
        right = names[place]
        slips = [right[:7] + right[8:], f"{right[:7]}z{right[7:]}", f"{right[:7]}z{right[8:]}"]
        if right[7] != right[8]:
            slips.append(right[:7] + right[8] + right[7] + right[9:])
        for wrong in slips:
            assert repr(right) in suggestion(wrong, unlike)
            assert seconds(wrong, unlike) < BUDGET


@pytest.mark.parametrize("name", ["", "x", "nothing of it", "a" * 200, "é" * 10**7, "." * 256])
def test_what_is_like_nothing_costs_no_more(layers, unlike, name):
    for known in (layers, unlike):
        assert seconds(name, known) < BUDGET


def test_names_of_everyday_plans_are_matched_as_a_whole():
    known = [tensor.name for tensor in fi.plan("gpt2")]
    assert suggestion("h.11.mlp.c_fc.wieght", known).startswith(
        "; did you mean 'h.11.mlp.c_fc.weight'"
    )
    assert suggestion("widht", ["width", "heads"]) == "; did you mean 'width'?"
    assert suggestion("zzz", ["width", "heads"]) == ""
    assert suggestion("a" * 300, ["a" * 299]) == ""


def test_a_name_that_a_plan_lacks_is_refused_with_what_may_be_meant():
    plan = fi.plan("gpt2")
    with pytest.raises(KeyError, match=r"'gpt2' has no tensor 'wte\.wieght'; did .*'wte\.weight"):
        plan["wte.wieght"]
    with pytest.raises(KeyError) as caught:
        plan["\x1b[2K" + "w" * 10**6]
    assert len(str(caught.value)) < 1000
    assert "\x1b" not in str(caught.value)
