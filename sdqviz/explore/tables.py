"""Columns and rows as people and other programs read them: Markdown, CSV, three significant digits."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]], rule: str = "---") -> str:
    r"""Write a table in Markdown.

    Parameters
    ----------
    head : sequence of str
        Names of the columns.
    rows : iterable of sequence
        The cells; a bar in one does not end it.
    rule : str
        How all columns but the first are aligned.

    Examples
    --------
    >>> print(markdown(["", "value"], [["|x|", 2]], "---:"))
    |  | value |
    |---|---:|
    | \|x\| | 2 |
    """
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    first, *rest = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([first, f"|{'|'.join(['---', *[rule] * (len(head) - 1)])}|", *rest])


def csv_text(columns: Mapping[str, Array]) -> bytes:
    """Return columns as CSV, UTF-8, with a header line; shorter columns end in empty fields."""
    cells = [np.asarray(values).tolist() for values in columns.values()]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in range(max(map(len, cells), default=0)):
        writer.writerow([column[row] if row < len(column) else "" for column in cells])
    return out.getvalue().encode()


def rounded(value: Any, digits: int = 3) -> Any:
    """Return a number with so many significant digits, None where there is none (NaN), and anything else as it is.

    Examples
    --------
    >>> rounded(0.12345), rounded(float("nan")), rounded(float("inf")), rounded("yes")
    (0.123, None, inf, 'yes')
    """
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else float(f"{value:.{digits}g}")
