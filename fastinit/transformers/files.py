# SPDX-License-Identifier: MIT
"""The tensors of a recorded model, as its module has them or as they lie in a file, with schemes.

Tensors whose own values cannot be made have substitutes; what becomes of those is for the callers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from fastinit.errors import ModuleError
from fastinit.numerics.dtypes import resolve
from fastinit.plans import Tensor
from fastinit.plans.rules import exactly
from fastinit.torch import plan as module_plan
from fastinit.transformers.names import FileTensor, file_tensors, scheme_for

SUBSTITUTE = "normal(std=0.02)"
"""The scheme of tensors whose own values cannot be made."""

Problems = Mapping[str, str]
"""Why tensors have substitutes, by their names."""


def in_module(model: torch.nn.Module) -> tuple[list[Tensor], Problems]:
    """The tensors of a recorded model, by the names of the module, and which are substitutes."""
    try:
        return list(module_plan(model)), {}
    except ModuleError as error:
        problems = error.problems
    found = module_plan(model, rules={exactly(name): SUBSTITUTE for name in problems})
    return [_told(tensor, problems.get(tensor.name)) for tensor in found], problems


def in_file(model: torch.nn.Module) -> tuple[list[tuple[Tensor, FileTensor]], Problems]:
    """The tensors of a recorded model as they lie in a file, each with where it comes from.

    Also which of them are substitutes, by their names in the file.
    """
    tensors, problems = in_module(model)
    schemes = {tensor.name: tensor.scheme for tensor in tensors}
    rows = [
        (Tensor(row.name, row.shape, scheme_for(row, schemes), resolve(row.dtype).name), row)
        for row in file_tensors(model)
        if row.dtype.is_floating_point
    ]
    whys = {
        row.name: problems[part.of] for _, row in rows for part in row.parts if part.of in problems
    }
    return rows, whys


def _told(tensor: Tensor, why: str | None) -> Tensor:
    """The tensor; the scheme of a substitute says why it is one."""
    if why is None:
        return tensor
    return replace(tensor, scheme=replace(tensor.scheme, reason=f"a substitute: {why}"))
