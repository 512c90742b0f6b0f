# SPDX-License-Identifier: MIT
"""Training on real data: do models learn alike when torch and when fastinit initialises them?

    python docs/pictures/training.py [--seeds 3] [--epochs 20] [--toy]
        [--out docs/figures/training.png]

Needs torch, scikit-learn (which ships the digits), scipy and matplotlib.  A small convolutional
network and a small transformer are trained from torch's own constructors and from fastinit, which
draws the same distributions.  The loss curves must then differ no more than those
of different seeds do: see `compared`.  Nothing here says which is better.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import ttest_ind
from sklearn.datasets import load_digits
from torch import nn

import fastinit.torch as ft

mpl.use("Agg")
from matplotlib import pyplot as plt

Curves = npt.NDArray[np.float64]
"""Losses by seed and epoch, of shape (seeds, epochs + 1); epoch 0 is before training."""

OUT = Path(__file__).parents[1] / "figures" / "training.png"
TESTED = 500  # of the 1,797 images; the others are trained on
BATCH = 64
RATE = 1e-3  # of Adam
LAST = 5  # epochs at the end over which the final loss is averaged
LEVEL = 0.01  # chance of a false alarm in all comparisons together (Bonferroni)

TORCH, FASTINIT = "torch", "fastinit"
COLOR = {TORCH: "#1d3557", FASTINIT: "#b5532a"}
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "#e4e8ec",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


# ---- models -------------------------------------------------------------------------------------


class Transformer(nn.Module):
    """Each image of 8 x 8 pixels is a sequence of its 8 rows."""

    def __init__(self, width: int = 48, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.place = nn.Embedding(8, width)
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
                for _ in range(depth)
            )
        )
        self.head = nn.Linear(width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (batch, 10) from images of shape (batch, 1, 8, 8)."""
        rows = self.embed(images[:, 0]) + self.place.weight  # (batch, 8, width)
        logits: torch.Tensor = self.head(self.blocks(rows).mean(dim=1))
        return logits


def convolutional() -> nn.Module:
    """Two convolutions and two linear layers: logits from images of shape (batch, 1, 8, 8)."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "convolutional network": convolutional,
    "transformer": Transformer,
}


def initialised(make: Callable[[], nn.Module], by: str, seed: int) -> nn.Module:
    """A new model, with weights from torch's constructors or from fastinit."""
    torch.manual_seed(seed)
    model = make()
    if by == FASTINIT:
        ft.initialize_(model, seed=seed)
    return model


# ---- training -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits: images of shape (n, 1, 8, 8) of mean 0 and variance 1, and labels."""

    images: torch.Tensor
    labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor


def digits() -> Digits:
    """The data, shuffled once and cut in two."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    pixels = torch.tensor(found.images[order], dtype=torch.float32)[:, None]
    labels = torch.tensor(found.target[order], dtype=torch.int64)
    mean, std = pixels[TESTED:].mean(), pixels[TESTED:].std()
    images = (pixels - mean) / std
    return Digits(images[TESTED:], labels[TESTED:], images[:TESTED], labels[:TESTED])


def losses(model: nn.Module, data: Digits, seed: int, epochs: int) -> Iterator[tuple[float, float]]:
    """Mean cross-entropy over the training and the test images, before and after each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    shuffle = np.random.default_rng(seed)  # the same order of batches for torch and fastinit
    yield evaluated(model, data)
    for _ in range(epochs):
        order = torch.tensor(shuffle.permutation(len(data.labels)))
        for batch in order.split(BATCH):
            loss = nn.functional.cross_entropy(model(data.images[batch]), data.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield evaluated(model, data)


@torch.no_grad()
def evaluated(model: nn.Module, data: Digits) -> tuple[float, float]:
    """The losses as they are now."""
    return (
        float(nn.functional.cross_entropy(model(data.images), data.labels)),
        float(nn.functional.cross_entropy(model(data.test_images), data.test_labels)),
    )


@dataclass(frozen=True)
class Trained:
    """The curves of one model, by who initialised it and by "train" or "test"."""

    model: str
    curves: dict[tuple[str, str], Curves]


def trained(name: str, data: Digits, seeds: int, epochs: int) -> Trained:
    """Train one model from every seed, twice."""
    curves = {}
    for by in (TORCH, FASTINIT):
        runs = []
        for seed in range(seeds):
            model = initialised(MODELS[name], by, seed)
            runs.append(list(losses(model, data, seed, epochs)))
        found = np.array(runs)  # (seeds, epochs + 1, 2)
        curves[by, "train"], curves[by, "test"] = found[..., 0], found[..., 1]
    return Trained(name, curves)


# ---- the comparison -----------------------------------------------------------------------------

MEASURES: dict[str, Callable[[Curves], Curves]] = {
    "before training": lambda curves: curves[:, 0],
    "mean over epochs": lambda curves: curves[:, 1:].mean(axis=1),
    f"last {LAST} epochs": lambda curves: curves[:, -LAST:].mean(axis=1),
}
"""From curves to one number per seed, of shape (seeds,)."""


@dataclass(frozen=True)
class Comparison:
    """One measure of one curve: the logarithms of the losses of both, and how likely chance is."""

    model: str
    curve: str
    measure: str
    means: dict[str, float]
    stds: dict[str, float]
    p: float


def compared(found: list[Trained]) -> list[Comparison]:
    """Welch's t-test of the logarithm of the loss, between the seeds of torch and of fastinit.

    Its p is the chance of a difference as large as the one seen, given the spread over seeds, if
    both initialise alike.  Losses are "within seed noise" if no p is below LEVEL divided by the
    number of comparisons.
    """
    return [
        comparison(one, curve, measure)
        for one in found
        for curve in ("train", "test")
        for measure in MEASURES
    ]


def comparison(one: Trained, curve: str, measure: str) -> Comparison:
    """One row of the table."""
    values = {by: np.log(MEASURES[measure](one.curves[by, curve])) for by in (TORCH, FASTINIT)}
    return Comparison(
        one.model,
        curve,
        measure,
        means={by: float(np.exp(logs.mean())) for by, logs in values.items()},
        stds={by: float(logs.std(ddof=1)) for by, logs in values.items()},
        p=float(ttest_ind(values[TORCH], values[FASTINIT], equal_var=False).pvalue),
    )


def table(rows: list[Comparison], seeds: int) -> str:
    """The comparisons as text, and whether the losses are within seed noise."""
    lines = [
        f"{'model':22}{'curve':7}{'loss':18}{'torch':>16}{'fastinit':>18}{'ratio':>8}{'p':>7}",
    ]
    for row in rows:
        both = [f"{row.means[by]:.4f} +-{row.stds[by]:5.1%}" for by in (TORCH, FASTINIT)]
        lines.append(
            f"{row.model:22}{row.curve:7}{row.measure:18}{both[0]:>16}{both[1]:>18}"
            f"{row.means[FASTINIT] / row.means[TORCH]:8.3f}{row.p:7.3f}"
        )
    least = LEVEL / len(rows)
    verdict = "within seed noise" if alike(rows) else "NOT within seed noise"
    lines.append(
        f"geometric means over {seeds} seeds +- standard deviation; p by Welch's t-test of the "
        f"logarithms;\n{verdict}: the smallest p is {min(row.p for row in rows):.3f}, and one of "
        f"{len(rows)} comparisons would have to be below {least:.5f}"
    )
    return "\n".join(lines)


def alike(rows: list[Comparison]) -> bool:
    """Whether no comparison is further apart than seeds are; see `compared`."""
    return all(row.p >= LEVEL / len(rows) for row in rows)


# ---- the figure ---------------------------------------------------------------------------------


def draw_panel(axes: Any, one: Trained, curve: str) -> None:
    """The curve of each seed, the geometric mean, and a band of one standard deviation around."""
    for by in (TORCH, FASTINIT):
        curves = one.curves[by, curve]
        epochs = np.arange(curves.shape[1])
        logs = np.log(curves)
        mean, std = logs.mean(axis=0), logs.std(axis=0, ddof=1)
        axes.fill_between(
            epochs, np.exp(mean - std), np.exp(mean + std), color=COLOR[by], alpha=0.15, linewidth=0
        )
        axes.plot(epochs, curves.T, color=COLOR[by], linewidth=0.5, alpha=0.55)
        axes.plot(epochs, np.exp(mean), color=COLOR[by], linewidth=1.5)
    axes.set(yscale="log", title=f"{one.model}, {curve} loss", xlim=(0, len(epochs) - 1))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.grid(axis="y")


def draw_figure(found: list[Trained], rows: list[Comparison], seeds: int, out: Path) -> None:
    """A row for each model, train and test side by side, saved as `out`."""
    with mpl.rc_context(STYLE):
        figure, grid = plt.subplots(
            len(found), 2, figsize=(10.2, 3.0 * len(found) + 0.5), squeeze=False, sharex=True
        )
        for one, pair in zip(found, grid, strict=True):
            for axes, curve in zip(pair, ("train", "test"), strict=True):
                draw_panel(axes, one, curve)
                smallest = min(
                    row.p for row in rows if (row.model, row.curve) == (one.model, curve)
                )
                axes.text(
                    0.98,
                    0.95,
                    f"smallest p of {len(MEASURES)} comparisons: {smallest:.2f}",
                    transform=axes.transAxes,
                    ha="right",
                    va="top",
                    fontsize=7.5,
                )
            pair[0].set_ylabel("cross-entropy")
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
        draw_legend(figure, seeds)
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=160)
        plt.close(figure)


def draw_legend(figure: Any, seeds: int) -> None:
    """One legend for all panels, above them."""
    line, grey = mpl.lines.Line2D, "#555555"
    figure.legend(
        handles=[
            line([], [], color=COLOR[TORCH], linewidth=1.8, label="initialised by torch"),
            line([], [], color=COLOR[FASTINIT], linewidth=1.8, label="initialised by fastinit"),
            line([], [], color=grey, linewidth=1.5, label=f"mean of {seeds} seeds"),
            line([], [], color=grey, linewidth=0.5, label="one seed"),
            mpl.patches.Patch(color=grey, alpha=0.2, linewidth=0, label="one standard deviation"),
        ],
        loc="outside upper center",
        ncols=5,
    )


def main() -> None:
    """Train, compare, draw; exit with 1 if the losses are not within seed noise."""
    parser = argparse.ArgumentParser(description="Compares training after torch and fastinit.")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind, >= 2")
    parser.add_argument("--epochs", type=int, default=20, help=f"passes over the data, >= {LAST}")
    parser.add_argument("--toy", action="store_true", help="a few seconds, to see that it runs")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture, .png, .svg or .pdf")
    options = parser.parse_args()
    seeds, epochs = (2, LAST) if options.toy else (options.seeds, options.epochs)
    if seeds < 2 or epochs < LAST:
        parser.error(f"need --seeds of at least 2 and --epochs of at least {LAST}")
    torch.set_num_threads(1)  # the models are small: two threads wait for each other
    data = digits()
    found = [trained(name, data, seeds, epochs) for name in MODELS]
    rows = compared(found)
    print(table(rows, seeds))
    draw_figure(found, rows, seeds, options.out)
    print(options.out)
    sys.exit(0 if alike(rows) else 1)


if __name__ == "__main__":
    main()
