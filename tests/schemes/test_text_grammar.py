# SPDX-License-Identifier: MIT
"""The grammar of docs/stream.md, section 14.1: texts derived from it, and such texts with mistakes.

A parser written from the page (reference_texts.py) and the library read each of them.  What single
texts mean is in test_expressions.py and test_scheme_texts.py.
"""

from __future__ import annotations

import json
import keyword
import math
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
import reference_texts as texts
from grammar import LITERALS, RULES, Teller, Writer
from hypothesis import given, settings
from reference_calls import SIGNATURES, call, value_text, written
from scheme_calls import COMPOUNDS, TABLES, every_call, scheme_from, text_of

import fastinit as fi
from fastinit.schemes.expressions import parse_call

SIZES: dict[str, float] = {"width": 768, "layers": 48, "half": 0.5, "zero": 0}
NAMES = (*SIZES, "normal", "std", "mode", "inf", "sqrt")
INFINITE = {**SIZES, "inf": math.inf}

LIBERTIES = re.compile(
    r"""\\ | \#                      # escapes and continued lines, comments
      | [0-9]_[0-9] | 0[xXoObB]      # digits in groups, other bases
      | [rRuU]['"] | ['"]\s*['"]     # prefixes, three quotes, strings side by side
      | ^\s*\( | \(\s*\w+\s*\)\s*\(  # brackets around the text, around a name
      | // | %                       # of float64 numbers
      | [A-Za-z_]\w*:[A-Za-z_]       # labels: section 21.4""",
    re.VERBOSE,
)
"""What the page says fastinit's reader takes beyond the grammar."""

RESERVED = re.compile(rf"\b({'|'.join({*keyword.kwlist} - {*texts.CONSTANTS})})\b")
"""Python's own words: no scheme and no argument has such a name."""

CHARACTERS = "()[],=+-*/%.'\"0123456789eE_ \t\n\rabfinst#\\{}:;<>!&|^~@é\0"


def derived(seed: int) -> str:
    return Writer(Random(seed), NAMES).derive("text")


def spoiled(text: str, random: Random) -> str:
    """A text with one to three mistakes: characters lost, added, doubled, changed or moved."""
    for _ in range(random.randrange(1, 4)):
        at, to = sorted(random.randrange(len(text) + 1) for _ in range(2))
        piece = text[at : at + random.randrange(1, 5)]
        rest = text[at + len(piece) :]
        text = random.choice(
            [
                text[:at] + rest,
                text[:at] + random.choice(CHARACTERS) + text[at:],
                text[:at] + random.choice(CHARACTERS) + text[at + 1 :],
                text[:at] + piece + piece + rest,
                text[:at] + text[to:] + text[at:to],
            ]
        )
    return text


def outcome(read: Any, text: str, names: dict[str, float]) -> Any:
    """What a reader makes of a text; None where it refuses it."""
    try:
        return read(text, names)
    except ValueError:
        return None


def compare(text: str) -> str:
    """Both readers agree about the text, or differ where the page says so; what they make of it."""
    ours, theirs = outcome(parse_call, text, INFINITE), outcome(texts.parse, text, SIZES)
    if repr(ours) == repr(theirs):
        return "invalid" if ours is None else "valid"
    if theirs is None:
        assert LIBERTIES.search(text), (text, ours)
        return "liberty"
    assert ours is None, (text, ours, theirs)
    assert RESERVED.search(text), (text, theirs)
    return "reserved"


def told(text: str) -> bool:
    """Whether the page's own productions make this text."""
    try:
        return Teller(texts.tokens_of(text)[:-1]).fits("text")
    except texts.Invalid:  # in no token
        return False


def check_the_parser(text: str) -> None:
    """The parser takes what the productions make, but for what has no value, and nothing else."""
    try:
        texts.parse(text, SIZES)
        assert told(text), text
    except texts.Meaningless:
        pass
    except texts.Invalid:
        assert not told(text), text


SEEDS = pytest.mark.parametrize(
    "seeds", [range(1500), pytest.param(range(1500, 20_000), marks=pytest.mark.slow)], ids=len
)


@SEEDS
def test_texts_derived_from_the_grammar_are_read_alike(seeds):
    made = [compare(derived(seed)) for seed in seeds]
    share = {kind: made.count(kind) / len(made) for kind in set(made)}
    assert share["valid"] > 0.7
    assert share["invalid"] > 0.05  # no number, or too large a one: right in form alone
    assert share.get("liberty", 0) + share.get("reserved", 0) < 0.01


@SEEDS
def test_texts_with_mistakes_are_read_alike(seeds):
    made = [compare(spoiled(derived(seed), Random(seed))) for seed in seeds]
    share = {kind: made.count(kind) / len(made) for kind in set(made)}
    assert share["valid"] > 0.1
    assert share["invalid"] > 0.4
    assert share.get("liberty", 0) + share.get("reserved", 0) < 0.05


@SEEDS
def test_the_parser_and_the_productions_of_the_page_agree(seeds):
    for seed in seeds[: len(seeds) // 6]:
        text = derived(seed)
        assert told(text) or len(text) > texts.LONGEST, text
        check_the_parser(text)
        check_the_parser(spoiled(text, Random(seed)))


def test_the_productions_of_the_page_make_every_golden_text():
    """So that none is missing, which a text derived from them could not show."""
    golden = json.loads((Path(__file__).parents[1] / "data" / "texts.json").read_text("ascii"))
    assert all(told(row["text"]) for row in golden["texts"])
    for row in golden["texts"] + golden["invalid"]:
        check_the_parser(row["text"])


def test_the_tokens_are_the_literals_of_the_page():
    random = Random(0)
    pieces = ["0", "1", "7", ".", "e", "E", "+", "-", "_", "a", "'", '"', " ", "~"]
    seen = dict.fromkeys(LITERALS, 0)
    for _ in range(3000):
        text = "".join(random.choice(pieces) for _ in range(random.randrange(1, 6)))
        for kind in LITERALS:
            one = _tokens(text) == [(kind, text)]
            assert Teller(text).fits(kind) == one, (kind, text)
            seen[kind] += one
    assert min(seen.values()) > 10, seen


def _tokens(text: str) -> list[texts.Token]:
    try:
        return texts.tokens_of(text)[:-1]
    except texts.Invalid:
        return []


def test_derived_texts_take_every_production():
    taken = dict.fromkeys(RULES, 0)

    class Counting(Writer):
        def derive(self, rule: str, depth: int = 0) -> str:
            if rule in taken:
                taken[rule] += 1
            return super().derive(rule, depth)

    for seed in range(500):
        Counting(Random(seed), NAMES).derive("text")
    assert min(taken.values()) > 10, taken


@pytest.mark.parametrize(
    "text",
    [
        "normal(1_0)",
        "normal(0x10)",
        "he_normal(layout=r'keras')",
        "he_normal(layout='''keras''')",
        "he_normal(layout='ker\\x61s')",
        "he_normal(layout='ker' 'as')",
        "normal(1  # one\n)",
        "normal(\\\n1)",
        "(normal)(1)",
        "(normal(1))",
        "normal((sqrt)(4))",
        "normal(7.5 // 2)",
        "normal(7.5 % 2)",
    ],
)
def test_what_is_read_beyond_the_grammar_is_what_the_page_lists(text):
    assert compare(text) == "liberty"
    assert fi.scheme(text)


@pytest.mark.parametrize(
    "nested",
    ["({})", "sqrt({})", "-{}", "+{}", "1+{}", "{}+1", "{}**1", "1**{}", "-({})", "1*(1+{})"],
)
def test_texts_of_90_levels_are_read(nested):
    levels = sum(nested.count(sign) for sign in ("(", "+", "-", "**", "1*("))
    text = "1"
    for _ in range(90 // levels):
        text = nested.format(text)
    assert compare(f"normal({text})") == "valid"


def test_tuples_of_90_levels_are_read():
    for opened, closed in ("[]", "()"):
        assert compare(f"f({opened * 90}{closed * 90})") == "valid"


def test_a_thousand_characters_are_read_and_one_more_is_not():
    assert compare(f"normal(1{' ' * 991})") == "valid"
    assert compare(f"normal(1{' ' * 992})") == "invalid"


# ---- what fastinit writes -----------------------------------------------------------------------


@settings(deadline=None)
@given(every_call)
def test_a_written_text_is_the_pages_and_is_read_as_the_same_arguments(made):
    name, arguments = made
    if name == "auto":
        return
    text = text_of(scheme_from(name, arguments))
    again, full = call(text)
    assert written(again, full) == text
    assert again == name
    defaults = SIGNATURES[name].defaults
    for key, value in arguments.items():
        if isinstance(full[key], float):
            assert full[key] == value + 0.0
        elif name not in COMPOUNDS and name not in TABLES:
            assert full[key] == value
    for key in full.keys() - arguments.keys():
        assert full[key] == defaults[key]


def test_a_written_value_is_short():
    assert [
        value_text(value) for value in (0.5, 2.0, -0.0, 2.0**53, 1e-7, math.inf, -math.inf)
    ] == [*("0.5", "2", "0", "9007199254740992.0", "1e-07", "inf", "-inf")]
    assert [value_text(value) for value in ((), (1,), (1, -2), True, None, "jax", -7)] == [
        *("()", "(1,)", "(1, -2)", "True", "None", "'jax'", "-7")
    ]
