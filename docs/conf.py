# SPDX-License-Identifier: MIT
"""Sphinx's settings for the site: `sphinx-build -W --keep-going -b html docs build/site`.

What the pages say is in the pages; what Sphinx lacks for them is in `extensions/`.  Where a
framework is not installed, the page of its room is left out.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "extensions"))
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import fastinit

project = "fastinit"
version = release = fastinit.__version__
copyright = "the fastinit authors"  # Sphinx's name for it

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "mathml",
    "public_names",
    "repository",
]

# A page for each room that imports a framework.
ROOMS = {
    "torch": ("torch", "torch-init"),
    "transformers": ("transformers",),
    "jax": ("jax",),
    "keras": ("keras",),
    "numba": ("numba", "gallery"),
}


def importable(room: str) -> bool:
    """Whether the framework of a room is installed, in a version that the room works with."""
    try:
        importlib.import_module(f"fastinit.{room}")
    except ImportError:
        return False
    return True


MISSING = [page for room, pages in ROOMS.items() if not importable(room) for page in pages]

exclude_patterns = ["extensions", *(f"reference/{page}.rst" for page in MISSING)]
if MISSING:
    suppress_warnings = ["toc.excluded", "myst.xref_missing", "ref.doc"]

# Docstrings name things in single backquotes: a link where there is such a thing, else code.
default_role = "py:obj"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the text says what each argument may be
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]
napoleon_use_rtype = False

smartquotes = False  # `--option` is not a dash

# Anchors and formulas are written as for a Git host.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath", "strikethrough"]

html_theme = "furo"
html_title = "fastinit"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "default"


def escape_asterisks(app: Any, context: Any, lines: list[str]) -> None:
    """The help of a command is plain text; a pattern such as '*.weight' is not emphasised."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def setup(app: Any) -> None:
    """Connect what is done to the command line's help."""
    app.connect("sphinx-click-process-description", escape_asterisks)
