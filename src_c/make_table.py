# SPDX-License-Identifier: MIT
"""Fit the octave table of the normal quantile; write it to src_c/octaves.c and docs/stream.md.

Run `python src_c/make_table.py` to write both; `--check-accuracy` reads the committed table and
checks it, without a fit.  It needs SciPy, whose `ndtri` (float64) is the truth that is fitted and
checked.  The table is part of stream version 1 and frozen with it: this program shows where it
came from.  (Another LAPACK may fit a last bit otherwise; the committed table is what counts.)

Row k is the octave of tail probabilities p = 2^-(k+2) * m, 1 <= m < 2.  Its polynomial in
d = m - 3/2 is the weighted minimax fit of the distance z = -ndtri(p), found by Lawson's iteration
(iteratively reweighted least squares); the coefficients are rounded to float32 one by one, lowest
first, the rest being fitted anew after each, so that later ones make up for the rounding of
earlier ones.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
from scipy.special import ndtri

OCTAVES = 160
DEGREE = 7
NODES = 400
ROOT = Path(__file__).resolve().parent.parent
C_FILE = ROOT / "src_c" / "octaves.c"
PAGE = ROOT / "docs" / "stream.md"
MARKS = ("<!-- octave table: begin -->\n", "<!-- octave table: end -->\n")


def lawson(powers: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Coefficients with a nearly minimal greatest weighted error."""
    emphasis = np.ones_like(target)
    for _ in range(30):
        scale = weight * np.sqrt(emphasis)
        found = np.linalg.lstsq(powers * scale[:, None], target * scale, rcond=None)[0]
        error = np.abs((powers @ found - target) * weight)
        emphasis *= error / error.max() + 1e-3
        emphasis /= emphasis.mean()
    return found


def fit(row: int) -> list[np.float32]:
    """The eight coefficients of one octave, lowest first."""
    d = 0.5 * np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    z = -ndtri((1.5 + d) * 2.0 ** -(row + 2))
    weight = 1 / np.maximum(z, 0.5)  # relative, but absolute near the middle
    powers = d[:, None] ** np.arange(DEGREE + 1)
    done: list[np.float32] = []
    for j in range(DEGREE + 1):
        rest = z - powers[:, :j] @ np.array(done, dtype=np.float64)
        done.append(np.float32(lawson(powers[:, j:], rest, weight)[0]))
    return done


def horner(coefficients: list[np.float32], d: np.ndarray) -> np.ndarray:
    """The polynomial in float32, each step rounded once: float32 x float32 is exact in float64."""
    z = np.full(d.shape, coefficients[-1], dtype=np.float32)
    for c in coefficients[-2::-1]:
        z = (z * d + np.float64(c)).astype(np.float32)
    return z


def worst(row: int, coefficients: list[np.float32]) -> tuple[float, float]:
    """Greatest error over `max(3e-7, 3 * 2^-24 z)`, and the smallest value, in float32."""
    step = 1 if row == 0 else 61
    m = 1 + np.arange(0, 2**23, step) / 2.0**23
    d = m - 1.5
    z = horner(coefficients, d)
    truth = -ndtri(m * 2.0 ** -(row + 2))
    error = np.abs(z - truth) / np.maximum(3e-7, 3 * 2.0**-24 * truth)
    return float(error.max()), float(z.min())


def top(nearest: list[np.float32]) -> list[np.float32]:
    """A row that is the nearest octave's value at the largest float below 2^31, whatever d is."""
    largest = np.nextafter(np.float32(2), np.float32(0))
    return [horner(nearest, np.array([np.float64(largest) - 1.5]))[0], *[np.float32(0)] * DEGREE]


def c_text(table: list[list[np.float32]]) -> str:
    """The C file."""
    lines = [
        "/* SPDX-License-Identifier: MIT",
        " * The octave table of stream version 1, made by make_table.py: do not edit.",
        " * Coefficient by coefficient, lowest power first; the deepest octave first; and an",
        " * entry that holds the value of the largest float below 2^31, as a constant. */",
        '#include "kernels.h"',
        "",
        "const float fi_octaves[FI_COEFFICIENTS][FI_ENTRIES] = {",
    ]
    rows = [*reversed(table), top(table[0])]
    for j in range(DEGREE + 1):
        column = [f"{float(row[j]).hex()}f" for row in rows]
        column = [re.sub(r"0+p", "p", value).replace(".p", "p") for value in column]
        lines.append("    {")
        lines += [f"     {', '.join(column[i : i + 4])}," for i in range(0, len(column), 4)]
        lines.append("    },")
    return "\n".join([*lines, "};", ""])


def page_text(table: list[list[np.float32]]) -> str:
    """Rows of the page: k and the bits of c0..c7 as float32, in hexadecimal."""
    lines = ["```text\n", "  k " + " ".join(f"{f'c{j}':8}" for j in range(8)).rstrip() + "\n"]
    for k, row in enumerate(table):
        bits = " ".join(f"{c.view(np.uint32):08x}" for c in row)
        lines.append(f"{k:3} {bits}\n")
    return "".join([*lines, "```\n"])


def committed() -> list[list[np.float32]]:
    """The table as docs/stream.md prints it."""
    _, _, rest = PAGE.read_text().partition(MARKS[0])
    lines = rest.partition(MARKS[1])[0].splitlines()[2:-1]
    return [
        [np.uint32(int(bits, 16)).view(np.float32) for bits in line.split()[1:]] for line in lines
    ]


def accurate(table: list[list[np.float32]]) -> bool:
    """Print how far the table is from `ndtri`, and say whether that is near enough."""
    errors = [worst(row, coefficients) for row, coefficients in enumerate(table)]
    greatest, least = max(error for error, _ in errors), errors[0][1]
    print(f"{len(table)} octaves; greatest error {greatest:.3f} of max(3e-7, 3 * 2^-24 z)")
    print(f"smallest value {least:.3e}, which must be positive")
    return len(table) == OCTAVES and greatest < 0.9 and least > 0


def main(arguments: list[str]) -> int:
    """Fit and write, or check."""
    if arguments == ["--check-accuracy"]:
        table = committed()
        same = C_FILE.read_text() == c_text(table)
        print("C and the page hold the same table" if same else "C and the page differ")
        return 0 if accurate(table) and same else 1
    table = [fit(row) for row in range(OCTAVES)]
    if not accurate(table):
        return 1
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    C_FILE.write_text(c_text(table))
    PAGE.write_text(before + MARKS[0] + page_text(table) + MARKS[1] + after)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
