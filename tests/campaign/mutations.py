# SPDX-License-Identifier: MIT
"""Checkpoints with something wrong in their bytes.  Pure functions; touches no file.

Each takes a good checkpoint and random numbers and returns a spoilt one; the numbers may be
hypothesis's, which then finds the simplest that shows a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, TypeAlias

Contents: TypeAlias = Mapping[str, bytes]
Mutation: TypeAlias = Callable[[Random, Contents], dict[str, bytes]]

INDEX = "model.safetensors.index.json"


class Literal(str):
    """JSON text that stands in a file as it is."""


class Object(list[tuple[str, Any]]):
    """A JSON object as pairs, so that a key may appear twice."""


NAMES = (
    *("", ".", "..", "/", "a/b", "../../etc/passwd", "C:\\x", "a b", "\n", "\0", "\x1b[31m"),
    *(
        "\x7f",
        "__metadata__",
        "wte.weight",
        "größe",
        "\u202e",
        "\u2028",
        "x" * 5_000,
        "\ud800",
        "😀",
    ),
)
FILES = (
    *("../model.safetensors", "/etc/passwd", "/dev/zero", "model.safetensors", INDEX, "a/b", ".."),
    *("model-00001-of-00004.safetensors", "model-00009-of-00009.safetensors", "nul\0", "x.bin"),
    *("\x1b[2J.safetensors", "x" * 300 + ".safetensors", "config.json", "\ud800.safetensors"),
)
DTYPES = ("F32", "F64", "BF16", "F8_E8M0", "F4", "f32", "C64", "BOOL", "I64", "\x1b[m", "F" * 9_999)
SCHEMES = (
    *("zeros()", "normal(std=1e400)", "normal(std=nan)", "normal(std=-1)", "constant(1e39)"),
    *("no_such()", "normal(", "normal(std=9**9**9)", "normal(std=2**(1/0))", "(" * 5_000),
    *("truncated_normal(low=1, high=0)", "truncated_normal(low=300, high=301)", "auto('relu')"),
    *("__import__('os')", "normal(std='\x1b[31m')", "constant(" + "9" * 5_000 + ")"),
    *("orthogonal()", "sparse(2)"),
)
NUMBERS = (
    *(-1, 0, 1, 2, 7, 8, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**400, 1.0, 0.5),
    *map(Literal, ("-0", "1e2", "1e999", "01", "+1", "NaN", "Infinity", "9" * 5_000, "0x1", "1_0")),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, [], [[]], [0] * 70, [2**32, 2**32], [0, 2**40, 2**40], Object()),
    *map(Literal, ("[" * 100_000, '{"a":' * 100_000, "'a'", '"', '"\\x"', '"\\ud800"', "", "//")),
    Object([("a", 1), ("a", 1)]),
)
EVERYTHING = (*NAMES, *FILES, *DTYPES, *SCHEMES, *NUMBERS, *VALUES)


def parse(text: bytes | str) -> Any:
    """JSON with its objects as pairs."""
    return json.loads(text, object_pairs_hook=Object)


def dump(tree: Any) -> str:
    """The JSON text, whatever stands in it."""
    if isinstance(tree, Literal):
        return str(tree)
    if isinstance(tree, Object):
        return "{" + ",".join(f"{json.dumps(key)}:{dump(value)}" for key, value in tree) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(dump, tree)) + "]"
    return json.dumps(tree)


def parts(file: bytes) -> tuple[bytes, bytes]:
    """Header text and data of a good file."""
    end = 8 + int.from_bytes(file[:8], "little")
    return file[8:end].rstrip(b" "), file[end:]


def file_of(text: bytes, data: bytes, length: int | None = None) -> bytes:
    """A file of that header, which may claim another length."""
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def weights(contents: Contents, random: Random) -> str:
    """One of the weight files."""
    return random.choice(sorted(name for name in contents if name.endswith(".safetensors")))


# --- trees of JSON -------------------------------------------------------------------------------


def spoilt(random: Random, tree: Any) -> Any:
    """The tree with one to three things changed in it, in place; the tree itself may be one."""
    for _ in range(random.randint(1, 3)):
        slots = list(_slots(tree))
        if not slots:
            return random.choice(VALUES)
        _spoil(random, *random.choice(slots))
    return tree


def _slots(tree: Any) -> Iterator[tuple[list[Any], int]]:
    """Every place that holds a value, as a list and a position in it."""
    for place in range(len(tree) if isinstance(tree, list) else 0):
        yield tree, place
        yield from _slots(tree[place][1] if isinstance(tree, Object) else tree[place])


def _spoil(random: Random, within: list[Any], place: int) -> None:
    action = random.choice(("value", "value", "nudge", "twice", "gone", "name", "swap"))
    pair = isinstance(within, Object)
    key, value = within[place] if pair else (None, within[place])
    other = random.randrange(len(within))
    if action == "gone":
        del within[place]
    elif action == "twice":
        within.insert(other, within[place])
    elif action == "swap":
        within[place], within[other] = within[other], within[place]
    else:
        if action == "name" and pair:
            key = random.choice(NAMES)
        elif action == "nudge":
            value = _nudged(random, value)
        else:
            value = random.choice(EVERYTHING)
        within[place] = (key, value) if pair else value


def _nudged(random: Random, value: Any) -> Any:
    """Nearly the same."""
    if isinstance(value, int):
        return value + random.choice((-8, -4, -1, 1, 4, 8))
    if isinstance(value, str) and value:
        place = random.randrange(len(value))
        letter = random.choice(("", "0", "9", "-", "(", ")", ",", " ", "\x1b", "\ud800", "ß"))
        return value[:place] + letter + value[place + 1 :]
    return random.choice(EVERYTHING)


# --- one kind of fault each ----------------------------------------------------------------------


def changed_bytes(random: Random, contents: Contents) -> dict[str, bytes]:
    """A few bytes of one file are others; most of them in its header."""
    name = random.choice(sorted(contents))
    data = bytearray(contents[name])
    for _ in range(random.randint(1, 4)):
        end = min(len(data), random.choice((9, 200, len(data))))
        data[random.randrange(end)] = random.choice((*b'0123456789-.eE"[]{}:, \0\n\\u', 255, 128))
    return {**contents, name: bytes(data)}


def cut_short(random: Random, contents: Contents) -> dict[str, bytes]:
    """One file ends too early, or goes on."""
    name = random.choice(sorted(contents))
    data = contents[name]
    end = random.randrange(len(data) + 1)
    return {**contents, name: data[:end] if end < len(data) else data + b"\0"}


def false_length(random: Random, contents: Contents) -> dict[str, bytes]:
    """The header's length is said to be another."""
    name = weights(contents, random)
    data = contents[name]
    true = int.from_bytes(data[:8], "little")
    near = [true + step for step in (-4096, -8, -1, 1, 8, 4096)]
    ends = [len(data) - 9, len(data) - 8, len(data) - 7, len(data)]
    far = [0, 1, 2, 10**8 - 1, 10**8, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1]
    length = random.choice([*(value for value in (*near, *ends) if value >= 0), *far])
    return {**contents, name: length.to_bytes(8, "little") + data[8:]}


def header(random: Random, contents: Contents) -> dict[str, bytes]:
    """Something is wrong in the JSON of a header: offsets, shapes, dtypes, names, its form."""
    name = weights(contents, random)
    text, data = parts(contents[name])
    changed = dump(spoilt(random, parse(text))).encode()
    padding = b" " * random.choice((0, 0, 1, 4096))
    return {**contents, name: file_of(changed + padding, data)}


def recipe(random: Random, contents: Contents) -> dict[str, bytes]:
    """Something is wrong in the recipe that a header holds; the rest is right."""
    name = weights(contents, random)
    text, data = parts(contents[name])
    tree = parse(text)
    metadata = dict(tree)["__metadata__"]
    said = dict(metadata)["fastinit"]
    changed = dump(spoilt(random, parse(said)))
    metadata[:] = [(key, changed if key == "fastinit" else value) for key, value in metadata]
    return {**contents, name: file_of(dump(tree).encode(), data)}


def index(random: Random, contents: Contents) -> dict[str, bytes]:
    """Something is wrong in the JSON of the index."""
    return {**contents, INDEX: dump(spoilt(random, parse(contents[INDEX]))).encode()}


def mixture(random: Random, contents: Contents, other: Contents) -> dict[str, bytes]:
    """Some of the files are another checkpoint's."""
    taken = random.sample(sorted(other), random.randint(1, len(other)))
    return {**contents, **{name: other[name] for name in taken}}


MUTATIONS: dict[str, Mutation] = {
    "bytes changed": changed_bytes,
    "a file cut short": cut_short,
    "a false header length": false_length,
    "a header spoilt": header,
    "a recipe spoilt": recipe,
    "an index spoilt": index,
}
