# SPDX-License-Identifier: MIT
"""All that fastinit makes, entry by entry, under each foreign setting.  No test.

A program: `python foreign_sweep.py` prints, as JSON, what each entry makes of every scheme and
dtype under each setting.  Each setting has a process, forked before anything was made, so that no
cache is warm.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from every_scheme import CALLS
from foreign_settings import SETTINGS, floating_point, state

import fastinit as fi
from fastinit.checkpoints.layout import layout_of
from fastinit.checkpoints.write import write_shard
from fastinit.numerics.dtypes import resolve

DTYPES = ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64")


def digest(data: Any) -> str:
    return hashlib.blake2b(bytes(data), digest_size=8).hexdigest()


def attempt(call: Callable[[], str]) -> str:
    """What a call gives, or which error it ends in."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the call gives
        return f"{type(error).__name__}: {error} at {traceback.extract_tb(error.__traceback__)[-1]}"


def text_of(text: str) -> str:
    return str(fi.scheme(text))


def numbers_of(text: str, shape: tuple[int, ...]) -> str:
    found = fi.scheme(text).for_tensor("w", shape).distribution(shape)
    return struct.pack("dd", found.mean, found.std).hex()


def made(shape: tuple[int, ...], scheme: str | fi.Scheme, dtype: str) -> str:
    return digest(fi.array(shape, scheme, seed=3, name="w", dtype=dtype).tobytes())


def filled(shape: tuple[int, ...], scheme: str, dtype: str) -> str:
    out = np.zeros(shape, resolve(dtype).numpy)
    return digest(fi.fill(out, scheme, seed=3, name="w", threads=2).tobytes())


def in_memory() -> Iterator[tuple[str, Callable[[], str]]]:
    """Each scheme by `array` and by `fill`, its text and its moments."""
    for calls in CALLS.values():
        for text, shape in calls:
            yield f"text {text}", partial(text_of, text)
            yield f"moments {text}", partial(numbers_of, text, shape)
            for dtype in DTYPES:
                yield f"array {text} {dtype}", partial(made, shape, text, dtype)
                yield f"fill {text} {dtype}", partial(filled, shape, text, dtype)


def plan() -> fi.Plan:
    """Every scheme in every dtype."""
    rows = [call for calls in CALLS.values() for call in calls]
    tensors = [
        fi.Tensor(f"{number}.{dtype}", shape, text, dtype)
        for number, (text, shape) in enumerate(rows)
        for dtype in DTYPES
    ]
    return fi.Plan(tensors, "swept", config={"epsilon": 1e-5, "least": 1e-310})


def in_files(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """A checkpoint of every scheme: its layout, `write`, `write_shard`, `verify` and `open`."""

    def layout() -> Any:
        return layout_of(swept, seed=3, max_shard_size="0.04MB")

    def contents(name: str) -> str:
        files = sorted((folder / name).iterdir())
        return " ".join(f"{file.name} {digest(file.read_bytes())}" for file in files)

    def write() -> str:
        options = {"seed": 3, "max_shard_size": "0.04MB", "durability": "none"}
        for name, threads in (("a", 1), ("b", 2)):
            fi.write(swept, folder / name, threads=threads, **options)
        return f"{contents('a')} {contents('b')}"

    def shards() -> str:
        for shard in layout().shards:
            description = json.loads(json.dumps(shard.to_json()))
            write_shard(description, folder / "c", durability="none", threads=1)
        return contents("c")

    def opened() -> str:
        arrays = fi.open(folder / "a")
        return " ".join(digest(arrays[name].tobytes()) for name in sorted(arrays))

    def parts() -> str:
        """Two tensors of 600 bytes: in one file, unless the size is read as less than 1,200."""
        two = fi.Plan([fi.Tensor(name, (150,), "zeros()") for name in ("a", "b")])
        return str(len(layout_of(two, seed=3, max_shard_size="0.0012MB").shards))

    swept = plan()
    yield "plan", lambda: f"{swept.digest} {digest(pickle.dumps(swept.config))} {len(swept)}"
    yield "layout", lambda: " ".join(digest(shard.header) for shard in layout().shards)
    yield "parts", parts
    yield "write", write
    yield "write_shard", shards
    yield "verify", lambda: str(fi.verify(folder / "a", threads=1).tensors)
    yield "verify by two", lambda: str(fi.verify(folder / "a", threads=2).tensors)
    yield "open", opened


def gain_of(name: str) -> str:
    return struct.pack("d", fi.schemes.gain(name)).hex()


def denormal(std: float) -> str:
    """Two schemes whose numbers are equal to a processor that takes denormals for zeros."""
    return made((9,), fi.normal(std), "float64")


def alone() -> Iterator[tuple[str, Callable[[], str]]]:
    """What else computes a number."""
    for name in ("relu", "tanh", "selu", "leaky_relu"):
        yield f"gain {name}", partial(gain_of, name)
    for number, std in enumerate((1e-310, 2e-310, 0.1)):
        yield f"normal of std {number}", partial(denormal, std)
    yield "a larger norm", partial(made, (200, 300), "spectral_normalised()", "float64")
    yield "fans", lambda: str(fi.fans((6, 4, 3)))
    yield "preset", lambda: fi.plan("gpt2").digest
    yield "words", lambda: digest(fi.stream(3, "w").words(5, 9).tobytes())


def everything() -> dict[str, str]:
    """Key -> what is made; the floating-point state must be what it was."""
    before = state()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for calls in (alone(), in_memory(), in_files(Path(folder))):
            for key, call in calls:
                found[key] = attempt(call)
    found["state"] = "kept" if state() == before else f"{before} became {state()}"
    return found


def under(setting: str) -> dict[str, str]:
    """Everything, made in a process of its own under a setting."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        try:
            SETTINGS[setting]()
            everything_made = everything()
            floating_point()
            with os.fdopen(sender, "w") as file:
                json.dump(everything_made, file)
        except BaseException:  # noqa: BLE001 - a forked process must not go on
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    return json.loads(text) if status == 0 else {"status": str(status)}


if __name__ == "__main__":
    chosen = sys.argv[1:] or SETTINGS
    json.dump({name: under(name) for name in chosen}, sys.stdout)
