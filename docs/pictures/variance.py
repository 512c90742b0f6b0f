# SPDX-License-Identifier: MIT
"""Which scheme keeps signals alive through 50 layers?

    python docs/pictures/variance.py [--toy] [--out docs/figures/variance.png]

Needs torch and matplotlib.  Plain networks of equal layers, with tanh and with ReLU, are
initialised in five ways; `fastinit.torch.propagation` measures a forward and a backward pass.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import style
import torch
from torch import nn

import fastinit as fi
import fastinit.torch as ft

OUT = style.FIGURES / "variance.png"
LOWEST, HIGHEST = 1e-16, 1e4
"""The ends of the axes; what is smaller leaves the figure at the bottom."""


@dataclass(frozen=True)
class Line:
    """A way to initialise, and how its line looks."""

    name: str
    scheme: str
    color: str
    dashes: Any = "-"


LINES = (
    Line("zero", "zeros()", style.BLACK, ":"),
    Line("small random", "normal(std=0.01)", style.PURPLE, (0, (4, 1.5, 1, 1.5))),
    Line("Xavier", "xavier_normal()", style.BLUE),
    Line("LeCun", "lecun_normal()", style.GREEN, (0, (2, 2))),
    Line("He", "he_normal()", style.VERMILION),
)
NONLINEARITIES = {"tanh": nn.Tanh, "ReLU": nn.ReLU}


def variances(
    scheme: str, kind: type[nn.Module], depth: int, width: int
) -> tuple[list[float], list[float]]:
    """Variances of the activations after each layer, and of the gradients there."""
    layers = [part for _ in range(depth) for part in (nn.Linear(width, width), kind())]
    net = nn.Sequential(*layers).double()  # float32 would underflow
    ft.initialize_(net, seed=0, rules={"*.weight": scheme, "*.bias": "zeros()"})
    batch = fi.fill(torch.empty(width, width).double(), fi.normal(std=1), seed=0, name="batch")
    signals = ft.propagation(net, batch, layers=kind).signals
    return [s.activation.variance for s in signals], [s.gradient.variance for s in signals]


NAMES = {
    "He": style.VERMILION,
    "Xavier = LeCun": style.BLUE,  # in layers that have as many inputs as outputs
    "small random": style.PURPLE,
}
PLACES = {
    ("tanh", "activations"): ((30, 8), (20, 3e-4), (9, 1e-9)),
    ("ReLU", "activations"): ((30, 20), (19, 3e-4), (9, 1e-13)),
    ("tanh", "gradients"): ((30, 300), (12, 1e-3), (16, 1e-9)),
    ("ReLU", "gradients"): ((25, 20), (2, 1e-5), (18, 1e-13)),
}
"""Where the left ends of the names stand in each panel: layer and variance."""


def draw_panel(axes: Any, key: tuple[str, str], values: dict[str, list[float]]) -> None:
    """The lines of one panel; zeros, which have no place on a logarithmic axis, lie at its end."""
    for line in LINES:
        layers = range(1, len(values[line.name]) + 1)
        zeros = [layer for layer in layers if values[line.name][layer - 1] == 0]
        heights = [value or math.nan for value in values[line.name]]
        axes.plot(layers, heights, color=line.color, linestyle=line.dashes, linewidth=2.4)
        if zeros:
            at_end = {"linewidth": 5, "clip_on": False, "in_layout": False}
            axes.plot(zeros, [LOWEST] * len(zeros), color=line.color, **at_end)
    for (name, color), (layer, height) in zip(NAMES.items(), PLACES[key], strict=True):
        style.label(axes, layer, height, name, color)
    style.label(axes, 3, LOWEST * 20, "zero: 0", style.BLACK)
    axes.set(yscale="log", ylim=(LOWEST, HIGHEST), xlim=(1, len(layers)))
    axes.grid(axis="y")


def measured(depth: int, width: int) -> dict[tuple[str, str], dict[str, list[float]]]:
    """By nonlinearity and direction, and then by name: the variances of each layer."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for nonlinearity, kind in NONLINEARITIES.items():
        for line in LINES:
            both = variances(line.scheme, kind, depth, width)
            for direction, values in zip(("activations", "gradients"), both, strict=True):
                found.setdefault((nonlinearity, direction), {})[line.name] = values
    return found


def draw(depth: int, width: int, out: Path) -> None:
    """Four panels: tanh and ReLU side by side, activations above gradients."""
    found = measured(depth, width)
    with style.picture(out, 6.4) as figure:
        grid = figure.subplots(2, 2, sharex=True, sharey=True)
        for (key, values), axes in zip(found.items(), grid.T.flat, strict=True):
            draw_panel(axes, key, values)
        for axes, nonlinearity in zip(grid[0], NONLINEARITIES, strict=True):
            axes.set_title(f"{depth} layers of {nonlinearity}")
        for axes, direction in zip(grid[:, 0], ("activations", "gradients"), strict=True):
            axes.set_ylabel(f"variance of {direction}")
        for axes in grid[1]:
            axes.set_xlabel("layer")


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--toy", action="store_true", help="small layers, to see that it runs")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture, .png, .svg or .pdf")
    options = parser.parse_args()
    torch.set_num_threads(1)
    draw(50, 16 if options.toy else 512, options.out)


if __name__ == "__main__":
    main()
