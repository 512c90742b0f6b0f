# SPDX-License-Identifier: MIT
"""Where in memory the values go."""
