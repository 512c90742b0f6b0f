# SPDX-License-Identifier: MIT
"""An embedding of ten million rows in a file: made once, mapped, trained a few rows at a time.

    python examples/embedding.py [--rows 10_000_000] [--folder .]

It needs nothing but fastinit.  In bfloat16, ten million rows of 64 take 1.28 GB of disk, and hardly
any memory: the system reads the pages that are touched, and may drop them again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import fastinit as fi

WIDTH = 64

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--rows", type=int, default=10_000_000)
parser.add_argument("--folder", default=".", help="where the file is made, and deleted at the end")
options = parser.parse_args()

with tempfile.TemporaryDirectory(dir=options.folder) as folder:
    path = Path(folder) / "embedding.bin"
    call = {"seed": 0, "dtype": "bfloat16", "durability": "none"}

    before = time.perf_counter()
    table = fi.memmap(path, (options.rows, WIDTH), fi.normal(std=0.02), **call)
    seconds = time.perf_counter() - before
    print(f"{options.rows:,} rows, {path.stat().st_size / 1e9:.2f} GB in {seconds:.1f} s")

    # Any row alone is the same, without the file.  The tensor has the name of the file.
    last = np.empty(WIDTH, table.dtype)
    region = np.s_[options.rows - 1 :, :]
    fi.fill(
        last[None], fi.normal(std=0.02), seed=0, name="embedding", shape=table.shape, region=region
    )
    print("the last row alone is equal:", bool((table[-1] == last).all()))

    # One step of training: only the rows of this batch change.
    tokens = np.random.default_rng(0).integers(0, options.rows, 1000)
    table[tokens] = (table[tokens].astype("float32") * 0.9).astype(table.dtype)
    table.flush()

    # The same call, in any process, finds the file and what training wrote.
    again = fi.memmap(path, (options.rows, WIDTH), fi.normal(std=0.02), **call)
    print("mapped again, trained rows included:", bool((again[tokens] == table[tokens]).all()))
    try:
        fi.verify(path)
    except fi.errors.VerifyError as error:
        print("verify finds the training:", str(error).partition(":")[2].strip()[:70])

    status = Path("/proc/self/status").read_text()
    anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    print(f"memory beside the pages of the file: {int(anonymous.split()[1]) / 1024:.0f} MiB")
