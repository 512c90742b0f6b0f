# SPDX-License-Identifier: MIT
"""What a constructor does to its tensors: recorded as it runs, and understood afterwards."""
