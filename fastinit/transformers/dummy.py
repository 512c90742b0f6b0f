# SPDX-License-Identifier: MIT
"""`dummy_plan`: a checkpoint for load tests, in the dtypes that an inference engine expects."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers.quantizers.auto import AutoHfQuantizer

from fastinit import schemes
from fastinit.errors import PlanError
from fastinit.numerics.dtypes import resolve
from fastinit.plans import Plan, Tensor
from fastinit.schemes import Scheme
from fastinit.texts import listed, quoted
from fastinit.transformers.classes import class_of
from fastinit.transformers.configs import as_json, config_of
from fastinit.transformers.files import in_file
from fastinit.transformers.names import FileTensor
from fastinit.transformers.recording import recorded

FLOAT8 = "float8_e4m3fn"
LARGEST = 448.0
"""The largest number of float8_e4m3fn."""
_FARTHEST = 6.5
"""A bound for standard normals of float32, whose largest is 6.34."""
_BLOCKS = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
"""The quantisation of a configuration that asks for none."""
_INSTEAD = "pass dtype='bfloat16', on the command line --dtype, for weights that are not quantised"


def dummy_plan(config: Any, architecture: Any, dtype: Any, trust_remote_code: bool) -> Plan:
    """The plan of a checkpoint for load tests, as `fastinit.transformers.plan` says.

    Raises:
        PlanError: the quantisation has scales or weights of types that fastinit does not draw, or
            transformers does not quantise this model.
    """
    config = config_of(config, trust_remote_code)
    asked = _quantisation(config)
    kind = resolve(dtype).name if dtype is not None else FLOAT8 if asked else "bfloat16"
    in_float8 = kind == FLOAT8
    model = recorded(
        config,
        architecture=architecture,
        dtype="bfloat16" if in_float8 else kind,
        trust_remote_code=trust_remote_code,
    )
    rows, _ = in_file(model)
    written = as_json(model)
    if not in_float8:
        return Plan([row for row, _ in rows], type(model).__name__, config=written)
    written["quantization_config"] = asked or _BLOCKS
    found, own = class_of(config, architecture, trust_remote_code)
    own.quantization_config = dict(written["quantization_config"])
    blocks = _blocks(own.quantization_config)
    quantised = _quantised(found, own)
    tensors = [
        tensor
        for row, source in rows
        for tensor in (_in_float8(row, blocks) if _is_in(source, quantised) else [row])
    ]
    return Plan(tensors, type(model).__name__, config=written)


def _quantisation(config: Any) -> dict[str, Any] | None:
    """The quantisation that a configuration asks for, if it is in float8."""
    asked = getattr(config, "quantization_config", None)
    form = asked if isinstance(asked, dict) or asked is None else asked.to_dict()
    return dict(form) if form and form.get("quant_method") == "fp8" else None


def _blocks(asked: dict[str, Any]) -> tuple[int, int] | None:
    """The rows and columns of a block that has one scale, or None for a scale a tensor.

    Raises:
        PlanError: fastinit does not draw what the quantisation asks for.
    """
    wanted = {"scale_fmt": "float", "expert_dtype": "fp8", "activation_scheme": "dynamic"}
    for key, value in wanted.items():
        if asked.get(key) not in (None, value):
            raise PlanError(
                f"the configuration's quantization_config has {key} {quoted(asked[key])}: fastinit "
                f"makes {quoted(value)} alone; {_INSTEAD}"
            )
    size = asked.get("weight_block_size", (128, 128))
    if size is None:
        return None
    if not _is_block(size):
        raise PlanError(f"weight_block_size is {quoted(size)}: need two whole numbers")
    return int(size[0]), int(size[1])


def _is_block(size: Any) -> bool:
    """Whether something is the number of rows and of columns."""
    pair = isinstance(size, list | tuple) and len(size) == 2
    return pair and all(isinstance(number, int) and number > 0 for number in size)


def _quantised(found: Any, config: Any) -> frozenset[str]:
    """The names of the module's weights that transformers quantises.

    Raises:
        PlanError: it fails to, quantises none, or has other scales than those of blocks.
    """
    try:
        quantizer = AutoHfQuantizer.from_config(config.quantization_config, pre_quantized=True)
        quantizer.quantization_config.dequantize = False  # it asks for that where there is no GPU
        with torch.device("meta"):
            model = found._from_config(config, dtype=torch.bfloat16)
        quantizer._process_model_before_weight_loading(model)
    except ImportError:
        raise
    except Exception as error:  # such as an AssertionError, of layers that it does not know
        raise PlanError(
            f"transformers does not quantise {found.__name__}: {type(error).__name__}: {error}; "
            f"{_INSTEAD}"
        ) from error
    parameters = dict(model.named_parameters(remove_duplicate=False))
    names = frozenset(n for n, tensor in parameters.items() if tensor.dtype == torch.float8_e4m3fn)
    if not names:
        raise PlanError(f"transformers quantises no layer of {found.__name__}; {_INSTEAD}")
    if others := sorted(name for name in names if f"{name}_scale_inv" not in parameters):
        raise PlanError(
            f"fastinit makes no scales of the kind that transformers has for {listed(others)}, "
            f"such as those of embeddings; {_INSTEAD}"
        )
    return names


def _is_in(source: FileTensor, quantised: frozenset[str]) -> bool:
    return any(part.of in quantised for part in source.parts)


def _in_float8(row: Tensor, blocks: tuple[int, int] | None) -> list[Tensor]:
    """A weight and its scales.

    Raises:
        PlanError: it is no matrix, but the experts of a layer in one tensor.
    """
    if len(row.shape) != 2:
        raise PlanError(
            f"{quoted(row.name)} has the shape {row.shape}: transformers loads scales of matrices "
            f"alone, not of experts in one tensor; {_INSTEAD}"
        )
    law = row.scheme.distribution(row.shape)
    reach = abs(law.mean) + _FARTHEST * law.std
    exponent = math.floor(math.log2(LARGEST / reach)) if reach else 0
    factor = 2.0**exponent
    weight: Scheme = schemes.normal(std=law.std * factor, mean=law.mean * factor)
    shape = (
        tuple(-(-n // size) for n, size in zip(row.shape, blocks, strict=True)) if blocks else ()
    )
    return [
        Tensor(row.name, row.shape, weight, FLOAT8),
        Tensor(f"{row.name}_scale_inv", shape, schemes.constant(1 / factor), "float32"),
    ]
