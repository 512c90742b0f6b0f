# SPDX-License-Identifier: MIT
"""Tensors whose every element is known from its place, without any randomness.

known.py says what they share, the other files what the values are.
"""

from fastinit.values.tables.formulated import Formulated
from fastinit.values.tables.known import KnownTable
from fastinit.values.tables.lines import Line
from fastinit.values.tables.literals import Literals
from fastinit.values.tables.sinusoids import Column, Sinusoids

__all__ = ["Column", "Formulated", "KnownTable", "Line", "Literals", "Sinusoids"]
