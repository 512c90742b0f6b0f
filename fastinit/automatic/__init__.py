# SPDX-License-Identifier: MIT
"""Which scheme suits a tensor, by its name and shape."""
