# SPDX-License-Identifier: MIT
"""Plan files as editors save them: with a byte-order mark, or in an encoding that is not UTF-8."""

from __future__ import annotations

import codecs

import pytest

import fastinit as fi

TEXT = 'name = "größe"\n[[tensor]]\nname = "w"\nshape = [1]\ninit = "zeros()"\n'


def test_a_byte_order_mark_changes_nothing(tmp_path):
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_text(TEXT, "utf-8")
    marked.write_bytes(codecs.BOM_UTF8 + TEXT.encode())
    assert fi.plan(marked) == fi.plan(plain)
    assert fi.plan(marked).name == "größe"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_utf_16_is_named(tmp_path, encoding):
    path = tmp_path / "model.toml"
    path.write_text(TEXT, encoding)
    with pytest.raises(
        fi.errors.PlanError, match=r"model\.toml: looks like UTF-16 text; save it as UTF-8"
    ):
        fi.plan(path)


def test_another_encoding_is_refused_at_its_byte(tmp_path):
    path = tmp_path / "model.toml"
    path.write_text(TEXT, "latin-1")
    with pytest.raises(fi.errors.PlanError, match=r"model\.toml: not UTF-8 text at byte 10"):
        fi.plan(path)


def test_a_mark_within_the_text_is_not_toml(tmp_path):
    path = tmp_path / "model.toml"
    path.write_text("\ufeff\ufeff" + TEXT, "utf-8")
    with pytest.raises(fi.errors.PlanError, match="not valid TOML: Invalid statement"):
        fi.plan(path)
