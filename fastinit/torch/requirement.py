# SPDX-License-Identifier: MIT
"""Which versions of PyTorch this room works with.  It looks at the version and at nothing else."""

from __future__ import annotations

from fastinit.versions import installed

OLDEST = (2, 6)
"""The first version that has all that is used here, by its documentation; 2.13 is what tests run.

The last to come were `torch.distributed.fsdp.fully_shard` and `torch.accelerator`, in 2.6.
"""

NEEDED = f"fastinit.torch needs PyTorch {OLDEST[0]}.{OLDEST[1]} or newer"


def check() -> None:
    """Import PyTorch.

    Raises:
        ImportError: it is not installed or older than `OLDEST`.  A newer one is not refused.
    """
    installed("torch", needed=NEEDED, oldest=OLDEST, install="pip install torch")
