# SPDX-License-Identifier: MIT
"""A fake driver for every test that asks for one, whose launches run the kernel text here."""

from __future__ import annotations

import device_text
import fake_driver
import pytest


@pytest.fixture
def driver():
    """A machine with one card."""
    if missing := device_text.missing():
        pytest.skip(f"{missing}: not in this machine")
    with fake_driver.installed() as installed:
        yield installed
