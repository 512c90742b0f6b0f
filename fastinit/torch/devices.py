# SPDX-License-Identifier: MIT
"""Draws tensors on the CUDA devices that hold them, many tensors in few launches.

Which part of which tensor is drawn is settled in memory.py.  How a device draws is for
fastinit/cuda/, which knows no torch; what it cannot draw goes through copies.py.
"""

from __future__ import annotations

from types import TracebackType

import torch

from fastinit import cuda
from fastinit.memory.regions import Region
from fastinit.values.samplers import Sampler


class Batch:
    """Parts of tensors on CUDA devices that are drawn together, when `draw` is called.

    As a context, it draws what was added at the end of the block, even if the block fails: then no
    tensor that the block has put into a module is left without values.
    """

    __slots__ = ("_added",)

    def __init__(self) -> None:
        self._added: list[tuple[cuda.DeviceTask, torch.Tensor]] = []
        """Each task with its tensor, whose memory must not be freed before it is drawn."""

    def add(self, tensor: torch.Tensor, source: Sampler, part: Region, workers: int) -> None:
        """Draw the region `part` into `tensor`, which has its shape, on the current stream.

        The stream is the one that is current now.  `workers` is for what draws on the CPU.
        """
        kept = tensor.detach()
        self._added += ((task, kept) for task in tasks_for(tensor, source, part))

    def draw(self) -> None:
        """Draw everything that was added; nothing waits for the devices.

        The memory may be freed afterwards: torch gives it to nothing that runs before the launches
        on the same stream.
        """
        if self._added:
            added, self._added = self._added, []
            cuda.draw(task for task, _ in added)

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.draw()


def can_draw(tensor: torch.Tensor, source: Sampler, part: Region) -> bool:
    """Whether the device of `tensor` is to draw the region `part` of `source` itself.

    Warns, raises: as `draws`.
    """
    if not tensor.is_cuda or tensor.is_neg():
        return False
    possible = cuda.can_draw(source) or bool(tasks_for(tensor, source, part))
    return possible and draws(tensor.device)


def tasks_for(tensor: torch.Tensor, source: Sampler, part: Region) -> list[cuda.DeviceTask]:
    """What kernels have to draw for a region; an empty list if they cannot."""
    return cuda.parts(cuda.DeviceTask(array_on_device(tensor), source, part))


def draws(device: torch.device) -> bool:
    """Whether a device draws what its kernels can draw.

    Warns:
        BackendWarning: CUDA cannot be used there, for a reason that was not warned of before.

    Raises:
        BackendError: it cannot be used, and FASTINIT_CUDA says that it must be; or that variable
            has an unknown value.
    """
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return cuda.decide(torch.cuda.current_device() if device.index is None else device.index)


def array_on_device(tensor: torch.Tensor) -> cuda.DeviceArray:
    """The memory of a CUDA tensor, and the stream that torch would write to it on."""
    strides = tuple(stride * tensor.itemsize for stride in tensor.stride())
    stream = torch.cuda.current_stream(tensor.device).cuda_stream
    return cuda.DeviceArray(
        tensor.data_ptr(), tuple(tensor.shape), strides, tensor.device.index, stream
    )
