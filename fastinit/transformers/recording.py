# SPDX-License-Identifier: MIT
"""Records how a model initialises itself: its constructor, `_init_weights`, ties, as on one CPU."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from transformers.initialization import no_tie_weights

from fastinit.errors import FastinitError, PlanError
from fastinit.torch import deferred
from fastinit.torch.dtypes import torch_dtype
from fastinit.transformers.classes import class_of
from fastinit.transformers.configs import config_of


def recorded(
    source: Any,
    *,
    architecture: Any = None,
    dtype: Any = None,
    tied: bool = True,
    trust_remote_code: bool = False,
) -> torch.nn.Module:
    """A model on the meta device, of which is recorded what its code does to each tensor.

    Args:
        source: a configuration object, or the path of its file or folder.
        architecture, trust_remote_code: as for `class_of`.
        dtype: by default that of the configuration, or else PyTorch's default.
        tied: whether tied weights are one tensor.  What transformers shards must not be tied yet;
            ties are the last step of a constructor, so the weights are recorded alike.

    Raises:
        Those of `config_of` and `class_of`.  Also ValueError for a dtype in which no model can be
        constructed, PlanError for what the constructor raises, and ImportError as it raises it.
    """
    found, config = class_of(config_of(source, trust_remote_code), architecture, trust_remote_code)
    asked = {} if dtype is None else {"dtype": torch_dtype(dtype)}
    _check_dtype(asked.get("dtype", getattr(config, "dtype", None)))
    try:
        with deferred(), nullcontext() if tied else no_tie_weights():
            model: torch.nn.Module = found._from_config(config, **asked)  # type: ignore[attr-defined]
    except (FastinitError, ImportError, MemoryError):
        raise
    except Exception as error:  # whatever the model's own code raises
        raise PlanError(
            f"{found.__name__} cannot be constructed from this configuration: "
            f"{type(error).__name__}: {error}"
        ) from error
    if next(model.parameters(), None) is None:
        raise PlanError(
            f"{found.__name__} has no parameters: if it is the base of other classes, give one of "
            f"those, such as {found.__name__.replace('PreTrainedModel', 'Model')}"
        )
    return model


def _check_dtype(dtype: Any) -> None:
    """Raise for float8, in which PyTorch constructs no module; a configuration may hold a text."""
    name = str(dtype).removeprefix("torch.")
    if name.startswith("float8"):
        raise ValueError(
            f"dtype is {name}, and PyTorch constructs no module in float8: choose bfloat16, "
            "float16, float32 or float64; a plan with dummy=True (--dummy) may be in float8_e4m3fn"
        )
