# SPDX-License-Identifier: MIT
"""How long from nothing to a saved checkpoint of a preset, against transformers?

    python benchmarks/bench_model.py [--preset gpt2-xl] [--folder DIR] [--rounds 3] [--toy]

Both end with float32 safetensors on disk, flushed (os.sync).  transformers builds the model from
the preset's own config with its own initialisation, and is run if it is installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import fastinit as fi
from fastinit.bench import measure


def fastinit_call(preset: str, folder: Path) -> Callable[[], None]:
    def call() -> None:
        fi.write(preset, folder, seed=0, dtype="float32")
        os.sync()
        shutil.rmtree(folder)

    return call


def transformers_call(preset: str, folder: Path) -> Callable[[], None] | None:
    try:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM
    except ImportError:
        return None
    settings = fi.plan(preset).config or {}
    config = AutoConfig.for_model(**settings)

    def call() -> None:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.save_pretrained(folder)
        os.sync()
        shutil.rmtree(folder)

    return call


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="gpt2-xl")
    parser.add_argument("--folder", help="where to write and remove [default: the system's]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    preset, rounds = ("gpt2", 1) if options.toy else (options.preset, options.rounds)
    rows = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        calls = {"fastinit": fastinit_call(preset, Path(name) / "fastinit")}
        peer = transformers_call(preset, Path(name) / "transformers")
        if peer:
            calls["transformers"] = peer
        for label, seconds in measure.interleaved(calls, rounds).items():
            rows[label] = round(statistics.median(seconds), 2)
            print(f"{preset} {label:14} {rows[label]:8.2f} s")
    measure.save(options.json, {"machine": measure.header(), "preset": preset, "seconds": rows})


if __name__ == "__main__":
    main()
