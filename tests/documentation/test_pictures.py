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
    rows = json.loads((DOCS / "figures/device.json").read_text("utf-8"))["fills"]
    kinds = {row["kind"]: row for row in rows if row["dtype"] == "float32"}
    chosen = [kinds[name] for name in ("uniform, inside", "normal", "truncated, symmetric")]
    for name in ("fastinit", "torch"):
        speeds = [round(row["count"] / row["seconds"][name] / 1e9) for row in chosen]
        assert "{}, {} and {}".format(*speeds) in IMAGES["figures/memory_limit.png"]
    cores = json.loads((DOCS / "figures/cores.json").read_text("utf-8"))["rows"]
    text = " ".join(PAGE.split("## The limit of memory")[1].split())
    shares = cores[-1]["of memset"].values()
    assert f"{min(shares):.2f} to {max(shares):.2f}" in text
    assert f"normals at {cores[0]['of memset']['normal']:.2f}" in text
    of = "uniforms reach {:.2f} of memset, normals {:.2f}, and truncated normals {:.2f}"
    assert of.format(*(row["of memset"] for row in chosen)) in text
