# SPDX-License-Identifier: MIT
"""Plans as JSON, and their digest, a second time: section 14.3 of docs/stream.md, by hand.

Python's json and repr are left out, so that a language without them can follow.  Nothing here knows
of the library.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

ESCAPES = dict(zip('"\\\n\r\t\b\f', '"\\nrtbf', strict=True))


def digits_of(x: float) -> tuple[str, int]:
    """The fewest digits d1 d2 d3 ... and the e with which d1.d2d3... 10^e is x > 0 again."""
    exact = Fraction(x)
    about = math.floor(math.log10(x))
    e = next(e for e in (about - 1, about, about + 1) if exact < Fraction(10) ** (e + 1))
    for count in range(1, 18):
        unit = Fraction(10) ** (e - count + 1)
        near = exact // unit
        tries = [n for n in (near, near + 1) if float(f"{n}e{e - count + 1}") == x]
        if tries:
            best = str(min(tries, key=lambda n: (abs(n * unit - exact), n % 2)))
            return best.rstrip("0"), e + len(best) - count
    raise AssertionError(f"17 digits are enough for {x}")


def float_text(x: float) -> str:
    """A finite float64 number."""
    sign = "-" if str(x).startswith("-") else ""
    if x == 0:
        return f"{sign}0.0"
    digits, e = digits_of(abs(x))
    if not -4 <= e < 16:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{'-' if e < 0 else '+'}{abs(e):02}"
    if e < 0:
        return f"{sign}0.{'0' * (-e - 1)}{digits}"
    digits = digits.ljust(e + 1, "0")
    return f"{sign}{digits[: e + 1]}.{digits[e + 1 :] or '0'}"


def string_text(text: str) -> str:
    """A string in double quotes."""
    return f'"{"".join(map(_character_text, text))}"'


def _character_text(character: str) -> str:
    if character in ESCAPES:
        return "\\" + ESCAPES[character]
    number = ord(character)
    if 0x20 <= number <= 0x7E:
        return character
    if number <= 0xFFFF:
        return f"\\u{number:04x}"
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def canonical(value: Any) -> str:
    """The one text of a value of dicts, lists, strings, numbers, booleans and None."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return float_text(value)
        case str():
            return string_text(value)
        case Mapping():
            members = (f"{string_text(key)}:{canonical(value[key])}" for key in sorted(value))
            return f"{{{','.join(members)}}}"
        case Sequence():
            return f"[{','.join(map(canonical, value))}]"
    raise TypeError(f"{value!r} has no JSON form")


def plan_form(
    tensors: Sequence[tuple[str, tuple[int, ...], str, str | None]],
    name: str = "",
    dtype: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The JSON form of a plan; a tensor is (name, shape, text, its own dtype)."""
    rows = [
        {"name": title, "shape": list(shape), "init": text, **({"dtype": own} if own else {})}
        for title, shape, text, own in tensors
    ]
    form: dict[str, Any] = {"tensors": rows}
    if name:
        form["name"] = name
    if dtype is not None:
        form["dtype"] = dtype
    if config is not None:
        form["config"] = config
    return form


def digest(form: Mapping[str, Any]) -> str:
    """SHA-256 of a plan's JSON form."""
    return hashlib.sha256(canonical(form).encode("ascii")).hexdigest()
