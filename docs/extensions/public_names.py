# SPDX-License-Identifier: MIT
"""The directive `names`: every public name of a module, each in full where it is defined.

Names of `fastinit` that `fastinit.schemes` has too are described there; the page of `fastinit` has
links to them.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective


def kind_of(thing: object) -> str:
    """What the Python domain calls a thing."""
    if inspect.isclass(thing):
        return "exception" if issubclass(thing, BaseException) else "class"
    return "function" if callable(thing) else "data"


def described(module: str, name: str, thing: object, same_as: str) -> list[str]:
    """The lines of reStructuredText that describe a public name."""
    kind = kind_of(thing)
    if same_as:
        options = [f"   :module: {module}", "   :no-typesetting:", ""]
        return [f".. py:{kind}:: {name}", *options, f"- `{name} <{same_as}.{name}>`", ""]
    members = ["   :members:"] if inspect.isclass(thing) else []
    return [f".. auto{kind}:: {module}.{name}", *members, ""]


class Names(SphinxDirective):
    """``.. names:: fastinit.schemes``: the names of its content or, without, those of ``__all__``.

    ``:same-as: fastinit.schemes`` makes links to the descriptions there.  Modules are left out,
    because they have pages.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"same-as": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """The descriptions, in the order of the names."""
        module = importlib.import_module(self.arguments[0])
        names = " ".join(self.content).split() or module.__all__
        things = {name: getattr(module, name) for name in names}
        lines: list[str] = []
        for name, thing in things.items():
            if not inspect.ismodule(thing):
                lines += described(module.__name__, name, thing, self.options.get("same-as", ""))
        return self.parse_text_to_nodes("\n".join(lines))


def write_dashes(app: Any, page: nodes.document) -> None:
    """An en dash between an argument and its description, where Sphinx writes two hyphens."""
    for text in list(page.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def setup(app: Any) -> dict[str, bool]:
    """Register the directive and the dashes."""
    app.add_directive("names", Names)
    app.connect("doctree-read", write_dashes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
