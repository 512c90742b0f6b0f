# SPDX-License-Identifier: MIT
"""Check a built site: `python docs/check_site.py build/site`.  It knows nothing of what pages say.

    links       every link, picture, script and anchor of a page exists
    names       every public name is described once
    widths      no page is wider than a telephone or a desktop
    search      the search page finds `he_normal` in the reference

The last two need Chromium, headless; without it they are left out, and the output says so.
"""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from functools import cached_property, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from urllib.parse import unquote, urlsplit

WIDTHS = (390, 1280)
WAIT = 300
"""Seconds after which Chromium is given up."""

MODULES = (
    "fastinit",
    "fastinit.schemes",
    "fastinit.errors",
    "fastinit.torch",
    "fastinit.torch.init",
    "fastinit.transformers",
    "fastinit.jax",
    "fastinit.jax.initializers",
    "fastinit.jax.nnx",
    "fastinit.keras",
    "fastinit.tensorflow",
    "fastinit.numba",
    "fastinit.numba.gallery",
    "fastinit.engines",
)
"""Modules whose `__all__` is public; those of a framework only where it is installed."""


FETCHED = {("script", "src"), ("img", "src"), ("link", "href")}
"""What a browser fetches by itself: anything but links for readers."""


class Page(HTMLParser):
    """What a page links to and fetches, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect them."""
        for key, value in attrs:
            if value and key in ("href", "src"):
                self.links.add(value)
            if value and (tag, key) in FETCHED:
                self.fetched.add(value)
            if value and key in ("id", "name"):
                self.anchors.add(value)


class Site:
    """The pages of a built site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @cached_property
    def pages(self) -> dict[Path, Page]:
        """Every page, by its path."""
        files = sorted(self.folder.rglob("*.html"))
        return {path: Page(path) for path in files if "_static" not in path.parts}

    def broken_links(self) -> list[str]:
        """Links within the site that lead nowhere: page and target."""
        return [
            f"{path.relative_to(self.folder)}: {link}"
            for path, page in self.pages.items()
            for link in sorted(page.links)
            if not self._leads_somewhere(path, link)
        ]

    def _leads_somewhere(self, page: Path, link: str) -> bool:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return True
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not target.is_relative_to(self.folder) or not target.is_file():
            return False
        if not parts.fragment or target not in self.pages:
            return True
        return unquote(parts.fragment) in self.pages[target].anchors

    def external_resources(self) -> list[str]:
        """Scripts, styles and pictures that a page would load from another server."""
        return [
            f"{path.relative_to(self.folder)}: {url}"
            for path, page in self.pages.items()
            for url in sorted(page.fetched)
            if urlsplit(url).netloc
        ]

    def described(self) -> Counter[str]:
        """How often the inventory has each name of Python."""
        from sphinx.util.inventory import InventoryFile

        loaded = InventoryFile.loads((self.folder / "objects.inv").read_bytes(), uri="")
        kinds = [names for kind, names in loaded.data.items() if kind.startswith("py:")]
        return Counter(name for names in kinds for name in names)


def public_names() -> list[str]:
    """Every public name, with its module; modules themselves are left out."""
    names = []
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        extra = ["open"] if name == "fastinit" else []
        keys = [*module.__all__, *extra]
        names += [f"{name}.{key}" for key in keys if not inspect.ismodule(getattr(module, key))]
    return names


def not_described_once(site: Site) -> list[str]:
    """Public names that the inventory lacks or has more than once."""
    counts = site.described()
    return [f"{name}: {counts[name]} times" for name in public_names() if counts[name] != 1]


# ---- in a browser -------------------------------------------------------------------------------

SCRIPT = """<!doctype html><body><script>
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function loaded(url, width) {
    const frame = document.createElement("iframe");
    frame.style = `width: ${width}px; height: 900px; border: 0`;
    frame.src = url;
    await new Promise((done) => { frame.onload = done; document.body.append(frame); });
    return frame;
}

async function measured(url, width) {
    const frame = await loaded(url, width);
    const root = frame.contentDocument.documentElement;
    const found = {url, width, page: root.scrollWidth, window: root.clientWidth};
    frame.remove();
    return found;
}

async function searched(word) {
    const frame = await loaded("/search.html?q=" + word, 1280);
    let links = [];
    for (let i = 0; i < 100 && !links.length; i++) {
        await wait(100);
        links = [...frame.contentDocument.querySelectorAll("#search-results li a")];
    }
    await wait(500);
    links = [...frame.contentDocument.querySelectorAll("#search-results li a")];
    return links.map((link) => link.getAttribute("href"));
}

(async () => {
    const {pages, widths, word} = await (await fetch("/_task")).json();
    const sizes = [];
    for (const width of widths)
        for (const page of pages) sizes.push(await measured("/" + page, width));
    const results = await searched(word);
    await fetch("/_result", {method: "POST", body: JSON.stringify({sizes, results})});
})();
</script>"""


class Handler(SimpleHTTPRequestHandler):
    """Serves the site, the script that measures it, and takes what it has measured."""

    def __init__(self, *args: Any, task: object, answers: Queue[Any], **kwargs: Any) -> None:
        self.task, self.answers = task, answers
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        """A file of the site, the script or its task."""
        if self.path == "/_check":
            self._send(SCRIPT.encode(), "text/html")
        elif self.path == "/_task":
            self._send(json.dumps(self.task).encode(), "application/json")
        else:
            super().do_GET()

    def do_POST(self) -> None:
        """What the script found."""
        size = int(self.headers["Content-Length"])
        self.answers.put(json.loads(self.rfile.read(size)))
        self._send(b"", "text/plain")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


def chromium() -> str | None:
    """The path of a Chromium, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


def in_browser(site: Site, program: str, word: str = "he_normal") -> dict[str, Any]:
    """What a headless Chromium sees: the width of each page at each of `WIDTHS`; search results.

    Raises:
        TimeoutError: no answer within `WAIT` seconds.
    """
    pages = [str(path.relative_to(site.folder)) for path in site.pages]
    answers: Queue[dict[str, Any]] = Queue()
    task = {"pages": pages, "widths": WIDTHS, "word": word}
    handler = partial(Handler, task=task, answers=answers, directory=str(site.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
            options += [f"--user-data-dir={profile}", "--window-size=1400,1000"]
            url = f"http://127.0.0.1:{server.server_address[1]}/_check"
            quiet = subprocess.DEVNULL
            with subprocess.Popen([program, *options, url], stdout=quiet, stderr=quiet) as process:
                try:
                    return answers.get(timeout=WAIT)
                except Empty:
                    raise TimeoutError(f"{program} did not answer in {WAIT} seconds") from None
                finally:
                    process.terminate()
                    server.shutdown()


def too_wide(answer: dict[str, Any]) -> list[str]:
    """Pages that are wider than their window."""
    return [
        f"{size['url']}: {size['page']} in a window of {size['window']} pixels"
        for size in answer["sizes"]
        if size["page"] > size["window"]
    ]


def main(folder: str) -> int:
    """Print what is wrong, a line each; the exit code."""
    site = Site(Path(folder))
    problems = [f"broken link: {link}" for link in site.broken_links()]
    problems += [f"from another server: {url}" for url in site.external_resources()]
    problems += [f"not described once: {name}" for name in not_described_once(site)]
    program = chromium()
    if program:
        answer = in_browser(site, program)
        problems += [f"too wide: {page}" for page in too_wide(answer)]
        if not any(link.endswith("#fastinit.schemes.he_normal") for link in answer["results"]):
            problems.append(f"not found by search: he_normal; found: {answer['results'][:9]}")
    else:
        print("Chromium is not installed: widths and search were not checked")
    print("\n".join(problems) or f"{len(site.pages)} pages are in order")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
