# SPDX-License-Identifier: MIT
"""A wheel has every folder of the package; an installation in place does not show a missing one."""

import tomllib
from pathlib import Path

import fastinit

PACKAGE = Path(fastinit.__file__).parent
PROJECT = PACKAGE.parent / "pyproject.toml"


def test_every_folder_with_code_is_listed():
    listed = tomllib.loads(PROJECT.read_text("utf-8"))["tool"]["setuptools"]["packages"]
    found = {path.parent.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py")}
    assert listed == sorted(".".join(path.parts) for path in found)
