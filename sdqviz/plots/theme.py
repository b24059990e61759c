"""One meaning, one look: the colours, markers and dashes every plot uses.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), told apart in all common kinds of
colour vision. Backgrounds stay transparent, and text takes the colour of the page, so that light and
dark look alike.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array, Index
from sdqviz.explore.wording import number
from sdqviz.plots import plain_figure
from sdqviz.plots.drawing import Drawing

DRAWN = 2000
"""The most points one trace draws; longer data are decimated, and the plot says so."""


@dataclasses.dataclass(frozen=True)
class Look:
    """How one meaning is drawn.

    Attributes
    ----------
    light, dark : str
        Its colour on a light and on a dark page.
    symbol : str
        Plotly marker.
    dash : str
        Plotly line style.
    """

    light: str
    dark: str
    symbol: str
    dash: str

    def colour(self, ink: Ink) -> str:
        """Return the colour that suits the page."""
        return self.dark if ink.dark else self.light

    def words(self, ink: Ink) -> str:
        """Return the colour as text takes it: moved towards that of the page's text until it can be read."""
        return legible(self.colour(ink), ink)

    def line(self, ink: Ink, width: float = 1.5) -> dict[str, Any]:
        """Return a Plotly line."""
        return {"color": self.colour(ink), "dash": self.dash, "width": width}

    def marker(self, ink: Ink, size: float = 5) -> dict[str, Any]:
        """Return a Plotly marker."""
        return {"color": self.colour(ink), "symbol": self.symbol, "size": size}


@dataclasses.dataclass(frozen=True)
class Ink:
    """The colours of the page a figure is drawn on."""

    dark: bool = False

    @property
    def text(self) -> str:
        """Colour of text and of bounds."""
        return "#edebe8" if self.dark else "#2f2d2b"

    @property
    def quiet(self) -> str:
        """Colour of captions and notes."""
        return "#b5b2ad" if self.dark else "#5f5c58"

    @property
    def faint(self) -> str:
        """Colour of grids, bands and things in the background."""
        return "rgba(237,235,232,0.16)" if self.dark else "rgba(47,45,43,0.12)"

    @property
    def solid_faint(self) -> str:
        """The faint colour for scenes: WebGL lines ignore transparency."""
        return "#3b3935" if self.dark else "#dddbd7"

    @property
    def page(self) -> str:
        """Colour behind the figure, for outlines of markers."""
        return "#171614" if self.dark else "#ffffff"


CONTRAST = 4.5
"""Least contrast of text with the page (WCAG 2, level AA)."""


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour ``#rrggbb``, 0 … 1."""
    rgb = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 … 21.

    Examples
    --------
    >>> round(contrast("#000000", "#ffffff"), 3)
    21.0
    """
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def legible(colour: str, ink: Ink) -> str:
    """Return the colour nearest to one, on the way to that of the text, that can be read on the page."""
    begin, end = (np.array([int(c[k : k + 2], 16) for k in (1, 3, 5)]) for c in (colour, ink.text))
    for share in np.linspace(0, 1, 21):
        mixed = "#" + "".join(f"{value:02x}" for value in np.round(begin + share * (end - begin)).astype(int))
        if contrast(mixed, ink.page) >= CONTRAST:
            return mixed
    return ink.text


ORIGINAL = Look("#7a7a7a", "#a8a8a8", "circle", "solid")


COMPRESSED = Look("#0072B2", "#56B4E9", "square", "solid")


ROUNDING = Look("#E69F00", "#E69F00", "diamond", "dot")


ERROR = Look("#D55E00", "#F0773A", "x", "solid")


BOUND = Look("#2f2d2b", "#edebe8", "line-ew-open", "dash")


UNMET = Look("#2f2d2b", "#edebe8", "x-thin-open", "dot")
"""A bound one of whose hypotheses fails."""


SECOND_BOUND = Look("#2f2d2b", "#edebe8", "line-ew-open", "dot")


METHODS: dict[str, Look] = {
    "frame": COMPRESSED,
    "frame-calibrated": Look("#004C78", "#9AD0F5", "square-open", "dash"),
    "frame-columns": Look("#3A8DBF", "#2E86C1", "square-x", "dashdot"),
    "frame-coded": Look("#005A5A", "#7FD1C7", "diamond-open", "longdash"),
    "round-to-nearest": ROUNDING,
    "gpfq": Look("#009E73", "#2BC79A", "triangle-up", "dashdot"),
    "spfq": Look("#CC79A7", "#DD9CC0", "star", "longdash"),
    "unified": Look("#56B4E9", "#8CCDF2", "pentagon", "longdashdot"),
    "gptq": Look("#8A7A00", "#F0E442", "cross", "solid"),
    "qronos": Look("#7a5195", "#b79ad0", "hexagon", "dash"),
    "magnitude-pruning": Look("#7a7a7a", "#a8a8a8", "circle-open", "dot"),
    "geta": Look("#000000", "#ffffff", "bowtie", "solid"),
}
"""A method is a colour, a marker and a dash, the same on every page."""


def faded(colour: str, share: float = 0.16) -> str:
    """Return a colour ``#rrggbb`` that lets so much of the page through, for bands."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"


CLEAR = "rgba(0,0,0,0)"
"""No colour of its own: the page shows through."""


FONT = '"Source Sans", "Source Sans Pro", system-ui, sans-serif'
"""The type of the pages."""


DENSITY = "Cividis"
"""The colour scale of heat maps: even in lightness, readable without colour."""


@functools.cache
def template(ink: Ink) -> dict[str, Any]:
    """Return the one place where axes, type, legend and backgrounds of all plots of a page are described."""
    axis: dict[str, Any] = {
        "gridcolor": ink.faint,
        "linecolor": ink.text,
        "zerolinecolor": ink.faint,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": ink.faint,
        "showline": False,
        "automargin": False,  # margins are fixed: fitting them would draw every plot twice
        "tickfont": {"size": 12, "color": ink.text},
        "title": {"font": {"size": 13, "color": ink.text}},
    }
    made: dict[str, Any] = go.layout.Template(
        layout={
            "xaxis": axis,
            "yaxis": axis,
            "font": {"color": ink.text, "size": 13, "family": FONT},
            "hoverlabel": {"bgcolor": ink.page, "bordercolor": ink.text, "font": {"color": ink.text, "size": 12}},
            "hovermode": "closest",
            "legend": {
                "orientation": "h",
                "yref": "container",
                "y": 1,
                "yanchor": "top",
                "xref": "container",
                "x": 0.02,
                "xanchor": "left",
                "title": {"text": ""},
            },
            "modebar": {"bgcolor": CLEAR, "color": ink.text, "activecolor": COMPRESSED.colour(ink)},
            "annotationdefaults": {"font": {"color": ink.text, "size": 13}},
        }
    ).to_plotly_json()
    return made


def _layout(ink: Ink, height: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 62, "r": 12, "t": 48, "b": 50, "autoexpand": False},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "template": template(ink),
    }


def figure(ink: Ink, *, height: int = 320, x: str = "", y: str = "", **layout: Any) -> go.Figure:
    """Return an empty figure in the house style.

    Parameters
    ----------
    ink : Ink
        The page's colours.
    height : int
        Pixels.
    x, y : str
        Axis titles, with units.
    **layout
        Further Plotly layout.
    """
    titles = {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
    return Drawing(layout=_layout(ink, height) | titles | layout)  # in one go: each later update costs milliseconds


def panes(ink: Ink, *, height: int, rows: int = 1, columns: int = 1, **grid: Any) -> go.Figure:
    """Return an empty figure of several plots that share their axes, in the house style.

    Parameters
    ----------
    ink : Ink
        The page's colours.
    height : int
        Pixels of all together.
    rows, columns : int
        How many plots.
    **grid
        For `plotly.subplots.make_subplots`.
    """
    grid = {"shared_xaxes": True, "shared_yaxes": columns > 1} | grid
    return Drawing(grid=plain_figure.grid(rows=rows, cols=columns, **grid), layout=_layout(ink, height))


def log_axis(low: float, high: float) -> dict[str, Any]:
    """Return a logarithmic axis from ``low`` to ``high`` whose ticks are written out in full.

    Examples
    --------
    >>> log_axis(0.3, 30)["ticktext"]
    ['0.5', '1', '2', '5', '10', '20']
    """
    low, high = max(low, 1e-300), max(high, low * 1.01, 1e-299)
    decades = math.log10(high / low)
    mantissas = (1, 2, 5) if decades <= 2.5 else (1,)
    stride = max(1, round(decades / 7))
    powers = [k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) if k % stride == 0]
    ticks = [m * 10.0**k for k in powers for m in mantissas if low <= m * 10.0**k <= high]
    return {
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [number(tick) for tick in ticks],
    }


def reach(values: Array) -> tuple[float, float] | None:
    """Return the smallest and the largest of all positive values, which a logarithmic axis has to hold."""
    known = values[np.isfinite(values) & (values > 0)]
    return (float(known.min()), float(known.max())) if len(known) else None


def decimate(values: Array, limit: int = DRAWN) -> Index:
    """Choose the points of a long trace to draw, keeping the extremes of every stretch.

    Parameters
    ----------
    values : ndarray, shape (n,)
        The trace.
    limit : int
        The most points to keep.

    Returns
    -------
    ndarray of int
        Increasing positions: all of them if ``n <= limit``, else the first, the last, and the
        smallest and the largest of each of about ``limit/2`` equal stretches.
    """
    length = len(values)
    if length <= limit:
        return np.arange(length)
    edges = np.linspace(0, length, (limit - 2) // 2 + 1).astype(int)
    stretch = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    kept = [np.array([0, length - 1])]
    for extreme in (np.minimum, np.maximum):
        there = (values == extreme.reduceat(values, edges[:-1])[stretch]) | np.isnan(values)  # a gap stays one
        places = np.flatnonzero(there)
        kept.append(places[np.unique(stretch[places], return_index=True)[1]])  # the first of each stretch
    return np.unique(np.concatenate(kept))


def mark_decimation(drawn: go.Figure, total: int, kept: int, ink: Ink) -> None:
    """Say on the plot that not all points are drawn."""
    if kept < total:
        drawn.add_annotation(
            text=f"{kept:,} of {total:,} points drawn, extremes kept",
            xref="paper",
            yref="paper",
            x=1,
            y=0,
            xanchor="right",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11, "color": ink.text},
        )


def band(drawn: go.Figure, x: Array, low: Array, high: Array, fill: str, **more: Any) -> None:
    """Fill what lies between two curves."""
    outline = np.concatenate([high, low[::-1]]).astype(np.float32)
    drawn.add_scatter(
        x=np.concatenate([x, x[::-1]]), y=outline, mode="lines", fill="toself", fillcolor=fill, hoverinfo="skip",
        **{"line": {"width": 0}, **more},
    )  # fmt: skip


def pane_title(drawn: go.Figure, text: str, row: int, col: int, ink: Ink, *, inside: bool = False) -> None:
    """Write what a pane shows above its left corner, or in it."""
    where = {"x": 0.01, "yanchor": "top"} if inside else {"x": 0, "yanchor": "bottom", "yshift": 3}
    drawn.add_annotation(
        text=text, row=row, col=col, xref="x domain", yref="y domain", y=1, xanchor="left", showarrow=False,
        font={"size": 13 if inside else 12, "color": ink.text}, **where,
    )  # fmt: skip


def level(drawn: go.Figure, y: float, text: str, line: dict[str, Any], ink: Ink) -> None:
    """Draw a line across the plot and say at its left end what lies there."""
    font = {"color": ink.text, "size": 12}
    note = {"text": text, "font": font, "xanchor": "left", "x": 0.005, "yanchor": "bottom"}
    drawn.add_hline(y=y, line=line, annotation=note)


def instead(drawn: go.Figure, text: str, ink: Ink) -> None:
    """Write a sentence where there is nothing to draw."""
    font = {"size": 14, "color": ink.text}
    drawn.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font=font)
    drawn.update_xaxes(visible=False)
    drawn.update_yaxes(visible=False)
