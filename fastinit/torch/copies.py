# SPDX-License-Identifier: MIT
"""Fills tensors whose memory nothing here can draw into: chunks are drawn on the CPU and copied.

Which part of which tensor is drawn is settled in memory.py.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch

from fastinit.memory import arrays
from fastinit.memory.regions import Region, boxes
from fastinit.torch.tensors import array_of
from fastinit.values.samplers import Sampler

CHUNK_SIZE = 2**26
"""Bytes drawn at a time: enough that starting threads and copies takes no time."""


def draw(
    tensor: torch.Tensor, source: Sampler, part: Region, workers: int, *, size: int = CHUNK_SIZE
) -> None:
    """Draw the region `part`, which has the shape of `tensor`, into a tensor on any device.

    A chunk has the order of the elements in the tensor's memory, so that a copy is one transfer for
    any dense layout.  Copies to CUDA are asynchronous, on the current stream of the tensor's
    device, while the next chunk is drawn; nothing waits for the last one.

    Args:
        workers: threads that draw.
        size: bytes of a chunk, at most, and at least one element.
    """
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    part = part.permuted(order)
    most = max(1, min(size // tensor.itemsize, part.count))
    with torch.inference_mode(tensor.is_inference()):
        out = tensor.detach().permute(order)
        buffers = _pinned(tensor, most) if tensor.is_cuda else _pageable(tensor, most)
        for piece in boxes(part.shape, most):
            counts = tuple(map(len, piece))
            chunk = next(buffers)[: math.prod(counts)].view(counts)
            place = part.piece((along.start for along in piece), counts)
            arrays.draw(array_of(chunk), source, place, workers)
            target = out[tuple(slice(along.start, along.stop) for along in piece)]
            target.copy_(chunk, non_blocking=tensor.is_cuda)


def check_not_captured(tensor: torch.Tensor) -> None:
    """Raise while a CUDA graph is captured: a replay would copy buffers that were given back.

    That is on the device of `tensor`, or on the current one, whose capture new pinned memory ends.
    """
    if tensor.is_cuda and (torch.cuda.is_current_stream_capturing() or _is_captured(tensor.device)):
        raise ValueError(
            f"out is on the device {tensor.device}, and a CUDA graph is being captured: its values "
            "would be drawn on the CPU, which a graph cannot repeat; fill it outside the graph, or "
            "see docs/howto/gpu.md for what a device can draw"
        )


def _is_captured(device: torch.device) -> bool:
    """Whether the current stream of a device is captured, whichever device is the current one."""
    with torch.cuda.device(device):
        return torch.cuda.is_current_stream_capturing()


def _pageable(tensor: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
    """The same buffer again and again: a copy from it has ended when torch returns."""
    return itertools.repeat(torch.empty(count, dtype=tensor.dtype, device="cpu"))


def _pinned(tensor: torch.Tensor, count: int) -> Iterator[torch.Tensor]:
    """Two pinned buffers in turn, each when the copy from it has ended.

    Torch's allocator keeps a pinned buffer until the copies from it have ended, so the last two
    may be dropped at once.
    """
    stream = torch.cuda.current_stream(tensor.device)
    buffers = [
        torch.empty(count, dtype=tensor.dtype, device="cpu", pin_memory=True) for _ in range(2)
    ]
    copied = [torch.cuda.Event() for _ in range(2)]
    for turn in itertools.cycle(range(2)):
        copied[turn].synchronize()  # at once for an event that was never recorded
        yield buffers[turn]
        copied[turn].record(stream)
