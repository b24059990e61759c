"""A panel: one plot with everything that belongs to it on a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plotly.io import to_html
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from sdqviz.array import Array
from sdqviz.explore.formula import Formula
from sdqviz.explore.tables import csv_text


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """One plot.

    Attributes
    ----------
    name : str
        Short, for file names and keys.
    title : str
        What is drawn.
    look : str
        One sentence: what to look at.
    alt : str
        The finding in words and numbers, for those who cannot see the plot.
    figure : plotly.graph_objects.Figure
        What is drawn; traces may be decimated.
    formulas : sequence of Formula
        Shown under the information sign.
    table : callable
        Returns the full data by column name; columns may differ in length.
    instead : str
        Where there is nothing to draw, the sentence that says why; a page shows it in place of an empty plot.
    """

    name: str
    title: str
    look: str
    alt: str
    figure: Any
    formulas: Sequence[Formula]
    table: Callable[[], Mapping[str, Array]]
    instead: str = ""

    def csv(self) -> bytes:
        """Return the full data as CSV, UTF-8."""
        return csv_text(self.table())

    def html(self) -> str:
        """Return the figure as an element of a page that holds `library`."""
        return to_html(
            self.figure, full_html=False, include_plotlyjs=False, include_mathjax=False, default_width="100%",
            auto_play=False, config={"displaylogo": False, "responsive": True},
        )  # fmt: skip


def written(figure: Any) -> str:
    """Return a figure in JSON, as `library` reads it."""
    text: str = to_json_plotly(figure.to_dict(), engine="orjson")  # ten times as fast as Python's own
    return text


def library() -> str:
    """Return the script that draws figures in a browser, whole."""
    return get_plotlyjs()
