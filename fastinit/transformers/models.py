# SPDX-License-Identifier: MIT
"""`from_config`: a model of transformers, each weight of which is drawn once, by name."""

from __future__ import annotations

from typing import Any, SupportsIndex

import torch

from fastinit.plans.rules import Rows, Rules
from fastinit.torch import materialize
from fastinit.transformers.recording import recorded
from fastinit.values.stream import checked


def from_config(
    config: Any,
    *,
    seed: SupportsIndex,
    architecture: Any = None,
    dtype: Any = None,
    device: Any = None,
    rules: Rules | Rows | None = None,
    distributed_config: Any = None,
    trust_remote_code: bool = False,
    threads: int | None = None,
) -> Any:
    """A model as ``AutoModelForX.from_config(config)`` makes it, with fastinit's weights.

    Each tensor has the distribution that the model's own code gives it on one CPU: constructor,
    ``_init_weights`` and ties in transformers' order, recorded without memory, and then each weight
    is drawn once by its name.  Buffers, persistent or not, have the values that transformers
    computes.  The values do not depend on how many processes there are.

    Args:
        config: a configuration object, or the path of a config.json or its folder.
        seed: 0 <= seed < 2**64.
        architecture: a class of models, its name, or a task, such as "causal-lm", "masked-lm",
            "image-classification", or "base" for a model without a head; by default the first of
            the configuration's ``architectures``.
        dtype: of the weights, by default the configuration's, or else PyTorch's default dtype.
            Tensors for which the model's code asks for a dtype of their own keep it.
        device: where to allocate, by default the CPU.
        rules: patterns of parameter names with schemes, which decide before the model's code.
        distributed_config: transformers' ``DistributedConfig`` or its dictionary: the model is
            sharded before it has memory, and each process draws its own part.
        trust_remote_code: whether code that comes with the configuration may run.
        threads: as for `fastinit.fill`.

    Returns:
        The model, in training mode, as transformers' ``from_config`` returns it.

    Raises:
        ModuleError: some tensors cannot be made; all are listed.  Nothing was allocated.
        PlanError: the configuration cannot be read, or names no class that is known.
        UntrustedError: its code comes with it, and is not trusted.
        TypeError, ValueError: an argument is of the wrong type or out of range.

    >>> import transformers
    >>> import fastinit.transformers as fh
    >>> config = transformers.GPT2Config(n_layer=2, n_embd=64, n_head=2, vocab_size=100)
    >>> model = fh.from_config(config, architecture="causal-lm", seed=0)
    >>> model.lm_head.weight is model.transformer.wte.weight
    True
    """
    checked(seed, "name")
    model = recorded(
        config,
        architecture=architecture,
        dtype=dtype,
        tied=distributed_config is None,
        trust_remote_code=trust_remote_code,
    )
    if distributed_config is not None:
        model, device = _distributed(model, distributed_config, device)
    return materialize(model, seed=seed, device=device, rules=rules, threads=threads)


def _distributed(model: Any, wanted: Any, device: Any) -> tuple[torch.nn.Module, Any]:
    """The model sharded by transformers, still on meta, and the device of this process."""
    wanted, device, mesh = type(model).prepare_distribute_model(wanted, device_map=device)
    if mesh is not None:
        model = type(model).maybe_distribute_model(model, wanted, mesh)
    model.tie_weights()
    return model, device
