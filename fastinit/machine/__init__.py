# SPDX-License-Identifier: MIT
"""What this machine gives the process: CPUs, threads, a floating-point state."""
