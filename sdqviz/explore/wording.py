"""How numbers are written for people: three significant digits, percentages, bytes."""

from __future__ import annotations

import math
import textwrap

import numpy as np

from sdqviz.array import Array

SETTLED = 1e-12
"""What is 0 but for rounding errors, as a share of the scale it is seen at."""


def number(value: float) -> str:
    """Write a number with three significant digits, or as a power of ten if it is very large or small.

    Examples
    --------
    >>> number(0.012345), number(1234.5), number(2.0), number(3.2e-9), number(0.0)
    ('0.0123', '1230', '2', '3.2e-9', '0')
    """
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent <= 5:
        rounded = round(value, 2 - exponent)
        text = f"{rounded:.{max(0, 2 - exponent)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, power = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"


def percent(value: float) -> str:
    """Write a ratio as a percentage with one decimal, with three significant digits if it is small.

    Examples
    --------
    >>> percent(0.1234), percent(0.000123)
    ('12.3 %', '0.0123 %')
    """
    return f"{100 * value:.1f} %" if abs(value) >= 0.001 or value == 0 else f"{number(100 * value)} %"


def size(count: float) -> str:
    """Write bytes as B, KiB or MiB.

    Examples
    --------
    >>> size(512), size(2048), size(3 << 20)
    ('512 B', '2 KiB', '3 MiB')
    """
    for unit, scale in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= scale:
            return f"{number(count / scale)} {unit}"
    return f"{count:.0f} B"


def settled(values: Array, scale: float) -> Array:
    """Return values with 0 where only rounding errors are left: below 1e-12 of a scale.

    Examples
    --------
    >>> settled(np.array([0.5, -8.9e-16]), 1.0).tolist()
    [0.5, 0.0]
    """
    return np.where(np.abs(values) < SETTLED * scale, 0.0, values)


def begun(text: str) -> str:
    """Return a text with a capital at its beginning.

    >>> begun("frame size N")
    'Frame size N'
    """
    return text[:1].upper() + text[1:]


def folded(text: str, letters: int) -> str:
    """Break a text between its words into lines of so many letters, as a plot shows them.

    Examples
    --------
    >>> folded("a step too small", 6)
    'a step<br>too<br>small'
    """
    return "<br>".join(textwrap.wrap(text, letters, break_long_words=False, break_on_hyphens=False))
