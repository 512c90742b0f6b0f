# SPDX-License-Identifier: MIT
"""Measuring this machine: what `fastinit bench` shows and benchmarks/ tracks.

The rest of the package never imports anything from here.
"""
