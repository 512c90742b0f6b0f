# SPDX-License-Identifier: MIT
"""Recipes as text: what is read back, and what is refused.  Whether files fit them: test_verify."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinit.checkpoints.recipe import Recipe


def recipe_text(**changes):
    """The text of a good recipe, but for the changes."""
    fields = {"stream": 1, "seed": 0, "plan": "", "digest": "a" * 64, "init": {}}
    return json.dumps({**fields, **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the end of the text is not a JSON object"),
        ("{", "the end of the text is not a text, a number or a table of texts"),
        ("[" * 100_000, r"is not a JSON object"),
        ("[]", r"'\[\]' is not a JSON object"),
        ('{"stream":1}', "exactly the fields stream, seed, plan, digest, init"),
        ('{"stream":1,"seed":true,"plan":""}', "'\"seed\":true.*' is not a text, a number"),
        ('{"stream":1,"seed":-1,"plan":""}', "'\"seed\":-1.*' is not a text, a number"),
        (recipe_text(stream="1"), "its stream is not of type int"),
        (recipe_text(stream=0), "its stream is 0: versions begin at 1"),
        (recipe_text(stream=2), "version 2, but this fastinit knows"),
        (recipe_text(seed=2**64), "seed is 18446744073709551616"),
        (
            recipe_text(plan="\x1b[2K"),
            r"a plan has the name '\\x1b\[2K'; use at most 256 printable",
        ),
        (recipe_text(plan="a" * 257), "use at most 256 printable characters"),
        (recipe_text(digest="\x1b[2K"), r"digest is '\\x1b\[2K': 64 hexadecimal digits are needed"),
        (recipe_text(digest="A" * 64), "64 hexadecimal digits are needed"),
        (recipe_text(init={"a": 1}), "is not a pair of texts"),
        (recipe_text(init="zeros()"), "its init is not of type dict"),
        (recipe_text(refilled={}), "its refilled is empty"),
        (recipe_text(refilled=1), "its refilled is not of type dict"),
        (recipe_text(refilled={"a": "1"}), r"refilled tensors have no init: \['a'\]"),
        (recipe_text(init={"a": "ones()"}, refilled={"a": 1}), "is not a pair of texts"),
        *(
            (recipe_text(init={"a": "ones()"}, refilled={"a": seed}), message)
            for seed, message in {
                "": "'a' was refilled with seed ''",
                "-1": "'a' was refilled with seed '-1'",
                "01": "'a' was refilled with seed '01'",
                "\u0661": "'a' was refilled with seed",
                "9" * 5000: "'a' was refilled with seed '9",
                str(2**64): "seed is 18446744073709551616",
            }.items()
        ),
        (recipe_text(digest=""), "digest is empty, which only a recipe with seed 0 and no plan"),
        (
            recipe_text(digest="", init={"a": "ones()", "b": "ones()"}, refilled={"a": "1"}),
            "whose tensors were all refilled",
        ),
        (
            recipe_text(digest="", plan="x", init={"a": "ones()"}, refilled={"a": "1"}),
            "only a recipe with seed 0 and no plan",
        ),
        (
            recipe_text(digest="", seed=1, init={"a": "ones()"}, refilled={"a": "1"}),
            "only a recipe with seed 0 and no plan",
        ),
        (recipe_text()[:-1] + ',"seed":0}', "key 'seed' appears twice"),
        (recipe_text()[:-1] + "x", "stands where a comma or a brace is needed"),
        (recipe_text() + "x", "'x' follows the end of the object"),
        (recipe_text(init={}).replace("{}", '{"a":"b","a":"b"}'), "key 'a' appears twice"),
    ],
    ids=lambda text: text[:60],
)
def test_a_recipe_that_is_none_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Recipe.parse(text)


def test_a_recipe_on_lines_is_read_too():
    fields = json.loads(recipe_text(init={"a": "ones()"}))
    assert Recipe.parse(json.dumps(fields, indent=2)) == Recipe.parse(json.dumps(fields))


def test_a_recipe_survives_the_trip_through_text():
    recipe = Recipe(2**64 - 1, "gpt2", "ab" * 32, {"größe": "zeros()"})
    assert Recipe.parse(recipe.text()) == recipe
    assert "refilled" not in recipe.text()


def test_so_does_one_with_refilled_tensors():
    init = {"a": "zeros()", "größe": "ones()"}
    recipe = Recipe(3, "gpt2", "ab" * 32, init, refilled={"größe": 2**64 - 1})
    assert Recipe.parse(recipe.text()) == recipe
    assert [recipe.seed_of(name) for name in init] == [3, 2**64 - 1]
    assert recipe.of_tensors(["a"]).refilled == {}
    strange = Recipe(0, "", "", init, refilled={"a": 1, "größe": 2})
    assert Recipe.parse(strange.text()) == strange
    assert (recipe.has_plan, strange.has_plan) == (True, False)


VALUES = st.one_of(
    st.integers(-1, 2**65), st.text(max_size=9), st.dictionaries(st.text(max_size=3), st.text())
)


@given(
    st.dictionaries(
        st.sampled_from(["stream", "seed", "plan", "digest", "init", "custom", "refilled", "x"]),
        VALUES,
    ),
    st.sampled_from(["", "a" * 64]),
)
def test_whatever_is_in_its_fields_it_is_a_recipe_or_refused(fields, digest):
    good = {"stream": 1, "seed": 0, "plan": "", "digest": digest, "init": {"a": "ones()"}}
    try:
        recipe = Recipe.parse(json.dumps({**good, **fields}))
    except ValueError:
        return
    assert Recipe.parse(recipe.text()) == recipe
    assert recipe.refilled.keys() <= recipe.init.keys()
