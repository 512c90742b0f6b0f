# SPDX-License-Identifier: MIT
"""What does a hostile header cost to open, in time and memory, against safetensors?

    python benchmarks/bench_headers.py [--megabytes 99] [--rounds 3] [--folder DIR] [--toy]
                                       [--json FILE]

Each file is a header made to be dear: a million tensors, one endless text, shape or name, JSON of
another kind.  Each reader opens it in a new process: safetensors' `safe_open` alone, the
same with names and metadata, which `fastinit.open` gives too, and `fastinit.open`.  Time is CPU
time, the least of the rounds; memory is the peak beyond what the process has after its imports.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from saving import save
from usage import in_a_child

import fastinit as fi
from fastinit.bench import measure

Header = Callable[[int], tuple[str, int]]
"""Makes a header of about the given number of bytes; returns it and the size of its data."""


def tensors(form: str, each: int = 0) -> Header:
    """As many tensors as fit, of `each` bytes: {0} is a number, {1} and {2} are the offsets."""

    def header(size: int) -> tuple[str, int]:
        count = size // (len(form.format(10**6, 10**6, 10**6)) + 1)
        rows = (form.format(i, each * i, each * i + each) for i in range(count))
        return f"{{{','.join(rows)}}}", count * each

    return header


def repeated(begin: str, middle: str, end: str) -> Header:
    """One part of the header as often as it fits."""

    def header(size: int) -> tuple[str, int]:
        room = size - len(begin) - len(end)
        return begin + middle * (room // len(middle.encode())) + end, 0

    return header


def pairs(size: int) -> tuple[str, int]:
    """Metadata of as many pairs as fit."""
    rows = (f'"{number:x}":""' for number in range(size // 13))
    return f'{{"__metadata__":{{{",".join(rows)}}}}}', 0


EMPTY = '{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
HEADERS: dict[str, Header] = {
    "tensors": tensors(
        '"model.layers.{0}.weight":{{"dtype":"BF16","shape":[1],"data_offsets":[{1},{2}]}}', 2
    ),
    "tensors on lines, fields turned round": tensors(
        '\n"layers.{0}.weight": {{"data_offsets": [{1}, {2}], "shape": [1], "dtype": "BF16"}}', 2
    ),
    "tensors of different shapes": tensors(
        '"{0}":{{"dtype":"U8","shape":[0,{0}],"data_offsets":[{1},{2}]}}'
    ),
    "empty tensors": tensors('"{0}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "tensors that overlap": tensors('"{0}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'),
    "metadata of many pairs": pairs,
    "one long text": repeated('{"__metadata__":{"a":"', "x", '"}}'),
    "one long text in Latin": repeated('{"__metadata__":{"a":"', "é", '"}}'),
    "one long text of escapes": repeated('{"__metadata__":{"a":"', "\\n", '"}}'),
    "one long name": repeated('{"', "n", f'":{EMPTY.format()}}}'),
    "one long shape": repeated('{"a":{"dtype":"U8","shape":[', "1,", '0],"data_offsets":[0,0]}}'),
    "one long number": repeated('{"a":{"dtype":"U8","shape":[0', ",9", "]}}"),
    "deep nesting": repeated('{"a":', "[", "}"),
    "a list of lists": repeated('{"a":[', "[],", "[]]}"),
    "a list of objects": repeated('{"a":{"x":[', "{},", "{}]}}"),
    "a list of numbers": repeated('{"a":[', "1,", "1]}"),
    "spaces": repeated("{}", " ", ""),
    "spaces within": repeated("{", " ", "}"),
}


def put(path: Path, header: Header, size: int) -> None:
    """Write a file with such a header."""
    text, data = header(size)
    content = text.encode()
    with path.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        file.truncate(8 + len(content) + data)


def safetensors_alone(path: Path) -> None:
    """Open and close."""
    with suppress(SafetensorError), safe_open(path, "numpy"):
        pass


def safetensors_names(path: Path) -> None:
    """What `fastinit.open` gives, too."""
    with suppress(SafetensorError), safe_open(path, "numpy") as file:
        file.keys()
        file.metadata()


def fastinit(path: Path) -> None:
    """Ours."""
    with suppress(fi.errors.CheckpointError):
        fi.open(path)


READERS = (safetensors_alone, safetensors_names, fastinit)


def measured(path: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Of each reader the CPU seconds and the peak in MiB that opening the file adds."""
    least: dict[str, tuple[float, float]] = {}
    before = in_a_child(lambda: None)
    for _ in range(rounds):
        for reader in READERS:
            used = in_a_child(lambda read=reader: read(path))
            seconds = used.user + used.system - before.user - before.system
            known = least.get(reader.__name__, (seconds, 0.0))
            least[reader.__name__] = min(known[0], seconds), used.peak - before.peak
    return least


def main() -> None:
    """Measure, print a table, save the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=99.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to write and remove [default: the system's]")
    parser.add_argument("--toy", action="store_true", help="only see that it runs")
    parser.add_argument("--json")
    options = parser.parse_args()
    size, rounds = (100_000, 1) if options.toy else (int(options.megabytes * 1e6), options.rounds)
    rows = {}
    print(f"{'CPU seconds, MiB':40}" + "".join(f"{reader.__name__:>22}" for reader in READERS))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "hostile.safetensors"
        for name, header in HEADERS.items():
            in_a_child(lambda make=header: put(path, make, size))
            rows[name] = measured(path, rounds)
            cells = (f"{seconds:10.2f} s {peak:6,.0f} MiB" for seconds, peak in rows[name].values())
            print(f"{name:40}" + "".join(f"{cell:>22}" for cell in cells))
    save(options.json, {"machine": measure.header(), "bytes": size, "readers": rows})


if __name__ == "__main__":
    main()
