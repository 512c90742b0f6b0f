# SPDX-License-Identifier: MIT
"""What fastinit and its peers do with one seed: the checks behind docs/comparison.md that can run.

    python docs/comparison.py [--json FILE] [--only WORD]

Each check asks one library one question, on a CPU and with a few megabytes, and prints what it saw.
The answers are facts about the installed versions, not verdicts: the page says what they mean.  A
library that is not installed is "not installed".  Nothing here is timed; benchmarks/ does that.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import warnings
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from comparing import cuts, values  # noqa: F401 - each registers its checks
from comparing.registry import CHECKS, Answer

import fastinit as fi

PACKAGES = ("torch", "jax", "keras", "flax", "transformers", "megatron-core", "numpy")


def answers(only: str = "") -> list[Answer]:
    """What every check whose question or library contains `only` sees."""
    found = []
    for question, library, package, function in CHECKS:
        if only.lower() not in f"{question} {library}".lower():
            continue
        try:
            if package:
                importlib.import_module(package)
            seen = function()
        except ModuleNotFoundError as error:
            seen = f"not installed: {error.name}"
        found.append(Answer(question, library, seen))
    return found


def version(package: str) -> str:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def markdown(found: list[Answer]) -> str:
    """The table of docs/comparison.md, its questions numbered as they come."""
    lines = ["| | question | library | seen |", "|---|---|---|---|"]
    numbers: dict[str, int] = {}
    for answer in found:
        first = answer.question not in numbers
        number = numbers.setdefault(answer.question, len(numbers) + 1)
        start = f"{number} | {answer.question}" if first else " | "
        lines.append(f"| {start} | {answer.library} | {answer.seen} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the checks and print their table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the answers to this file")
    parser.add_argument("--only", default="", help="only checks that contain this word")
    options = parser.parse_args(arguments)
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    warnings.simplefilter("ignore")
    found = answers(options.only)
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    print(f"fastinit {fi.__version__}, {packages}, Python {platform.python_version()}\n")
    print(markdown(found))
    if options.json:
        options.json.write_text(json.dumps([asdict(answer) for answer in found], indent=1))


if __name__ == "__main__":
    main()
