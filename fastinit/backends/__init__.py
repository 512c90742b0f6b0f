# SPDX-License-Identifier: MIT
"""Who computes the values."""
