# SPDX-License-Identifier: MIT
"""What benchmarks/track.py is made of: what is measured, stored, compared and drawn."""
