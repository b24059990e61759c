"""Numbers that a person pasted or a link carries, read as vectors."""

from __future__ import annotations

import re

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError

LONGEST = 1024
"""Entries of a pasted vector."""


LARGEST = 1e100
"""The largest pasted number: squares of a thousand of them are still finite."""


def parse_vector(text: str, least: int = 2) -> Array:
    """Read numbers separated by commas, semicolons or white space, shape (d,), at least ``least`` of them.

    Raises
    ------
    InputError
        Naming the first entry that is not a finite number, or a wrong count.

    Examples
    --------
    >>> parse_vector("1, 2.5 -3e-1")
    array([ 1. ,  2.5, -0.3])
    """
    words = [word for word in re.split(r"[\s,;\[\]()]+", text) if word]
    if len(words) > LONGEST:
        raise InputError(f"the vector must have {least} to {LONGEST} numbers, got {len(words)}")
    values = np.empty(len(words))
    for place, word in enumerate(words):
        try:
            values[place] = float(word)
        except ValueError:
            raise InputError(f"numbers must be written out, got {word[:20]!r} as entry {place + 1}") from None
        if not np.isfinite(values[place]):
            raise InputError(f"numbers must be finite, got {word[:20]!r} as entry {place + 1}")
        if abs(values[place]) > LARGEST:
            raise InputError(f"numbers must be at most {LARGEST:g}, got {word[:20]!r} as entry {place + 1}")
        if 0 < abs(values[place]) < 1 / LARGEST:
            raise InputError(f"numbers must be 0 or at least {1 / LARGEST:g}, got {word[:20]!r} as entry {place + 1}")
    if len(words) < least:
        raise InputError(f"the vector must have {least} to {LONGEST} numbers, got {len(words)}")
    return values


def parse_rows(text: str) -> tuple[tuple[float, ...], ...]:
    """Read vectors, one a line, as hashable rows.

    Raises
    ------
    InputError
        If a line is not numbers, or the lines differ in length.
    """
    rows = tuple(tuple(parse_vector(line, 1).tolist()) for line in text.splitlines() if line.strip())
    if len({len(row) for row in rows}) != 1:
        lengths = ", ".join(sorted({str(len(row)) for row in rows})) or "no line"
        raise InputError(f"vectors must be one a line and all of one length, got {lengths}")
    return rows
