# SPDX-License-Identifier: MIT
"""How close to the limit of memory are fills by 1 to 16 threads, and by a graphics card?

    python docs/pictures/memory_limit.py [--threads FILE] [--device FILE]
        [--out docs/figures/memory_limit.png]

Needs matplotlib.  It measures nothing: it draws the JSON of `benchmarks/bench_threads.py --json`
and of `benchmarks/device.py --json`.  The limit is memset of as many bytes, in the same run.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import style

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
OUT = style.FIGURES / "memory_limit.png"
COLORS = {"uniform": style.GREEN, "normal": style.VERMILION, "truncated": style.PURPLE}
TORCH = "#c3c9d0"
MARKERS = {"uniform": "o", "normal": "s", "truncated": "^"}
BY_THREADS = {
    "uniform": "uniform float32",
    "normal": "normal float32",
    "truncated": "truncated normal float32",
}
BY_DEVICE = {"uniform": "uniform", "normal": "normal", "truncated": "truncated, symmetric"}
"""What bench_threads.py and device.py call the three kinds of values."""


def draw_threads(axes: Any, found: dict[str, Any]) -> None:
    """A line for memset, the limit, and one for each kind of values."""
    threads = [int(number) for number in found["threads"]]
    races = found["threads"].values()
    # A sample of memset is a byte, and four of them are a float32.
    limit = [race["memset"]["msamples_per_second"] / 4000 for race in races]
    axes.fill_between(threads, limit, color=style.PALE, linewidth=0)
    axes.plot(threads, limit, color=style.GREY, linewidth=2.5)
    for kind, name in BY_THREADS.items():
        speeds = [race[name]["msamples_per_second"] / 1000 for race in races]
        axes.plot(threads, speeds, color=COLORS[kind], marker=MARKERS[kind], label=kind)
    axes.legend(loc="lower right", handlelength=1.4)
    middle = len(threads) // 2
    at = (threads[middle], limit[middle])
    words = {"textcoords": "offset points", "ha": "right", "color": style.GREY}
    axes.annotate("memset", at, (-6, 8), **words)
    axes.set(xlabel="threads", ylabel="billion float32 per second", xticks=threads)
    axes.set(xlim=(0, None), ylim=(0, 1.15 * max(limit)))
    axes.set_title(f"CPU, {found['machine']['cpus']} cores")


def draw_device(axes: Any, found: dict[str, Any]) -> None:
    """Bars of fastinit and torch side by side, below memset."""
    rows = {row["kind"]: row for row in found["fills"] if row["dtype"] == "float32"}
    speeds = {
        kind: {who: rows[name]["count"] / s / 1e9 for who, s in rows[name]["seconds"].items()}
        for kind, name in BY_DEVICE.items()
    }
    limit = max(each["memset"] for each in speeds.values())
    axes.axhline(limit, color=style.GREY, linewidth=2.5)
    axes.text(2.45, 1.02 * limit, "memset", color=style.GREY, ha="right", va="bottom")
    for place, (kind, each) in enumerate(speeds.items()):
        for side, who in ((-0.2, "fastinit"), (0.2, "torch")):
            if who in each:
                color = COLORS[kind] if who == "fastinit" else TORCH
                draw_bar(axes, place + side, each[who], color)
                if place == 0:
                    middle = {"rotation": 90, "ha": "center", "va": "center"}
                    axes.text(place + side, each[who] / 2, who, color=on(color), **middle)
    axes.set_xticks(range(len(BY_DEVICE)), BY_DEVICE)
    card = re.sub(r" \d+ ?GB.*", "", found["card"]["card"])
    axes.set(xlim=(-0.5, 2.5), ylim=(0, 1.15 * limit), title=card)


def on(color: str) -> str:
    """The colour of words on a bar."""
    return style.BLACK if color == TORCH else "white"


def draw_bar(axes: Any, place: float, speed: float, color: str) -> None:
    """One bar, with its number at the top, inside."""
    axes.bar(place, speed, 0.38, color=color)
    words = {
        "ha": "center",
        "va": "top",
        "fontsize": 10,
        "color": on(color),
    }
    axes.annotate(f"{speed:,.0f}", (place, speed), (0, -3), textcoords="offset points", **words)


def main() -> None:
    """Read and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=Path, default=RESULTS / "2026-11-28-threads.json")
    parser.add_argument("--device", type=Path, default=RESULTS / "2026-11-28-device.json")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture, .png, .svg or .pdf")
    options = parser.parse_args()
    with style.picture(options.out, 4.2) as figure:
        threads, device = figure.subplots(1, 2)
        draw_threads(threads, json.loads(options.threads.read_text("utf-8")))
        draw_device(device, json.loads(options.device.read_text("utf-8")))


if __name__ == "__main__":
    main()
