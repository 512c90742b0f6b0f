# SPDX-License-Identifier: MIT
"""Statistics of what fastinit draws: `python tests/statistics/run.py --values 1e10 --peers`.

Prints the tables of docs/quality.md: values of each distribution and dtype, words in several
orders, the correlation of many streams, and the singular values of a large matrix.  With --peers
NumPy, PyTorch and JAX stand beside it.  Batteries of tests for words are in batteries.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the reference is there

import cases
import correlations
import spectra
from laws import distance
from p_values import Result
from tables import heading, pretty, table

RATE = 1e-7
"""How often one test fails for values that are as they should be."""

THEIRS = tuple(f"{case.package} " for case in cases.PEERS)
"""How labels of peers begin."""

Found = dict[str, list[Result]]
"""Tests by label."""


def report(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


# ---- the sections -------------------------------------------------------------------------------


def drawn(chosen: argparse.Namespace, chosen_cases: list[cases.Case]) -> Found:
    """The tests of some cases, drawn by processes."""
    found = {}
    with cases.pool(chosen.jobs) as executor:
        for case in chosen_cases:
            if not cases.installed(case) or chosen.case not in case.label:
                continue
            begun = time.monotonic()
            count = chosen.values if case.ours else chosen.peer_values
            counts = cases.sample(case, count, executor)
            found[case.label] = case.judged(counts)
            report(f"{case.label}: {counts.count:,} values, {time.monotonic() - begun:.0f} s")
    return found


def values(chosen: argparse.Namespace) -> Found:
    """Values of every distribution and dtype."""
    return drawn(chosen, [*cases.OURS, *(cases.PEERS if chosen.peers else ())])


def words(chosen: argparse.Namespace) -> Found:
    """Words in every order, as uniform numbers."""
    return drawn(chosen, cases.WORDS)


def streams(chosen: argparse.Namespace) -> Found:
    """Streams of a thousand names, of a thousand seeds and of derived draws."""
    return {label: correlations.judged(rows()) for label, rows in correlations.FAMILIES.items()}


def matrices(chosen: argparse.Namespace) -> Found:
    """Square matrices, by every package."""
    found = {}
    for case in [*cases.OURS, *(cases.PEERS if chosen.peers else ())]:
        if case.law is cases.NORMAL and cases.installed(case) and chosen.case in case.label:
            begun = time.monotonic()
            found[case.label] = spectra.judged(case, chosen.side)
            report(f"{case.label}: {chosen.side} rows, {time.monotonic() - begun:.0f} s")
    return found


SECTIONS: dict[str, Callable[[argparse.Namespace], Found]] = {
    "values": values,
    "words": words,
    "streams": streams,
    "matrices": matrices,
}


# ---- what is printed ----------------------------------------------------------------------------


def row_of_values(label: str, results: list[Result]) -> dict[str, str]:
    """Moments in standard errors, p-values, counts, and the tests that fail."""
    by_test = {result.test: result for result in results}
    lags = [result for result in results if result.test.startswith("lag")]
    least = min(result.p for result in lags)
    row = {"values": label}
    for test in ("mean", "variance", "skewness", "kurtosis"):
        row[f"{test}, SE"] = f"{by_test[test].statistic:+,.1f}"
    for test in ("Kolmogorov-Smirnov", "Anderson-Darling", "chi-square"):
        row[f"{test}, p"] = pretty(by_test[test].p)
    row["lags, p"] = pretty(1 - (1 - least) ** len(lags))
    row["fails"] = failures(results)
    return row


def row_of_tails(label: str, results: list[Result]) -> dict[str, str]:
    """Counts beyond each bound and their p-values."""
    row = {"values": label}
    for result in results:
        if result.test.startswith("beyond"):
            row[f"{result.test} (p)"] = f"{int(result.statistic):,} ({pretty(result.p)})"
    return row


def row_of_results(label: str, results: list[Result]) -> dict[str, str]:
    """Every statistic with its p-value."""
    row = {"": label}
    for result in results:
        row[f"{result.test} (p)"] = f"{result.statistic:,.4g} ({pretty(result.p)})"
    row["fails"] = failures(results)
    return row


def failures(results: list[Result]) -> str:
    """The tests that fail, lags as one."""
    failed = (result.test.partition(" ")[0] for result in results if result.fails(RATE))
    return ", ".join(dict.fromkeys(failed)) or "-"


def tables(section: str, found: Found) -> list[str]:
    """The Markdown tables of a section."""
    if section not in ("values", "words"):
        return [table([row_of_results(label, results) for label, results in found.items()])]
    tails = [row_of_tails(label, results) for label, results in found.items()]
    parts = [
        [row_of_values(label, results) for label, results in found.items()],
        [row for row in tails if len(row) > 1],
        [row_of_distance(case) for case in cases.OURS if case.label in found and case.exact],
    ]
    return [table(rows) for rows in parts if rows]


def row_of_distance(case: cases.Case) -> dict[str, str]:
    """How far the stream's distribution is from the ideal one, and how many values show it."""
    far = distance(case.law, case.dtype)
    return {
        "values": case.label,
        "largest difference from the ideal": f"{far:.1e}",
        "values in which it is seen": f"{(1.63 / far) ** 2:.0e}",  # Kolmogorov's 1 % point
    }


def arguments() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"some of {', '.join(SECTIONS)}; else all")
    count = {"type": lambda text: int(float(text)), "metavar": "COUNT"}
    parser.add_argument("--values", default="1e8", help="values of each distribution", **count)
    parser.add_argument("--peers", action="store_true", help="NumPy, PyTorch and JAX, too")
    parser.add_argument("--peer-values", help="values of each peer  [as many]", **count)
    parser.add_argument("--case", default="", help="distributions whose label has this text")
    parser.add_argument("--side", type=int, default=4096, help="rows and columns of a matrix")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", metavar="FILE", help="write every p-value there, too")
    chosen = parser.parse_args()
    for section in chosen.sections:
        if section not in SECTIONS:
            parser.error(f"{section!r} is not a section: choose from {', '.join(SECTIONS)}")
    chosen.peer_values = chosen.peer_values or chosen.values
    return chosen


def main() -> int:
    """Draw, then print; 1 if a test of fastinit's values fails."""
    chosen = arguments()
    print(f"{heading()}\n", flush=True)
    everything = {}
    for section in chosen.sections or SECTIONS:
        found = SECTIONS[section](chosen)
        everything |= {f"{label} ({section})": results for label, results in found.items()}
        print("\n\n".join(tables(section, found)), "\n", flush=True)
    if chosen.json:
        content = {
            "heading": heading(),
            "rate": RATE,
            "results": {label: [asdict(one) for one in all_] for label, all_ in everything.items()},
        }
        Path(chosen.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    tests = [(label, result) for label, results in everything.items() for result in results]
    ours = [result for label, result in tests if not label.startswith(THEIRS)]
    failed = sum(result.fails(RATE) for result in ours)
    print(f"{failed} of {len(ours)} tests of fastinit fail at a rate of {RATE:g} each.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
