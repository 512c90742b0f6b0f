# SPDX-License-Identifier: MIT
"""What does it take to build a PyTorch module with its weights, against the weights alone?

    python benchmarks/bench_torch.py [--case CASE] [--rounds 5] [--toy] [--json FILE]

Cases: a stack of torch.nn layers of the size of GPT-2 XL in float32; one of 8 billion parameters in
bfloat16, which needs 17 GB of memory; and a small multilayer perceptron, call by call.

"fi.array" makes the tensors of the module and no module: the floor.  "deferred, materialize" is the
whole change a user makes; "torch" is the constructors themselves.  Each is timed in turn inside a
round, and its memory is given back before the next begins.  Before each, as many pages are touched
and freed, unmeasured: otherwise a call would wait until the host of a virtual machine finds them.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from new_memory import pages_of
from saving import save
from torch import nn

import fastinit as fi
import fastinit.torch as ft
from fastinit.bench import measure


class Block(nn.Module):
    """The parameters of a transformer's layer."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)


class Stack(nn.Module):
    """Embedding, layers and a final norm."""

    def __init__(self, words: int, width: int, inner: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.layers = nn.ModuleList(Block(width, inner) for _ in range(layers))
        self.norm = nn.LayerNorm(width)


def perceptron() -> nn.Module:
    """Three layers."""
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )


STACKS: dict[str, tuple[Callable[[], nn.Module], torch.dtype]] = {
    "gpt2-xl": (lambda: Stack(50257, 1600, 6400, 48), torch.float32),
    "8b": (lambda: Stack(128256, 4096, 16384, 36), torch.bfloat16),
    "toy": (lambda: Stack(1000, 64, 256, 2), torch.float32),
}


def stack_calls(make: Callable[[], nn.Module]) -> tuple[dict[str, Callable[[], object]], int]:
    """The candidates, each of which makes all weights anew, and how many bytes that takes."""
    with ft.deferred():
        recorded = make()
    tensors = list(ft.plan(recorded))

    def weights() -> list[object]:
        return [
            fi.array(t.shape, t.scheme, seed=0, name=t.name, dtype=t.dtype or "float32")
            for t in tensors
        ]

    def materialised() -> nn.Module:
        with ft.deferred():
            module = make()
        return ft.materialize(module, seed=0)

    size = sum(parameter.numel() * parameter.itemsize for parameter in recorded.parameters())
    return {"fi.array": weights, "deferred, materialize": materialised, "torch": make}, size


def small_calls(times: int) -> dict[str, Callable[[], object]]:
    """In-place initialisation of a small module, which is there already."""
    module = perceptron()

    def torch_resets() -> None:
        for _ in range(times):
            for layer in module:
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()

    def ours() -> None:
        for _ in range(times):
            ft.initialize_(module, seed=0)

    return {"initialize_": ours, "reset_parameters": torch_resets}


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=["gpt2-xl", "8b", "small"], action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    cases = ["toy", "small"] if options.toy else options.case or ["gpt2-xl", "small"]
    rounds, times = (1, 2) if options.toy else (options.rounds, 50)
    rows: dict[str, dict[str, float]] = {}
    for case in cases:
        if case == "small":
            found = measure.interleaved(small_calls(times), rounds)
            found = {name: [s / times for s in seconds] for name, seconds in found.items()}
        else:
            make, dtype = STACKS[case]
            before = torch.get_default_dtype()
            torch.set_default_dtype(dtype)
            calls, size = stack_calls(make)
            found = measure.interleaved(calls, rounds, before=pages_of(size))
            torch.set_default_dtype(before)
        medians = {name: statistics.median(seconds) for name, seconds in found.items()}
        floor = medians.get("fi.array", medians.get("reset_parameters", 1.0))
        for name, value in medians.items():
            print(f"{case:8} {name:24} {value:12.6f} s   {value / floor:8.3f}")
        rows[case] = medians
    save(options.json, {"machine": measure.header(), "torch": torch.__version__, "seconds": rows})


if __name__ == "__main__":
    main()
