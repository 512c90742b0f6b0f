# SPDX-License-Identifier: MIT
"""A plan: which tensors there are, in what order, and how each is drawn.

sources.py finds plans (presets, files); nothing here draws a value or writes a file.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastinit.errors import PlanError
from fastinit.machine.floats import default_floats
from fastinit.numerics.checks import integers_of, is_plain_shape, size_of
from fastinit.numerics.dtypes import DTYPES, resolve
from fastinit.plans.rules import Assignment, Rows, Rules
from fastinit.properties import cached_property
from fastinit.schemes import Scheme, scheme
from fastinit.schemes.custom import Trusted, trusted
from fastinit.schemes.scheme import instead_of_scheme
from fastinit.suggestions import suggestion
from fastinit.texts import listed, quoted
from fastinit.values.custom import DrawFunction

WIDEST = max(row.size for row in DTYPES.values())
MAX_AXES = 64  # of a NumPy array
MAX_PLAN_NAME = 256  # characters
MAX_CONFIG_BITS = 4096  # of a whole number: Python's JSON reads no more than 4300 digits
MAX_CONFIG_DEPTH = 50
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and lone surrogates


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a plan.

    Args:
        name: its name in a checkpoint; its values depend on it.
        shape: its whole shape, of whole numbers >= 0.
        scheme: how it is drawn, as a scheme or as text for `fastinit.scheme`.  If it is `auto`, the
            tensor holds the scheme that `auto` chose.
        dtype: the type it is always written in, or None for the type given at writing.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: a checkpoint cannot hold the name, a dimension is negative, there are more than
            64 axes, there are 2**63 elements or bytes or more (even if a dimension is 0), the dtype
            is unknown, or `auto` does not know a scheme for the tensor.

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
                f"tensor {quoted(self.name)} has scheme {quoted(self.scheme)}, which is not a "
                "Scheme; " + instead_of_scheme(self.scheme, "make one with fastinit.scheme(text)")
            )
        object.__setattr__(self, "shape", _checked_shape(self.name, self.shape))
        if self.dtype is not None:
            object.__setattr__(self, "dtype", resolve(self.dtype).name)
        self._check_size()
        object.__setattr__(self, "scheme", self.scheme.for_tensor(self.name, self.shape))

    def _check_size(self) -> None:
        itemsize = WIDEST if self.dtype is None else DTYPES[self.dtype].size
        if size_of(self.shape, itemsize) is None:
            raise ValueError(
                f"tensor {quoted(self.name)} of shape {quoted(self.shape)} would have 2**63 "
                f"bytes or more at {itemsize} bytes per element; split it into smaller tensors"
            )

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """The JSON form; it has `dtype` only if that is set."""
        row: dict[str, Any] = {
            "name": self.name,
            "shape": list(self.shape),
            "init": str(self.scheme),
        }
        return row if self.dtype is None else {**row, "dtype": self.dtype}

    @classmethod
    def from_json(cls, row: Mapping[str, Any], custom: Iterable[DrawFunction] = ()) -> Tensor:
        """The tensor of a JSON form; raises PlanError for anything else.

        Its scheme may name the `custom` distributions.
        """
        check_keys(row, ("name", "shape", "init"), ("dtype",))
        if not isinstance(row["init"], str):
            raise PlanError(
                f"init {quoted(row['init'])} is not a text; write a scheme such as 'zeros()'"
            )
        try:
            drawn = scheme(row["init"], custom=custom)
            return cls(row["name"], row["shape"], drawn, row.get("dtype"))
        except (TypeError, ValueError) as error:
            raise PlanError(str(error)) from error


@dataclass(frozen=True, init=False)
class Plan:
    """An ordered list of tensors with different names.

    Args:
        tensors: the tensors, in the order in which a checkpoint holds them.
        name: what the model is called: at most 256 printable characters.
        dtype: the type of tensors that set none, if none is given at writing.
        config: the content of `config.json`: anything that JSON can hold.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: two tensors share a name, the dtype is unknown, the config is not JSON, or the
            name of the plan cannot be printed.

    >>> plan = Plan([Tensor("bias", (768,), scheme("zeros()"))], config={"n_embd": 768})
    >>> plan["bias"].shape, plan.parameters, plan.size("bfloat16")
    ((768,), 768, 1536)
    """

    tensors: tuple[Tensor, ...]
    name: str
    dtype: str | None
    config_text: str | None  # canonical JSON: so a plan is immutable and hashable

    def __init__(
        self,
        tensors: Iterable[Tensor],
        name: str = "",
        dtype: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        object.__setattr__(self, "tensors", _checked_tensors(tensors))
        object.__setattr__(self, "name", check_plan_name(name))
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
            raise KeyError(f"plan {quoted(self.name)} has no tensor {quoted(name)}{close}")
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @property
    @default_floats
    def config(self) -> dict[str, Any] | None:
        """The content of `config.json`, as a new dict, or None."""
        if self.config_text is None:
            return None
        config: dict[str, Any] = json.loads(self.config_text)
        return config

    @property
    def parameters(self) -> int:
        """The number of elements of all tensors."""
        return sum(tensor.count for tensor in self.tensors)

    def resolved_dtype(self, tensor: Tensor, dtype: str | None = None) -> str:
        """The type a tensor is written in if `dtype` is given at writing.

        The first that is set of: the tensor's dtype, `dtype`, the plan's dtype, float32.
        """
        asked = _dtype_name(dtype)
        return tensor.dtype or asked or self.dtype or "float32"

    def size(self, dtype: str | None = None) -> int:
        """The bytes of all tensors if `dtype` is given at writing."""
        return sum(
            tensor.count * DTYPES[self.resolved_dtype(tensor, dtype)].size
            for tensor in self.tensors
        )

    def with_rules(
        self,
        rules: Rules | Rows,
        *,
        keep_unmatched: bool = False,
        custom: Iterable[DrawFunction] = (),
    ) -> Plan:
        """A plan with the same tensors, each with the scheme of the first rule that matches.

        Names, shapes, dtypes and the order stay, and so do the plan's name, dtype and config.

        Args:
            rules: a `Rules`, or its argument.
            keep_unmatched: tensors that no rule matches keep their schemes; by default they are an
                error.
            custom: the custom distributions that texts of schemes may name.

        Raises:
            TypeError: `rules` are not rules.
            ValueError: no rule matches a tensor, a rule decides no tensor, there are too many
                patterns and tensors, or `Rules` or a scheme raises it.

        >>> plan = Plan([Tensor("up.weight", (8, 4), "zeros()"), Tensor("up.bias", (8,), "ones()")])
        >>> again = plan.with_rules([("*.bias", "zeros()"), ("*", "he_normal()")])
        >>> [str(tensor.scheme) for tensor in again]
        ['he_normal()', 'zeros()']
        >>> some = plan.with_rules([("up.bias", "constant(0.1)")], keep_unmatched=True)
        >>> [str(tensor.scheme) for tensor in some]
        ['zeros()', 'constant(value=0.1)']
        """
        rules = rules if isinstance(rules, Rules) else Rules(rules, custom=custom)
        rules.check_count(len(self))
        made, tensors, kept = Assignment(rules), list[Tensor](), list[str]()
        for old in self:
            find = made.find_scheme if keep_unmatched else made.scheme_for
            drawn = find(old.name, old.shape)
            tensors.append(old if drawn is None else replace(old, scheme=drawn))
            if drawn is None:
                kept.append(old.name)
        made.check_used(kept)
        return Plan(tensors, self.name, self.dtype, self.config)

    def to_json(self) -> dict[str, Any]:
        """The JSON form, without what is not set."""
        form: dict[str, Any] = {"name": self.name, "dtype": self.dtype, "config": self.config}
        form = {key: value for key, value in form.items() if value not in (None, "")}
        return {**form, "tensors": [tensor.to_json() for tensor in self.tensors]}

    @classmethod
    def from_json(cls, form: Mapping[str, Any], *, custom: Iterable[DrawFunction] = ()) -> Plan:
        """The plan of a JSON form.

        Args:
            form: what `to_json` returns.
            custom: the custom distributions that its schemes may name.

        Raises:
            PlanError: a key is unknown or missing, or no plan can have such a value.
        """
        check_keys(form, ("tensors",), ("name", "dtype", "config"))
        if not isinstance(form["tensors"], list | tuple):
            raise PlanError(f"tensors is a {type(form['tensors']).__name__}, not a list")
        known = trusted(custom)
        tensors = [_tensor_row(number, row, known) for number, row in enumerate(form["tensors"], 1)]
        try:
            return cls(tensors, form.get("name", ""), form.get("dtype"), form.get("config"))
        except (TypeError, ValueError) as error:
            raise PlanError(str(error)) from error

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the canonical JSON form; equal plans have equal digests."""
        return hashlib.sha256(_canonical(self.to_json()).encode("ascii")).hexdigest()


def check_name(name: object) -> str:
    """The name itself, if every reader of safetensors files accepts it for a tensor."""
    if not isinstance(name, str):
        raise TypeError(f"a tensor has the name {quoted(name)}, which is not a text")
    if name in ("", "__metadata__"):
        raise ValueError(f"a tensor has the name {name!r}, which safetensors files cannot hold")
    if not name.isprintable() and _UNSAFE.search(name):
        raise ValueError(
            f"a tensor has the name {quoted(name)}, with a control character or a lone surrogate; "
            "use characters that UTF-8 text can hold"
        )
    return name


def check_plan_name(name: object) -> str:
    """The name itself, if a plan may have it."""
    if not isinstance(name, str):
        raise TypeError(f"a plan has the name {quoted(name)}, which is not a text")
    if not name.isprintable() or len(name) > MAX_PLAN_NAME:
        raise ValueError(
            f"a plan has the name {quoted(name)}; use at most {MAX_PLAN_NAME} printable characters"
        )
    return name


def _checked_shape(name: str, shape: Iterable[Any]) -> tuple[int, ...]:
    checked = shape if is_plain_shape(shape) else _plain_shape(name, shape)
    if len(checked) > MAX_AXES:
        raise ValueError(
            f"tensor {quoted(name)} has {len(checked):,} axes; NumPy reads at most {MAX_AXES}, "
            "so merge some of them"
        )
    return checked


def _plain_shape(name: str, shape: Iterable[Any]) -> tuple[int, ...]:
    what = f"tensor {quoted(name)} has shape"
    dimensions = integers_of(shape)
    if dimensions is None:
        raise TypeError(f"{what} {quoted(shape)}; write whole numbers, such as (1024, 768)")
    if any(dimension < 0 for dimension in dimensions):
        raise ValueError(f"{what} {quoted(dimensions)}; dimensions start at 0")
    return dimensions


def _checked_tensors(tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    checked = tuple(tensors)
    seen: set[str] = set()
    for tensor in checked:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"a plan holds Tensor objects, not {quoted(tensor)}")
        if tensor.name in seen:
            raise ValueError(f"two tensors have the name {quoted(tensor.name)}; names must differ")
        seen.add(tensor.name)
    return checked


def _dtype_name(dtype: Any) -> str | None:
    return None if dtype is None else resolve(dtype).name


def _config_text(config: Any) -> str | None:
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise TypeError(f"config {quoted(config)} is not a mapping; give a dict")
    return _canonical(_plain(config, ()))


def _plain(value: Any, path: tuple[str, ...]) -> Any:
    """`value` as dicts, lists, texts, numbers, booleans and None, which JSON can hold."""
    if len(path) > MAX_CONFIG_DEPTH:
        raise ValueError(f"{_key(path)} is nested beyond {MAX_CONFIG_DEPTH} levels")
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and value.bit_length() <= MAX_CONFIG_BITS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, (*path, key)) for key, item in value.items()}
    raise ValueError(f"{_key(path)} is {quoted(value)}, which JSON cannot hold")


def _key(path: tuple[str, ...]) -> str:
    return f"config key {quoted('.'.join(path))}"


@default_floats
def _canonical(form: Any) -> str:
    """The canonical JSON text of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(
        form, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def _tensor_row(number: int, row: Any, custom: Trusted) -> Tensor:
    try:
        return Tensor.from_json(row, custom)
    except PlanError as error:
        raise PlanError(f"tensors, entry {number}: {error}") from error


def check_keys(form: Any, required: Sequence[str], optional: Sequence[str]) -> None:
    """Raise PlanError unless `form` is a table with all required keys and no unknown ones."""
    if not isinstance(form, Mapping):
        raise PlanError(f"{quoted(form)} is not a table with the keys {', '.join(required)}")
    known = (*required, *optional)
    for key in form:
        if key not in known:
            close = suggestion(str(key), known)
            raise PlanError(f"unknown key {quoted(key)}; known keys: {listed(known)}{close}")
    for key in required:
        if key not in form:
            raise PlanError(f"key {quoted(key)} is missing")
