# SPDX-License-Identifier: MIT
"""What the how-to pages show runs.  Pages of a framework's room have tests of their own."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
ELSEWHERE = {
    "torch": "documentation/test_torch_page.py",
    "transformers": "documentation/test_transformers_page.py",
    "jax": "documentation/test_jax_page.py",
    "keras": "keras3/test_keras_examples.py",
    "engines": "engines/test_dispatch.py",
}
"""Pages whose examples another test runs."""

WITHOUT_PROMPTS = {
    "gpu": "CuPy and a card",
    "object-stores": "an object store; tests/checkpoints/test_object_stores.py has one",
    "numba": "run below",
    "own-distribution": "run below",
    "tracking": "run below",
}
"""Pages with Python that is no session, and what it needs."""


def blocks_of(name):
    """The blocks of Python on a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / name).read_text("utf-8"), re.DOTALL)


PAGES = sorted(
    path.stem
    for path in (DOCS / "howto").glob("*.md")
    if path.stem not in ELSEWHERE and any(">>>" in block for block in blocks_of(path))
)


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page_run_and_print_what_it_says(name):
    found = doctest.testfile(str(DOCS / f"howto/{name}.md"), module_relative=False)
    assert found.attempted >= 5
    assert found.failed == 0


def test_every_page_is_run_somewhere():
    """Or says why not, above."""
    names = {path.stem for path in (DOCS / "howto").glob("*.md")}
    unrun = {
        name
        for name in names - set(ELSEWHERE)
        if any(">>>" not in block for block in blocks_of(f"howto/{name}.md"))
    }
    assert unrun == set(WITHOUT_PROMPTS)
    assert names == {*ELSEWHERE, *PAGES, *WITHOUT_PROMPTS, "backends"}  # which has no Python
    for name, test in ELSEWHERE.items():
        assert f"howto/{name}.md" in (DOCS.parent / "tests" / test).read_text("utf-8")


def test_the_example_of_the_index_runs():
    (block,) = blocks_of("index.md")
    exec(block, {})


def test_the_benchmarks_of_the_page_about_tracking_run():
    (block,) = blocks_of("howto/tracking.md")
    names = {}
    exec(block.replace("4096", "64"), names)
    calls = [name for name in names if name.startswith("test_")]
    assert calls == ["test_a_layer", "test_a_copy"]
    for name in calls:
        names[name](lambda function, *args, **kwargs: function(*args, **kwargs))


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["numba", "own-distribution"])
def test_the_code_of_a_page_about_numba_runs(name, tmp_path, monkeypatch):
    """In a module, as the page says: a distribution of no module cannot be written."""
    pytest.importorskip("numba")
    blocks = [block for block in blocks_of(f"howto/{name}.md") if "cuda" not in block]
    assert blocks
    module = f"page_{name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text("\n".join(blocks))
    monkeypatch.syspath_prepend(tmp_path)
    __import__(module)
