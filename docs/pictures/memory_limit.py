# SPDX-License-Identifier: MIT
"""How close to the limit of memory are fills by 1 to 16 cores, and by a graphics card?

    python docs/pictures/memory_limit.py [--cores docs/figures/cores.json]
        [--device docs/figures/device.json] [--out docs/figures/memory_limit.png]

Needs matplotlib.  It measures nothing: it draws the JSON of `benchmarks/bench_cores.py --json` and
of `benchmarks/device.py --json`.  The limit is memset of as many bytes, in the same run.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import style

OUT = style.FIGURES / "memory_limit.png"
COLORS = {"uniform": style.GREEN, "normal": style.VERMILION, "truncated": style.PURPLE}
MARKERS = {"uniform": "o", "normal": "s", "truncated": "^"}
KINDS = {"uniform": "uniform, inside", "normal": "normal", "truncated": "truncated, symmetric"}
"""What device.py calls them."""


def draw_cores(axes: Any, found: dict[str, Any]) -> None:
    """A line for memset, the limit, and one for each kind of values."""
    rows = found["rows"]
    threads = [row["threads"] for row in rows]
    limit = [row["billions a second"]["memset"] for row in rows]
    axes.fill_between(threads, limit, color=style.PALE, linewidth=0)
    axes.plot(threads, limit, color=style.GREY, linewidth=2.5)
    for kind, color in COLORS.items():
        speeds = [row["billions a second"][kind] for row in rows]
        axes.plot(threads, speeds, color=color, marker=MARKERS[kind], label=kind)
    axes.legend(loc="lower right", handlelength=1.4)
    middle = len(rows) // 2
    axes.annotate(
        "memset",
        (threads[middle], limit[middle]),
        (-6, 8),
        textcoords="offset points",
        ha="right",
        color=style.GREY,
    )
    axes.set(xlabel="threads", ylabel="billion float32 per second", xticks=threads)
    axes.set(
        xlim=(0, None), ylim=(0, 1.15 * max(limit)), title=f"CPU, {found['machine']['cpus']} cores"
    )


def draw_device(axes: Any, found: dict[str, Any]) -> None:
    """Bars of fastinit and torch side by side, below memset."""
    rows = {row["kind"]: row for row in found["fills"] if row["dtype"] == "float32"}
    speeds = {
        kind: {who: rows[name]["count"] / s / 1e9 for who, s in rows[name]["seconds"].items()}
        for kind, name in KINDS.items()
    }
    limit = max(each["memset"] for each in speeds.values())
    axes.axhline(limit, color=style.GREY, linewidth=2.5)
    axes.text(2.45, 1.02 * limit, "memset", color=style.GREY, ha="right", va="bottom")
    for place, (kind, each) in enumerate(speeds.items()):
        for side, who in ((-0.2, "fastinit"), (0.2, "torch")):
            if who in each:
                draw_bar(axes, place + side, each[who], COLORS[kind] if who == "fastinit" else "")
                if place == 0:
                    color = "white" if who == "fastinit" else style.BLACK
                    middle = {"rotation": 90, "ha": "center", "va": "center"}
                    axes.text(place + side, each[who] / 2, who, color=color, **middle)
    axes.set_xticks(range(len(KINDS)), KINDS)
    card = re.sub(r" \d+ ?GB.*", "", found["card"]["card"])
    axes.set(xlim=(-0.5, 2.5), ylim=(0, 1.15 * limit), title=card)


def draw_bar(axes: Any, place: float, speed: float, color: str) -> None:
    """One bar, with its number at the top, inside."""
    axes.bar(place, speed, 0.38, color=color or "#c3c9d0")
    words = {
        "ha": "center",
        "va": "top",
        "fontsize": 10,
        "color": "white" if color else style.BLACK,
    }
    axes.annotate(f"{speed:,.0f}", (place, speed), (0, -3), textcoords="offset points", **words)


def main() -> None:
    """Read and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = style.FIGURES
    parser.add_argument("--cores", type=Path, default=folder / "cores.json")
    parser.add_argument("--device", type=Path, default=folder / "device.json")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture, .png, .svg or .pdf")
    options = parser.parse_args()
    with style.picture(options.out, 4.2) as figure:
        cores, device = figure.subplots(1, 2)
        draw_cores(cores, json.loads(options.cores.read_text("utf-8")))
        draw_device(device, json.loads(options.device.read_text("utf-8")))


if __name__ == "__main__":
    main()
