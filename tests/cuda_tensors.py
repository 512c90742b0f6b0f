# SPDX-License-Identifier: MIT
"""CPU tensors that stand in as tensors of CUDA devices, for a torch without CUDA.  No test.

`pretended` makes torch say of some memory that it is a CUDA device's: `is_cuda`, `is_cpu` and
`device` of every tensor over it, views, parameters and the shards of DTensors included.  Torch
computes with it as before.  What is launched there is for fake_driver.py to run.
"""

from __future__ import annotations

import contextlib
import time
from types import SimpleNamespace

import torch
from torch.utils._device import _device_constructors

CARD = torch.device("cuda", 0)


class Event:
    """An event of a stream whose work is done as soon as it is asked for."""

    def __init__(self, enable_timing=False):
        self._seconds = 0.0

    def record(self, stream=None):
        self._seconds = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, other):
        return 1000 * (other._seconds - self._seconds)


class Cards:
    """Which memory is said to be a device's, and what of torch.cuda is asked about it."""

    def __init__(self):
        self.streams = {}
        """By the index of a device: the handle of its current stream; 0 if it is not here."""
        self.capturing = set()
        """The indices of the devices whose current stream is captured."""
        self.current = 0
        self._devices = {}
        self._kept = []

    def put(self, tensor, device=CARD):
        """Say that the memory of a tensor is on a device; returns the tensor."""
        storage = tensor.untyped_storage()
        self._kept.append(storage)  # or another storage could get its identity
        self._devices[storage._cdata] = torch.device(device)
        return tensor

    def device_of(self, tensor):
        """The device that stands for that of a tensor; None if torch itself is right."""
        if not self._devices or type(tensor).__torch_dispatch__ is not BASE_DISPATCH:
            return self._of_a_dtensor(tensor)
        try:
            return self._devices.get(tensor.untyped_storage()._cdata)
        except (RuntimeError, NotImplementedError):
            return None

    def _of_a_dtensor(self, tensor):
        local = tensor.__dict__.get("_local_tensor")
        return None if local is None else self.device_of(local)

    def made(self, function):
        """A function that makes a tensor, and on a device of CUDA makes a stand-in."""

        def make(*arguments, device=None, pin_memory=False, **options):
            wanted = torch.get_default_device() if device is None else torch.device(device)
            if wanted.type != "cuda":
                return function(*arguments, device=device, **options)
            tensor = function(*arguments, device="cpu", **options)
            return self.put(tensor, torch.device("cuda", wanted.index or 0))

        return make

    def current_stream(self, device=None):
        """What torch.cuda.current_stream returns."""
        index = 0 if device is None else torch.device(device).index or 0
        return SimpleNamespace(cuda_stream=self.streams.get(index, 0), synchronize=lambda: None)

    def is_current_stream_capturing(self):
        """What torch.cuda.is_current_stream_capturing returns."""
        return self.current in self.capturing

    @contextlib.contextmanager
    def device(self, device):
        """What torch.cuda.device does."""
        before, self.current = self.current, torch.device(device).index or 0
        try:
            yield
        finally:
            self.current = before


BASE_DISPATCH = torch.Tensor.__torch_dispatch__
PROPERTIES = ("is_cuda", "is_cpu", "device")


@contextlib.contextmanager
def pretended():
    """Stand-ins for the tensors of CUDA devices: a `Cards`, until the block ends."""
    cards = Cards()
    _device_constructors()  # torch remembers them: its own, not those below
    base = {name: getattr(torch._C.TensorBase, name) for name in PROPERTIES}

    def told(name, of_device):
        def read(tensor):
            device = cards.device_of(tensor)
            return base[name].__get__(tensor) if device is None else of_device(device)

        return property(read)

    answers = {
        "is_cuda": told("is_cuda", lambda device: True),
        "is_cpu": told("is_cpu", lambda device: False),
        "device": told("device", lambda device: device),
        "cpu": lambda tensor: tensor.detach().clone(),
    }
    makers = ("empty", "empty_strided", "empty_like", "zeros")
    replaced = [
        *((torch, name, cards.made(getattr(torch, name))) for name in makers),
        (torch.cuda, "current_stream", cards.current_stream),
        (torch.cuda, "is_current_stream_capturing", cards.is_current_stream_capturing),
        (torch.cuda, "device", cards.device),
        (torch.cuda, "current_device", lambda: cards.current),
        (torch.cuda, "Event", Event),
        (torch.cuda, "synchronize", lambda device=None: None),
    ]
    kept = [(place, name, getattr(place, name)) for place, name, _ in replaced]
    try:
        for name, answer in answers.items():
            setattr(torch.Tensor, name, answer)
        for place, name, replacement in replaced:
            setattr(place, name, replacement)
        yield cards
    finally:
        for name in answers:
            delattr(torch.Tensor, name)
        for place, name, original in kept:
            setattr(place, name, original)
