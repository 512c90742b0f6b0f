# SPDX-License-Identifier: MIT
"""SOURCE and the options that decide its plan, which `write` and `plan` share."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click
from click.shell_completion import CompletionItem

from fastinit import plans
from fastinit.cli.options import trusted_in, with_trust
from fastinit.numerics.dtypes import DTYPES
from fastinit.plans import Plan

SOURCES = """SOURCE is a preset, as `info` lists them; a .toml or .json plan; a safetensors
checkpoint, whose tensors keep the schemes of its recipe; or a config.json of transformers, or a
folder with one, for what the model's own code begins with."""
"""The paragraph of a command's help that says what SOURCE may be."""


@dataclass(frozen=True)
class GivenSource:
    """SOURCE as it was given, and all that decides its plan.

    `options` are those of configs that were given.
    """

    text: str
    dtype: str | None
    rules: str | None
    modules: tuple[str, ...]
    options: dict[str, Any]

    def plan(self) -> Plan:
        """Its plan; what a model's code prints meanwhile goes to stderr."""
        custom = trusted_in(self.modules)
        with redirect_stdout(sys.stderr):
            return plans.plan_for(
                self.text,
                custom=custom,
                rules=self.rules,
                dtype=self.dtype,
                options=self.options,
            )


def _completed(_: object, __: object, incomplete: str) -> list[CompletionItem]:
    """The presets and the files whose names begin so."""
    names = [name for name in plans.presets() if name.startswith(incomplete)]
    return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


_PARAMETERS = (
    click.argument("source", shell_complete=_completed),
    click.option(
        "--dtype",
        help=f"Dtype where the plan sets none: {', '.join(DTYPES)}.  Of a config: the dtype of the "
        "model, whose code may keep some tensors in float32.  [default: the plan's]",
    ),
    click.option(
        "--rules",
        metavar="FILE.toml",
        type=click.Path(),
        help="Schemes by patterns of names, [[rule]] as in a plan; other tensors keep theirs.",
    ),
    click.option(
        "--architecture",
        metavar="NAME",
        help="Of a config: the class of transformers, or a task such as causal-lm.  "
        "[default: the config's]",
    ),
    click.option(
        "--names",
        type=click.Choice(["hub", "module"]),
        help="Of a config: names as save_pretrained writes them, or as the module has them.  "
        "[default: hub]",
    ),
    click.option(
        "--dummy",
        is_flag=True,
        help="Of a config: values for load tests, in bfloat16, or in float8 with the scales of "
        "blocks where the config or --dtype asks for it.",
    ),
    click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Of a config: run the Python code beside it, if it names any.",
    ),
    with_trust,
)


def with_source(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator: give a command SOURCE and its options, as one argument `source`."""

    @wraps(command)
    def run(
        source: str,
        dtype: str | None,
        rules: str | None,
        architecture: str | None,
        names: str | None,
        dummy: bool,
        trust_remote_code: bool,
        modules: tuple[str, ...],
        **others: Any,
    ) -> None:
        asked = {
            "architecture": architecture,
            "names": names,
            "dummy": dummy or None,
            "trust_remote_code": trust_remote_code or None,
        }
        options = {key: value for key, value in asked.items() if value is not None}
        command(GivenSource(source, dtype, rules, modules, options), **others)

    run.__doc__ = f"{inspect.getdoc(command) or ''}\n\n{SOURCES}"
    for parameter in reversed(_PARAMETERS):
        run = parameter(run)
    return run
