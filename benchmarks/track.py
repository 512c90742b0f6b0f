# SPDX-License-Identifier: MIT
"""Is this version slower than the last release?  benchmarks/README.md says how it is measured.

    python benchmarks/track.py run [--size small] [--row TEXT] [--json FILE]
    python benchmarks/track.py compare [--against FILE] [--gate 10] [--repeats 3] [--json FILE]
    python benchmarks/track.py save NAME [--replace]
    python benchmarks/track.py plot [--out docs/figures/history.png]

`compare` exits with 1 if a row lost more than the gate in every repeat, and with 2 if it could not
compare, if no row could be judged, or if a row of the release is gone.  `compare` and `plot` take
`--run FILE`, which `run --json` wrote; a release is always a whole new run.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

import saving
from tracking import comparison, device, instructions, machine, results, runs
from tracking.comparison import Line
from tracking.results import HISTORY, Results, TrackingError

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "history.png"
LOST, ERROR = 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks; return the exit status."""
    options = parser().parse_args(arguments)
    try:
        return options.command(options)
    except TrackingError as error:
        print(f"track.py: {error}", file=sys.stderr)
        return ERROR


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = whole.add_subparsers(required=True)
    how = argparse.ArgumentParser(add_help=False)
    how.add_argument("--size", choices=("full", "small"), default="full", help="small: few rounds")
    how.add_argument("--toy", dest="size", action="store_const", const="toy", help="see it run")
    how.add_argument(
        "--row", action="append", default=[], metavar="TEXT", help="only rows whose key has TEXT"
    )
    how.add_argument("--twice", metavar="TEXT", help="slow rows whose key has TEXT, on purpose")
    how.add_argument("--cflags", default="", help="more compiler flags for the counted kernels")
    history = argparse.ArgumentParser(add_help=False)
    history.add_argument("--history", type=Path, default=HISTORY, help="the folder of releases")

    run = commands.add_parser("run", parents=[how], help="measure and print")
    run.set_defaults(command=run_command)
    compare = commands.add_parser("compare", parents=[how, history], help="exit with 1 on a loss")
    compare.add_argument("--run", type=Path, metavar="FILE", help="start from this run")
    compare.add_argument("--against", type=Path, metavar="FILE", help="[default: last release]")
    compare.add_argument("--allow-gone", action="store_true", help="rows may be missing")
    compare.add_argument("--gate", type=float, default=comparison.GATE, help="percent")
    compare.add_argument("--repeats", type=int, default=comparison.REPEATS)
    compare.set_defaults(command=compare_command)
    for command in (run, compare):
        command.add_argument("--json", type=Path, metavar="FILE")
    save = commands.add_parser("save", parents=[history], help="measure and record a release")
    save.add_argument("name", help="such as 0.1.0")
    save.add_argument("--replace", action="store_true", help="record it anew")
    save.set_defaults(command=save_command)
    plot = commands.add_parser("plot", parents=[history], help="draw the history")
    plot.add_argument("--run", type=Path, metavar="FILE", help="draw this run after the releases")
    plot.add_argument("--out", type=Path, default=FIGURE)
    plot.set_defaults(command=plot_command)
    return whole


def run_command(options: argparse.Namespace) -> int:
    """Measure, print, store."""
    now = runs.run(run_options(options))
    print_run(now)
    if options.json:
        results.store(now, options.json)
    return 0


def compare_command(options: argparse.Namespace) -> int:
    """Measure, compare, measure again what lost, print, store."""
    against = options.against
    old = results.load(against) if against else results.releases(options.history)[-1]
    how = run_options(options)
    now = results.load(options.run) if options.run else runs.run(how)
    lines = comparison.compare(wanted(old, how), wanted(now, how), options.gate)
    lines = comparison.confirm(lines, lambda keys: runs.again(how, keys), options.repeats)
    print_comparison(old, now, lines)
    if options.json:
        content = [{**asdict(line), "change": line.change} for line in lines]
        saving.save(options.json, {"against": old.name, "machine": now.machine, "lines": content})
    if any(line.failed for line in lines):
        return LOST
    check_judged(lines, options.allow_gone)
    return 0


def check_judged(lines: list[Line], allow_gone: bool) -> None:
    """See that the comparison means something.

    Raises:
        TrackingError: no row was judged, or one is gone that may not be.
    """
    if all(line.gate is None for line in lines):
        raise TrackingError("nothing was judged: the two runs have no row that can be compared")
    gone = [line.row.key for line in lines if line.gone]
    if gone and not allow_gone:
        raise TrackingError(
            f"{len(gone)} of the rows are gone, the first {gone[0]!r}: measure them too, or pass "
            "--allow-gone if they are meant to be"
        )


def save_command(options: argparse.Namespace) -> int:
    """Measure everything as often as `compare` does and keep the best in the history."""
    path = options.history / f"{options.name}.json"
    if path.exists() and not options.replace:
        raise TrackingError(f"{path} is there already: pass another name, or --replace")
    tool = instructions.missing() or device.missing()
    if tool:
        raise TrackingError(f"a release has counts too, but {tool} is not in this machine")
    now = runs.best(runs.Options(), comparison.REPEATS)
    results.store(replace(now, name=options.name), path)
    print(f"{len(now.rows)} rows in {path}")
    return 0


def plot_command(options: argparse.Namespace) -> int:
    """Draw every release, oldest first."""
    from tracking import figure

    known = results.releases(options.history)
    if options.run:
        known.append(results.load(options.run))
    figure.draw(known, options.out)
    print(options.out)
    return 0


def run_options(options: argparse.Namespace) -> runs.Options:
    """What the command line says of measuring."""
    flags = tuple(options.cflags.split())
    return runs.Options(options.size, tuple(options.row), options.twice, flags)


def wanted(some: Results, how: runs.Options) -> Results:
    """Without the rows that --row does not ask for."""
    return replace(some, rows={key: row for key, row in some.rows.items() if how.wants(key)})


def print_head(now: Results) -> None:
    """The machine, in one line, and whether it was busy."""
    print(", ".join(f"{key} {value}" for key, value in now.machine.items() if key != "versions"))
    if machine.busy(now.machine):
        print("Other work was going on: rows of all threads (memory, calls) are slower for it.")


def print_run(now: Results) -> None:
    """A table: figure, spread of the rounds, unit."""
    print_head(now)
    for row in now.rows.values():
        low, high = row.quartiles
        spread = f"{low:9.3f} ..{high:9.3f}" if row.rounds else ""
        print(f"{row.key:44} {row.figure:9.3f} {spread:22} {row.unit}")


def print_comparison(old: Results, now: Results, lines: list[Line]) -> None:
    """A table under a heading for each group, and how many rows were judged."""
    print_head(now)
    differences = machine.differences(old.machine, now.machine)
    if differences:
        print(f"Another machine than that of {old.name}: {'; '.join(differences)}")
    for group in dict.fromkeys(line.row.group for line in lines):
        print(f"\n{group:38} {old.name:>10} {'now':>10} {'change':>9}")
        for line in lines:
            if line.row.group == group:
                print_line(line)
    judged = sum(line.gate is not None for line in lines)
    failed = sum(line.failed for line in lines)
    print(f"\n{judged} rows judged, {failed} lost; {len(lines) - judged} more are only shown")


def print_line(line: Line) -> None:
    """One row of the comparison."""
    change = "" if line.change is None else f"{line.change:+.1f} %"
    figures = f"{number(line.old):>10} {number(line.new):>10} {change:>9}"
    print(f"  {line.row.name:36} {figures}  {line.row.unit}: {line.verdict}")


def number(figure: float | None) -> str:
    """A figure, or a dash where there is none."""
    return "-" if figure is None else f"{figure:.3f}"


if __name__ == "__main__":
    sys.exit(main())
