# SPDX-License-Identifier: MIT
"""Memory of CUDA devices, filled by kernels of the same text as on the CPU, with the same bits.

`fastinit.fill` of a CuPy array, and fastinit.torch of CUDA tensors, come here by themselves.  The
functions below are for those who have nothing but an address::

    from fastinit.cuda import DeviceArray, DeviceTask, draw

    draw([DeviceTask(DeviceArray(pointer, shape, strides, device=0, stream=0), source, part)])

Kernels need cuda-bindings and NVRTC, which ``pip install 'fastinit-weights[cuda]'`` installs; torch
for CUDA brings both.  FASTINIT_CUDA=kernels makes it an error where they cannot run, and
FASTINIT_CUDA=copy has the CPU draw everything.  docs/howto/gpu.md has the rest.
"""

from __future__ import annotations

from fastinit.cuda.arrays import DeviceArray as DeviceArray
from fastinit.cuda.arrays import DeviceTask as DeviceTask
from fastinit.cuda.choice import decide as decide
from fastinit.cuda.choice import problem as problem
from fastinit.cuda.drawing import can_draw as can_draw
from fastinit.cuda.drawing import draw as draw
from fastinit.cuda.drawing import prepare as prepare
from fastinit.cuda.drawing import synchronize as synchronize
from fastinit.cuda.memory import fill as fill
from fastinit.cuda.parts import parts as parts
from fastinit.cuda.summary import summary as summary
