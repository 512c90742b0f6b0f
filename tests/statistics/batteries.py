# SPDX-License-Identifier: MIT
"""Words through batteries of tests: `python tests/statistics/batteries.py [ORDER ...]`.

Pipes the words of each order into dieharder (Debian: `apt install dieharder`), and with
--practrand SIZE into PractRand's RNG_test, where that is on the path.  docs/quality.md has the
results.  Statistics of values are in run.py.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orders
from tables import heading, table

PASSED, WEAK, FAILED = "PASSED", "WEAK", "FAILED"
RUNS = 3
"""How often a test may be run: one that is weak each time fails.

dieharder calls p-values below 0.005 or above 0.995 weak.  For a good generator 0.3 % are below and
1.9 % above: its Kolmogorov-Smirnov test of 100 p-values takes the distance from i / 101 alone
(libdieharder/kstest.c), which is too small.  So one good generator in 10**5 is weak three times.
"""

APART = 2**14
"""Pieces between the words of two runs: no run of dieharder reads 2**34 words."""

QUICK = {
    **dict.fromkeys((0, 1, 3, 4, 8, 9, 10, 11, 12, 15, 16, 100, 101, 102), ()),
    202: ("-n", "4"),
    **dict.fromkeys((204, 205, 206, 207, 208, 209), ()),
}
"""Options by the number of a test of dieharder: those that take seconds."""

SLOW = {
    **dict.fromkeys((2, 13, 17), ()),
    200: ("-n", "6"),
    201: ("-n", "3"),
    203: ("-n", "16"),
}
"""Tests that take a minute or more.

dieharder itself calls 5, 6 and 7 suspect and 14 broken: they are in neither list.
"""

ALL = dict(sorted({**QUICK, **SLOW}.items()))


@dataclass(frozen=True)
class Verdict:
    """One p-value of dieharder."""

    order: str
    test: str
    p: float
    assessment: str
    run: int = 0


def verdicts(order: str, text: str, run: int = 0) -> list[Verdict]:
    """Each line of a table of dieharder: name, tuple, samples, p-samples, p and assessment."""
    lines = (line.split("|") for line in text.splitlines())
    cells = [[cell.strip() for cell in line] for line in lines if len(line) == 6]
    return [
        Verdict(order, f"{name} {size}", float(p), assessment, run)
        for name, size, _, _, p, assessment in cells
        if assessment in (PASSED, WEAK, FAILED)
    ]


def piped(command: list[str], order: orders.Order, start: int) -> str:
    """The output of a program that reads an order's words, from piece `start` on."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):  # it has read what it wants
            for words in orders.pieces(order, start):
                process.stdin.write(words.data)
        with suppress(BrokenPipeError):
            process.stdin.close()
        return process.stdout.read().decode()


def dieharder(name: str, tests: dict[int, tuple[str, ...]], runs: int = RUNS) -> Iterator[Verdict]:
    """Every p-value of some tests on one order, those of repeated runs too.

    A test is run again while a p-value is weak and none fails; each run reads other words.
    """
    order = orders.ORDERS[name]
    for place, (number, options) in enumerate(tests.items()):
        for run in range(runs):
            command = ["dieharder", "-g", "200", "-d", str(number), *options]
            text = piped(command, order, (place * runs + run) * APART)
            found = verdicts(name, text, run)
            if not found:
                raise RuntimeError(f"{' '.join(command)} gave no p-value: is dieharder installed?")
            yield from found
            if {verdict.assessment for verdict in found} not in ({WEAK}, {WEAK, PASSED}):
                break


def practrand(name: str, size: str) -> str:
    """The report of PractRand's RNG_test on `size` bytes of an order, such as 64GB."""
    command = ["RNG_test", "stdin32", "-tlmax", size, "-multithreaded"]
    return piped(command, orders.ORDERS[name], 0)


# ---- what is printed ----------------------------------------------------------------------------


def summary(found: list[Verdict], runs: int = RUNS) -> dict[str, object]:
    """One row: how many p-values an order has, and how many of them are weak or fail."""
    weak = [verdict for verdict in found if verdict.assessment == WEAK]
    return {
        "order": found[0].order,
        "p-values": len(found),
        "weak (2 % expected)": len(weak),
        "failed": sum(verdict.assessment == FAILED for verdict in found),
        f"weak {runs} times": len(repeated(weak, runs)),
        "least p": f"{min(verdict.p for verdict in found):.4f}",
        "greatest p": f"{max(verdict.p for verdict in found):.4f}",
    }


def repeated(weak: list[Verdict], runs: int) -> list[str]:
    """The tests that were weak in every run."""
    each = [{one.test for one in weak if one.run == run} for run in range(runs)]
    return sorted(set.intersection(*each))


def arguments() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("orders", nargs="*", help=f"some of {', '.join(orders.ORDERS)}; else all")
    parser.add_argument(
        "--all", action="store_true", help="the slow tests too, about 15 minutes an order"
    )
    parser.add_argument("--practrand", metavar="SIZE", help="PractRand instead, up to SIZE bytes")
    parser.add_argument("--json", metavar="FILE", help="write every p-value there, too")
    chosen = parser.parse_args()
    for order in chosen.orders:
        if order not in orders.ORDERS:
            parser.error(f"{order!r} is not an order: choose from {', '.join(orders.ORDERS)}")
    return chosen


def main() -> int:
    """Run the battery on each order; 1 if a test fails, 2 if the battery is not installed."""
    chosen = arguments()
    program = "RNG_test" if chosen.practrand else "dieharder"
    if not shutil.which(program):
        print(f"{program} is not on the path", file=sys.stderr)
        return 2
    print(heading(), flush=True)
    names = chosen.orders or list(orders.ORDERS)
    if chosen.practrand:
        reports = [practrand(name, chosen.practrand) for name in names]
        print("\n".join(f"{name}\n{report}" for name, report in zip(names, reports, strict=True)))
        return 1 if any(re.search(r"\bFAIL\b", report) for report in reports) else 0
    rows, everything = [], []
    for name in names:
        begun = time.monotonic()
        found = list(dieharder(name, ALL if chosen.all else QUICK))
        rows.append(summary(found))
        everything += found
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
        for verdict in found:
            if verdict.assessment != PASSED:
                print(f"{verdict}", file=sys.stderr, flush=True)
        if chosen.json:
            content = {"heading": heading(), "p-values": [asdict(one) for one in everything]}
            Path(chosen.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    return 1 if any(row["failed"] or row[f"weak {RUNS} times"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
