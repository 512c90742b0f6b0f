# SPDX-License-Identifier: MIT
"""Which architectures of transformers does fastinit initialise as transformers does?

    python docs/architectures.py [--json FILE] [KIND ...]

Builds a small model of each type in tests/frameworks/small_models.py by transformers and by
fastinit, runs the checks a to d of tests/frameworks/architecture_checks.py, and prints a Markdown
table for docs/architectures.md.  All of them take about ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import transformers

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "frameworks")]

from architecture_checks import CHECKS, Outcome, examined  # noqa: E402 - their folder
from small_models import ARCHITECTURES  # noqa: E402

PACKAGES = "fastinit-weights", "transformers", "torch"
HEADER = ["model type", "class", "task", "parameters", "tensors", *CHECKS]


def row(outcome: Outcome) -> str:
    """An architecture as a row of the table."""
    architecture = outcome.architecture
    checks = ["no" if outcome.wrong[check] else "yes" for check in CHECKS]
    sizes = [f"{outcome.parameters:,}", f"{outcome.tensors:,}"]
    return _row([architecture.kind, architecture.name, architecture.task, *sizes, *checks])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def reasons(outcomes: list[Outcome]) -> Iterator[str]:
    """What is wrong, each reason once, with the model types that have it."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        for check in CHECKS:
            for text in outcome.wrong[check]:
                for reason in _shortened(text):
                    kinds = found.setdefault(f"{check}: {reason}", [])
                    if outcome.architecture.kind not in kinds:
                        kinds.append(outcome.architecture.kind)
    for reason, kinds in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        yield f"- {reason} ({', '.join(kinds)})"


def _shortened(text: str) -> Iterator[str]:
    """The reasons in a text, without numbers, which differ from layer to layer."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")] or [text]
    yield from dict.fromkeys(re.sub(r"\d[\d,]*", "#", line) for line in lines)


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as Markdown."""
    good = sum(not any(outcome.wrong.values()) for outcome in outcomes)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    lines = [
        f"{len(outcomes)} architectures, {good} of them without any difference: {versions}.",
        "",
        _row(HEADER),
        "|---|---|---|--:|--:|" + "---|" * len(CHECKS),
        *map(row, outcomes),
        "",
        "## What does not work, and why",
        "",
        *reasons(outcomes),
    ]
    return "\n".join(lines)


def main() -> None:
    """Examine, then print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="model types; by default all")
    parser.add_argument("--json", metavar="FILE", help="write what was found there, too")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    outcomes = []
    for kind in options.kinds or ARCHITECTURES:
        outcomes.append(examined(ARCHITECTURES[kind]))
        print(row(outcomes[-1]), file=sys.stderr)
    print(table(outcomes))
    if options.json:
        found = {outcome.architecture.kind: outcome.wrong for outcome in outcomes}
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
