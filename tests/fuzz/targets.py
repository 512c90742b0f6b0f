# SPDX-License-Identifier: MIT
"""What is fuzzed: each reader of texts and files that may come from strangers.

A target takes any bytes.  It returns if they are read or refused, and raises `Finding` if they are
refused otherwise than fastinit refuses, or read otherwise than they were written.  run.py feeds
them to atheris, test_fuzz.py to Hypothesis; neither is known here.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import safetensors

import fastinit as fi
from fastinit import errors
from fastinit.checkpoints.sizes import parse_size

PACKAGE = str(Path(fi.__file__).parent)
OURS = (errors.FastinitError, ValueError, TypeError, IndexError)


class Finding(Exception):
    """What a reader may not do."""


@contextmanager
def refusing(*kinds: type[BaseException]) -> Iterator[None]:
    """Let errors pass that fastinit raises itself, of these kinds, and with a message.

    An error of Python or of a library that fastinit lets through is none: it says nothing of what
    was given.
    """
    try:
        yield
    except Exception as error:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        assert place is not None
        file, line = place.tb_frame.f_code.co_filename, place.tb_lineno
        statement = linecache.getline(file, line).strip()
        ours = file.startswith(PACKAGE) and statement.startswith("raise")
        if not (ours and isinstance(error, kinds) and str(error)):
            raise Finding(f"{type(error).__name__} at {file}:{line}, {statement}") from error


@dataclass(frozen=True)
class Target:
    """A reader, and examples of what it reads."""

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


TARGETS: dict[str, Target] = {}


def target(seeds: Callable[[], list[bytes]]) -> Callable[[Callable[[bytes], None]], None]:
    """Add a target, under the name of its function."""

    def add(read: Callable[[bytes], None]) -> None:
        TARGETS[read.__name__.replace("_", "-")] = Target(read, seeds)

    return add


@cache
def folder() -> Path:
    """Where files lie that are read; in memory, if the system has such a place."""
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    made = tempfile.TemporaryDirectory(prefix="fastinit-fuzz-", dir=shared)
    _kept.append(made)
    return Path(made.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


# ---- files of weights ---------------------------------------------------------------------------

PLAN = """
[[tensor]]
name = "a"
shape = "2, 3"
init = "normal(std=0.02)"
[[tensor]]
name = "b.{i}"
repeat = 2
shape = "5"
init = "uniform(low=-1, high=1)"
dtype = "bfloat16"
"""


@cache
def written(form: str) -> dict[str, bytes]:
    """The files of a small checkpoint."""
    place = folder() / f"written-{form}"
    plan = PLAN.replace("bfloat16", "float16") if form == "npy" else PLAN
    fi.write(_plan(plan, ".toml"), place, seed=3, format=form, max_shard_size=30)
    return {path.name: path.read_bytes() for path in place.iterdir()}


def _plan(text: str, suffix: str) -> fi.Plan:
    path = folder() / f"seed{suffix}"
    path.write_text(text)
    return fi.plan(path)


def _safetensors_seeds() -> list[bytes]:
    files = [data for name, data in written("safetensors").items() if name.endswith("tensors")]
    text = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "é\\u0041": {"dtype": "F8_E4M3", "shape": [2, 0], "data_offsets": [0, 0]},
            "z": {"dtype": "BOOL", "shape": [], "data_offsets": [0, 1]},
        }
    ).encode()
    return [*files, len(text).to_bytes(8, "little") + text + b"\1"]


def _opened(path: Path, *, verified: bool = True) -> None:
    """Open, look at every tensor, and verify."""
    with refusing(errors.CheckpointError):
        checkpoint = fi.open(path)
        for name in checkpoint:
            with refusing(errors.CheckpointError):
                checkpoint[name].shape  # noqa: B018 - it is mapped now
    if verified:
        with refusing(errors.CheckpointError):
            fi.verify(path)


@target(_safetensors_seeds)
def safetensors_file(data: bytes) -> None:
    """A safetensors file; what opens, opens with the safetensors library too."""
    path = folder() / "x.safetensors"
    path.write_bytes(data)
    _opened(path)
    try:
        fi.open(path)
    except errors.CheckpointError:
        return
    try:
        safetensors.safe_open(path, "numpy").keys()
    except (safetensors.SafetensorError, OSError) as error:
        raise Finding("opens what safetensors refuses") from error


def _header_seeds() -> list[bytes]:
    return [seed[8 : 8 + int.from_bytes(seed[:8], "little")] for seed in _safetensors_seeds()]


@target(_header_seeds)
def safetensors_header(data: bytes) -> None:
    """The text of a header, whose length is right, and as many bytes of data as it says."""
    size = max((int(end) for end in _ends(data)), default=0)
    safetensors_file_of(len(data).to_bytes(8, "little") + data + bytes(min(size, 4096)))


def _ends(data: bytes) -> Iterator[bytes]:
    """Whole numbers of few digits that end a list."""
    for piece in data.split(b"]")[:-1]:
        end = piece.rsplit(b",")[-1].strip()
        if end.isdigit() and len(end) < 5:
            yield end


safetensors_file_of = TARGETS["safetensors-file"].read


def _index_seeds() -> list[bytes]:
    files = written("safetensors")
    return [data for name, data in files.items() if name.endswith("index.json")]


@target(_index_seeds)
def index(data: bytes) -> None:
    """The index of a checkpoint of several files."""
    place = folder() / "index"
    if not place.exists():
        place.mkdir()
        for name, content in written("safetensors").items():
            (place / name).write_bytes(content)
    (place / "model.safetensors.index.json").write_bytes(data)
    _opened(place)
    with refusing(errors.FastinitError, ValueError):
        fi.plan(place)


def _recipe_seeds() -> list[bytes]:
    header = json.loads(_header_seeds()[0])
    return [header["__metadata__"]["fastinit"].encode()]


@target(_recipe_seeds)
def recipe(data: bytes) -> None:
    """The recipe in the header of a file that is right otherwise."""
    header = json.loads(_header_seeds()[0])
    header["__metadata__"]["fastinit"] = data.decode("utf-8", "replace")
    text = json.dumps(header).encode()
    size = max(fields["data_offsets"][1] for fields in header.values() if "dtype" in fields)
    path = folder() / "recipe.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    _opened(path)
    with refusing(errors.FastinitError, ValueError):
        fi.plan(path)


def _npy_seeds() -> list[bytes]:
    return [data for name, data in written("npy").items() if name.endswith(".npy")]


@target(_npy_seeds)
def npy_file(data: bytes) -> None:
    """A file of NumPy's in a folder with a recipe; what opens is what numpy.load reads."""
    place = folder() / "npy"
    if not place.exists():
        place.mkdir()
        (place / "fastinit.json").write_bytes(written("npy")["fastinit.json"])
        for name, content in written("npy").items():
            (place / name).write_bytes(content)
    (place / "a.npy").write_bytes(data)
    _opened(place)
    with refusing(errors.CheckpointError):
        ours = fi.open(place)["a"]
        theirs = np.load(place / "a.npy")
        if ours.shape != theirs.shape or ours.tobytes() != theirs.tobytes():
            raise Finding("numpy.load reads something else")


def _npy_recipe_seeds() -> list[bytes]:
    return [written("npy")["fastinit.json"]]


@target(_npy_recipe_seeds)
def npy_recipe(data: bytes) -> None:
    """The recipe beside .npy files."""
    place = folder() / "npy-recipe"
    if not place.exists():
        place.mkdir()
        for name, content in written("npy").items():
            (place / name).write_bytes(content)
    (place / "fastinit.json").write_bytes(data)
    _opened(place)


def _sidecar_seeds() -> list[bytes]:
    return [_mapped()[1]]


@cache
def _mapped() -> tuple[bytes, bytes]:
    """A file of one tensor, and its sidecar."""
    path = folder() / "seed.bin"
    fi.memmap(path, (5, 7), "normal(std=0.02)", seed=3, name="e", dtype="float32")
    return path.read_bytes(), path.with_name("seed.bin.fastinit.json").read_bytes()


@target(_sidecar_seeds)
def sidecar(data: bytes) -> None:
    """The sidecar of a file that `memmap` made."""
    path = folder() / "e.bin"
    path.write_bytes(_mapped()[0])
    path.with_name("e.bin.fastinit.json").write_bytes(data)
    _opened(path)
    with refusing(errors.FastinitError, ValueError):
        fi.plan(path)


# ---- plans --------------------------------------------------------------------------------------

TOML_SEEDS = [
    PLAN,
    """name = "model"
dtype = "bfloat16"
[sizes]
width = 8
layers = 2
head = "width // layers"
[[tensor]]
name = "h.{i}.w.{j}"
repeat = ["layers", "1:head"]
shape = "(head, width)"
init = "normal(std=0.02/sqrt(i+1))"
[[tensor]]
name = "wte"
shape = ["width"]
[[rule]]
names = ["*.bias", "wte"]
init = "he_normal(layout='keras')"
[config]
model_type = "x"
""",
]


MISSING = {"torch": None, "transformers": None}
"""What a config.json would have imported: others' readers are not fuzzed."""


def _of_plan(data: bytes, suffix: str) -> None:
    """A plan that is read is read again from its JSON form."""
    path = folder() / f"x{suffix}"
    path.write_bytes(data)
    with refusing(errors.FastinitError, ValueError, ImportError), patch.dict(sys.modules, MISSING):
        plan = fi.plan(path)
        if len(plan) < 1000 and fi.Plan.from_json(json.loads(json.dumps(plan.to_json()))) != plan:
            raise Finding("the JSON form gives another plan")


@target(lambda: [text.encode() for text in TOML_SEEDS])
def plan_toml(data: bytes) -> None:
    """A plan in TOML."""
    _of_plan(data, ".toml")


@target(lambda: [json.dumps(_plan(text, ".toml").to_json()).encode() for text in TOML_SEEDS])
def plan_json(data: bytes) -> None:
    """A plan in JSON."""
    _of_plan(data, ".json")


SUFFIXES = ("", ".toml", ".json", ".safetensors", ".bin", ".npy", ".index.json", ".pt", ".gguf")


def _source_seeds() -> list[bytes]:
    """Of everything something; the first byte chooses how the file's name ends."""
    some = [*_safetensors_seeds()[:1], *_npy_seeds()[:1], PLAN.encode(), b"GGUF\3\0\0\0"]
    some += [b"PK\3\4", b"\x80\2}q", b'{"model_type": "gpt2"}', b'{"plan": {"tensors": []}}']
    return [bytes([n % len(SUFFIXES)]) + seed for n, seed in enumerate(some)]


@target(_source_seeds)
def source(data: bytes) -> None:
    """A file of any kind and name, as the source of a plan."""
    which = data[0] % len(SUFFIXES) if data else 0
    _of_plan(data[1:], SUFFIXES[which])


# ---- texts --------------------------------------------------------------------------------------

SCHEMES = [
    "normal(std=0.02)",
    "truncated_normal(std=1/sqrt(8), low=-2, high=2, corrected=True)",
    "he_normal(in_axis=(0,), out_axis=(-1,), packed=[2, 4])",
    "variance_scaling(2.0, 'fan_avg', 'uniform')",
    "parts(zeros(), '0:2, :', ones())",
    "mapped(uniform(0, 16), 'log(x) + sqrt(x)')",
    "orthogonal(gain=sqrt(2))",
    "sparse(0.5)",
    "auto('relu')",
    "slice_of('w', (8, 8), '0:4, 0:6', normal())",
    "constant(-1e-3)",
    "my.module:laplace(scale=2)",
]
SHAPE = (4, 6)


@target(lambda: [text.encode() for text in SCHEMES])
def scheme(data: bytes) -> None:
    """The text of a scheme: it is written and read again, and drawn for a small shape."""
    with refusing(errors.FastinitError, ValueError, TypeError):
        made = fi.scheme(text_of(data))
        again = fi.scheme(str(made))
        if str(again) != str(made):
            raise Finding(f"{str(made)!r} is read again as {str(again)!r}")
        with refusing(errors.FastinitError, ValueError, TypeError):
            values = fi.array(SHAPE, made, seed=0, name="w")
            if values.shape != SHAPE or not np.isfinite(values).all():
                raise Finding(f"{made} has values that are not finite")


@target(lambda: [b"0:2, :", b"1, 2:", b"-1", b":, ::2", b"4//2:6, 8-1", b"", b"3:1"])
def region_text(data: bytes) -> None:
    """The text of a region: a part of a tensor that has another scheme."""
    with refusing(errors.FastinitError, ValueError, TypeError):
        made = fi.schemes.parts(fi.zeros(), text_of(data), fi.ones())
        if not set(fi.array((8, 8), made, seed=0, name="w").flat) <= {0, 1}:
            raise Finding("values that neither scheme has")


@target(lambda: [b"\2\3\4\1\0\3\1\3\1\2", b"\1\x10\1\x0f\0\xfe", b"\3\2\3\2\4\0", b"\0", b"\1\5\2"])
def region(data: bytes) -> None:
    """A region of a small tensor holds what NumPy's indices find in the whole."""
    taken = iter(data)

    def number() -> int:
        byte = next(taken, 0)
        return byte - 256 if byte >= 128 else byte

    shape = tuple(abs(number()) % 9 for _ in range(abs(number()) % 5))
    found = _region(number)
    whole = fi.array(shape, "normal()", seed=1, name="w")
    try:
        part = fi.array(shape, "normal()", seed=1, name="w", region=found)
    except (IndexError, TypeError, ValueError):
        with refusing(IndexError, TypeError, ValueError):
            fi.array(shape, "normal()", seed=1, name="w", region=found)
        return
    right = whole.reshape(-1)[list(found)] if isinstance(found, range) else whole[found]
    if part.shape != right.shape or part.tobytes() != right.tobytes():
        raise Finding(f"region {found} of {shape} differs")


def _region(number: Callable[[], int]) -> Any:
    """A region that the numbers make: a range, or indices."""
    if (kind := number()) % 4 == 3:
        return range(number(), number(), number() or 1)
    items: list[Any] = []
    for _ in range(abs(kind) % 5):
        match abs(number()) % 4:
            case 0:
                items.append(number())
            case 1:
                items.append(Ellipsis)
            case 2:
                items.append(slice(None, None, number() or None))
            case _:
                items.append(slice(number(), number(), number() or None))
    return tuple(items)


@target(lambda: [b"5GB", b"10 MiB", b"1.5GiB", b"100"])
def size(data: bytes) -> None:
    """A size such as 5GB."""
    with refusing(ValueError, TypeError):
        if parse_size(text_of(data)) < 1:
            raise Finding("a size below 1")
