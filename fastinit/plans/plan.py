# SPDX-License-Identifier: MIT
"""A plan: which tensors there are, in what order, and how each is drawn.

Where plans come from (presets, files) is in `sources`; nothing here draws a value or writes a file.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from reprlib import repr as shown
from typing import Any

from fastinit.dtypes import DTYPES, resolve
from fastinit.errors import PlanError
from fastinit.expressions import suggestion
from fastinit.fans import is_plain
from fastinit.floats import default_floats
from fastinit.plans.rules import Assignment, Rows, Rules
from fastinit.schemes import Scheme, scheme

LIMIT = 2**63  # of elements and of bytes in a tensor: offsets are signed 64-bit in file systems
WIDEST = max(row.size for row in DTYPES.values())
MAX_CONFIG_DEPTH = 50
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # controls, and halves of pairs


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a plan.

    Args:
        name: its name in a checkpoint, and what its values depend on.
        shape: its whole shape, of whole numbers >= 0.
        scheme: how it is drawn; a text is read by `fastinit.scheme`.  An `auto` is settled here:
            the tensor holds the scheme that it chose.
        dtype: the type it is always written in, or None for the type asked for at writing.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a name that a checkpoint cannot hold, a negative dimension, 2**63 elements or
            bytes and more (a dimension of 0 does not hide it), an unknown dtype, or a tensor for
            which `auto` knows no scheme.

    >>> Tensor("wte.weight", (50257, 768), scheme("normal(std=0.02)")).count
    38597376
    """

    name: str
    shape: tuple[int, ...]
    scheme: Scheme
    dtype: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if isinstance(self.scheme, str):
            object.__setattr__(self, "scheme", scheme(self.scheme))
        if not isinstance(self.scheme, Scheme):
            raise TypeError(
                f"tensor {self.name!r} has scheme {shown(self.scheme)}, which is no Scheme; "
                "make one with fastinit.scheme(text)"
            )
        object.__setattr__(self, "shape", _checked_shape(self.name, self.shape))
        if self.dtype is not None:
            object.__setattr__(self, "dtype", resolve(self.dtype).name)
        self._check_size()
        object.__setattr__(self, "scheme", self.scheme.for_tensor(self.name, self.shape))

    def _check_size(self) -> None:
        itemsize = WIDEST if self.dtype is None else DTYPES[self.dtype].size
        size = itemsize
        for dimension in self.shape:
            size *= dimension or 1
            if size >= LIMIT:
                raise ValueError(
                    f"tensor {self.name!r} of shape {self.shape} would have 2**63 bytes or more "
                    f"at {itemsize} bytes an element; split it into smaller tensors"
                )

    @property
    def count(self) -> int:
        """Its number of elements."""
        return math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Its JSON form; `dtype` is there only if it is set."""
        row: dict[str, Any] = {
            "name": self.name,
            "shape": list(self.shape),
            "init": str(self.scheme),
        }
        return row if self.dtype is None else {**row, "dtype": self.dtype}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Tensor:
        """The tensor of a JSON form; raises PlanError for any other value."""
        check_keys(row, ("name", "shape", "init"), ("dtype",))
        if not isinstance(row["init"], str):
            raise PlanError(
                f"init {shown(row['init'])} is no text; write a scheme such as 'zeros()'"
            )
        try:
            return cls(row["name"], row["shape"], scheme(row["init"]), row.get("dtype"))
        except (TypeError, ValueError) as error:
            raise PlanError(str(error)) from error


@dataclass(frozen=True, init=False)
class Plan:
    """An ordered list of tensors with different names.

    Args:
        tensors: the tensors, in the order in which a checkpoint holds them.
        name: what the model is called.
        dtype: the type of tensors without their own when none is asked for at writing.
        config: what is written as `config.json`, anything JSON can hold.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: two tensors of one name, an unknown dtype, a config that is not JSON.

    >>> plan = Plan([Tensor("bias", (768,), scheme("zeros()"))], config={"n_embd": 768})
    >>> plan["bias"].shape, plan.parameters, plan.size("bfloat16")
    ((768,), 768, 1536)
    """

    tensors: tuple[Tensor, ...]
    name: str
    dtype: str | None
    config_text: str | None  # canonical JSON, so that a plan is immutable and hashable

    def __init__(
        self,
        tensors: Iterable[Tensor],
        name: str = "",
        dtype: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a plan has the name {shown(name)}, which is no text")
        object.__setattr__(self, "tensors", _checked_tensors(tensors))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "dtype", _dtype_name(dtype))
        object.__setattr__(self, "config_text", _config_text(config))

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of this name."""
        return name in self._by_name

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of this name; raises KeyError."""
        if name not in self._by_name:
            close = suggestion(str(name), self._by_name)
            raise KeyError(f"plan {self.name!r} has no tensor {name!r}{close}")
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @property
    @default_floats
    def config(self) -> dict[str, Any] | None:
        """What is written as `config.json`, as a fresh dict, or None."""
        if self.config_text is None:
            return None
        config: dict[str, Any] = json.loads(self.config_text)
        return config

    @property
    def parameters(self) -> int:
        """The number of elements of all tensors."""
        return sum(tensor.count for tensor in self.tensors)

    def resolved_dtype(self, tensor: Tensor, dtype: str | None = None) -> str:
        """The type a tensor is written in when `dtype` is asked for.

        Its own, else the one asked for, else the plan's, else float32.
        """
        asked = _dtype_name(dtype)
        return tensor.dtype or asked or self.dtype or "float32"

    def size(self, dtype: str | None = None) -> int:
        """The bytes of all tensors when `dtype` is asked for."""
        return sum(
            tensor.count * DTYPES[self.resolved_dtype(tensor, dtype)].size
            for tensor in self.tensors
        )

    def with_rules(self, rules: Rules | Rows) -> Plan:
        """The same tensors, each drawn as the first rule that matches its name says.

        Args:
            rules: a `Rules`, or what makes one.

        Raises:
            ValueError: a tensor that no rule matches, a rule that decides none of the tensors,
                too many of both, or what `Rules` and the schemes raise.

        >>> plan = Plan([Tensor("up.weight", (8, 4), "zeros()"), Tensor("up.bias", (8,), "ones()")])
        >>> again = plan.with_rules([("*.bias", "zeros()"), ("*", "he_normal()")])
        >>> [str(tensor.scheme) for tensor in again]
        ['he_normal()', 'zeros()']
        """
        rules = rules if isinstance(rules, Rules) else Rules(rules)
        rules.check_count(len(self))
        made = Assignment(rules)
        tensors = [replace(old, scheme=made.scheme_for(old.name, old.shape)) for old in self]
        made.check_used()
        return Plan(tensors, self.name, self.dtype, self.config)

    def to_json(self) -> dict[str, Any]:
        """The JSON form; what is not set is left out."""
        form: dict[str, Any] = {"name": self.name, "dtype": self.dtype, "config": self.config}
        form = {key: value for key, value in form.items() if value not in (None, "")}
        return {**form, "tensors": [tensor.to_json() for tensor in self.tensors]}

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Plan:
        """The plan of a JSON form.

        Raises:
            PlanError: unknown or missing keys, or values no plan can have.
        """
        check_keys(form, ("tensors",), ("name", "dtype", "config"))
        if not isinstance(form["tensors"], list | tuple):
            raise PlanError(f"tensors is a {type(form['tensors']).__name__}, not a list")
        tensors = [_tensor_row(number, row) for number, row in enumerate(form["tensors"], 1)]
        try:
            return cls(tensors, form.get("name", ""), form.get("dtype"), form.get("config"))
        except (TypeError, ValueError) as error:
            raise PlanError(str(error)) from error

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the canonical JSON form: equal plans, equal digests."""
        return hashlib.sha256(_canonical(self.to_json()).encode("ascii")).hexdigest()


def check_name(name: object) -> str:
    """The name itself, if every reader of safetensors files can take it for a tensor."""
    if not isinstance(name, str):
        raise TypeError(f"a tensor has the name {shown(name)}, which is no text")
    if name in ("", "__metadata__"):
        raise ValueError(f"a tensor has the name {name!r}, which safetensors files cannot hold")
    if _UNSAFE.search(name):
        raise ValueError(
            f"a tensor has the name {name!r}, with a control character or a lone surrogate; "
            "use characters that UTF-8 text can hold"
        )
    return name


def _checked_shape(name: str, shape: Iterable[Any]) -> tuple[int, ...]:
    if is_plain(shape):
        return shape  # nearly always
    try:
        given = tuple(shape)
        dimensions = tuple(map(operator.index, given))
    except TypeError as error:
        raise TypeError(
            f"tensor {name!r} has shape {shown(shape)}; write whole numbers, such as (1024, 768)"
        ) from error
    if any(isinstance(dimension, bool) for dimension in given):
        raise TypeError(f"tensor {name!r} has shape {given}; True and False are no dimensions")
    if any(dimension < 0 for dimension in dimensions):
        raise ValueError(f"tensor {name!r} has shape {dimensions}; dimensions start at 0")
    return dimensions


def _checked_tensors(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    checked = tuple(tensors)
    seen: set[str] = set()
    for tensor in checked:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"a plan holds Tensor objects, not {shown(tensor)}")
        if tensor.name in seen:
            raise ValueError(f"two tensors have the name {tensor.name!r}; names must differ")
        seen.add(tensor.name)
    return checked


def _dtype_name(dtype: Any) -> str | None:
    return None if dtype is None else resolve(dtype).name


def _config_text(config: Any) -> str | None:
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise TypeError(f"config {shown(config)} is no mapping; give a dict")
    return _canonical(_plain(config, ()))


def _plain(value: Any, path: tuple[str, ...]) -> Any:
    """`value` in dicts, lists, texts, numbers, booleans and None alone, which JSON can hold."""
    where = f"config key {'.'.join(path)!r}"
    if len(path) > MAX_CONFIG_DEPTH:
        raise ValueError(f"{where[:60]}... is nested beyond {MAX_CONFIG_DEPTH} levels")
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, (*path, key)) for key, item in value.items()}
    raise ValueError(f"{where} is {shown(value)}, which JSON cannot hold")


@default_floats
def _canonical(form: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(
        form, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def _tensor_row(number: int, row: Any) -> Tensor:
    try:
        return Tensor.from_json(row)
    except PlanError as error:
        raise PlanError(f"tensors, entry {number}: {error}") from error


def check_keys(form: Any, required: Sequence[str], optional: Sequence[str]) -> None:
    """Raise PlanError unless `form` is a table with these keys and no others."""
    if not isinstance(form, Mapping):
        raise PlanError(f"{shown(form)} is no table with the keys {', '.join(required)}")
    known = (*required, *optional)
    for key in form:
        if key not in known:
            close = suggestion(str(key), known)
            raise PlanError(f"unknown key {key!r}; known keys: {', '.join(known)}{close}")
    for key in required:
        if key not in form:
            raise PlanError(f"key {key!r} is missing")
