# SPDX-License-Identifier: MIT
"""Which class a configuration stands for: the one that it names, or that of a task."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import transformers
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.models.auto import modeling_auto

from fastinit.errors import PlanError, UntrustedError
from fastinit.suggestions import suggestion
from fastinit.texts import listed, quoted

BASE = "base"
"""The task of `AutoModel`: a model without a head."""


def tasks() -> dict[str, Any]:
    """The class of automatic models for each task: "causal-lm" is that of AutoModelForCausalLM."""
    found: dict[str, Any] = {BASE: modeling_auto.AutoModel}
    for name, value in vars(modeling_auto).items():
        if name.startswith("AutoModelFor") and isinstance(value, type):
            found[_task(name.removeprefix("AutoModelFor"))] = value
    return found


def _task(name: str) -> str:
    """CausalLM -> causal-lm, Seq2SeqLM -> seq2seq-lm, ImageTextToText -> image-text-to-text."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name.replace("2Seq", "2seq")).lower()


def class_of(config: Any, architecture: Any, trust_remote_code: bool) -> tuple[type, Any]:
    """The class of a model, and the configuration that its constructor takes.

    Args:
        config: a configuration object.
        architecture: a class of models, its name, a task, or None for what the configuration says.
        trust_remote_code: whether code from beside the configuration may run.

    Raises:
        PlanError: the configuration names no class, or one that transformers lacks.
        UntrustedError: the class comes with the configuration, and is not trusted.
        TypeError: `architecture` is none of these.
        ValueError: there is no such class or task, or it does not take this configuration.
    """
    if architecture is None:
        return _named_by(config, trust_remote_code)
    if isinstance(architecture, str):
        if architecture in tasks():
            return _for_task(config, architecture)
        return _checked(_by_name(config, architecture, trust_remote_code), config)
    if isinstance(architecture, type) and issubclass(architecture, transformers.PreTrainedModel):
        return _checked(architecture, config)
    raise TypeError(
        f"architecture is {quoted(architecture)}: need a class of models, its name, or a task such "
        "as 'causal-lm'"
    )


def _named_by(config: Any, trust_remote_code: bool) -> tuple[type, Any]:
    names = getattr(config, "architectures", None) or []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise PlanError(
            f"the configuration's architectures are {quoted(names)}: need a list of names"
        )
    if not names:
        raise PlanError(
            f"the configuration, a {type(config).__name__}, does not say which class of models it "
            f"is for: pass architecture= (on the command line --architecture), one of "
            f"{listed(_possible(config))}"
        )
    return _checked(_by_name(config, names[0], trust_remote_code), config)


def _possible(config: Any) -> list[str]:
    """The tasks that have a class for a configuration."""
    return [task for task, auto in tasks().items() if type(config) in _mapping(auto)]


def _mapping(auto: Any) -> Any:
    """From classes of configurations to classes of models; its truth would import all of them."""
    return {} if auto._model_mapping is None else auto._model_mapping


def _for_task(config: Any, task: str) -> tuple[type, Any]:
    mapping = _mapping(tasks()[task])
    found = mapping.get(type(config), None)
    if found is None:
        raise ValueError(
            f"transformers has no class for the task {quoted(task)} and a "
            f"{type(config).__name__}: choose from {listed(_possible(config))}"
        )
    classes = found if isinstance(found, list | tuple) else [found]
    named = getattr(config, "architectures", None) or []
    chosen = next((each for each in classes if each.__name__ in named), classes[0])
    return _checked(chosen, config)


def _by_name(config: Any, name: str, trust_remote_code: bool) -> type:
    found = getattr(transformers, name, None) if name.isidentifier() else None
    own = getattr(config, "auto_map", None) or {}
    references = [text for text in own.values() if _last(text) == name]
    if references and (found is None or trust_remote_code):
        if not trust_remote_code:
            raise UntrustedError(
                f"the code of {name} comes with the configuration: if you trust it, pass "
                "trust_remote_code=True (on the command line --trust-remote-code)"
            )
        code: type = get_class_from_dynamic_module(
            references[0], config.name_or_path, local_files_only=True
        )
        return code
    if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
        return found
    if task := next((task for task, auto in tasks().items() if auto.__name__ == name), None):
        raise PlanError(f"{name} stands for classes of many models: give its task, {quoted(task)}")
    close = suggestion(name, [*tasks(), *_class_names()])
    raise PlanError(
        f"transformers {transformers.__version__} has no class of models {quoted(name)}{close}"
    )


def _last(reference: Any) -> str:
    """The class that a reference such as "modeling_x.XForCausalLM" names."""
    text = reference[-1] if isinstance(reference, list | tuple) else reference
    return str(text).rpartition(".")[2]


def _class_names() -> list[str]:
    return [name for name in dir(transformers) if re.search(r"(Model|For[A-Z]\w+)$", name)]


def _checked(found: type, config: Any) -> tuple[type, Any]:
    """The class, and of a composite configuration the part that it takes."""
    wanted = getattr(found, "config_class", None)
    if wanted is None or isinstance(config, wanted):
        return found, config
    with suppress(ValueError):  # it has several, as that of MusicGen
        text = config.get_text_config()
        if isinstance(text, wanted):
            return found, text
    raise ValueError(
        f"{found.__name__} takes a {wanted.__name__}, and the configuration is a "
        f"{type(config).__name__}"
    )
