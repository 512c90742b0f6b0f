# SPDX-License-Identifier: MIT
"""Formulas as MathML, which browsers draw themselves: no script, and nothing from another server.

Docutils translates LaTeX; this file gives the result to Sphinx's writer of HTML.
"""

from __future__ import annotations

import html
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def translated(node: nodes.math | nodes.math_block) -> str:
    """A formula as MathML; one that Docutils cannot translate is a warning, and stays as it is."""
    text = node.astext()
    try:
        return tex2mathml(text, as_block=isinstance(node, nodes.math_block))
    except MathError as error:
        logger.warning("%s in the formula %s", error, text, location=node)
        return f"<code>{html.escape(text)}</code>"


def visit_inline(writer: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    writer.body.append(translated(node))
    raise nodes.SkipNode


def visit_block(writer: Any, node: nodes.math_block) -> None:
    """Write a formula that stands by itself, in a box that scrolls if the page is narrow."""
    writer.body.append(f'<div class="formula">{translated(node)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
