# SPDX-License-Identifier: MIT
"""Properties that are computed once for each object.  What they hold is not known here."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functools import cached_property as cached_property
else:

    class cached_property(functools.cached_property):  # noqa: N801 - named as what it replaces
        """As `functools.cached_property` is from Python 3.12 on: without a lock.

        In Python 3.11 a thread that computes the property holds a lock of all objects.  A process
        that another thread forks meanwhile would wait for it without end.  Here two threads may
        both compute it, with the same result.
        """

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            """The value, which is found in the object from then on."""
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value
