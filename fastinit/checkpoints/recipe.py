# SPDX-License-Identifier: MIT
"""The recipe of a file: what it takes to make its tensors again.  Knows nothing of files.

It travels as text with the files: in the header of each, where the format has room for it, so that
one file alone, without the plan or the other shards, can be verified.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fastinit.checkpoints.flat import table
from fastinit.errors import UntrustedError
from fastinit.numerics.dtypes import resolve
from fastinit.plans.tensors import check_plan_name
from fastinit.schemes.custom import Trusted, all_labels_in, function_of, labels_in, not_trusted
from fastinit.schemes.sampling import sampler
from fastinit.texts import quoted
from fastinit.values.stream import VERSION, Stream, check_seed

if TYPE_CHECKING:
    from fastinit.values.samplers import Sampler

FIELDS = {"stream": int, "seed": int, "plan": str, "digest": str, "init": dict}
"""The fields of every recipe."""

MORE = {"custom": dict, "refilled": dict}
"""Fields of recipes that name custom distributions, and of files with refilled tensors."""

DIGEST = re.compile(r"[0-9a-f]{64}")
SEED = re.compile(r"0|[1-9][0-9]{0,19}")


class SourceError(ValueError):
    """A custom distribution that was given has another source than the recipe's."""

    def __init__(self, label: str, recorded: str, given: str) -> None:
        super().__init__(
            f"{label} has another source here than when the file was written: its SHA-256 is "
            f"{given or 'unknown'}, but the recipe says {recorded}; use the version of "
            f"{label.partition(':')[0]} that wrote the file"
        )


class StreamVersionError(ValueError):
    """A recipe of another version of the stream, which this fastinit cannot judge."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"the recipe is of stream version {version}, but this fastinit knows version "
            f"{VERSION}: use a newer fastinit"
        )


@dataclass(frozen=True)
class Recipe:
    """Seed, plan, and a scheme for each tensor (`init`: name -> text) of one file.

    `custom` has the digest of each custom distribution that a scheme names, by its label;
    `trusted` are the functions that the reader gives for them.

    `refilled` has the seed of each tensor that was drawn anew, with another seed or scheme than
    when the file was written.  A file that fastinit did not write comes from no plan: its recipe
    has seed 0, neither plan nor digest, and covers its refilled tensors alone.
    """

    seed: int
    plan: str
    digest: str
    init: Mapping[str, str]
    custom: Mapping[str, str] = field(default_factory=dict)
    trusted: Trusted = field(default=(), repr=False, compare=False)
    refilled: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_plan_name(self.plan)
        if unknown := self.refilled.keys() - self.init.keys():
            raise ValueError(f"refilled tensors have no init: {quoted(sorted(unknown))}")
        for seed in self.refilled.values():
            check_seed(seed)
        if self.digest == "":
            self._check_no_plan()
        elif not DIGEST.fullmatch(self.digest):
            raise ValueError(
                f"the plan's digest is {quoted(self.digest)}: 64 hexadecimal digits are needed"
            )

    def _check_no_plan(self) -> None:
        """Raise unless it is the recipe of refilled tensors in a file of strangers."""
        if self.plan or self.seed or not self.init or self.refilled.keys() != self.init.keys():
            raise ValueError(
                "the plan's digest is empty, which only a recipe with seed 0 and no plan may "
                "have, whose tensors were all refilled"
            )

    @property
    def has_plan(self) -> bool:
        """Whether `write` made the file, from a plan: then the recipe covers every tensor."""
        return self.digest != ""

    def text(self) -> str:
        """The JSON text that goes into a file."""
        fields = {"stream": VERSION, "seed": self.seed, "plan": self.plan, "digest": self.digest}
        refilled = {name: str(seed) for name, seed in self.refilled.items()}
        present = {"custom": dict(self.custom), "refilled": refilled}
        more = {name: value for name, value in present.items() if value}
        return json.dumps(
            {**fields, "init": dict(self.init), **more}, ensure_ascii=False, separators=(",", ":")
        )

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The recipe in `text`.

        Raises:
            ValueError: it is not a recipe.
            StreamVersionError: it is of a stream that this fastinit does not know.
        """
        fields = table(text.encode())
        types = {**FIELDS, **MORE}
        if not FIELDS.keys() <= fields.keys() <= types.keys():
            raise ValueError(
                f"it must have exactly the fields {', '.join(FIELDS)}, and may have "
                f"{' and '.join(MORE)}"
            )
        for name, value in fields.items():
            if type(value) is not types[name]:
                raise ValueError(f"its {name} is not of type {types[name].__name__}")
        form: Any = fields
        if form["stream"] < 1:
            raise ValueError("its stream is 0: versions begin at 1")
        if form["stream"] != VERSION:
            raise StreamVersionError(form["stream"])
        recipe = cls(
            *(form["seed"], form["plan"], form["digest"], form["init"]),
            custom=form.get("custom", {}),
            refilled=_seeds(form["refilled"]) if "refilled" in form else {},
        )
        recipe._check_custom("custom" in form)
        return recipe

    def _check_custom(self, present: bool) -> None:
        """Raise unless `custom`, if `present`, has the digests of what the schemes name."""
        named = labels_of(self.init.values())
        if self.custom.keys() != named or present != bool(named):
            raise ValueError(
                f"its schemes name {quoted(sorted(named))}, but it has the digests of "
                f"{quoted(sorted(self.custom))}"
            )
        for label, digest in self.custom.items():
            if not DIGEST.fullmatch(digest):
                raise ValueError(f"the digest of {label} is {quoted(digest)}: need SHA-256 in hex")

    def is_custom(self, name: str) -> bool:
        """Whether the scheme of a tensor names a custom distribution."""
        return bool(all_labels_in(self.init[name]))

    def of_tensors(self, names: Iterable[str]) -> Recipe:
        """The recipe of some of its tensors."""
        init = {name: self.init[name] for name in names}
        named = labels_of(init.values())
        custom = {label: digest for label, digest in self.custom.items() if label in named}
        refilled = {name: seed for name, seed in self.refilled.items() if name in init}
        return replace(self, init=init, custom=custom, refilled=refilled)

    def seed_of(self, name: str) -> int:
        """The seed that a tensor was drawn with."""
        return self.refilled.get(name, self.seed)

    def trusting(self, functions: Trusted) -> Recipe:
        """The recipe with the functions that its schemes name.

        Raises:
            UntrustedError: one was not given.
            SourceError: one has another source.
        """
        if unknown := sorted(self.custom.keys() - {function.label for function in functions}):
            raise UntrustedError(not_trusted(unknown))
        for label, recorded in self.custom.items():
            found = function_of(label, functions).digest
            if found != recorded:
                raise SourceError(label, recorded, found)
        return replace(self, trusted=functions)

    def sampler(self, name: str, shape: tuple[int, ...], dtype: str) -> Sampler:
        """What draws the tensor `name`.  Reads the scheme's text, so text and values agree."""
        try:
            stream = Stream(self.seed_of(name), name)
            return sampler(self.init[name], shape, stream, resolve(dtype), self.trusted)
        except ValueError as error:
            raise ValueError(f"tensor {quoted(name)} cannot be drawn: {error}") from error


def _seeds(texts: Mapping[str, str]) -> dict[str, int]:
    """The seeds of refilled tensors; texts, because a recipe's tables hold nothing else."""
    if not texts:
        raise ValueError("its refilled is empty")
    for name, text in texts.items():
        if not SEED.fullmatch(text):
            raise ValueError(
                f"tensor {quoted(name)} was refilled with seed {quoted(text)}: "
                "a whole number below 2**64, in decimal digits, is needed"
            )
    return {name: int(text) for name, text in texts.items()}


def labels_of(texts: Iterable[str]) -> set[str]:
    """The labels of custom distributions that texts of schemes name."""
    return {label for text in set(texts) for label in labels_in(text)}
