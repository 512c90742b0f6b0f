# SPDX-License-Identifier: MIT
"""How fast are parts of a tensor, and outputs that are not contiguous, against a contiguous fill?

    python benchmarks/bench_strides.py [--rounds 7] [--threads N] [--toy] [--json FILE]

Normal float32 into warm memory.  Each case takes turns with a contiguous fill of as many values;
"of contiguous" is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from saving import save

import fastinit as fi
from fastinit.bench import measure
from fastinit.machine import parallel

SCHEME = fi.normal(std=0.02)
CASE, CONTIGUOUS = "case", "contiguous"


@dataclass(frozen=True)
class Case:
    """A fill.

    Attributes:
        shape: of the whole tensor for a region, of the memory for a view.
        region: of the tensor, which gapless memory holds; else the whole tensor is drawn.
        view: which part of the memory that tensor is.
        axes: the order of the memory's axes in the tensor.
    """

    shape: tuple[int, ...]
    region: Any = None
    view: Any = ...
    axes: tuple[int, ...] | None = None

    def fill(self, threads: int, toy: bool) -> tuple[int, partial[Any]]:
        """How many values it has, and the call."""
        shape = (max(4, self.shape[0] // 256), *self.shape[1:]) if toy else self.shape
        if self.region is not None:
            dims = np.broadcast_to(np.int8(0), shape)[self.region].shape
            out, options = np.ones(dims, np.float32), {"shape": shape, "region": self.region}
        else:
            out, options = np.ones(shape, np.float32)[self.view], {}
            out = out.transpose(self.axes or range(out.ndim))
        options |= {"seed": 0, "name": "w", "threads": threads}
        return out.size, partial(fi.fill, out, SCHEME, **options)


CASES = {
    "columns 512 to 1023 of 4,096": Case((2**15, 4096), np.s_[:, 512:1024]),
    "columns 1024 to 2047": Case((2**14, 4096), np.s_[:, 1024:2048]),
    "256 columns": Case((2**16, 4096), np.s_[:, 256:512]),
    "64 columns": Case((2**17, 4096), np.s_[:, 64:128]),
    "16 columns": Case((2**19, 4096), np.s_[:, 16:32]),
    "2 columns": Case((2**22, 4096), np.s_[:, :2]),
    "1 column": Case((2**22, 4096), np.s_[:, :1]),
    "columns 3 to 516, where no row begins a block": Case((2**15, 4096), np.s_[:, 3:517]),
    "columns 3 and 4 of 4,097": Case((2**22, 4097), np.s_[:, 3:5]),
    "the centres of 3 x 3 kernels": Case((2**16, 64, 3, 3), np.s_[:, :, 1:2, 1:2]),
    "2 x 2 of each 4 x 4": Case((2**20, 4, 4), np.s_[:, 1:3, 1:3]),
    "every second of the values": Case((2**25,), np.s_[::2]),
    "every tenth of the values": Case((10 * 2**22,), np.s_[::10]),
    "rows of an array twice as wide": Case((2**12, 8192), view=np.s_[:, :4096]),
    "2 of 3 columns of an array": Case((2**22, 3), view=np.s_[:, :2]),
    "1 of 3 columns of an array": Case((2**22, 3), view=np.s_[:, :1]),
    "every second column of an array": Case((2**12, 8192), view=np.s_[:, ::2]),
    "rows reversed": Case((2**12, 4096), view=np.s_[::-1]),
    "columns reversed": Case((2**12, 4096), view=np.s_[:, ::-1]),
    "transposed": Case((2**12, 4096), axes=(1, 0)),
    "transposed, rows not whole cache lines": Case((2**12, 4097), axes=(1, 0)),
    "two columns, transposed": Case((2**22, 2), axes=(1, 0)),
    "three axes, permuted (2, 0, 1)": Case((256, 256, 256), axes=(2, 0, 1)),
    "three axes, permuted (0, 2, 1)": Case((256, 256, 256), axes=(0, 2, 1)),
    "three axes, permuted (1, 0, 2)": Case((256, 256, 256), axes=(1, 0, 2)),
    "a convolution's kernel in Keras's order": Case((3, 3, 1024, 1024), axes=(3, 2, 0, 1)),
}


def measured(case: Case, threads: int, rounds: int, toy: bool) -> dict[str, float]:
    """Its speed, and what share that is of a contiguous fill's."""
    count, call = case.fill(threads, toy)
    plain = np.ones(count, np.float32)
    contiguous = partial(fi.fill, plain, SCHEME, seed=0, name="w", threads=threads)
    seconds = measure.interleaved({CASE: call, CONTIGUOUS: contiguous}, rounds)
    return {
        "values": count,
        "msamples_per_second": 1e-6 * count / statistics.median(seconds[CASE]),
        "of_contiguous": measure.ratio(seconds[CONTIGUOUS], seconds[CASE]),
    }


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    threads = parallel.thread_count(options.threads)
    head = {**measure.header(), "threads": threads}
    print(", ".join(f"{key} {value}" for key, value in head.items()))
    print(f"{'':48} {'Msamples/s':>10} {'of contiguous':>14}")
    rows = {}
    for name, case in CASES.items():
        rows[name] = row = measured(
            case, threads, 1 if options.toy else options.rounds, options.toy
        )
        print(f"{name:48} {row['msamples_per_second']:>10,.0f} {row['of_contiguous']:>14.2f}")
    save(options.json, {"machine": head, "rows": rows})


if __name__ == "__main__":
    main()
