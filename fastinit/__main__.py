# SPDX-License-Identifier: MIT
"""`python -m fastinit`, the same as `fastinit`."""

from fastinit.cli import main

main()
