# SPDX-License-Identifier: MIT
"""The command `plan`: the tensors of a source, as a table or as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from fastinit.cli.options import with_json
from fastinit.cli.output import in_bytes, json_text, put_table
from fastinit.cli.sources import GivenSource, with_source
from fastinit.numerics.dtypes import DTYPES
from fastinit.plans import Plan
from fastinit.program import put

LAYER = re.compile(r"(?<=\.)\d+(?=\.)")
"""The number of a layer or an expert in a name."""
_TEXT = re.compile(r"'[^']*'")
_INDEX = re.compile(r"(?<=')\d+(?=[',])|(?<=, )\d+(?=[',])")


@click.command()
@with_source
@click.option(
    "--all", "every", is_flag=True, help="Print one row per tensor instead of grouping layers."
)
@with_json
def plan(source: GivenSource, every: bool, as_json: bool) -> None:
    """Print the tensors of SOURCE: names, shapes, dtypes, schemes and sizes.

    The last column says why a tensor has its scheme: by which line of code, by which rule, or how
    `auto` chose it.
    """
    found = source.plan()
    total = found.size(source.dtype)
    if as_json:
        form = {"plan": found.to_json(), "parameters": found.parameters, "size": total}
        reasons = {row.name: row.scheme.reason for row in found if row.scheme.reason}
        put(json_text({**form, "reasons": reasons} if reasons else form))
        return
    put_table(_rows(found, source.dtype, every))
    put(f"{len(found):,} tensors, {found.parameters:,} parameters, {in_bytes(total)}")


@dataclass
class _Group:
    """Tensors that share a row, and the scheme that it shows."""

    init: str
    count: int = 0
    size: int = 0


def _rows(found: Plan, dtype: str | None, every: bool) -> Iterator[tuple[str, ...]]:
    """Rows of a table; tensors that differ only in numbers of layers and experts share a row."""
    chosen = any(tensor.scheme.reason for tensor in found)
    yield ("tensor", "shape", "dtype", "init", "tensors", "bytes", *(["why"] if chosen else []))
    groups: dict[tuple[str, ...], _Group] = {}
    for tensor in found:
        kind, init = found.resolved_dtype(tensor, dtype), str(tensor.scheme)
        name = tensor.name if every else LAYER.sub("*", tensor.name)
        general = init if every else _TEXT.sub(_without_numbers, init)
        key = (name, str(tensor.shape), kind, general, tensor.scheme.reason)
        group = groups.setdefault(key, _Group(init))
        group.init = init if group.init == init else general
        group.count += 1
        group.size += tensor.count * DTYPES[kind].size
    for (name, shape, kind, _, why), group in groups.items():
        row = (name, shape, kind, group.init, f"{group.count:,}", in_bytes(group.size))
        yield *row, *([why] if chosen else [])


def _without_numbers(text: re.Match[str]) -> str:
    """A text in a scheme, the name or the region of another tensor, with * for its numbers."""
    return _INDEX.sub("*", LAYER.sub("*", text[0]))
