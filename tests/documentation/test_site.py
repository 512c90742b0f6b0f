# SPDX-License-Identifier: MIT
"""The site is built without a warning, and docs/check_site.py finds nothing wrong with it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import fastinit as fi

DOCS = Path(__file__).resolve().parents[2] / "docs"


def module_of(path):
    """A module of docs/, which is not on Python's path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_site = module_of(DOCS / "check_site.py")
repository = module_of(DOCS / "extensions/repository.py")


def site_of(folder, **pages):
    """A site of these pages."""
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    return check_site.Site(folder)


# ---- pages of the repository, on the site -------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[shards](shards.md#x)", "[shards](/howto/shards.md#x)"),
        ("[shards.md](shards.md)", "[*Fill the shards of a tensor*](/howto/shards.md)"),
        (
            "[benchmarks/README.md](../../benchmarks/README.md)",
            "[*Benchmarks*](/project/benchmarks.md)",
        ),
        ("[here](../../CONTRIBUTING.md#to-add)", "[here](/project/contributing.md#to-add)"),
        ("[presets](../../fastinit/plans/presets)", "presets"),
        ("[below](#x) [a site](https://x.y/)", "[below](#x) [a site](https://x.y/)"),
    ],
)
def test_a_link_to_a_file_leads_to_its_page(link, shown):
    folder = DOCS / "howto"
    assert repository.LINK.sub(lambda found: repository.on_the_site(found, folder), link) == shown


# ---- what the check finds -----------------------------------------------------------------------


def test_links_that_lead_nowhere_are_found(tmp_path):
    site = site_of(
        tmp_path,
        one='<a href="two.html#here"></a><a href="#top"></a><a href="two.html#gone"></a>',
        two='<h1 id="here"></h1><img src="no.png"><a href="../one.html"></a><a href="https://x.y/"></a>',
    )
    assert site.broken_links() == [
        "one.html: #top",
        "one.html: two.html#gone",
        "two.html: ../one.html",
        "two.html: no.png",
    ]


def test_what_a_page_loads_from_another_server_is_found(tmp_path):
    site = site_of(
        tmp_path,
        page='<script src="https://x.y/a.js"></script><a href="https://x.y/"></a><img src="a.png">',
    )
    assert site.external_resources() == ["page.html: https://x.y/a.js"]


def test_a_name_that_is_missing_or_described_twice_is_found(monkeypatch):
    monkeypatch.setattr(check_site, "MODULES", ("fastinit", "fastinit.schemes"))
    counts = Counter(check_site.public_names())
    assert {"fastinit.open", "fastinit.schemes.he_normal"} < set(counts)
    assert len(counts) > len(fi.schemes.__all__)
    assert set(counts.values()) == {1}
    del counts["fastinit.open"]
    counts["fastinit.write"] += 1
    monkeypatch.setattr(check_site.Site, "described", lambda site: counts)
    assert check_site.not_described_once(check_site.Site(DOCS)) == [
        "fastinit.write: 2 times",
        "fastinit.open: 0 times",
    ]


# ---- the site -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with every warning an error."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run([*command, DOCS, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return check_site.Site(folder)


@pytest.mark.slow
@pytest.mark.frameworks
def test_no_link_of_the_site_is_broken_and_nothing_comes_from_elsewhere(site):
    assert len(site.pages) > 40
    assert site.broken_links() == []
    assert site.external_resources() == []


@pytest.mark.slow
@pytest.mark.frameworks
def test_every_public_name_is_described_once(site):
    assert check_site.not_described_once(site) == []


@pytest.mark.slow
@pytest.mark.frameworks
def test_pages_fit_a_telephone_and_search_finds_a_scheme(site, tmp_path):
    program = check_site.chromium()
    if program is None:
        pytest.skip("Chromium is not installed")
    answer = check_site.in_browser(site, program)
    assert len(answer["sizes"]) == len(check_site.WIDTHS) * len(site.pages)
    assert check_site.too_wide(answer) == []
    assert "reference/schemes.html#fastinit.schemes.he_normal" in answer["results"]

    wide = site_of(tmp_path, page='<div style="width: 500px">wide</div>', search="")
    (problem,) = check_site.too_wide(check_site.in_browser(wide, program))
    assert problem.startswith("/page.html: 5")
