# SPDX-License-Identifier: MIT
"""The pages of a repository as pages of the site.

Their links, which are relative files as on a Git host, lead somewhere on the site too.  A file
outside `docs/` that readers need is a page in `project/`, which on a Git host is one link to the
file and on the site is the file.  What a page is about is not known here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1].resolve()
ROOT = DOCS.parent
PAGES = {
    "README.md": "project/readme",
    "CHANGELOG.md": "project/changelog",
    "CONTRIBUTING.md": "project/contributing",
    "benchmarks/README.md": "project/benchmarks",
    "examples/README.md": "project/examples",
    "src_c/README.md": "project/c",
}
"""The pages of the site for files outside `docs/`."""

LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<target>[^):#\s]+)(?P<anchor>#[^)]*)?\)")

SESSION_END = re.compile(r"\n\n```$", re.MULTILINE)
"""The blank line that doctest needs after the last output of a session, and readers do not."""


def title(page: Path) -> str:
    """The first heading of a page."""
    return page.read_text("utf-8").partition("# ")[2].partition("\n")[0]


def on_the_site(link: re.Match[str], folder: Path) -> str:
    """A link of a file in `folder`, for a page of the site; only its text if there is no page.

    A link whose text is the name or the path of a page has its title instead, in italics.
    """
    file = (folder / link["target"]).resolve()
    place = os.path.relpath(file, ROOT)
    if place in PAGES:
        target = f"/{PAGES[place]}.md"
    elif file.is_file():
        target = f"/{os.path.relpath(file, DOCS)}"
    else:
        return link["text"]
    named = Path(link["text"]).name == file.name and file.suffix == ".md"
    text = f"*{title(file)}*" if named else link["text"]
    return f"[{text}]({target}{link['anchor'] or ''})"


def read(app: Any, name: str, source: list[str]) -> None:
    """Change what Sphinx has read of a page."""
    if app.env.doc2path(name).suffix != ".md":
        return
    text, folder = source[0], (DOCS / name).parent
    shown = next((file for file, page in PAGES.items() if page == name), None)
    if shown:
        app.env.note_dependency(str(ROOT / shown))
        text, folder = (ROOT / shown).read_text("utf-8"), (ROOT / shown).parent
    text = LINK.sub(lambda link: on_the_site(link, folder), text)
    source[0] = SESSION_END.sub("\n```", text)


def setup(app: Any) -> dict[str, bool]:
    """Register the change."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
