# SPDX-License-Identifier: MIT
"""What the tensors of checkpoints are like, beside their plans and each other.  Writes nothing."""
