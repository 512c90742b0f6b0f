# SPDX-License-Identifier: MIT
"""The recipe of a file: what it takes to make its tensors again.  Knows nothing of files.

It travels as text in the metadata of every safetensors file, so that one file alone, without the
plan or the other shards, can be verified.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fastinit.dtypes import resolve
from fastinit.instruction_sets import check as check_instruction_set
from fastinit.schemes.scheme import scheme
from fastinit.stream import VERSION, Stream, check_seed

if TYPE_CHECKING:
    from fastinit.samplers import Sampler
    from fastinit.schemes.scheme import Scheme

KEY = "fastinit"
FIELDS = {"stream": int, "seed": int, "plan": str, "digest": str, "init": dict}


@lru_cache(maxsize=1024)
def _scheme(text: str) -> Scheme:
    """Parsed once per text: a model has thousands of tensors and a handful of schemes."""
    return scheme(text)


@lru_cache(maxsize=1024)
def _sampler_of(drawn: Scheme, shape: tuple[int, ...], dtype: str) -> Callable[[Stream], Sampler]:
    """All that tensors have in common that differ in name alone."""
    return drawn.distribution(shape).sampler_of(resolve(dtype))


@dataclass(frozen=True)
class Recipe:
    """Seed, plan, and a scheme for each tensor (`init`: name -> text) of one file."""

    seed: int
    plan: str
    digest: str
    init: Mapping[str, str]

    def text(self) -> str:
        """The JSON text that goes into a file."""
        fields = {"stream": VERSION, "seed": self.seed, "plan": self.plan, "digest": self.digest}
        return json.dumps(
            {**fields, "init": dict(self.init)}, ensure_ascii=False, separators=(",", ":")
        )

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The recipe in `text`.

        Raises:
            ValueError: it is no recipe, or belongs to a stream this version does not know.
        """
        try:
            fields: Any = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("the recipe is not JSON") from None
        if not isinstance(fields, dict) or fields.keys() != FIELDS.keys():
            raise ValueError(f"the recipe must have exactly the fields {', '.join(FIELDS)}")
        for field, kind in FIELDS.items():
            if type(fields[field]) is not kind:
                raise ValueError(f"the recipe's {field} is not of type {kind.__name__}")
        if fields["stream"] != VERSION:
            raise ValueError(
                f"the recipe is of stream version {fields['stream']}, this fastinit knows "
                f"version {VERSION}: use a newer fastinit"
            )
        if not all(isinstance(value, str) for value in fields["init"].values()):
            raise ValueError("the recipe's init must give each tensor a scheme as text")
        return cls(check_seed(fields["seed"]), fields["plan"], fields["digest"], fields["init"])

    def sampler(self, name: str, shape: tuple[int, ...], dtype: str) -> Sampler:
        """What draws the tensor `name`.  Reads the scheme's text, so text and values agree."""
        try:
            check_instruction_set()
            drawn = _scheme(self.init[name]).for_tensor(name, shape)
            return _sampler_of(drawn, shape, dtype)(Stream(self.seed, name))
        except ValueError as error:
            raise ValueError(f"tensor {name!r} cannot be drawn: {error}") from error
