# SPDX-License-Identifier: MIT
"""`help` of a public function needs no second page: shared text stands in each docstring."""

from __future__ import annotations

import builtins
import doctest
import importlib
import inspect
import re
import subprocess
import sys

import pytest

import fastinit as fi
from fastinit import checkpoints
from fastinit.docstrings import completed, shares, with_entry

FUNCTIONS = {
    **{name: getattr(fi, name) for name in (*fi.__all__, "open")},
    **{f"schemes.{name}": getattr(fi.schemes, name) for name in fi.schemes.__all__},
    "checkpoints.write_shard": checkpoints.write_shard,
}
FUNCTIONS = {name: thing for name, thing in FUNCTIONS.items() if inspect.isfunction(thing)}
SCHEMES = {
    name: thing
    for name, thing in FUNCTIONS.items()
    if name.startswith("schemes.") and name not in ("schemes.gain", "schemes.scheme")
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)

FILL = """Fill.

    Args:
        out: where to.
        seed, name: of the stream,
            as always.

            >>> never
        threads: how many.

    Raises:
        ValueError: a seed
            out of range.
        ValueError: no threads.

    >>> fill()
    """


def fill():
    """Its docstring is FILL."""


fill.__doc__ = FILL


def rendered(name):
    """What `help` shows, in lines."""
    return inspect.getdoc(FUNCTIONS[name]).split("\n")


def section(lines, heading):
    """The lines of a section, without indentation; none if there is no such section."""
    if f"{heading}:" not in lines:
        return []
    body = []
    for line in lines[lines.index(f"{heading}:") + 1 :]:
        if line and not line.startswith("    "):
            break
        body.append(line[4:])
    return body


def entries(lines, heading):
    """The names before the colons of a section's entries."""
    starts = [line for line in section(lines, heading) if line and not line.startswith(" ")]
    return [name for start in starts for name in start.partition(":")[0].split(", ")]


def test_the_functions_are_found():
    """Or the tests below would be of nothing."""
    assert {"fill", "open", "write", "schemes.fixup", "checkpoints.write_shard"} < set(FUNCTIONS)
    assert len(SCHEMES) > 50


@every_function
def test_help_describes_every_argument_once_and_in_order(name):
    assert entries(rendered(name), "Args") == list(inspect.signature(FUNCTIONS[name]).parameters)


@every_function
def test_help_says_what_is_raised_by_names_that_can_be_caught(name):
    raised = entries(rendered(name), "Raises")
    assert raised or name == "presets"
    for error in raised:
        kind = getattr(fi.errors, error, None) or getattr(builtins, error)
        assert issubclass(kind, Exception)


@pytest.mark.parametrize("name", SCHEMES)
def test_help_of_a_scheme_says_what_every_scheme_raises(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    text = "\n".join(section(rendered(name), "Raises"))
    assert text.count("TypeError:") == 1
    assert "TypeError: an argument is " in text
    if "packed" in parameters:
        assert "groups or packed that do not divide" in " ".join(text.split())


CATCHABLE = {
    "fans": [(("x",), {}), (((2, 3),), {"bad": 1}), ((3,), {})],
    "fill": [((None, "zeros"), {"seed": 0, "name": "w"})],
    "array": [
        (((2,), "zeros"), {"seed": "0", "name": "w"}),
        (((2,), "zeros"), {"seed": -1, "name": "w"}),
        (((2,), "zeros"), {"seed": 0, "name": "w", "region": 2}),
    ],
    "stream": [((0, 1), {}), ((-1, "w"), {})],
    "philox4x32": [((("a",) * 4, (0, 0)), {}), (((0,) * 3, (0, 0)), {})],
    "plan": [((3,), {}), (("/nowhere/plan.toml",), {})],
    "scheme": [((3,), {}), (("he_norml",), {})],
    "write": [
        (("gpt2", 3), {"seed": 0}),
        (("gpt2", ""), {"seed": 0}),
        (("/nowhere/plan.toml", "x"), {"seed": 0}),
    ],
    "verify": [((3,), {}), (("",), {}), (("/nowhere",), {})],
    "open": [((3,), {}), (("",), {}), (("/nowhere",), {})],
    "zeros": [((1,), {})],
    "schemes.gain": [(("leaky_relu", "x"), {}), (("relu", 1.0), {})],
    "checkpoints.write_shard": [((3, "x"), {}), (({}, "x"), {})],
}


@pytest.mark.parametrize("name", CATCHABLE)
def test_help_names_what_a_broken_call_raises(name):
    lines = rendered(name)
    for args, kwargs in CATCHABLE[name]:
        with pytest.raises((TypeError, ValueError, IndexError, OSError)) as caught:
            FUNCTIONS[name](*args, **kwargs)
        assert type(caught.value).__name__ in "\n".join(section(lines, "Raises")), caught.value


@every_function
def test_help_sends_the_reader_to_no_other_function_for_arguments_or_errors(name):
    lines = rendered(name)
    text = "\n".join(lines)
    assert not re.search(r"\b[Aa]s for\b|\bAs `|[Ss]ee `fastinit\.", text)
    told = " ".join(section(lines, "Args") + section(lines, "Raises"))
    assert set(re.findall("see `(.*?)`", told)) <= {"presets"}


@pytest.mark.parametrize("name", SCHEMES)
def test_help_of_a_scheme_links_the_papers_it_cites(name):
    """A link for each year in parentheses."""
    text = "\n".join(section(rendered(name), "Source"))
    assert text
    links = len(re.findall(r"arXiv:|doi:|https://", text))
    assert len(re.findall(r"\(\d{4}\)", text)) <= links


@every_function
def test_help_fits_a_terminal_of_100_columns(name):
    assert max(map(len, rendered(name))) <= 96  # `help` indents it by 4


@every_function
def test_help_is_indented_as_it_was_written(name):
    """Sections are headings and entries at two depths, so that tools can parse them."""
    for heading in ("Args", "Raises"):
        for line in section(rendered(name), heading):
            assert re.match(r"\S|    \S|$", line), line


def test_every_example_of_a_public_function_runs_once():
    modules = {thing.__module__ for thing in FUNCTIONS.values()}
    finder = doctest.DocTestFinder()
    tests = [test for name in modules for test in finder.find(importlib.import_module(name))]
    found = [test.name for test in tests for example in test.examples]
    for name, thing in FUNCTIONS.items():
        own = [f"{thing.__module__}.{thing.__name__}"] * thing.__doc__.count(">>> ")
        assert [key for key in found if key in own] == own, name


def test_a_reference_becomes_the_text_indented_as_the_reference_is():
    docstring = "Do.\n\n    Args:\n        shape: s.\n        seed, ..., threads: as for `fill`.\n"
    assert completed(docstring, {"fill": fill}) == (
        "Do.\n\n    Args:\n        shape: s.\n"
        "        seed, name: of the stream,\n            as always.\n\n            >>> never\n"
        "        threads: how many.\n"
    )
    deeper = docstring.replace("\n    ", "\n        ")
    assert "\n                as always.\n" in completed(deeper, {"fill": fill})


def test_a_reference_takes_the_entries_of_its_own_section():
    docstring = "Array.\n\n    Raises:\n        ValueError: as for `fill`.\n        KeyError: k.\n"
    assert completed(docstring, {"fill": fill}) == (
        "Array.\n\n    Raises:\n        ValueError: a seed\n            out of range.\n"
        "        ValueError: no threads.\n        KeyError: k.\n"
    )


def test_a_reference_to_all_is_the_whole_section():
    docstring = "Array.\n\n    Args:\n        all: as for `fill`.\n\n    >>> 1\n"
    body = FILL[FILL.index("        out") : FILL.index("\n\n    Raises")]
    assert completed(docstring, {"fill": fill}) == f"Array.\n\n    Args:\n{body}\n\n    >>> 1\n"


def test_a_docstring_whose_indentation_python_removed_is_completed():
    """As Python 3.13 and later do when they compile."""

    def source():
        pass

    source.__doc__ = inspect.cleandoc(FILL)
    found = completed("Array.\n\nRaises:\n    all: as for `source`.\n\n>>> 1", {"source": source})
    assert found == (
        "Array.\n\nRaises:\n    ValueError: a seed\n        out of range.\n"
        "    ValueError: no threads.\n\n>>> 1"
    )
    assert with_entry(found, "Raises", "KeyError: k.").startswith(
        "Array.\n\nRaises:\n    KeyError: k.\n    ValueError: a seed\n"
    )


def test_a_decorated_function_has_the_text_and_stays_itself():
    def function():
        """Do.

        Args:
            out: as for `fill`.
        """

    assert shares(fill)(function) is function
    assert "out: where to." in function.__doc__


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("seed: as for `fill`.", KeyError, "Args has no entry seed to refer to"),
        ("x, ..., threads: as for `fill`.", KeyError, r"Args has no entry \.\.\., x"),
        ("seed, ..., x: as for `fill`.", KeyError, "Args has no entry"),
        ("seed: as for `full`.", KeyError, "full"),
        ("seed: as for `fill`, but even.", ValueError, "must end after the function's name"),
    ],
)
def test_a_wrong_reference_is_an_error(line, error, words):
    with pytest.raises(error, match=words):
        completed(f"Do.\n\n    Args:\n        {line}\n", {"fill": fill})


def test_a_reference_outside_a_section_is_an_error():
    with pytest.raises(ValueError, match="must be in a section, such as Args"):
        completed("Do.\n\n    seed: as for `fill`.\n", {"fill": fill})


def test_a_reference_to_a_section_that_does_not_exist_is_an_error():
    with pytest.raises(KeyError, match="no section 'Returns' to refer to"):
        completed("Do.\n\n    Returns:\n        all: as for `fill`.\n", {"fill": fill})


def test_an_entry_is_added_once_and_only_to_a_section_that_exists():
    docstring = "Do.\n\n    Raises:\n        KeyError: k.\n"
    added = with_entry(docstring, "Raises", "TypeError: t.")
    assert added == "Do.\n\n    Raises:\n        TypeError: t.\n        KeyError: k.\n"
    assert with_entry(added, "Raises", "TypeError: another.") == added
    assert with_entry("Do.", "Raises", "TypeError: t.") == "Do."


def test_python_without_docstrings_imports_everything():
    code = (
        "import fastinit as fi; from fastinit.checkpoints import write_shard\n"
        "print({f.__doc__ for f in (fi.he_normal, fi.fans, fi.array, write_shard)})\n"
        "print(fi.array((2,), fi.schemes.selu_normal(layout='keras'), seed=0, name='w').shape)"
    )
    done = subprocess.run(
        [sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "{None}\n(2,)\n"
