# SPDX-License-Identifier: MIT
"""Fuzz one target of targets.py, or all, by atheris: `python tests/fuzz/run.py TARGET --minutes 5`.

Each target runs in a process of its own.  A finding is an error that is not fastinit's own, a
difference that the target looks for, an input that takes over 5 seconds of CPU time or a minute in
all, or memory over 500 MB.  Its input is kept in the folder, and the exit code is 1.  It needs
`pip install '.[fuzz]'`.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

SECONDS, DEADLINE, MEGABYTES, LENGTH = 5, 60, 500, 4096


def main() -> int:
    """Run the targets one after the other, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("target", help="a target of targets.py, or all")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument("--folder", type=Path, help="keeps the corpus and the inputs of findings")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return _inside(options.target, options.folder, options.minutes)
    from targets import TARGETS

    if options.target != "all" and options.target not in TARGETS:
        parser.error(f"target is {options.target!r}: choose from all, {', '.join(TARGETS)}")
    if find_spec("atheris") is None:
        parser.error("atheris is missing: pip install '.[fuzz]', with Python 3.11 to 3.13")
    names = list(TARGETS) if options.target == "all" else [options.target]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fastinit-fuzz-"))
    bad = [name for name in names if not _run(name, folder / name, options.minutes)]
    return 1 if bad else 0


def _run(name: str, folder: Path, minutes: float) -> bool:
    """Whether a target came to its end without a finding."""
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, name, "--inside", "--minutes", str(minutes)]
    log = folder / "log.txt"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with log.open("w") as stream:
        done = subprocess.run(
            [*command, "--folder", folder], stdout=stream, stderr=subprocess.STDOUT
        )
    said = log.read_text(errors="replace")
    counts = re.findall(r"stat::number_of_executed_units: *(\d+)|^#(\d+)\t", said, re.MULTILINE)
    runs = max((int(one or other) for one, other in counts), default=0)
    peak = max(map(int, re.findall(r"rss: (\d+)Mb", said)), default=0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    print(
        f"{name}: {runs:,} executions in {used / 60:.1f} CPU minutes, at most {peak} MB, "
        + ("no finding" if done.returncode == 0 else f"a FINDING: see {log}"),
        flush=True,
    )
    return done.returncode == 0


def _inside(name: str, folder: Path, minutes: float) -> int:
    """Be the process that fuzzes a target; it does not return."""
    import atheris

    with atheris.instrument_imports(include=["fastinit", "json", "tomllib", "ast"]):
        import targets
    target = targets.TARGETS[name]
    for number, seed in enumerate(target.seeds()):
        (folder / "corpus" / f"seed-{number}").write_bytes(seed)
        target.read(seed)  # what is imported only now takes its time here

    def read(data: bytes) -> None:
        begin = time.process_time()
        target.read(data)
        if time.process_time() - begin > SECONDS:
            raise targets.Finding(f"it takes over {SECONDS} seconds")

    limits = [f"-timeout={DEADLINE}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={LENGTH}"]
    until = [f"-max_total_time={int(60 * minutes)}", "-print_final_stats=1"]
    arguments = [sys.argv[0], *limits, *until, f"-artifact_prefix={folder}{os.sep}"]
    atheris.Setup([*arguments, str(folder / "corpus")], read)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
