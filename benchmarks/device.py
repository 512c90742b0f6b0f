# SPDX-License-Identifier: MIT
"""Does a CUDA device draw the CPU's bits, and how fast, against memset and torch in the same run?

    python benchmarks/device.py [--device 0] [--only bits|doors|speed] [--toy] [--json FILE]

It needs a card and a PyTorch with CUDA, and is meant to take less than three minutes on an H100.
Without a card it exits with 2, and with 1 if a bit is wrong.  Where the memory of the card is
short, fewer elements are drawn than 2**30.  `--toy` needs no card: CPU tensors stand in, and the
fake driver of the tests runs the text of the kernels on the CPU, so its times mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import device_bits
import device_doors
import device_speed
import torch
from saving import save

import fastinit
from fastinit import cuda
from fastinit.bench import measure
from fastinit.cuda import choice

TESTS = Path(__file__).parents[1] / "tests"
DRIVER = Path("/proc/driver/nvidia/version")
COUNT = 2**30
PARTS = ("bits", "doors", "speed")


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    count: int
    rounds: int
    times: int
    models: tuple[str, ...]
    threads: int
    only: int


def real(device: torch.device) -> Scale:
    """As much as memory allows."""
    free, _ = torch.cuda.mem_get_info(device)
    count = COUNT
    while 10 * count > free:
        count //= 2
    models = tuple(
        name for name, size in (("gpt2-xl", 2**34), ("llama-3-8b", 2**36)) if free > size
    )
    return Scale(count, 5, 200, models, min(8, os.cpu_count() or 1), 1)


TOY = Scale(count=4_096, rounds=1, times=2, models=("toy",), threads=1, only=29)


def memset(out: torch.Tensor, byte: int) -> None:
    """CUDA's own, on the current stream."""
    from cuda.bindings import driver

    stream = torch.cuda.current_stream(out.device).cuda_stream
    (status,) = driver.cuMemsetD8Async(out.data_ptr(), byte, out.numel() * out.itemsize, stream)
    assert status == driver.CUresult.CUDA_SUCCESS, status


@contextlib.contextmanager
def stand_ins() -> Iterator[None]:
    """CPU tensors in place of CUDA ones, and a driver that runs kernels on the CPU."""
    sys.path.insert(0, str(TESTS))
    import cuda_tensors
    import fake_driver

    with fake_driver.installed(), cuda_tensors.pretended():
        yield


def card(device: torch.device) -> dict[str, Any]:
    """What a figure depends on apart from the code."""
    found = torch.cuda.get_device_properties(device)
    lines = DRIVER.read_text("utf-8").splitlines() if DRIVER.exists() else ["unknown"]
    return {
        "card": found.name,
        "architecture": f"sm_{found.major}{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "memory": found.total_memory,
        "driver": lines[0],
        "CUDA of torch": torch.version.cuda,
    }


def show(found: Mapping[str, Any]) -> None:
    """The tables."""
    for name, value in found["card"].items():
        print(f"{name}: {value}")
    print("versions:", ", ".join(f"{n} {v}" for n, v in found["machine"]["versions"].items()))
    if bits := found.get("bits"):
        print(f"\nbits: {bits['checks']} checks, {len(bits['wrong'])} wrong")
        print(*(f"  wrong: {name}" for name in bits["wrong"][:20]), sep="\n", end="")
    if doors := found.get("doors"):
        print("\ndoors:")
        print(*(f"  {name}: {said.strip()}" for name, said in doors["checks"].items()), sep="\n")
    if fills := found.get("fills"):
        print(f"\n{fills[0]['count']:,} elements; billions of values a second")
        print(f"{'':40}  fastinit  of memset     torch  of torch  target")
        print(*map(fill_line, fills), sep="\n")
    if rows := found.get("layouts"):
        print("\nnormal float32, in rows     fastinit     torch")
        print(*map(layout_line, rows), sep="\n")
    if rows := found.get("small"):
        print("\nmicroseconds for one call     fastinit     torch")
        print(*map(small_line, rows), sep="\n")
    if rows := found.get("models"):
        print("\nmilliseconds for a model      fastinit     torch  of torch  target: 1")
        print(*map(model_line, rows), sep="\n")


def fill_line(row: Mapping[str, Any]) -> str:
    """One kind and dtype, with the target of an H100."""
    seconds, count = row["seconds"], row["count"] / 1e9
    line = f"{row['kind']:24}{row['dtype']:16}{count / seconds['fastinit']:>10.1f}"
    line += f"{row['of memset']:>11.2f}"
    if "torch" in seconds:
        line += f"{count / seconds['torch']:>10.1f}{row['of torch']:>10.2f}"
    target = device_speed.TARGETS.get((row["kind"], row["dtype"]))
    if target and row["count"] == COUNT:
        measure_of, least = target
        verdict = "reached" if row[measure_of] >= least else "MISSED"
        line = f"{line:<81}  {least:.2f} {measure_of}: {verdict}"
    return line.rstrip()


def layout_line(row: Mapping[str, Any]) -> str:
    """Billions of values a second in one layout."""
    ours, torchs = (row["count"] / row["seconds"][name] / 1e9 for name in ("fastinit", "torch"))
    return f"{row['layout']:24}{ours:>12.1f}{torchs:>10.1f}"


def small_line(row: Mapping[str, Any]) -> str:
    """One size."""
    return f"{row['count']:>18,}{row['fastinit']:>20.1f}{row['torch']:>10.1f}"


def model_line(row: Mapping[str, Any]) -> str:
    """One way to make a model."""
    ours, torchs = 1000 * row["fastinit"], 1000 * row["torch"]
    verdict = "" if row["model"] == "toy" else "reached" if ours <= torchs else "MISSED"
    line = f"{row['model']:12}{row['way']:10}{ours:>16.1f}{torchs:>10.1f}"
    return f"{line}{torchs / ours:>10.2f}  {verdict}".rstrip()


def measured(
    options: argparse.Namespace, scale: Scale, fill_bytes: device_speed.Memset
) -> dict[str, Any]:
    """The bits, the doors, then the speed.  Doors need what no stand-in has."""
    os.environ[choice.CUDA_VARIABLE] = "kernels"  # a copy from the CPU must not be measured
    device = torch.device("cuda", options.device)
    found: dict[str, Any] = {"machine": measure.header()}
    found["card"] = {"card": "none: CPU tensors stand in"} if options.toy else card(device)
    parts = (options.only,) if options.only else PARTS
    if "bits" in parts:
        found["bits"] = device_bits.run(device, scale.threads, scale.only)
    if "doors" in parts and not options.toy:
        found["doors"] = device_doors.run(device)
    if "speed" in parts:
        found["fills"] = device_speed.fills(device, scale.count, scale.rounds, fill_bytes)
        found["layouts"] = device_speed.layouts(device, scale.count, scale.rounds, fill_bytes)
        found["small"] = device_speed.small(device, scale.count, scale.times)
        rounds = min(scale.rounds, 3)
        found["models"] = [
            row for name in scale.models for row in device_speed.model(device, name, rounds)
        ]
    return found


def why_not(options: argparse.Namespace) -> str:
    """Why nothing can be measured here; an empty text if it can be."""
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no CUDA device"
    if options.device >= torch.cuda.device_count():
        return f"there are {torch.cuda.device_count()} CUDA devices, and none is {options.device}"
    return cuda.problem(options.device) or ""


def main() -> int:
    """Measure, print the tables, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=int, default=0, help="the index of a CUDA device")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--toy", action="store_true", help="only see that it runs, without a card")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.toy:
        with stand_ins():
            found = measured(options, TOY, lambda out, byte: out.fill_(byte))
    elif problem := why_not(options):
        print(f"device.py needs a card: {problem}", file=sys.stderr)
        return 2
    else:
        torch.cuda.set_device(options.device)
        found = measured(options, real(torch.device("cuda", options.device)), memset)
    show(found)
    save(options.json, {"fastinit": fastinit.__version__, **found})
    return 1 if any(found.get(part, {}).get("wrong") for part in ("bits", "doors")) else 0


if __name__ == "__main__":
    sys.exit(main())
