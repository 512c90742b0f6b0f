# SPDX-License-Identifier: MIT
"""Two runs compared, row by row: what may be compared, by which gate, and what is lost.

Pure functions of results; nothing here measures or prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tracking.results import (
    CYCLES,
    DEVICE_INSTRUCTIONS,
    INSTRUCTIONS,
    NUMPY,
    TIMES,
    ZEROS,
    Results,
    Row,
    TrackingError,
)

GATE = 10.0
"""Percent a timed row may lose."""
INSTRUCTION_GATE = 1.0
"""Percent a count may lose: it is exact, so this is only room for harmless changes."""
FAR_GATE = 100.0
"""Percent a ratio of two times may lose at least, where the machine is another: memory and
arithmetic are not faster by the same factor there."""
REPEATS = 3


@dataclass(frozen=True)
class Line:
    """One row of the comparison.

    Attributes:
        row: the new row, or the old one where there is no new.
        old, new: the figures; None where a side does not have the row.
        gate: percent it may lose; None where it is only shown.
        note: why it is only shown, by which wider gate it is judged, or why the new side does not
            have it; else "".
        lost, tries: in how many of how many runs it lost more than the gate.
    """

    row: Row
    old: float | None
    new: float | None
    gate: float | None = None
    note: str = ""
    lost: int = 0
    tries: int = 1

    @property
    def change(self) -> float | None:
        """Percent from the old figure to the new; above 0 is slower."""
        if self.old is None or self.new is None:
            return None
        return round((self.new / self.old - 1) * 100, 6)  # 10 must be 10, not 10.000000000000009

    @property
    def over(self) -> bool:
        """Whether this figure loses more than the gate; exactly the gate does not."""
        return self.gate is not None and self.change is not None and self.change > self.gate

    @property
    def failed(self) -> bool:
        """Whether it lost more than the gate in every run."""
        return 0 < self.lost == self.tries

    @property
    def gone(self) -> bool:
        """Whether the new side could have this row and does not."""
        return self.new is None and not self.note

    @property
    def verdict(self) -> str:
        """In words."""
        if self.new is None:
            return self.note or "gone"
        if self.old is None:
            return "new"
        if self.gate is None:
            return f"shown only: {self.note}"
        word = "ok"
        if self.failed:
            word = f"LOST more than {self.gate:g} %"
        elif self.change is not None and self.change < -self.gate:
            word = "gain"
        tries = f", over the gate in {self.lost} of {self.tries}" if self.lost else ""
        return word + tries + (f" ({self.note})" if self.note else "")


def gate_of(
    unit: str, old: Mapping[str, Any], new: Mapping[str, Any], gate: float
) -> tuple[float | None, str]:
    """By which gate a row of `unit` is judged between two machines, and what to say of it."""

    def same(*keys: str) -> bool:
        return all(old.get(key) == new.get(key) for key in keys)

    if unit == INSTRUCTIONS:
        if same("architecture", "compiler", "valgrind"):
            return INSTRUCTION_GATE, ""
        return None, "another compiler or valgrind"
    if unit == DEVICE_INSTRUCTIONS:
        return (INSTRUCTION_GATE, "") if same("nvrtc") else (None, "another NVRTC")
    if unit == TIMES + NUMPY and _numpy(old) != _numpy(new):
        return None, "another NumPy"
    if unit == CYCLES:
        if same("microarchitecture"):
            return gate, ""
        return None, "another processor"
    if unit not in (TIMES + NUMPY, TIMES + ZEROS) and not same("isa"):
        return None, "another instruction set"
    where = ["files"] if unit == TIMES + ZEROS else []
    if same("microarchitecture", "cpus", "threads", "isa", *where):
        return gate, ""
    wide = max(gate, FAR_GATE)
    return wide, f"another machine: gate {wide:g} %"


def _numpy(machine: Mapping[str, Any]) -> str | None:
    versions: Mapping[str, str] = machine.get("versions", {})
    return versions.get("numpy")


def compare(old: Results, new: Results, gate: float = GATE) -> list[Line]:
    """Every row of either side, in the old order, then what is new.

    Raises:
        TrackingError: one of them is of toy size.
    """
    for results in (old, new):
        if results.size == "toy":
            raise TrackingError(f"{results.name} is of toy size, which measures nothing")
    return [
        _line(old.rows.get(key), new.rows.get(key), *_gate(key, old, new, gate))
        for key in {**old.rows, **new.rows}
    ]


def _gate(key: str, old: Results, new: Results, gate: float) -> tuple[float | None, str]:
    if key not in old.rows:
        return None, ""
    if key not in new.rows:
        return None, "not on this machine" if _lacks(old.rows[key], old, new) else ""
    units = old.rows[key].unit, new.rows[key].unit
    if units[0] != units[1]:
        return None, f"was in {units[0]}"
    return gate_of(units[1], old.machine, new.machine, gate)


def _lacks(row: Row, old: Results, new: Results) -> bool:
    """Whether the row is of an instruction set that the old machine has and the new has not.

    A device's is counted, not run: a machine has it if the tools for that are there.
    """
    before, now = (str(some.machine.get("available", "")).split() for some in (old, new))
    return row.group.split()[-1] in set(before) - set(now)


def _line(old: Row | None, new: Row | None, gate: float | None, note: str) -> Line:
    row = new or old
    assert row is not None
    line = Line(row, old and old.figure, new and new.figure, gate, note)
    return replace(line, lost=int(line.over))


def confirm(
    lines: list[Line], again: Callable[[list[str]], Mapping[str, Row]], repeats: int = REPEATS
) -> list[Line]:
    """Measure the rows that lost again, until each has lost `repeats` times or once has not.

    Args:
        lines: the first comparison.
        again: measures the rows of these keys.
        repeats: how many runs must lose, the first included.

    Returns:
        The lines; one that was measured again has its best figure.

    Raises:
        TrackingError: a row could not be measured again.
    """
    settled = {line.row.key: line for line in lines}
    for _ in range(repeats - 1):
        suspects = [key for key, line in settled.items() if line.failed]
        if not suspects:
            break
        rows = again(suspects)
        for key in suspects:
            if key not in rows:
                raise TrackingError(f"{key!r} lost, but could not be measured again")
            settled[key] = _tried(settled[key], rows[key])
    return list(settled.values())


def _tried(line: Line, row: Row) -> Line:
    """The line after one more run of its row."""
    lost = line.lost + replace(line, new=row.figure).over
    best = min(line.row, row, key=lambda one: one.figure)
    return replace(line, row=best, new=best.figure, lost=lost, tries=line.tries + 1)
