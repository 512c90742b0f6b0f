# SPDX-License-Identifier: MIT
"""`python -m fastinit`, and the program `fastinit`, which is the same.

This file only begins and ends the process; the commands are in `cli`.
"""

from typing import NoReturn

from fastinit import program


def main() -> NoReturn:
    """Run the command line as the whole of this process."""
    program.begin()
    from fastinit import cli  # only now: Ctrl-C prints one line meanwhile

    try:
        cli.main()
    finally:
        program.ignore_signals()


if __name__ == "__main__":
    main()
