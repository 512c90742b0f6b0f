# SPDX-License-Identifier: MIT
"""Which bytes go where: shards, file names, headers, index.  Pure functions; touches no file.

The format is safetensors (https://github.com/huggingface/safetensors), the folder layout that of
the Hugging Face hub.  Two things are settled more tightly than the format asks: data begins at a
multiple of 4096, and wider elements come first, so every tensor is aligned to its element size.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

from fastinit import plans
from fastinit.checkpoints.recipe import KEY, Recipe
from fastinit.dtypes import resolve
from fastinit.fans import is_plain
from fastinit.floats import default_floats
from fastinit.plans.plan import check_name
from fastinit.stream import check_seed

if TYPE_CHECKING:
    from fastinit.samplers import Sampler

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
SHARD_NAME = re.compile(r"model-[0-9]{5}-of-[0-9]{5}\.safetensors")
PAGE = 4096
CHUNK = 2**20  # bytes a task makes: fits the L2 cache, so they are copied from there
PIECES = 2**10  # tensors in a chunk at most: a few ms of work, however small they are
HEADER_LIMIT = 100_000_000  # safetensors refuses more, MLX refuses exactly that
INDEX_LIMIT = 10 * 1024 * 1024  # huggingface_hub refuses more
SHARD_LIMIT = 99_999  # five digits in a file name
SIZE_LIMIT = 2**63 - 1  # offsets in a file are signed 64-bit
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
T = TypeVar("T")
SIZE_TEXT = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*(|[KMGT]B)\s*", re.ASCII | re.I)


def parse_size(size: int | str) -> int:
    """Bytes in a size such as "5GB"; units are decimal, as huggingface_hub reads them.

    >>> parse_size("1.5GB")
    1500000000
    """
    number = size
    if isinstance(size, str) and (match := SIZE_TEXT.fullmatch(size)):
        number = int(float(match[1]) * UNITS[match[2].upper()])
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(
            f"max_shard_size is {size!r}: pass bytes as a whole number of 1 or more, "
            'or text such as "500MB", "5GB" or "1.5TB"'
        )
    return number


def tensor_size(shape: Iterable[object], item_size: int) -> int:
    """Bytes of a tensor.  A dimension of 0 hides no overflow of the others."""
    shape = tuple(shape)
    if not is_plain(shape):
        raise ValueError(f"shape {shape} is no shape: use whole numbers of 0 or more")
    size = item_size
    for dimension in shape:
        size *= dimension or 1
    if size > SIZE_LIMIT:
        raise ValueError(f"shape {shape} takes {size:,} bytes: a file holds at most 2**63 - 1")
    return 0 if 0 in shape else size


def split(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """The positions in `sizes` that share a shard, greedily in order, as huggingface_hub does.

    A tensor above the limit gets a shard to itself, placed before the one being filled.
    """
    shards: list[list[int]] = []
    current: list[int] = []
    filled = 0
    for position, size in enumerate(sizes):
        if size > limit:
            shards.append([position])
            continue
        if filled + size > limit:
            shards.append(current)
            current, filled = [], 0
        current.append(position)
        filled += size
    return [*shards, current] if current else shards


def chunks(
    tensors: Iterable[tuple[T, int, int]], limit: int, count: int
) -> Iterator[list[tuple[T, int, int]]]:
    """Cut tensors that lie one behind the other into chunks of at most `limit` bytes.

    Wide elements behind narrow ones, which only others' files and descriptions have, begin a
    chunk of their own: so within a chunk every tensor is aligned to its element size.

    Args:
        tensors: each with its bytes and those of an element.
        limit: a multiple of every element size.
        count: pieces in a chunk at most.

    Returns:
        Of each chunk the pieces: a tensor, the byte of it where the piece begins, and its bytes.
    """
    pieces: list[tuple[T, int, int]] = []
    filled = 0
    for tensor, size, item_size in tensors:
        done = 0
        if filled % item_size:
            yield pieces
            pieces, filled = [], 0
        while done < size:
            part = min(limit - filled, size - done)
            pieces.append((tensor, done, part))
            filled, done = filled + part, done + part
            if filled == limit or len(pieces) == count:
                yield pieces
                pieces, filled = [], 0
    if pieces:
        yield pieces


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor in a file: `dtype` by fastinit's name, `init` the text of its scheme."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    init: str
    size: int = field(init=False, compare=False)  # bytes of its values

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "size", tensor_size(self.shape, resolve(self.dtype).size))

    @property
    def count(self) -> int:
        """Elements."""
        return self.size // resolve(self.dtype).size


@dataclass(frozen=True)
class Shard:
    """One file, entirely: from this alone any machine writes the same bytes."""

    file: str
    seed: int
    plan: str
    digest: str
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if self.file != SINGLE and not SHARD_NAME.fullmatch(self.file):
            raise ValueError(f"{self.file!r} is no shard name: use {SINGLE}, or a numbered one")
        if len({entry.name for entry in self.entries}) != len(self.entries):
            raise ValueError(f"{self.file} has two tensors of one name: names must differ")

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Shard:
        """The shard that `to_json` described."""
        try:
            entries = tuple(
                Entry(entry["name"], tuple(entry["shape"]), entry["dtype"], entry["init"])
                for entry in fields["entries"]
            )
            seed = check_seed(fields["seed"])
            return cls(fields["file"], seed, fields["plan"], fields["digest"], entries)
        except KeyError as error:
            raise ValueError(f"the description of a shard has no {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Plain text, numbers, lists and dictionaries, to send to another machine."""
        form = asdict(self)
        for entry in form["entries"]:
            del entry["size"]  # shape and dtype say it
        return form

    @cached_property
    def recipe(self) -> Recipe:
        """How to draw the tensors of this file."""
        return Recipe(self.seed, self.plan, self.digest, {e.name: e.init for e in self.entries})

    def sampler(self, entry: Entry) -> Sampler:
        """What draws `entry`."""
        return self.recipe.sampler(entry.name, entry.shape, entry.dtype)

    @cached_property
    def header(self) -> bytes:
        """The first bytes of the file: length, JSON, spaces up to a multiple of 4096."""
        fields: dict[str, Any] = {"__metadata__": {"format": "pt", KEY: self.recipe.text()}}
        end = 0
        for entry in self.entries:
            start, end = end, end + entry.size
            fields[entry.name] = {
                "dtype": resolve(entry.dtype).safetensors,
                "shape": entry.shape,
                "data_offsets": (start, end),
            }
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        length = -(-(8 + len(text)) // PAGE) * PAGE - 8
        if length >= HEADER_LIMIT:
            raise ValueError(
                f"the header of {self.file} takes {length:,} bytes, readers refuse "
                f"{HEADER_LIMIT:,}: choose a smaller max_shard_size"
            )
        return length.to_bytes(8, "little") + text.ljust(length)

    @cached_property
    def data_size(self) -> int:
        """Bytes of all values."""
        return sum(entry.size for entry in self.entries)

    @property
    def file_size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + self.data_size


@dataclass(frozen=True)
class Layout:
    """A whole checkpoint before it exists: shards, and the small files' contents."""

    shards: tuple[Shard, ...]
    index: bytes | None
    config: bytes | None

    @cached_property
    def files(self) -> dict[str, int]:
        """File name -> bytes, in the order of writing; the last one makes it a checkpoint."""
        small = {} if self.config is None else {CONFIG: len(self.config)}
        shards = {shard.file: shard.file_size for shard in self.shards}
        return {**small, **shards, **({} if self.index is None else {INDEX: len(self.index)})}

    @property
    def tensors(self) -> int:
        """How many tensors."""
        return sum(len(shard.entries) for shard in self.shards)

    @property
    def parameters(self) -> int:
        """Elements of all tensors."""
        return sum(entry.count for shard in self.shards for entry in shard.entries)

    @property
    def size(self) -> int:
        """Bytes of all tensors, without headers."""
        return sum(shard.data_size for shard in self.shards)


@default_floats
def layout_of(
    plan: Any, *, seed: SupportsIndex, dtype: str | None = None, max_shard_size: int | str = "5GB"
) -> Layout:
    """The files that `write` would write, with every check that needs no disk.

    Args:
        plan: a `Plan`, or anything `fastinit.plan` reads.
        seed: 0 <= seed < 2**64.
        dtype: element type of the tensors that have none of their own; None leaves it to the plan.
        max_shard_size: bytes of values in a file, as a number or as "500MB", "5GB".

    Raises:
        ValueError: an argument, a name, a shape or a scale that cannot work.
    """
    plan = plans.plan(plan)
    seed = check_seed(seed)
    limit = parse_size(max_shard_size)
    entries = [
        Entry(
            tensor.name, tuple(tensor.shape), plan.resolved_dtype(tensor, dtype), str(tensor.scheme)
        )
        for tensor in plan
    ]
    _check_entries(entries)
    groups = split([entry.size for entry in entries], limit)
    if len(groups) > SHARD_LIMIT:
        raise ValueError(f"{len(groups):,} shards are too many: choose a larger max_shard_size")
    digest = plan.digest
    shards = tuple(
        Shard(_file_name(number, len(groups)), seed, plan.name, digest, _aligned(entries, group))
        for number, group in enumerate(groups, 1)
    )
    for shard in shards:
        shard.header  # noqa: B018 - raises when too long
        for entry in _unlike(shard.entries):
            shard.sampler(entry)
    index = _index(shards) if len(shards) > 1 else None
    return Layout(shards, index, _config(plan.config, entries))


def _check_entries(entries: Sequence[Entry]) -> None:
    if not entries:
        raise ValueError("the plan has no tensors: a checkpoint needs at least one")
    size = sum(entry.size for entry in entries)
    if size > SIZE_LIMIT:
        raise ValueError(f"the plan takes {size:,} bytes: at most 2**63 - 1 can be written")


def _file_name(number: int, count: int) -> str:
    return SINGLE if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"


def _aligned(entries: Sequence[Entry], positions: Sequence[int]) -> tuple[Entry, ...]:
    """Wider elements first, else in plan order: then nothing needs padding, which is forbidden."""
    chosen = (entries[position] for position in positions)
    return tuple(sorted(chosen, key=lambda entry: -resolve(entry.dtype).size))


def _unlike(entries: Iterable[Entry]) -> Iterable[Entry]:
    """The first of each kind: whether a tensor can be drawn does not depend on its name."""
    kinds: dict[tuple[Any, ...], Entry] = {}
    for entry in entries:
        kinds.setdefault((entry.init, entry.shape, entry.dtype), entry)
    return kinds.values()


def _index(shards: Sequence[Shard]) -> bytes:
    """The index file, byte for byte as transformers lays it out."""
    entries = [entry for shard in shards for entry in shard.entries]
    metadata = {
        "total_size": sum(entry.size for entry in entries),
        "total_parameters": sum(entry.count for entry in entries),
    }
    weight_map = {entry.name: shard.file for shard in shards for entry in shard.entries}
    content = _json_file({"metadata": metadata, "weight_map": weight_map})
    if len(content) > INDEX_LIMIT:
        raise ValueError(
            f"the index takes {len(content):,} bytes, readers refuse more than {INDEX_LIMIT:,}: "
            "choose a max_shard_size that fits everything into one file"
        )
    return content


def _config(config: Mapping[str, Any] | None, entries: Sequence[Entry]) -> bytes | None:
    """config.json with the dtype that most parameters have.

    transformers reads "dtype" since 4.56 and only "torch_dtype" before; a reader that knows both
    takes "dtype", and one that knows only the other keeps the stranger as a plain attribute.
    """
    if config is None:
        return None
    counts: Counter[str] = Counter()
    for entry in entries:
        counts[entry.dtype] += entry.count
    dtype = counts.most_common(1)[0][0]
    return _json_file({**config, "dtype": dtype, "torch_dtype": dtype})


def _json_file(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
