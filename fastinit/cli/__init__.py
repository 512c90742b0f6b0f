# SPDX-License-Identifier: MIT
"""The command line: commands such as write.  Data on stdout, bars and errors on stderr.

Each error is one line and an exit code: 1 for a checkpoint that is wrong, 2 for anything else.
The process itself, its signals and streams, is in `program`.
"""

from fastinit.cli.group import cli
from fastinit.cli.running import main

__all__ = ["cli", "main"]
