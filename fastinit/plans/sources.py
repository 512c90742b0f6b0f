# SPDX-License-Identifier: MIT
"""Where plans come from: finds the plan that a name, a path or an object stands for.

What a source is, its type and its content say, never a guess.  toml.py gives a TOML file its
meaning, and a door in the room of a framework, or in that of checkpoints, makes plans of what only
that room understands.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from fastinit.errors import PlanError
from fastinit.machine.floats import default_floats
from fastinit.numerics.dtypes import resolve
from fastinit.plans import lookalikes
from fastinit.plans.reading import BESIDE, CONFIG_FILE, first_bytes, json_of, names_in, text_of
from fastinit.plans.rules import Rows, Rules
from fastinit.plans.tensors import Plan
from fastinit.schemes.custom import Trusted, trusted
from fastinit.suggestions import suggestion
from fastinit.texts import listed, printable, quoted
from fastinit.values.custom import DrawFunction

PLAN_DOORS = {
    "checkpoint": "fastinit.checkpoints.plans",
    "config": "fastinit.transformers",
    "layer": "fastinit.keras",
    "module": "fastinit.torch",
}
"""By kind of source: the module whose `plan` makes a plan of it.

It is imported when such a source is met for the first time.
"""

KINDS_OF_CLASSES = {
    "keras.src.layers.layer.Layer": "layer",
    "torch.nn.modules.module.Module": "module",
    "transformers.configuration_utils.PreTrainedConfig": "config",
    "transformers.configuration_utils.PretrainedConfig": "config",
}
"""By the full name of a class: what objects of it and of derived classes are.

The class that comes first decides: on PyTorch, layers of Keras are modules, too.
"""

PRINTED_FORM = frozenset({"plan", "parameters", "size"})
"""The keys of what ``fastinit plan --json`` prints, beside "reasons", which not every plan has."""

_PRESETS = Path(__file__).parent / "presets"
_SAFETENSORS, _JSON, _TOML = ".safetensors", ".json", ".toml"
_WEIGHTS = (_SAFETENSORS, ".index.json", ".fastinit")
"""How the names of files end that are of a checkpoint, or of one that is being written."""

_RECIPE = BESIDE[1:]
"""The file that makes a folder a checkpoint of files without recipes."""


def presets() -> tuple[str, ...]:
    """The names of the presets, sorted."""
    files = (file.name for file in _PRESETS.iterdir())
    return tuple(sorted(name.removesuffix(_TOML) for name in files if name.endswith(_TOML)))


def plan(
    source: Any,
    *,
    custom: Iterable[DrawFunction] = (),
    rules: Rules | Rows | str | os.PathLike[str] | None = None,
) -> Plan:
    """The plan that `source` stands for.

    Args:
        source: a Plan; the name of a preset (see `presets`); the path of a ``.toml`` plan, or of a
            JSON file with what `Plan.to_json` returns or ``fastinit plan --json`` prints; the path
            of a safetensors file, of its index, of a folder with a checkpoint, or of a file that
            `fastinit.memmap` made, whose tensors have the schemes of its recipe; the path of a
            ``config.json`` of transformers or of a folder with one and no weights, or a config
            object; a PyTorch module; or a model of Keras.
        custom: the custom distributions that a file or a rule may name, as
            ``my.module:laplace(scale=2)``: what `fastinit.numba.distribution` made.  No file makes
            fastinit import a module.
        rules: a `Rules`, its argument, or the path of a ``.toml`` file with rules; other tensors
            keep the schemes that they have.  Tensors of a checkpoint without a recipe have none.

    Raises:
        TypeError: `custom` or `rules` are of the wrong type.
        ValueError: `source` is none of these; a rule decides no tensor; or its scheme does not suit
            a tensor.
        PlanError: a file cannot be read, or does not describe a plan; it is a ValueError.
        UntrustedError: a custom distribution is named that was not given; it is a ValueError.
        CheckpointError: a checkpoint cannot be read.
        ModuleError: tensors of a module or of a config have no scheme.
        ImportError: a framework that the source takes is missing.

    >>> plan("gpt2").parameters
    124439808
    >>> print(plan("gpt2", rules={"wte.weight": "normal(std=0.01)"})["wte.weight"].scheme)
    normal(std=0.01)
    """
    return plan_for(source, custom=custom, rules=rules)


@default_floats
def plan_for(
    source: Any,
    *,
    custom: Iterable[DrawFunction] = (),
    rules: Rules | Rows | str | os.PathLike[str] | None = None,
    dtype: Any = None,
    options: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan of a source, to be written in a dtype.

    Args:
        source, custom, rules: as `plan` takes them.
        dtype: of the model, if the source is a config or a module: its own code decides which
            tensors have another one.  Plans of other sources do not depend on it.
        options: more arguments of `fastinit.transformers.plan`, such as ``architecture``.

    Raises:
        ValueError: as `plan` does; also if there are options and the source is not a config.
    """
    known = trusted(custom)
    name = None if dtype is None else resolve(dtype).name
    request = _Request(known, _rules(rules, known), name, dict(options or {}))
    if isinstance(source, Plan):
        return request.finished(source, "it is a Plan")
    if isinstance(source, str) and source in presets():
        return _of_preset(source, request)
    if isinstance(source, str | os.PathLike):
        return _of_path(os.fsdecode(source), request)
    for base in type(source).__mro__:
        match KINDS_OF_CLASSES.get(f"{base.__module__}.{base.__qualname__}"):
            case "module" | "layer" as door:
                return request.of_module(source, door)
            case "config":
                return request.of_config(source)
    raise _refusal(source, f"{lookalikes.of_object(source)}; {_all_sources()}")


@dataclass(frozen=True)
class _Request:
    """What is asked for, beside the source."""

    custom: Trusted
    rules: Rules | None
    dtype: str | None
    options: Mapping[str, Any] = field(default_factory=dict)

    def finished(self, plan: Plan, what: str) -> Plan:
        """A plan that has a scheme for every tensor, with the rules on top."""
        self._check_no_options(what)
        if self.rules is None:
            return plan
        return plan.with_rules(self.rules, keep_unmatched=True)

    def of_checkpoint(self, path: Path, **index: str) -> Plan:
        self._check_no_options(f"{quoted(str(path))} is a checkpoint")
        return _made("checkpoint", path, rules=self.rules, custom=self.custom, **index)

    def of_config(self, source: Any) -> Plan:
        return _made("config", source, rules=self.rules, dtype=self.dtype, **self.options)

    def of_module(self, source: Any, door: str) -> Plan:
        self._check_no_options(f"it is a {door}")
        return _made(door, source, rules=self.rules, dtype=self.dtype)

    def _check_no_options(self, what: str) -> None:
        if self.options:
            raise ValueError(
                f"{listed(self.options)} is given, and {what}: only a transformers config takes "
                f"that, such as a {CONFIG_FILE}"
            )


def _made(door: str, source: Any, **arguments: Any) -> Plan:
    found: Plan = import_module(PLAN_DOORS[door]).plan(source, **arguments)
    return found


def _rules(rules: Any, custom: Trusted) -> Rules | None:
    if rules is None or isinstance(rules, Rules):
        return rules
    if not isinstance(rules, str | os.PathLike):
        return Rules(rules, custom=custom)
    path = os.fsdecode(rules)
    if not path.endswith(_TOML):
        raise ValueError(
            f"rules is {quoted(path)}; give rules, or the path of a {_TOML} file with [[rule]]"
        )
    from fastinit.plans.toml import read_rules  # late, as in _of_toml

    return read_rules(text_of(Path(path)), printable(path), custom)


def _of_preset(name: str, request: _Request) -> Plan:
    return _of_toml(_PRESETS / f"{name}{_TOML}", f"preset {name}", request, f"{name} is a preset")


def _of_toml(path: Path, shown: str, request: _Request, what: str) -> Plan:
    """The plan of a TOML file, which messages call `shown`."""
    from fastinit.plans.toml import read_toml  # tomllib takes a tenth of the import time

    return request.finished(read_toml(text_of(path), shown, request.custom), what)


def _of_path(text: str, request: _Request) -> Plan:
    """The plan of a file or a folder; what it is, its name's end and its first bytes say."""
    path = Path(text)
    if not text:
        raise _refusal(text, f"it is empty; {_all_sources()}")
    if os.path.isdir(path):
        return _of_folder(path, request)
    if os.path.lexists(text + BESIDE):
        return request.of_checkpoint(path)
    if lookalikes.is_url(text):
        raise _refusal(text, "it is a URL, and only files on disk are read: copy it there first")
    if text.endswith(_TOML):
        return _of_toml(path, printable(text), request, f"{quoted(text)} is a plan")
    if not os.path.lexists(path) and not text.endswith((_JSON, _SAFETENSORS)):
        close = suggestion(text, presets())
        raise _refusal(text, f"{lookalikes.of_missing(text)}; {_all_sources()}{close}")
    head = first_bytes(path)
    if text.endswith(_SAFETENSORS) or _is_safetensors(head):
        return request.of_checkpoint(path)
    if text.endswith(_JSON) or head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        return _of_json(path, request)
    raise _refusal(text, lookalikes.of_file(path.name, head))


def _is_safetensors(head: bytes) -> bool:
    """Whether a length below 2**32 and a JSON object begin a file, as they begin no text."""
    return head[4:9] == b"\0\0\0\0{"


def _of_folder(folder: Path, request: _Request) -> Plan:
    names = names_in(folder)
    if _RECIPE in names or any(name.endswith(_WEIGHTS) for name in names):
        return request.of_checkpoint(folder)
    if CONFIG_FILE in names and not any(map(lookalikes.is_weights, names)):
        form = json_of(folder / CONFIG_FILE)
        if _is_config(form):
            return request.of_config(str(folder))
        raise _refusal(str(folder / CONFIG_FILE), lookalikes.of_form(form))
    raise _refusal(str(folder), lookalikes.of_folder(folder, names))


def _of_json(path: Path, request: _Request) -> Plan:
    """The plan of a JSON file; what it is, its keys say."""
    form = json_of(path)
    if isinstance(form, Mapping) and form.keys() - {"reasons"} == PRINTED_FORM:
        form = form["plan"]
    keys = form.keys() if isinstance(form, Mapping) else ()
    if "tensors" in keys:
        try:
            found = Plan.from_json(form, custom=request.custom)
        except PlanError as error:
            raise PlanError(f"{printable(path)}: {error}") from error
        return request.finished(found, f"{quoted(str(path))} is a plan")
    if "weight_map" in keys:
        return request.of_checkpoint(path.parent, index=path.name)
    if _is_config(form):
        return request.of_config(str(path))
    raise _refusal(str(path), lookalikes.of_form(form))


def _is_config(form: Any) -> bool:
    return isinstance(form, Mapping) and not form.keys().isdisjoint(("model_type", "architectures"))


def _refusal(source: Any, why: str) -> ValueError:
    return ValueError(f"{quoted(source)} is not a source of a plan: {why}")


def _all_sources() -> str:
    return (
        f"give a Plan, a preset ({', '.join(presets())}), the path of a {_TOML} or {_JSON} plan, "
        f"of a safetensors checkpoint or of a transformers {CONFIG_FILE}, a config of "
        "transformers, a torch module or a model of Keras"
    )
