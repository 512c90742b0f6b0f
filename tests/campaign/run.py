# SPDX-License-Identifier: MIT
"""Try to break fastinit, and print what was tried: `python tests/campaign/run.py`.

Without options it is the sample that CI runs; `--all` is the larger one.  docs/reliability.md says
what is promised.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
from pathlib import Path

import calls
import limits
import processes
from points import attempt
from samples import SECTIONS, Sample


def arguments() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"some of {', '.join(SECTIONS)}; else all")
    parser.add_argument(
        "--all", action="store_true", help="the larger sample, about two hours on 2 cores"
    )
    parser.add_argument("--count", type=int, help="random points of a kind  [2, with --all 50]")
    parser.add_argument("--seed", type=int, default=0, help="of random points")
    parser.add_argument("--only", metavar="PATTERN", help="points whose name matches, as *KILL")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="at a time")
    parser.add_argument("--list", action="store_true", help="print the points' names instead")
    chosen = parser.parse_args()
    for section in chosen.sections:
        if section not in SECTIONS:
            parser.error(f"{section!r} is not a section: choose from {', '.join(SECTIONS)}")
    return chosen


def main() -> int:
    """Try the points; 1 if a promise was broken, 2 if nothing can be tried here."""
    chosen = arguments()
    if reason := calls.missing() or limits.no_disks():
        print(reason, file=sys.stderr)
        return 2
    processes.restore_signals()
    with tempfile.TemporaryDirectory(prefix="campaign-") as scratch:
        count = chosen.count or (50 if chosen.all else 2)
        sample = Sample(Path(scratch), chosen.seed, count, chosen.all)
        points = [
            point
            for section in chosen.sections or SECTIONS
            for point in SECTIONS[section](sample)
            if not chosen.only or fnmatch.fnmatchcase(point.name, chosen.only)
        ]
        if chosen.list:
            print("\n".join(point.name for point in points))
            return 0
        tally = attempt(points, Path(scratch), jobs=chosen.jobs, progress=True)
    print(f"\nseed {chosen.seed}\n\n{tally.table()}\n\n{tally.explanation()}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
