# SPDX-License-Identifier: MIT
"""Which bytes go where: shards, headers, index.  Pure functions; touches no file.

What a header, an index and a file's name look like is the format's to say.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, SupportsIndex

from fastinit import plans
from fastinit.checkpoints.entries import Entry
from fastinit.checkpoints.formats import DEFAULT, SINGLE_FORMATS, format_of
from fastinit.checkpoints.formats.base import Format
from fastinit.checkpoints.formats.sidecars import check_single
from fastinit.checkpoints.pieces import PIECES, Piece, Run, Span, chunks, wanted_of
from fastinit.checkpoints.recipe import Recipe
from fastinit.checkpoints.sizes import parse_size
from fastinit.machine.floats import default_floats
from fastinit.numerics.checks import LIMIT
from fastinit.numerics.dtypes import resolve
from fastinit.plans.reading import CONFIG_FILE
from fastinit.properties import cached_property
from fastinit.schemes.custom import Trusted, is_own, trusted
from fastinit.values.custom import DrawFunction
from fastinit.values.stream import check_seed

if TYPE_CHECKING:
    from fastinit.values.samplers import Sampler


@dataclass(frozen=True)
class Shard:
    """One file, entirely: from this alone any machine writes the same bytes."""

    file: str
    seed: int
    plan: str
    digest: str
    entries: tuple[Entry, ...]
    format: str = DEFAULT
    custom: tuple[tuple[str, str], ...] = ()  # all of the plan's distributions: label, SHA-256
    trusted: Trusted = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        self.form.check_file(self.file, self.entries)
        if len({entry.name for entry in self.entries}) != len(self.entries):
            raise ValueError(f"{self.file} has two tensors with the same name: names must differ")
        self.recipe  # noqa: B018 - raises what cannot be read back

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], trusted: Trusted = ()) -> Shard:
        """The shard that `to_json` described; its schemes may name the `trusted` functions."""
        try:
            entries = tuple(
                Entry(entry["name"], tuple(entry["shape"]), entry["dtype"], entry["init"])
                for entry in fields["entries"]
            )
            seed = check_seed(fields["seed"])
            format_of(fields["format"])
            plan, digest = fields["plan"], fields["digest"]
            custom = tuple(sorted(fields.get("custom", {}).items()))
            shard = cls(
                fields["file"], seed, plan, digest, entries, fields["format"], custom, trusted
            )
            shard.recipe.trusting(trusted)
            return shard
        except KeyError as error:
            raise ValueError(f"the description of a shard has no {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Plain text, numbers, lists and dictionaries, to send to another machine."""
        fields = asdict(replace(self, trusted=()))
        del fields["trusted"]
        fields["custom"] = dict(self.custom)
        if not self.custom:
            del fields["custom"]
        for entry in fields["entries"]:
            del entry["size"]  # shape and dtype say it
        return fields

    @property
    def form(self) -> Format:
        """The format of the file."""
        return SINGLE_FORMATS.get(self.format) or format_of(self.format)

    @cached_property
    def recipe(self) -> Recipe:
        """How to draw the tensors of this file."""
        init = {entry.name: entry.init for entry in self.entries}
        whole = Recipe(self.seed, self.plan, self.digest, init, dict(self.custom), self.trusted)
        return whole.of_tensors(init) if self.custom else whole

    def sampler(self, entry: Entry) -> Sampler:
        """What draws `entry`."""
        return self.recipe.sampler(entry.name, entry.shape, entry.dtype)

    def chunks(self, limit: int, wanted: Span) -> Iterator[list[Piece[Sampler]]]:
        """The bytes of values in a span, in chunks; a sampler lives as long as its pieces."""
        runs = (Run(entry, 0, entry.size, resolve(entry.dtype).size) for entry in self.entries)
        parts = wanted_of(runs, wanted)
        drawn = (Run(self.sampler(entry), *place) for entry, *place in parts)
        return chunks(drawn, limit, PIECES)

    @property
    def header(self) -> bytes:
        """The first bytes of the file, up to the values."""
        self.form.check_header(self.file, self.unchecked_header)
        return self.unchecked_header

    @cached_property
    def unchecked_header(self) -> bytes:
        """The header, even if readers refuse it."""
        return self.form.make_header(self.entries, self.recipe)

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

    form: Format
    shards: tuple[Shard, ...]
    index: bytes | None
    config: bytes | None

    @cached_property
    def files(self) -> dict[str, int]:
        """File name -> bytes, in the order of writing; the last one makes it a checkpoint."""
        small = {} if self.config is None else {CONFIG_FILE: len(self.config)}
        shards = {shard.file: shard.file_size for shard in self.shards}
        last = {} if self.index is None else {self.form.index: len(self.index)}
        return {**small, **shards, **last}

    @cached_property
    def _named(self) -> dict[str, Shard]:
        return {shard.file: shard for shard in self.shards}

    def beginning(self, file: str) -> bytes:
        """The first bytes of a file: the header of a shard, and all of the index or the config."""
        small = {self.form.index: self.index, CONFIG_FILE: self.config}.get(file)
        return self._named[file].header if small is None else small

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
    plan: Any,
    *,
    seed: SupportsIndex,
    dtype: str | None = None,
    max_shard_size: SupportsIndex | str = "5GB",
    format: str = DEFAULT,
    custom: Iterable[DrawFunction] = (),
) -> Layout:
    """The files that `write` would write, with every check that needs no disk.

    Args:
        plan: a `Plan`, or anything `fastinit.plan` reads.
        seed: 0 <= seed < 2**64.
        dtype: element type of the tensors that have none of their own; None leaves it to the plan.
            Of a config or a module it is the dtype of the model.
        max_shard_size: bytes of values in a file, as a number or as "500MB", "5GB", "1.5GiB".
        format: the file format, see `write`.
        custom: the custom distributions that a plan file may name.

    Raises:
        ValueError: an argument, a name, a shape or a scale that cannot work.
    """
    form = format_of(format)
    plan = plans.plan_for(plan, custom=custom, dtype=dtype)
    seed = check_seed(seed)
    limit = parse_size(max_shard_size)
    entries = _entries_of(plan, dtype)
    files = form.arrange(entries, limit)
    recipe = _recipe_of(plan, seed, entries)
    shards = tuple(_shard(file, form, group, recipe) for file, group in files.items())
    index = form.make_index(files, recipe)
    headers = {shard.file: shard.unchecked_header for shard in shards}
    form.check_lengths(files, recipe, headers, index)
    for entry in _unlike(entries):
        recipe.sampler(entry.name, entry.shape, entry.dtype)
    return Layout(form, shards, index, _config(plan.config, entries))


def whole_shard(plan: plans.Plan, *, seed: int, dtype: str | None) -> Shard:
    """All tensors of a plan in one file, in the order of any file; the header may be too long.

    Raises:
        ValueError: a dtype that there is not, or in which a tensor cannot be drawn.
    """
    form, entries = format_of(DEFAULT), _entries_of(plan, dtype)
    ((file, group),) = form.arrange(entries, sys.maxsize).items()
    shard = _shard(file, form, group, _recipe_of(plan, seed, entries))
    for entry in _unlike(group):
        shard.sampler(entry)
    return shard


def single_shard(file: str, form: Format, tensor: plans.Tensor, *, seed: SupportsIndex) -> Shard:
    """The file that holds one tensor alone, in a format of such files.

    Raises:
        ValueError: the seed is out of range, the tensor cannot be drawn, or not in that format.
    """
    plan = plans.Plan([tensor])
    entry = Entry(tensor.name, tensor.shape, plan.resolved_dtype(tensor), str(tensor.scheme))
    check_single(form, entry)
    shard = _shard(file, form, (entry,), _recipe_of(plan, check_seed(seed), [entry]))
    shard.sampler(entry)
    return shard


def _shard(file: str, form: Format, entries: tuple[Entry, ...], recipe: Recipe) -> Shard:
    """The file with these tensors; `recipe` is that of all."""
    call = recipe.seed, recipe.plan, recipe.digest
    return Shard(file, *call, entries, form.name, tuple(recipe.custom.items()), recipe.trusted)


def _recipe_of(plan: plans.Plan, seed: int, entries: Iterable[Entry]) -> Recipe:
    """The recipe of a whole plan."""
    functions = _functions_of(plan)
    digests = _recorded({function.label: function.digest for function in functions})
    init = {entry.name: entry.init for entry in entries}
    return Recipe(seed, plan.name, plan.digest, init, digests, functions)


def _functions_of(plan: plans.Plan) -> Trusted:
    """The custom functions of a plan's schemes.

    Raises:
        ValueError: a recipe cannot name one, or two have one name.
    """
    schemes = dict.fromkeys(tensor.scheme for tensor in plan)
    functions = trusted(dict.fromkeys(f for scheme in schemes for f in scheme.functions))
    for function in functions:
        function.check_nameable()
    return functions


def _recorded(digests: Mapping[str, str]) -> dict[str, str]:
    """Those that a recipe holds, in order: all but our own functions'."""
    return {label: digests[label] for label in sorted(digests) if not is_own(label)}


def _entries_of(plan: plans.Plan, dtype: str | None) -> list[Entry]:
    """The tensors of a plan as files describe them."""
    entries = [
        Entry(
            tensor.name, tuple(tensor.shape), plan.resolved_dtype(tensor, dtype), str(tensor.scheme)
        )
        for tensor in plan
    ]
    if not entries:
        raise ValueError("the plan has no tensors: a checkpoint needs at least one")
    size = sum(entry.size for entry in entries)
    if size >= LIMIT:
        raise ValueError(f"the plan takes {size:,} bytes: at most 2**63 - 1 can be written")
    return entries


def _unlike(entries: Iterable[Entry]) -> Iterable[Entry]:
    """The first of each kind: whether a tensor can be drawn does not depend on its name."""
    kinds: dict[tuple[Any, ...], Entry] = {}
    for entry in entries:
        kinds.setdefault((entry.init, entry.shape, entry.dtype), entry)
    return kinds.values()


def _config(config: Mapping[str, Any] | None, entries: Sequence[Entry]) -> bytes | None:
    """config.json with the dtype that most parameters have; of float8 only if all are.

    A model computes in this dtype, and in none of the float8 types.
    transformers reads "dtype" since 4.56 and only "torch_dtype" before; a reader that knows both
    takes "dtype", and one that knows only the other keeps the stranger as a plain attribute.
    """
    if config is None:
        return None
    counts: Counter[str] = Counter()
    for entry in entries:
        counts[entry.dtype] += entry.count
    dtype = max(counts, key=lambda name: (not name.startswith("float8"), counts[name]))
    content = {**config, "dtype": dtype, "torch_dtype": dtype}
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
