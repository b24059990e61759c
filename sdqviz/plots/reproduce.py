"""Draws the recomputed tables and figures of the paper, each into one page that opens offline."""

from __future__ import annotations

import html
import math
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from sdqviz.experiments.paper.result import Result
from sdqviz.plots import theme

RULE_DASHES = ("solid", "dash", "dashdot", "dot")
SYMBOLS = ("square", "circle", "diamond", "triangle-up", "cross", "pentagon", "star", "hexagon")

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; color: #2f2d2b;
  background: #fff; }}
h1 {{ font-size: 1.3rem; }} .table {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
</style></head><body>
<h1>{title}</h1>
<div role="img" aria-label="{alt}">{figure}</div>
<div class="table">{table}</div>
<ul>{notes}</ul>
</body></html>
"""


def figure(result: Result, ink: theme.Ink | None = None) -> go.Figure:
    """Draw a table or figure: one curve a line, published numbers in grey.

    Parameters
    ----------
    result : Result
        From `sdqviz.experiments.paper.reproduce.run`.
    ink : Ink, optional
        Colours of the page; those of a light page by default.
    """
    ink = ink or theme.Ink()
    curves = [line for line in result.lines if line.kind != "bits"]
    title = {"accuracy": "accuracy on the test images, %", "error": _error_title(result)}[curves[0].kind]
    drawn = theme.figure(ink, height=460, x="frame size N", y=title)
    ours = [line for line in curves if not line.published]
    by_step = any("δ = " in line.label for line in ours)
    ends = (0.35, 1.0) if ink.dark else (0.05, 0.8)  # what stands out on the page
    colours = sample_colorscale(theme.DENSITY, list(np.linspace(*ends, max(len(ours), 2))))
    for line in curves:
        sizes = [n for n in result.sizes if line.values.get(n)]
        if line.published:
            colour, dash, symbol = theme.ORIGINAL.colour(ink), "solid", theme.ORIGINAL.symbol
        else:
            place = ours.index(line)
            colour = colours[place] if by_step else theme.COMPRESSED.colour(ink)
            dash, symbol = RULE_DASHES[0 if by_step else place % len(RULE_DASHES)], SYMBOLS[place % len(SYMBOLS)]
        drawn.add_scatter(
            x=sizes,
            y=[line.mean(n) for n in sizes],
            error_y={
                "type": "data",
                "array": [_finite(line.spread.get(n)) for n in sizes],
                "visible": True,
                "width": 3,
            },
            mode="lines+markers",
            name=line.label,
            line={"color": colour, "dash": dash},
            marker={"color": colour, "symbol": symbol, "size": 8},
        )
    drawn.update_layout(legend={"orientation": "v", "y": -0.22, "yanchor": "top"})
    if result.name == "figure1":
        drawn.update_yaxes(type="log")
        drawn.update_xaxes(type="log")
    return drawn


def alt_text(result: Result) -> str:
    """Say in words and numbers what the plot of a result shows."""
    parts = []
    for line in result.lines:
        sizes = [n for n in result.sizes if line.values.get(n)]
        if sizes and line.kind != "bits":
            first, last = sizes[0], sizes[-1]
            parts.append(f"{line.label}: {line.cell_text(first)} at N = {first}, {line.cell_text(last)} at N = {last}")
    return f"{result.title}. " + "; ".join(parts) + "."


def write_html(result: Result, folder: Path) -> Path:
    """Write ``<name>.html`` with plot, table and notes; it needs no network. Return its path."""
    header, *rows = result.table()
    head = "<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in header) + "</tr>"
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    page = PAGE.format(
        title=html.escape(result.title),
        alt=html.escape(alt_text(result)),
        figure=figure(result).to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False}),
        table=f"<table>{head}{body}</table>",
        notes="".join(f"<li>{html.escape(note)}</li>" for note in result.notes),
    )
    path = folder / f"{result.name}.html"
    path.write_text(page, encoding="utf-8")
    return path


def _error_title(result: Result) -> str:
    return "max‖f(x)−f_Q(x)‖" if result.name == "figure1" else "log(mean error) − log δ + log N"


def _finite(spread: float | None) -> float:
    return 0.0 if spread is None or not math.isfinite(spread) else spread
