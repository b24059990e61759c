"""Draws the Pareto front of loss against size over all methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.experiments.compare import words
from sdqviz.experiments.compare.figures import FIGURES, place, ticks, value_at
from sdqviz.experiments.compare.filters import thinned
from sdqviz.experiments.compare.front import Pareto
from sdqviz.experiments.compare.published import PAPER, Published
from sdqviz.experiments.compare.table import front_table
from sdqviz.explore.wording import number
from sdqviz.methods import METHODS
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink, Look


def look_of(method: str) -> Look:
    """Return the look of a method; grey for one that the table does not know."""
    return theme.METHODS.get(method, theme.ORIGINAL)


def draw_pareto(
    info: Pareto, ink: Ink, *, marked: Mapping[str, str] | None = None, prints: Sequence[Published] = ()
) -> Panel:
    """Draw every point, the front of all methods, and that of plain rounding beside it.

    Parameters
    ----------
    info : Pareto
        From `pareto_info`.
    ink : Ink
        Colours.
    marked : mapping of str to str, optional
        Letters of points by the key of one of their runs.
    prints : sequence of Published
        Reference marks; drawn where both axes suit them.
    """
    size, loss = FIGURES[info.size], FIGURES[info.loss]
    prints = prints if (info.size, info.loss) == ("bits", "accuracy") else ()
    x, y = place(info.size, info.x), place(info.loss, info.y)
    across = [*x, *place("bits", [one.bits for one in prints])]
    up = [*y, *place("accuracy", [one.accuracy for one in prints]), *_float_level(info)]
    entered = len({one.method for one in info.points}) + bool(prints)  # two beside each other in a narrow window
    figure = theme.figure(ink, height=520, x=size.title, y=loss.title)
    figure.update_layout(
        margin={"t": 20 + 19 * math.ceil(entered / 2), "l": 70},
        xaxis=axis_of(info.size, across, 10),
        yaxis=axis_of(info.loss, up),
    )
    for level in _float_level(info):
        text = f"in float {FIGURES['accuracy'].text(value_at('accuracy', level))}"
        theme.level(figure, level, text, {"color": theme.ORIGINAL.colour(ink), "width": 1.5}, ink)
    _draw_front(figure, x, y, info.rounding, "front, rounding", theme.ROUNDING.line(ink, 2))
    _draw_front(figure, x, y, info.front, "front, all", {"color": ink.text, "width": 2})
    on_front, left_out = set(info.front.tolist()), 0
    for method in sorted({one.method for one in info.points}, key=order_of):
        every = [index for index, one in enumerate(info.points) if one.method == method]
        own = thinned(every, theme.DRAWN, on_front)
        left_out += len(every) - len(own)
        look, called = look_of(method), METHODS.called_shortly(method)
        figure.add_scatter(  # the legend shows the method at full strength
            x=[None], y=[None], mode="markers", name=called, legendgroup=method, marker=look.marker(ink, 9)
        )
        figure.add_scatter(
            x=x[own], y=y[own], mode="markers", name=called, legendgroup=method, showlegend=False,
            marker=look.marker(ink, 9) | {
                "opacity": [1.0 if index in on_front else 0.5 for index in own],
                "line": {"color": ink.text, "width": [1.2 if index in on_front else 0 for index in own]},
            },
            customdata=[[info.points[index].key] for index in own],
            text=[words.hover(info.points[index]) for index in own], hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    theme.mark_decimation(figure, len(info.points), len(info.points) - left_out, ink)
    _draw_published(figure, prints, ink)
    _draw_letters(figure, info, x, y, marked or {}, ink)
    return Panel(
        name="pareto",
        title=f"{loss.short.capitalize()} against {size.short}",
        look=words.look(info, bool(prints)),
        alt=words.alt(info),
        figure=figure,
        formulas=words.formulas(info, prints),
        table=lambda: front_table(info),
    )


def order_of(method: str) -> tuple[int, str]:
    """Return the key that sorts methods as the table of looks does, unknown ones last."""
    names = list(theme.METHODS)
    return (names.index(method) if method in names else len(names), method)


def axis_of(name: str, positions: Array | Sequence[float], most: int = 9, room: float = 0.04) -> dict[str, Any]:
    """Return the axis of a figure that holds all positions that are known, with a share of room at either end."""
    known = [position for position in positions if not math.isnan(position)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    pad = room * max(high - low, 0.2)
    at, texts = ticks(name, low - pad, high + pad, most)
    return {"range": [low - pad, high + pad], "tickvals": at, "ticktext": texts}


def _float_level(info: Pareto) -> list[float]:
    """Return where the accuracy in float is drawn; of several networks there is no single one."""
    if info.loss != "accuracy" or len({one.network for one in info.points}) != 1:
        return []
    befores = [run.report.accuracy_before for one in info.points for run in one.runs if run.report is not None]
    known = [value for value in befores if value is not None]
    return [float(place("accuracy", [float(np.mean(known))])[0])] if known else []


def _draw_front(figure: Any, x: Array, y: Array, kept: Index, name: str, line: dict[str, Any]) -> None:
    """Draw a front as stairs: what a point reaches, every larger size reaches too."""
    if not len(kept):
        return
    figure.add_scatter(
        x=x[kept], y=y[kept], mode="lines", name=name, line=line | {"shape": "hv"}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip


def _draw_published(figure: Any, prints: Sequence[Published], ink: Ink) -> None:
    if not prints:
        return
    y = place("accuracy", [one.accuracy for one in prints])
    above = place("accuracy", [min(one.accuracy + one.deviation, 1.0) for one in prints]) - y
    below = y - place("accuracy", [one.accuracy - one.deviation for one in prints])
    figure.add_scatter(
        x=place("bits", [one.bits for one in prints]), y=y, mode="markers", name="published",
        marker={"symbol": "square-open", "size": 9, "color": ink.text, "line": {"width": 1.5}},
        error_y={"type": "data", "array": above, "arrayminus": below, "color": ink.faint, "thickness": 1.5, "width": 3},
        text=[f"published: N = {one.size}, {100 * one.accuracy:.2f} ± {100 * one.deviation:.2f} %<br>"
              f"{PAPER}<br>{number(one.bits)} bits with the widths of our network" for one in prints],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def _draw_letters(figure: Any, info: Pareto, x: Array, y: Array, marked: Mapping[str, str], ink: Ink) -> None:
    for index, one in enumerate(info.points):
        letters = [letter for key, letter in marked.items() if any(run.key == key for run in one.runs)]
        if letters:
            figure.add_annotation(
                x=x[index], y=y[index], text=f"<b>{', '.join(sorted(letters))}</b>", showarrow=True, arrowhead=0,
                ax=18, ay=-18, arrowcolor=ink.text, font={"color": ink.text, "size": 14}, bgcolor=ink.page,
                bordercolor=ink.text, borderpad=2,
            )  # fmt: skip
