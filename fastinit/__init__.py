# SPDX-License-Identifier: MIT
"""Fill the weights of very large models in parallel, with the same bits everywhere.

Every weight is a pure function of the seed, the tensor's name, its index in the whole tensor and
the distribution; docs/stream.md defines every bit.  This file holds the names of everyday work;
`fastinit.schemes` has every scheme, `fastinit.errors` every error.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastinit import start as _start

# isort: split
from fastinit import errors, schemes
from fastinit.automatic.choice import auto
from fastinit.backends.selection import select_from_environment as _select_backend
from fastinit.backends.words import philox4x32, stream
from fastinit.errors import FastinitError
from fastinit.machine.state import in_default_floats
from fastinit.memory.arrays import array, fill
from fastinit.plans import Plan, Rules, Tensor, plan, presets
from fastinit.schemes import (
    Scheme,
    clipped_normal,
    constant,
    dirac,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    identity,
    kaiming_normal,
    kaiming_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    ones,
    orthogonal,
    scheme,
    sparse,
    truncated_normal,
    uniform,
    variance_scaling,
    xavier_normal,
    xavier_uniform,
    zeros,
)
from fastinit.schemes.fans import fans

if TYPE_CHECKING:
    from fastinit.checkpoints import Checkpoint, diff, memmap, refill, regenerate, stats
    from fastinit.checkpoints import open as open
    from fastinit.checkpoints.verify import verify
    from fastinit.checkpoints.write import write

_select_backend()
_start.finish()
__version__ = "0.1.0"

__all__ = [  # not `open`: `from fastinit import *` would replace Python's
    "Checkpoint",
    "FastinitError",
    "Plan",
    "Rules",
    "Scheme",
    "Tensor",
    "array",
    "auto",
    "clipped_normal",
    "constant",
    "diff",
    "dirac",
    "errors",
    "fans",
    "fill",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "memmap",
    "normal",
    "ones",
    "orthogonal",
    "philox4x32",
    "plan",
    "presets",
    "refill",
    "regenerate",
    "scheme",
    "schemes",
    "sparse",
    "stats",
    "stream",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "verify",
    "write",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]


_OF_CHECKPOINTS = {
    "Checkpoint",
    "diff",
    "memmap",
    "open",
    "refill",
    "regenerate",
    "stats",
    "verify",
    "write",
}


if not TYPE_CHECKING:  # else a type checker would take every name for one of ours

    def __getattr__(name: str) -> Any:
        """What concerns files, which whoever fills arrays alone has no need to import."""
        if name not in _OF_CHECKPOINTS and name != "checkpoints":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = in_default_floats(import_module, ("fastinit.checkpoints",), {})
        return room if name == "checkpoints" else getattr(room, name)


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted([*__all__, "__version__", "open"])
