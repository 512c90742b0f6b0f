# SPDX-License-Identifier: MIT
"""Which elements this process holds of the flat parameters of FullyShardedDataParallel (FSDP1).

Nothing here communicates or writes to memory.  shards.py has DTensors, and with them FSDP2.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from fastinit.texts import quoted
from fastinit.torch.shards import LocalPart

WRAPPER = "_fsdp_wrapped_module"
"""The attribute by which FullyShardedDataParallel holds the module that it wraps."""


class FlatTensor(NamedTuple):
    """One original parameter: its name, its whole shape, and the parts that this process holds."""

    name: str
    shape: tuple[int, ...]
    parts: list[LocalPart]
    flat: torch.Tensor
    """The flat parameter."""


def flat_parts(module: torch.nn.Module) -> list[FlatTensor]:
    """The parameters that lie in flat parameters of `module`, and their parts on this process.

    FullyShardedDataParallel concatenates the parameters of a module, flattened, and gives each
    process one piece of the result.  So a part is a run of a parameter's elements, whatever
    `use_orig_params` is, and the padding between parameters belongs to no part.

    Args:
        module: a module that contains FullyShardedDataParallel modules, or is one.

    Returns:
        One entry per original parameter, in the order of the flat parameters, by its name in
        `module` without the wrappers' own ``_fsdp_wrapped_module``; of tied parameters the first.
        The list of parts is empty if this process holds no element.  Without
        FullyShardedDataParallel, the result is empty.

    Raises:
        ValueError: a flat parameter that is gathered at present; one of DTensors or of tensors
            with gaps, whose order in the flat parameter says nothing about the whole tensor.

    >>> import torch
    >>> flat_parts(torch.nn.Linear(2, 3))
    []
    """
    library = sys.modules.get("torch.distributed.fsdp.fully_sharded_data_parallel")
    if library is None:
        return []
    found: list[FlatTensor] = []
    for path, wrapper in module.named_modules():
        if isinstance(wrapper, library.FullyShardedDataParallel) and wrapper._handle is not None:
            names = [name for name in path.split(".") if name not in ("", WRAPPER)]
            found += _tensors(".".join(names), wrapper._handle.flat_param)
    return found


def _tensors(path: str, flat: Any) -> Iterator[FlatTensor]:
    """The parameters of one flat parameter, whose module is at `path`."""
    if tuple(flat.shape) != tuple(flat._sharded_size):
        raise ValueError(
            f"the flat parameter of {quoted(path or 'the module')} has {flat.numel():,} elements, "
            f"not the {math.prod(flat._sharded_size):,} of a shard: it is gathered, and what is "
            "written now may be lost; leave summon_full_params or finish the backward pass first"
        )
    memory = flat.detach()
    fields = (flat._fqns, flat._shapes, flat._strides, flat._param_extensions)
    for name, dims, strides, extension, info in zip(*fields, flat._shard_param_infos, strict=True):
        full = f"{path}.{name}" if path else name
        shape = tuple(dims)
        axes = _memory_order(shape, strides)
        if extension is not None or axes is None:
            what = "a DTensor" if extension is not None else f"a tensor of strides {strides}"
            raise ValueError(
                f"{quoted(full)} was {what} of shape {shape} before FullyShardedDataParallel "
                "flattened it, so its elements are not those of a whole tensor in order: use "
                "fully_shard (FSDP2), which keeps DTensors, or make it contiguous before wrapping"
            )
        parts: list[LocalPart] = []
        if info.in_shard and info.numel_in_shard:
            here = memory[info.offset_in_shard : info.offset_in_shard + info.numel_in_shard]
            held = range(info.intra_param_start_idx, info.intra_param_end_idx + 1)
            parts = list(_parts(here, held, shape, axes))
        yield FlatTensor(full, shape, parts, flat)


def _memory_order(shape: tuple[int, ...], strides: tuple[int, ...]) -> list[int] | None:
    """The axes from the largest stride to the smallest; None if the elements do not lie close."""
    axes = sorted(range(len(shape)), key=lambda axis: (-strides[axis], -shape[axis]))
    if not math.prod(shape):
        return axes
    reach = 1
    for axis in reversed(axes):
        if shape[axis] > 1 and strides[axis] != reach:
            return None
        reach *= shape[axis]
    return axes


def _parts(
    here: torch.Tensor, held: range, shape: tuple[int, ...], axes: list[int]
) -> Iterator[LocalPart]:
    """Parts of a run of elements in memory order: one, unless memory is not row-major."""
    long = [axis for axis in axes if shape[axis] > 1]
    if long == sorted(long):
        yield LocalPart(here, held)
        return
    back = [axes.index(axis) for axis in range(len(axes))]
    first = 0
    for box in _boxes([shape[axis] for axis in axes], held.start, held.stop):
        sides = [side.stop - side.start for side in box]
        count = math.prod(sides)
        view = here[first : first + count].reshape(sides).permute(back)
        yield LocalPart(view, tuple(box[place] for place in back))
        first += count


def _boxes(shape: list[int], start: int, stop: int) -> Iterator[tuple[slice, ...]]:
    """Cut a run of row-major elements into boxes, in order: at most two per axis, and one."""
    if not shape:
        yield ()
        return
    inner = math.prod(shape[1:])
    while start < stop:
        index, offset = divmod(start, inner)
        if offset or stop - start < inner:
            end = min(stop, (index + 1) * inner)
            for rest in _boxes(shape[1:], offset, end - index * inner):
                yield (slice(index, index + 1), *rest)
        else:
            last = stop // inner
            end = last * inner
            yield (slice(index, last), *(slice(0, size) for size in shape[1:]))
        start = end
