# SPDX-License-Identifier: MIT
"""`Report`: what `materialize` and `initialize_` did to each tensor, as rows and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["drawn", "computed", "tied", "left"]


@dataclass(frozen=True, slots=True)
class ReportRow:
    """What happened to one tensor.

    Attributes:
        name: the tensor's name, without what wrappers put into it.
        shape: of the whole tensor.
        dtype: as PyTorch writes it.
        outcome: "drawn" by `scheme`; "computed" as the constructor computed it; "tied" to another
            name, which is in `scheme`; or "left" as it was, for a reason that is in `why`.
        scheme: the text of the scheme, or "".
        why: which call wanted it, or why it was left.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    outcome: Outcome
    scheme: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done to the tensors of a module, in the module's order.

    It is true if every parameter was reached.
    """

    rows: tuple[ReportRow, ...]

    @property
    def left(self) -> tuple[str, ...]:
        """The names of the tensors that were left as they were."""
        return tuple(row.name for row in self.rows if row.outcome == "left")

    def __iter__(self) -> Iterator[ReportRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> ReportRow:
        """The row of this name; raises KeyError."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        cells = [("name", "shape", "dtype", "outcome", "scheme", "why")]
        for row in self.rows:
            shape = " x ".join(map(str, row.shape)) or "-"
            dtype = row.dtype.removeprefix("torch.")
            cells.append((row.name, shape, dtype, row.outcome, row.scheme, row.why))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
        return "\n".join(lines)
