# SPDX-License-Identifier: MIT
"""Where plans come from: presets by name, TOML files by path.

What a TOML file means is in `toml`; nothing here knows of tensors.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastinit.errors import PlanError
from fastinit.expressions import suggestion
from fastinit.floats import default_floats
from fastinit.plans.plan import Plan

MAX_FILE = 10_000_000  # bytes; the largest preset has some 4,000

_PRESETS = Path(__file__).parent / "presets"


def presets() -> tuple[str, ...]:
    """The names of the presets, sorted."""
    files = (file.name for file in _PRESETS.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


@default_floats
def plan(source: Plan | str | os.PathLike[str]) -> Plan:
    """The plan that `source` stands for.

    Args:
        source: a Plan, which is returned as it is; the name of a preset, see `presets`; or the
            path of a file ending in ``.toml``.

    Raises:
        PlanError: the file cannot be read, or is no plan.
        ValueError: `source` is none of these.

    >>> plan("gpt2").parameters
    124439808
    """
    if isinstance(source, Plan):
        return source
    from fastinit.plans.toml import read_toml  # with tomllib, a tenth of the time of the import

    if isinstance(source, str) and source in presets():
        return read_toml((_PRESETS / f"{source}.toml").read_text("utf-8"), f"preset {source}")
    if isinstance(source, str | os.PathLike) and os.fsdecode(source).endswith(".toml"):
        return read_toml(_text(Path(os.fsdecode(source))), os.fsdecode(source))
    close = suggestion(source, presets()) if isinstance(source, str) else ""
    raise ValueError(
        f"{source!r} is no source of a plan: give a Plan, the path of a .toml file, "
        f"or a preset ({', '.join(presets())}){close}"
    )


def _text(path: Path) -> str:
    """The text of a file that is not absurdly long."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise PlanError(f"{path}: cannot be read: {error}") from error
    if len(content) > MAX_FILE:
        raise PlanError(f"{path}: longer than {MAX_FILE} bytes, which no plan needs")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PlanError(f"{path}: not UTF-8 text at byte {error.start}") from error
