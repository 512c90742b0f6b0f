# SPDX-License-Identifier: MIT
"""The ground: arithmetic that knows nothing of tensors, schemes or files."""
