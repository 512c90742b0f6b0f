# SPDX-License-Identifier: MIT
"""Figures 2 and 3 of He et al. (2015), on a small scale: does a deep ReLU network start to learn?

    python docs/pictures/he_figure_3.py [--seeds 3] [--epochs 40] [--adam] [--toy]
        [--out docs/figures/he_figure_3.png]

Needs torch, scikit-learn (which ships the digits), scipy and matplotlib.  Plain networks of 22 and
of 30 layers are trained from He's and from Xavier's weights.  As in the paper: ReLU, zero biases,
normal weights, stochastic gradient descent with momentum 0.9.  Unlike it: linear layers of 128 on
handwritten digits of 8 x 8 pixels, where the paper has convolutions on ImageNet.

Source: He, Zhang, Ren, Sun (2015), "Delving deep into rectifiers", section 2.2, arXiv:1502.01852.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import style
import torch
from torch import nn
from training import BATCH, Digits, digits

import fastinit.torch as ft

OUT = style.FIGURES / "he_figure_3.png"
DEPTHS = (22, 30)
WIDTH = 128
RATE, MOMENTUM = 0.003, 0.9
CHANCE = 0.9  # of an error, with ten classes
SCHEMES = {
    "He": ("kaiming_normal(nonlinearity='relu')", style.VERMILION),
    "Xavier": ("xavier_normal()", style.BLUE),
}

Errors = npt.NDArray[np.float64]
"""Shares of test images that are misclassified, of shape (seeds, epochs + 1); epoch 0 is before."""


def network(depth: int, scheme: str, seed: int) -> nn.Sequential:
    """`depth` linear layers with ReLU between them: logits of shape (batch, 10)."""
    with ft.deferred():
        layers: list[nn.Module] = [nn.Flatten()]
        for place in range(depth - 1):
            layers += [nn.Linear(WIDTH if place else 64, WIDTH), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(WIDTH, 10))
    ft.materialize(model, seed=seed, rules={"*.weight": scheme, "*.bias": "zeros()"})
    return model


def descent(model: nn.Module) -> torch.optim.Optimizer:
    """Stochastic gradient descent, as in the paper."""
    return torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    """Adam with its usual rate; its steps are as long as ever where gradients are tiny."""
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def trained(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: Digits, seed: int, epochs: int
) -> list[float]:
    """The test error before training and after each epoch."""
    shuffle = np.random.default_rng(seed)  # the same batches for both schemes
    errors = [error(model, data)]
    for _ in range(epochs):
        order = torch.tensor(shuffle.permutation(len(data.labels)))
        for batch in order.split(BATCH):
            loss = nn.functional.cross_entropy(model(data.images[batch]), data.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors.append(error(model, data))
    return errors


@torch.no_grad()
def error(model: nn.Module, data: Digits) -> float:
    """The share of test images that the model misclassifies."""
    return float((model(data.test_images).argmax(1) != data.test_labels).double().mean())


def started(errors: Errors) -> list[int | None]:
    """For each seed: the epoch after which the error stays below half of chance, if any."""
    above = errors >= CHANCE / 2
    last = [int(np.flatnonzero(row)[-1]) for row in above]
    return [epoch + 1 if epoch + 1 < errors.shape[1] else None for epoch in last]


def draw_panel(axes: Any, depth: int, found: dict[str, Errors]) -> None:
    """A thin line for each seed, and a thick one for their median."""
    epochs = np.arange(next(iter(found.values())).shape[1])
    for name, errors in found.items():
        color = SCHEMES[name][1]
        axes.plot(epochs, 100 * errors.T, color=color, linewidth=0.8, alpha=0.6)
        axes.plot(epochs, 100 * np.median(errors, axis=0), color=color, linewidth=2.6)
    axes.axhline(100 * CHANCE, color=style.GREY, linewidth=1, linestyle=(0, (4, 3)))
    style.label(axes, 0.3 * epochs[-1], 68, "Xavier", SCHEMES["Xavier"][1])
    style.label(axes, 0.45 * epochs[-1], 30, "He", SCHEMES["He"][1])
    style.label(axes, epochs[-1], 95.5, "chance", style.GREY, ha="right")
    axes.set(title=f"{depth} layers", xlabel="epoch", xlim=(0, epochs[-1]), ylim=(0, 100))
    axes.grid(axis="y")


def main() -> None:
    """Train, draw, and print when the networks began to learn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--epochs", type=int, default=40, help="passes over the training images")
    parser.add_argument("--adam", action="store_true", help="train by Adam, unlike the paper")
    parser.add_argument("--toy", action="store_true", help="one epoch, to see that it runs")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture, .png, .svg or .pdf")
    options = parser.parse_args()
    seeds, epochs = (1, 1) if options.toy else (options.seeds, options.epochs)
    torch.set_num_threads(1)  # so that sums have one order, and a run can be repeated
    data = digits()
    with style.picture(options.out, 4.0) as figure:
        panels = figure.subplots(1, len(DEPTHS), sharey=True)
        for axes, depth in zip(panels, DEPTHS, strict=True):
            found = {}
            for name, (scheme, _) in SCHEMES.items():
                runs = []
                for seed in range(seeds):
                    model = network(depth, scheme, seed)
                    optimizer = adam(model) if options.adam else descent(model)
                    runs.append(trained(model, optimizer, data, seed, epochs))
                found[name] = np.array(runs)
                print(f"{depth} layers, {name}: test error {found[name][:, -1].round(3)},")
                print(f"    below 45 % to stay after epoch {started(found[name])}", flush=True)
            draw_panel(axes, depth, found)
        panels[0].set_ylabel("test error, %")


if __name__ == "__main__":
    main()
