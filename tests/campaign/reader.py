# SPDX-License-Identifier: MIT
"""A program that opens a checkpoint and touches every value.  Disturbed, never imported.

python reader.py CHECKPOINT
"""

from __future__ import annotations

import sys

import fastinit

try:
    for array in fastinit.open(sys.argv[1]).values():
        array.tobytes()
except fastinit.FastinitError as error:
    print(f"fastinit: {error}", file=sys.stderr)
    sys.exit(2)
