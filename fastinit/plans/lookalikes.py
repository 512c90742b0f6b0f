# SPDX-License-Identifier: MIT
"""What a source that no plan can be made of looks like, and what would work, for error messages.

Nothing here decides what a source is; that is in sources.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

from fastinit.magic import OTHER_WEIGHTS, kind_of_bytes
from fastinit.plans.reading import CONFIG_FILE, folder_below
from fastinit.texts import listed, printable

CONVERT = "convert it to safetensors, or give the config.json of the model"
CONFIG_BESIDE = "give the config.json of the model"
BUILD = "build the model in Python under fastinit.torch.deferred(), and pass it to fastinit.plan"

LLAMA = "give the config.json of the same model for transformers"

FORMS = (
    (("_class_name",), "a config of diffusers", BUILD),
    (("architecture", "pretrained_cfg"), "a config of timm", BUILD),
    (("peft_type",), "a config of a PEFT adapter", BUILD),
    (
        ("class_name", "config"),
        "a config of Keras",
        "build the model in Keras, and pass it to fastinit.plan",
    ),
    (("dim", "n_layers"), "a params.json, as Meta's and Mistral's own code reads", LLAMA),
    (("tokenizer_class",), "the config of a tokenizer", CONFIG_BESIDE),
    (("added_tokens", "model"), "a tokenizer", CONFIG_BESIDE),
    (("bos_token", "eos_token"), "the special tokens of a tokenizer", CONFIG_BESIDE),
    (("image_processor_type",), "the config of an image processor", CONFIG_BESIDE),
    (("feature_extractor_type",), "the config of a feature extractor", CONFIG_BESIDE),
    (("processor_class",), "the config of a processor", CONFIG_BESIDE),
    (("_from_model_config",), "the config of text generation", CONFIG_BESIDE),
    (("transformers_version",), "a config of transformers without a model_type", CONFIG_BESIDE),
    (("cells", "nbformat"), "a notebook", BUILD),
    (
        ("stream", "seed", "plan", "digest", "init"),
        "the recipe of a checkpoint",
        "give the folder that it is in, or the file that it belongs to",
    ),
    (
        ("file", "seed", "plan", "digest", "entries"),
        "the description of one shard",
        "fastinit.checkpoints.write_shard writes it",
    ),
)
"""The keys that a JSON object has, what it is then, and what to do."""

SUFFIXES = {
    **dict.fromkeys(OTHER_WEIGHTS, ("weights that fastinit does not read", CONVERT)),
    ".npy": ("a NumPy array", "give the folder of the checkpoint that it is in"),
    ".yaml": ("YAML", "write the plan as .toml or .json"),
    ".yml": ("YAML", "write the plan as .toml or .json"),
    ".py": ("Python", BUILD),
}
"""How the name of a file ends, what it is then, and what to do."""


MODEL_FILES = (CONFIG_FILE, "model.safetensors", "model.safetensors.index.json", "fastinit.json")
"""The files of which a folder that is a source has one."""


def is_weights(name: str) -> bool:
    """Whether a file's name is that of weights which fastinit does not read."""
    return name.endswith(OTHER_WEIGHTS)


def of_form(form: Any) -> str:
    """What the content of a JSON file looks like, and what would work."""
    if not isinstance(form, Mapping):
        return f"it is a JSON {type(form).__name__}; a plan or a config is a JSON object"
    for keys, what, instead in FORMS:
        if form.keys() >= set(keys):
            return f"it looks like {what}; {instead}"
    held = f"the keys {listed(form)}" if form else "no keys"
    return (
        f"it is a JSON object with {held}; a plan has tensors, a config of transformers has "
        "model_type or architectures, and an index has weight_map"
    )


def of_file(name: str, head: bytes) -> str:
    """What a file looks like that begins with `head`, and what would work."""
    suffix = Path(name.lower()).suffix
    if suffix in SUFFIXES and not head.startswith(b"version https://git-lfs"):
        what, instead = SUFFIXES[suffix]
        return f"it looks like {what}; {instead}"
    if kind := kind_of_bytes(head):
        return f"it looks like {kind}"
    if re.search(rb"^\s*\[\[(tensor|rule)\]\]", head, re.MULTILINE):
        return "it looks like a TOML plan; its name must end in .toml"
    if not head:
        return "it is empty"
    return "it is neither JSON nor a safetensors file, and its name does not end in .toml"


def of_folder(folder: Path, names: Collection[str]) -> str:
    """What a folder that holds these names looks like, and what would work."""
    if weights := list(filter(is_weights, names)):
        what = f"its weights are not safetensors ({listed(weights)}); convert them"
        has_config = CONFIG_FILE in names
        return f"{what}, or give its config.json, to begin anew" if has_config else what
    if "model_index.json" in names:
        return (
            "it looks like a pipeline of diffusers; give the folder of one of its models, if that "
            f"holds safetensors, or {BUILD}"
        )
    if "params.json" in names:
        return f"it looks like a model for Meta's or Mistral's own code; {LLAMA}"
    if plans := [name for name in names if name.endswith(".toml")]:
        return f"it holds no model; give one of its files: {listed(plans)}"
    if below := folder_below(folder, MODEL_FILES):
        return f"it holds no model; give {printable(below)}, which holds one"
    held = f"it holds {listed(names)}" if names else "it is empty"
    return f"{held}; a folder needs a safetensors checkpoint or a config.json"


def is_url(text: str) -> bool:
    """Whether a text is a URL rather than a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def of_missing(text: str) -> str:
    """What a text may mean that is neither the name of a preset nor a path."""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        return (
            "there is no such file or folder; if it is a model of the Hugging Face hub, fetch its "
            "config.json first, because fastinit downloads nothing"
        )
    return "there is no preset, file or folder of that name"


def of_object(source: object) -> str:
    """What an object looks like that is neither a plan, a path, a config nor a module."""
    if isinstance(source, type):
        return f"it is the class {printable(source.__name__)}; pass an object of it"
    if isinstance(source, Mapping):
        return (
            "it is a dict; fastinit.Plan.from_json takes a plan's JSON form, "
            "transformers.AutoConfig.for_model(**config) a config's, and fastinit.jax.plan a tree "
            "of JAX's arrays"
        )
    if isinstance(source, FunctionType | MethodType):
        return "it is a function; fastinit.jax.plan takes an init function of JAX"
    if isinstance(source, list | tuple):
        return "it is a list; fastinit.Plan takes a list of tensors"
    return f"it is a {printable(type(source).__name__)}"
