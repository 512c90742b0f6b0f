# SPDX-License-Identifier: MIT
"""What does a model of transformers take from its configuration, against transformers itself?

    python benchmarks/bench_transformers.py [--case CASE] [--rounds 3] [--toy] [--json FILE]

Cases: GPT-2 XL in float32; Llama 3 8B in bfloat16, which needs 17 GB of memory; "recordings", the
time and memory until the plans of Llama 3.1 405B and DeepSeek-V3 are there; "disk", Llama 3 8B in
bfloat16 from its config.json to a verified folder, and the memory that writing adds to the process.
The last two run in processes of their own.

Models are built in turn inside a round, each freed before the next; before each, as many pages are
touched and freed, unmeasured.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from new_memory import pages_of
from saving import save

import fastinit as fi
import fastinit.transformers as fh
from fastinit.bench import measure

LLAMA_3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
LLAMA_31_405B = {
    **LLAMA_3_8B,
    "hidden_size": 16384,
    "intermediate_size": 53248,
    "num_hidden_layers": 126,
    "num_attention_heads": 128,
}
CONFIGS: dict[str, Callable[[], Any]] = {
    "gpt2-xl": lambda: transformers.GPT2Config(n_embd=1600, n_layer=48, n_head=25),
    "llama-3-8b": lambda: transformers.LlamaConfig(**LLAMA_3_8B, dtype="bfloat16"),
    "llama-3.1-405b": lambda: transformers.LlamaConfig(**LLAMA_31_405B, dtype="bfloat16"),
    "deepseek-v3": lambda: transformers.DeepseekV3Config(dtype="bfloat16"),
    "toy": lambda: transformers.GPT2Config(n_embd=64, n_layer=2, n_head=2, vocab_size=500),
}
TASK = "causal-lm"


def model_calls(name: str) -> tuple[dict[str, Callable[[], object]], int]:
    """The candidates, each of which makes a model, and how many bytes that takes."""
    size = fh.plan(CONFIGS[name](), architecture=TASK).size()

    def ours() -> None:
        fh.from_config(CONFIGS[name](), architecture=TASK, seed=0)
        gc.collect()

    def theirs() -> None:
        transformers.AutoModelForCausalLM.from_config(CONFIGS[name]())
        gc.collect()

    return {"fastinit": ours, "transformers": theirs}, size


def in_a_process(step: str, *arguments: str) -> dict[str, float]:
    """What a step prints that runs in a separate process."""
    command = [sys.executable, __file__, "--step", step, *arguments]
    found: dict[str, float] = json.loads(subprocess.check_output(command).splitlines()[-1])
    return found


def peak_mb() -> float:
    """The most memory that this process has had resident; getrusage has that of its parent, too."""
    text = Path("/proc/self/status").read_text("ascii")
    return int(text.partition("VmHWM:")[2].split()[0]) / 1000


def record(name: str) -> dict[str, float]:
    """Seconds until a model is recorded and its plan is there, and the memory of the process."""
    config = CONFIGS[name]()
    begin = time.perf_counter()
    fh.plan(config, architecture=TASK, names="module")
    recorded = time.perf_counter()
    plan = fh.plan(config, architecture=TASK)
    named = time.perf_counter()
    return {
        "recorded s": recorded - begin,
        "again, in the names of the hub s": named - recorded,
        "peak MB": peak_mb(),
        "billions": plan.parameters / 1e9,
    }


def write(name: str, folder: str) -> dict[str, float]:
    """From a config.json to a verified folder."""
    source = Path(folder) / "config"
    config = CONFIGS[name]()
    config.architectures = ["LlamaForCausalLM" if "llama" in name else "GPT2LMHeadModel"]
    config.save_pretrained(source)
    begin = time.perf_counter()
    plan = fi.plan(source / "config.json")
    recorded, before = time.perf_counter(), peak_mb()
    fi.write(plan, Path(folder) / "weights", seed=0)
    written, after = time.perf_counter(), peak_mb()
    fi.verify(Path(folder) / "weights")
    return {
        "recorded s": recorded - begin,
        "written s": written - recorded,
        "verified s": time.perf_counter() - written,
        "MB before writing": before,
        "more MB while writing": after - before,
    }


STEPS: dict[str, Callable[..., dict[str, float]]] = {"record": record, "write": write}


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--case", choices=["gpt2-xl", "llama-3-8b", "recordings", "disk"], action="append"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where the case disk writes [default: a temporary one]")
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.step:
        print(json.dumps(STEPS[options.step[0]](*options.step[1:])))
        return
    cases = options.case or ["gpt2-xl", "recordings"]
    if options.toy:
        cases = ["toy", "recordings", "disk"]
    rows: dict[str, dict[str, float]] = {}
    for case in cases:
        if case == "recordings":
            for name in ["toy"] if options.toy else ["llama-3.1-405b", "deepseek-v3"]:
                rows[f"record {name}"] = in_a_process("record", name)
        elif case == "disk":
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                name = "toy" if options.toy else "llama-3-8b"
                rows[f"write {name}"] = in_a_process("write", name, folder)
        else:
            calls, size = model_calls(case)
            rounds = 1 if options.toy else options.rounds
            found = measure.interleaved(calls, rounds, before=pages_of(size))
            medians = {name: statistics.median(seconds) for name, seconds in found.items()}
            ratio = medians["transformers"] / medians["fastinit"]
            rows[case] = {**medians, "times as fast": ratio}
    for name, row in rows.items():
        print(name, ", ".join(f"{key} {value:.4g}" for key, value in row.items()), sep=": ")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    save(options.json, {"machine": measure.header(), **versions, "found": rows})


if __name__ == "__main__":
    main()
