"""Draws the Pareto front of loss against size over all methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.experiments.compare.entry import Entry
from sdqviz.experiments.compare.figures import FIGURES, place, ticks, value_at
from sdqviz.experiments.compare.filters import thinned
from sdqviz.experiments.compare.front import Pareto, rounding_verdict
from sdqviz.experiments.compare.published import PAPER, Published
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number
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
        xaxis=_axis(info.size, across, 10),
        yaxis=_axis(info.loss, up, 9),
        clickmode="event",
    )
    _draw_float(figure, info, ink)
    _draw_front(figure, x, y, info.rounding, "front, rounding", theme.ROUNDING.line(ink, 2))
    _draw_front(figure, x, y, info.front, "front, all", {"color": ink.text, "width": 2})
    on_front, left_out = set(info.front.tolist()), 0
    for method in sorted({one.method for one in info.points}, key=order_of):
        every = [index for index, one in enumerate(info.points) if one.method == method]
        own = thinned(every, theme.DRAWN, on_front)
        left_out += len(every) - len(own)
        look = look_of(method)
        figure.add_scatter(  # the legend shows the method at full strength
            x=[None], y=[None], mode="markers", name=method, legendgroup=method, marker=look.marker(ink, 9)
        )
        figure.add_scatter(
            x=x[own], y=y[own], mode="markers", name=method, legendgroup=method, showlegend=False,
            marker=look.marker(ink, 9) | {
                "opacity": [1.0 if index in on_front else 0.5 for index in own],
                "line": {"color": ink.text, "width": [1.2 if index in on_front else 0 for index in own]},
            },
            customdata=[[info.points[index].key] for index in own],
            text=[hover(info.points[index]) for index in own], hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    theme.mark_decimation(figure, len(info.points), len(info.points) - left_out, ink)
    _draw_published(figure, prints, ink)
    _draw_letters(figure, info, x, y, marked or {}, ink)
    return Panel(
        name="pareto",
        title=f"{loss.short.capitalize()} against {size.short}",
        look=_pareto_look(info, bool(prints)),
        alt=_pareto_alt(info),
        figure=figure,
        formulas=_pareto_formulas(info, prints),
        table=lambda: _pareto_table(info),
    )


def order_of(method: str) -> tuple[int, str]:
    """Return the key that sorts methods as the table of looks does, unknown ones last."""
    names = list(theme.METHODS)
    return (names.index(method) if method in names else len(names), method)


def _axis(name: str, positions: Sequence[float], most: int) -> dict[str, Any]:
    known = [position for position in positions if not math.isnan(position)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    pad = 0.04 * max(high - low, 0.2)
    at, texts = ticks(name, low - pad, high + pad, most)
    return {"range": [low - pad, high + pad], "tickvals": at, "ticktext": texts}


def _float_level(info: Pareto) -> list[float]:
    """Return where the accuracy in float is drawn; of several networks there is no single one."""
    if info.loss != "accuracy" or len({one.network for one in info.points}) != 1:
        return []
    befores = [run.report.accuracy_before for one in info.points for run in one.runs if run.report is not None]
    known = [value for value in befores if value is not None]
    return [float(place("accuracy", [float(np.mean(known))])[0])] if known else []


def _draw_float(figure: Any, info: Pareto, ink: Ink) -> None:
    for level in _float_level(info):
        figure.add_hline(
            y=level, line={"color": theme.ORIGINAL.colour(ink), "width": 1.5},
            annotation={
                "text": f"in float {FIGURES['accuracy'].text(value_at('accuracy', level))}",
                "font": {"color": ink.text, "size": 12}, "xanchor": "left", "x": 0.005, "yanchor": "bottom",
            },
        )  # fmt: skip


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


def hover(one: Entry) -> str:
    """Write what a point tells when it is pointed at."""
    lines = [f"<b>{one.method}</b>, {one.network}", one.settings.replace(", ", "<br>")]
    for name in ("bits", "accuracy", "error"):
        value, spread = one.values[name], one.spread(name)
        more = "" if math.isnan(spread) else f" ± {FIGURES[name].text(spread)}"
        lines.append(f"{FIGURES[name].title}: {FIGURES[name].text(value)}{more}")
    seeds = f"mean of {len(one.runs)} seeds" if len(one.runs) > 1 else f"seed {one.run.seed}"
    return "<br>".join([*lines, f"{seeds}, {one.origin}"])


def _pareto_look(info: Pareto, prints: bool) -> str:
    better = "Up and to the left is better" if FIGURES[info.loss].grows else "Down and to the left is better"
    networks = sorted({one.network for one in info.points})
    several = f" Points of {len(networks)} networks share one front here." if len(networks) > 1 else ""
    told = f"{better}. Solid: the front of all methods, dotted: that of rounding. {rounding_verdict(info)}{several}"
    return told + (" Hollow squares: published 1-bit frames, at the bits our widths would cost." if prints else "")


def _pareto_alt(info: Pareto) -> str:
    if not len(info.front):
        return "0 points to draw."
    loss, size = FIGURES[info.loss], FIGURES[info.size]
    ends = [
        f"{loss.text(info.y[index])} at {size.text(info.x[index])} ({info.points[index].method})"
        for index in (info.front[0], info.front[-1])
    ]
    return (
        f"{len(info.points)} points, {len(info.front)} of them on the front of {loss.title} against {size.title}, "
        f"which runs from {ends[0]} to {ends[1]}. {rounding_verdict(info)}"
    )


def _pareto_formulas(info: Pareto, prints: Sequence[Published]) -> list[Formula]:
    sign = r"\ge" if FIGURES[info.loss].grows else r"\le"
    strict = ">" if FIGURES[info.loss].grows else "<"
    found = [
        Formula(
            rf"i\text{{ is on the front}}\iff\nexists j:\;s_j\le s_i,\;\ell_j{sign}\ell_i,"
            rf"\;(s_j<s_i\ \text{{or}}\ \ell_j{strict}\ell_i)",
            [
                ("s", FIGURES[info.size].title, ""),
                (r"\ell", FIGURES[info.loss].title, ""),
                ("n", "points", str(len(info.points))),
                (r"\lvert\text{front}\rvert", "points on the front", str(len(info.front))),
            ],
            "Measured runs only: the front says what was found, not what is possible. A front of averages over seeds "
            "is fairer than one of single runs, which keeps the luckiest.",
        )
    ]
    if prints:
        first = prints[0]
        found.append(
            Formula(
                r"b=N\,\frac{\sum_\ell c_\ell}{\sum_\ell d_\ell c_\ell}",
                [
                    ("N", "frame size, one-bit levels a column", str(first.size)),
                    (
                        r"d_\ell\times c_\ell",
                        "weights of a layer, with our widths; the paper does not print its own",
                        "",
                    ),
                    ("b", "bits per original weight at that N", number(first.bits)),
                ],
                f"{PAPER}, Tables 3 and 4: mean and standard deviation over 10 networks, as printed.",
            )
        )
    return found


def _pareto_table(info: Pareto) -> dict[str, Array]:
    on_front = set(info.front.tolist())
    columns: dict[str, Array] = {
        "method": np.array([one.method for one in info.points]),
        "settings": np.array([one.settings for one in info.points]),
        "network": np.array([one.network for one in info.points]),
        "runs": np.array([len(one.runs) for one in info.points]),
        "on_front": np.array([index in on_front for index in range(len(info.points))]),
    }
    for name in FIGURES:
        columns[name] = np.array([one.values[name] for one in info.points])
        columns[f"{name}_deviation"] = np.array([one.spread(name) for one in info.points])
    return columns
