# SPDX-License-Identifier: MIT
"""Which values a tensor has: streams, distributions, samplers."""
