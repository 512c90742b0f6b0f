# SPDX-License-Identifier: MIT
"""The expression language against Python's own arithmetic, and against hostile texts."""

import ast
import contextlib
import math
import random
import sys
import threading
import time
import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastinit.schemes.expressions import evaluate, evaluate_tuple, parse_call
from fastinit.suggestions import suggestion

SIZES = {"width": 768, "heads": 12, "layers": 48, "half": 0.5}

numbers = st.one_of(
    st.integers(0, 2**64).map(str),
    st.floats(0, 1e100).map(repr),
    st.sampled_from(sorted(SIZES)),
)


def compound(inner):
    """Texts one level above `inner`, with and without parentheses, so that precedence is tested."""
    binary = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(" ".join)
    unary = st.tuples(st.sampled_from("+-"), inner).map("".join)
    power = st.tuples(st.integers(0, 2**32).map(str), st.integers(0, 4).map(str)).map("**".join)
    root = inner.map("sqrt({})".format)
    return st.one_of(binary, unary, power, root, inner.map("({})".format))


def bits(value):
    return value if isinstance(value, int) else value.hex()


def outcome(call, *errors):
    """What `call` returns, or the error of the kinds given that it raises."""
    try:
        return call()
    except errors as error:
        return error


@given(st.recursive(numbers, compound, max_leaves=12))
def test_expressions_have_the_value_python_gives_them(text):
    python = {"__builtins__": {}, "sqrt": math.sqrt}
    expected = outcome(lambda: eval(text, python, SIZES), ArithmeticError, ValueError)
    found = outcome(lambda: evaluate(text, SIZES), ValueError)
    assume("beyond 2**128" not in str(found))  # Python has no such bounds, nor within a text
    assume("is not a finite number" not in str(found))
    if isinstance(expected, Exception):
        assert isinstance(found, ValueError)
    else:
        assert (type(found), bits(found)) == (type(expected), bits(expected))


@given(st.text() | st.text("0123456789.()+-*/%eEjx_ sqrt,'\"[]{}:=\n\\#", max_size=40))
@pytest.mark.parametrize("read", [evaluate, evaluate_tuple, parse_call])
def test_no_text_raises_anything_but_a_value_error(read, text):
    outcome(lambda: read(text, SIZES), ValueError)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        (" 1 ", 1),
        ("0x10", 16),
        ("2*width", 1536),
        ("width//heads", 64),
        ("width/heads", 64.0),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("-2**2", -4),
        ("2**-2", 0.25),
        ("10**-3", 0.001),
        ("3**2**2", 81),
        ("0**0", 1),
        ("0.5**0", 1.0),
        ("1.1**2", 1.1 * 1.1),
        ("1.1**3", 1.1 * 1.1 * 1.1),
        ("(-1)**1023", -1),
        ("2**127", 2**127),
        ("sqrt(16)", 4.0),
        ("0.02/sqrt(2*layers)", 0.02 / math.sqrt(96)),
        ("(\n1 +\n2\n)", 3),
    ],
)
def test_an_expression_has_its_value_and_its_type(text, value):
    found = evaluate(text, SIZES)
    assert (type(found), found) == (type(value), value)


def test_powers_are_repeated_products_whatever_the_system():
    product = 1.0
    for exponent in range(1, 200):
        product *= 0.9999999999999997
        assert evaluate(f"0.9999999999999997**{exponent}") == product


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("1 +", "cannot be read"),
        ("1if 1 else 2", "cannot be read"),
        ("width = 2", "cannot be read"),
        ("1; 2", "cannot be read"),
        ("widht", "unknown size 'widht'; known sizes: half, heads, layers, width; did you mean"),
        ("sqrt", "unknown size 'sqrt'"),
        ("__import__('os')", r"is not allowed; use numbers, names of sizes"),
        ("width.__class__", "'width.__class__' is not allowed"),
        ("width[0]", "'width\\[0\\]' is not allowed"),
        ("(lambda: 1)()", "is not allowed"),
        ("[1 for _ in width]", "is not allowed"),
        ("f'{width}'", "is not allowed"),
        ("'1'", "is not allowed"),
        ("'a' * 9", "'\\\\'a\\\\'|\"'a'\" is not allowed"),
        ("b'1'", "is not allowed"),
        ("1j", "'1j' is not allowed"),
        ("True", "'True' is not allowed"),
        ("None", "'None' is not allowed"),
        ("...", "is not allowed"),
        ("1 < 2", "'1 < 2' is not allowed"),
        ("1 if 2 else 3", "is not allowed"),
        ("1 and 2", "is not allowed"),
        ("not 1", "'not 1' is not allowed"),
        ("~1", "'~1' is not allowed"),
        ("1 << 9", "'1 << 9' is not allowed"),
        ("1 @ 2", "'1 @ 2' is not allowed"),
        ("(x := 1)", "is not allowed"),
        ("1, 2", "'1, 2' is not allowed"),
        ("max(1, 2)", "is not allowed"),
        ("sqrt()", "'sqrt\\(\\)' is not allowed"),
        ("sqrt(1, 2)", "is not allowed"),
        ("sqrt(x=1)", "is not allowed"),
        ("sqrt(*width)", "is not allowed"),
        ("1 / 0", "'1 / 0' divides by zero"),
        ("1 % (2 - 2)", "divides by zero"),
        ("0.0 ** -1", "divides by zero"),
        ("sqrt(-4)", "root of a negative number, -4"),
        ("width**0.5", r"for x\*\*0.5 write sqrt\(x\)"),
        ("2**2.0", "an exponent that is not a whole number"),
        ("1**1025", "an exponent beyond 1024"),
        ("9**9**9", "exponent beyond 1024"),
        ("2**128", r"'2\*\*128' is beyond 2\*\*128"),
        ("10**-999", r"beyond 2\*\*128"),
        ("2**127 * 2**127", r"beyond 2\*\*128"),
        ("9" * 900, r"beyond 2\*\*128"),
        ("1e999", "'1e999' is not a finite number"),
        ("1e308 * 10", "is not a finite number"),
        ("10.0**999", "is not a finite number"),
        ("10.0**-999", "is not a finite number"),
        ("1" * 1001, "1001 characters are too many; at most 1000"),
        ("é", "only printable ASCII"),
        ("1\0", "only printable ASCII"),
        ("\ud800", "only printable ASCII"),
        ("-" * 150 + "1", "nested too deeply; at most 100 levels"),
        ("-" * 999 + "1", "nested too deeply; at most 100 levels"),
        ("1" + "+1" * 120, "nested too deeply"),
        ("(" * 450 + "1" + ")" * 450, "cannot be read"),
    ],
)
def test_a_text_outside_the_language_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        evaluate(text, SIZES)


@pytest.mark.parametrize("failure", [MemoryError, RecursionError])
def test_a_text_that_overflows_the_parser_is_refused(monkeypatch, failure):
    def parse(*_, **__):
        raise failure

    monkeypatch.setattr(ast, "parse", parse)
    with pytest.raises(ValueError, match="nested too deeply"):
        evaluate("1")


@pytest.mark.parametrize(
    "text",
    ["9**9**9", "9**(9**(9**9))", "1" * 10**7, "(" * 10**7, "'a' * 9**9", "-" * 10**7],
    ids=lambda text: text[:20],
)
def test_a_hostile_text_is_refused_at_once(text):
    begin = time.perf_counter()
    with pytest.raises(ValueError, match=r"exponent|characters|not allowed"):
        evaluate(text)
    assert time.perf_counter() - begin < 5  # a thousandth of that, on a machine that is not busy


def test_a_message_quotes_the_text_and_says_what_it_was_for():
    with pytest.raises(ValueError, match=r"^shape 'width/0': 'width/0' divides by zero$"):
        evaluate("width/0", SIZES, what="shape")
    with pytest.raises(ValueError, match=r"^expression '1 \+': "):
        evaluate("1 +")


def test_a_long_text_is_quoted_in_part():
    with pytest.raises(ValueError, match="are too many") as caught:
        evaluate("1" * 10**6)
    assert len(str(caught.value)) < 300


def test_no_names_are_said_to_be_none():
    with pytest.raises(ValueError, match=r"unknown size 'width'; known sizes: none$"):
        evaluate("width")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("()", ()),
        ("(width,)", (768,)),
        ("(width)", (768,)),
        ("width", (768,)),
        ("(3 * width, heads)", (2304, 12)),
        ("3 * width, heads", (2304, 12)),
        ("[width, half]", (768, 0.5)),
    ],
)
def test_a_tuple_has_one_value_for_each_expression(text, values):
    assert evaluate_tuple(text, SIZES) == values


def test_a_tuple_within_a_tuple_is_refused():
    with pytest.raises(ValueError, match=r"shape '\(\(1, 2\), 3\)': '\(1, 2\)' is not allowed"):
        evaluate_tuple("((1, 2), 3)")


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("he_normal", ("he_normal", (), {})),
        ("he_normal()", ("he_normal", (), {})),
        ("constant(1)", ("constant", (1,), {})),
        ("constant(-1)", ("constant", (-1,), {})),
        ("normal(std=half/2)", ("normal", (), {"std": 0.25})),
        ("variance_scaling(2.0, \"fan_in\", 'x')", ("variance_scaling", (2.0, "fan_in", "x"), {})),
        ("f(None, a=True, b=False)", ("f", (None,), {"a": True, "b": False})),
        ("f(axes=(0, -1), more=[1, (2, 3)])", ("f", (), {"axes": (0, -1), "more": (1, (2, 3))})),
        ("f(sqrt(4), sqrt=1)", ("f", (2.0,), {"sqrt": 1})),
    ],
)
def test_a_call_is_its_name_and_its_arguments(text, call):
    assert parse_call(text, SIZES) == call


def test_an_infinite_name_is_an_argument_but_never_part_of_arithmetic():
    infinite = {"inf": math.inf}
    assert parse_call("f(-inf, high=inf)", infinite) == ("f", (-math.inf,), {"high": math.inf})
    for text in ("f(inf + 1)", "f(1 / inf)", "f(- -inf)", "f(sqrt(inf))"):
        with pytest.raises(ValueError, match="'inf' is not a finite number"):
            parse_call(text, infinite)
    with pytest.raises(ValueError, match="'inf' is not a finite number"):
        evaluate("inf", infinite)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float_gives_its_bits_back(value):
    assert parse_call(f"constant({value!r})")[1][0].hex() == value.hex()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1", "write a scheme as name or name"),
        ("True", "write a scheme as name or name"),
        ("a.b()", "write a scheme as name or name"),
        ("a()()", "write a scheme as name or name"),
        ("a() + b()", "write a scheme as name or name"),
        ("f(*width)", r"'\*width' is not allowed"),
        ("f(**width)", r"\*\* is not allowed; write every argument out"),
        ("f(a=1, a=2)", "argument 'a' is given twice"),
        ("f(a.b:c=1)", "'a.b:c' cannot be the name of an argument"),
        ("f(g() + 1)", r"'g\(\)' is not allowed"),
        ("f(-g())", r"'g\(\)' is not allowed"),
        ("f(inf())", r"'inf\(\)' is not allowed"),
        ("f({1: 2})", "is not allowed"),
        ("f(x for x in width)", "is not allowed"),
        ("f(True + 1)", "'True' is not allowed"),
        ("f('a' + 'b')", "is not allowed"),
        ("f(a='\\x')", "cannot be read"),
        ("f(a=1, 2)", "cannot be read"),
        ("he normal", "cannot be read"),
        ("normal(std=0.02/layer)", "unknown size 'layer'; known sizes: .*; did you mean 'layers'"),
    ],
)
def test_a_text_that_is_no_call_is_refused(text, words):
    with pytest.raises(ValueError, match=words) as caught:
        parse_call(text, SIZES)
    assert str(caught.value).startswith("init ")


def test_a_suggestion_names_what_is_close_and_nothing_else():
    assert suggestion("layer", ["layers", "width"]) == "; did you mean 'layers'?"
    assert suggestion("zzz", ["layers", "width"]) == ""


WARNED_OF = [
    "1if 1 else 2",
    "0x1for x in y",
    "[1for x in y]",
    "1.or 2",
    "1e5in x",
    "0b1and 1",
    "1jif 1 else 2",
    r"f('\d')",
    r"f('''a\
\d''')",
    r"f(u'\ ')",
    r"f('\777')",
    r"f(b'\d')",
    r"f(f'\d')",
]


@pytest.mark.parametrize("text", WARNED_OF)
def test_what_python_would_warn_of_is_refused_without_a_warning(text):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match=r"cannot be read|is not allowed"):
            parse_call(text)
    assert not seen


@pytest.mark.parametrize(
    "text",
    [
        "f('1if', h1if)",
        "f('1if' # 1if\n)",
        r"f(r'\d')",
        r"f('\x61\'\\\61\n', 1_000, 0xfF)",
        "f(.5e-3)",
    ],
)
def test_what_only_looks_so_is_read(text):
    assert parse_call(text, {"h1if": 3})[0] == "f"


def test_random_texts_give_no_warning():
    dice = random.Random(8)
    pieces = [
        "1",
        "0x1",
        ".",
        "e",
        "if",
        "or",
        "in ",
        "for",
        "'",
        '"',
        "'''",
        "\\",
        "d",
        "b",
        "r",
        "f",
    ]
    pieces += ["#", "\n", "\r", "(", ")", ",", " ", "x", "7", "else", "_", "{", "}"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(30_000):
            text = "f(" + "".join(dice.choices(pieces, k=dice.randrange(1, 8))) + ")"
            with contextlib.suppress(ValueError):
                parse_call(text, {"x": 1})


def test_threads_that_read_texts_leave_the_warning_filters_as_they_were():
    before = list(warnings.filters)

    def read():
        for _ in range(300):
            parse_call("normal(std=0.02)")

    threads = [threading.Thread(target=read) for _ in range(6)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert list(warnings.filters) == before
