# SPDX-License-Identifier: MIT
"""A configuration: an object, or the file or folder that holds it."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import transformers

from fastinit.errors import PlanError
from fastinit.plans.reading import CONFIG_FILE
from fastinit.texts import printable, quoted


def config_of(source: Any, trust_remote_code: bool = False) -> Any:
    """A configuration object that the caller may change.

    Args:
        source: such an object, or the path of its file or folder.
        trust_remote_code: whether code beside the file may run, if the file asks for it.

    Raises:
        PlanError: transformers cannot read the file.
        TypeError: `source` is none of these.
    """
    if isinstance(source, transformers.PreTrainedConfig):
        return copy.deepcopy(source)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"config is {quoted(source)}: need a configuration of transformers, such as "
            "LlamaConfig(), or the path of a config.json"
        )
    path = Path(os.fsdecode(source))
    beside = path.name == CONFIG_FILE and not path.is_dir()
    where = path.parent if beside else path  # code lies beside it
    what = printable(str(path))
    if not path.exists():
        raise PlanError(f"{what}: there is no such file or folder")
    if path.is_dir() and not (path / CONFIG_FILE).is_file():
        raise PlanError(f"{what}: this folder has no {CONFIG_FILE}")
    try:
        return transformers.AutoConfig.from_pretrained(
            where, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except ImportError:
        raise
    except Exception as error:  # those of transformers' checks of values have no base of theirs
        raise PlanError(f"{what}: transformers cannot read it: {printable(error)}") from error


def as_json(model: Any) -> dict[str, Any]:
    """What ``save_pretrained`` of a model writes as config.json.

    The weights are plain numbers, so a quantisation that the configuration asks for is left out.
    """
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = str(model.dtype).removeprefix("torch.")
    if getattr(config, "quantization_config", None) is not None:
        del config.quantization_config
    written: dict[str, Any] = json.loads(config.to_json_string())
    return written
