# SPDX-License-Identifier: MIT
"""The page of pictures names every script and figure, and says what its figures show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SCRIPTS = DOCS / "pictures"
PAGE = (DOCS / "pictures.md").read_text("utf-8")
IMAGE = re.compile(r"!\[([^\]]*)\]\((figures/\w+\.png)\)")
IMAGES = {path: " ".join(words.split()) for words, path in IMAGE.findall(PAGE)}


def test_the_page_names_every_script():
    scripts = {path.stem for path in SCRIPTS.glob("*.py")} - {"style"}
    assert scripts == set(re.findall(r"docs/pictures/(\w+)\.py", PAGE))


@pytest.mark.parametrize("path", IMAGES)
def test_a_picture_is_described_and_small(path):
    assert (DOCS / path).stat().st_size < 150_000
    assert len(IMAGES[path].split()) > 15


@pytest.mark.parametrize("path", IMAGES)
def test_a_picture_is_drawn_by_the_script_of_its_name(path):
    text = (SCRIPTS / f"{Path(path).stem}.py").read_text("utf-8")
    assert f'OUT = style.FIGURES / "{Path(path).name}"' in text


def test_the_page_gives_the_numbers_that_the_picture_of_the_limit_shows():
    results = DOCS.parent / "benchmarks/results"
    script = (SCRIPTS / "memory_limit.py").read_text("utf-8")
    threads, device = (
        json.loads((results / name).read_text("utf-8"))
        for name in re.findall(r'RESULTS / "(.*?)"', script)
    )
    kinds = {row["kind"]: row for row in device["fills"] if row["dtype"] == "float32"}
    chosen = [kinds[name] for name in ("uniform", "normal", "truncated, symmetric")]
    for name in ("fastinit", "torch"):
        speeds = [round(row["count"] / row["seconds"][name] / 1e9) for row in chosen]
        assert "{}, {} and {}".format(*speeds) in IMAGES["figures/memory_limit.png"]
    table = {"H100": [row["of memset"] for row in chosen]}
    for number in (1, 4, 16):
        race = threads["threads"][str(number)]
        names = (f"{kind} float32" for kind in ("uniform", "normal", "truncated normal"))
        title = f"{number} thread{'s' * (number > 1)}"
        table[title] = [race[name]["of_memset"] for name in names]
    for title, shares in table.items():
        assert "| {} | {:.2f} | {:.2f} | {:.2f} |".format(title, *shares) in PAGE
