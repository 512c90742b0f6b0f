# SPDX-License-Identifier: MIT
"""The seam between checkpoints and file formats: only a format's own modules know it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from checkpoint_plans import plan_of

import fastinit as fi
from fastinit.checkpoints import layout_of
from fastinit.checkpoints.formats import FORMATS, MARKS
from fastinit.numerics.dtypes import DTYPES

ROOM = Path(fi.__file__).parent / "checkpoints"
LOOKALIKES = {"hints"}
"""They advise on strangers' folders and name the format to convert to."""
MODULES = sorted(path for path in ROOM.glob("*.py") if path.stem not in LOOKALIKES)
PLAN = plan_of(("w", (3,), "zeros()"))


def words_of(path):
    """The names, imports and texts in a module, without its docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    skipped = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in skipped:
                yield text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.ImportFrom(module=str(name)):
                yield name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_modules_of_checkpoints_mention_no_format(path):
    assert {path.stem for path in MODULES} >= {"write", "outputs", "pieces", "replace", "files"}
    for word in words_of(path):
        for name in ("safetensors", ".npy", "npy"):
            assert name not in word.lower(), word


def test_no_two_formats_are_confused():
    assert len(set(MARKS)) == len(MARKS)
    assert len({form.suffix for form in FORMATS.values()}) == len(FORMATS)
    for name, form in FORMATS.items():
        assert form.name == name
        assert form.codes.keys() <= DTYPES.keys()
        assert set(form.codes.values()) <= form.arrays.keys()
        assert all(form.may_write(mark) for mark in form.marks)
        assert not any(form.is_shard(mark) for mark in MARKS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_the_dtypes_of_the_library(name):
    form = FORMATS[name]
    for dtype, code in form.codes.items():
        assert form.arrays[code] == DTYPES[dtype].numpy


@pytest.mark.parametrize("name", ["hdf5", "", "NPY", None, 3, []])
def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path, name):
    message = r"^format is .*: choose from safetensors, npy$"
    with pytest.raises(ValueError, match=message):
        layout_of(PLAN, seed=0, format=name)
    with pytest.raises(ValueError, match=message):
        fi.write(PLAN, tmp_path / "w", seed=0, format=name)
    assert not (tmp_path / "w").exists()
