"""Draws the Pareto front of loss against size over all methods, and says who wins where."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz import asset
from sdqviz.array import Array, Index
from sdqviz.experiments.run import Run
from sdqviz.experiments.run_file import read_runs
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.entries import (
    AVERAGED,
    BASELINE,
    FIGURES,
    SHIPPED,
    Entry,
    Filter,
    accuracy_text,
    brushed,
    parse_brush,
    place,
    thinned,
    ticks,
    value_at,
)
from sdqviz.plots.panel import Panel
from sdqviz.plots.published import PAPER, Published
from sdqviz.plots.theme import Ink, Look

ADDRESS = "compare"
"""The page's address."""

SWEEPS = "sweeps"
"""Folder of shipped sweeps below the assets."""

DEFAULTS: dict[str, Any] = {
    "network": "mnist-fnn",
    "methods": "",
    "seeds": AVERAGED,
    "text": "",
    "brush": "",
    "size_axis": "bits",
    "loss_axis": "accuracy",
    "budget": 2.2,
    "published": True,
}
"""What the page shows at first."""

WITHIN = 0.005
"""Of the accuracy in float: what counts as unharmed."""


# -- runs -------------------------------------------------------------------------------------------


@functools.cache
def shipped() -> tuple[Run, ...]:
    """Return the runs of the shipped sweeps; read once."""
    files = sorted((asset.folder() / SWEEPS).glob("*.json.gz"))
    return tuple(run for file in files for run in read_runs(file))


def filter_of(choices: Mapping[str, Any]) -> Filter:
    """Read the filter from the parameters of the page's link."""
    chosen = DEFAULTS | dict(choices)
    methods = tuple(name for name in str(chosen["methods"]).split(",") if name)
    return Filter(str(chosen["network"]), methods, str(chosen["seeds"]), str(chosen["text"]))


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers the page shows for the parameters of its link, over the shipped runs alone."""
    chosen = DEFAULTS | dict(choices)
    points = filter_of(choices).chosen((run, SHIPPED) for run in shipped())
    points = brushed(points, parse_brush(str(chosen["brush"])))
    info = pareto_info(points, str(chosen["size_axis"]), str(chosen["loss_axis"]), float(chosen["budget"]))
    small, best = info.unharmed, info.best
    return {
        "runs": sum(len(one.runs) for one in points),
        "bits_per_weight": math.nan if small is None else small.values["bits"],
        "unharmed": "" if small is None else small.method,
        "best": "" if best is None else best.method,
        "accuracy_after": math.nan if best is None else best.values["accuracy"],
        "front": len(info.front),
    }


# -- the front --------------------------------------------------------------------------------------


def front(sizes: Array, losses: Array) -> Index:
    """Return the points that no other beats: none is at most as large and loses at most as much, and less in one.

    Parameters
    ----------
    sizes, losses : ndarray, shape (n,)
        Both better when smaller; a point with a NaN is never on the front.

    Returns
    -------
    ndarray of int
        Positions, by growing size; of equal points all are kept.

    Examples
    --------
    >>> front(np.array([1.0, 2.0, 3.0, 2.0]), np.array([5.0, 3.0, 3.0, 4.0])).tolist()
    [0, 1]
    """
    known = np.flatnonzero(~(np.isnan(sizes) | np.isnan(losses)))
    order = known[np.lexsort((losses[known], sizes[known]))]
    kept: list[int] = []
    for index in order.tolist():
        last = kept[-1] if kept else None
        same = last is not None and sizes[last] == sizes[index] and losses[last] == losses[index]
        if last is None or same or losses[index] < losses[last]:
            kept.append(index)
    return np.array(kept, int)


@dataclasses.dataclass(frozen=True, eq=False)
class Pareto:
    """Points with a size and a loss, and who wins where.

    Attributes
    ----------
    points : tuple of Entry
        Those that have both figures.
    size, loss : str
        Names of the figures.
    x, y : ndarray, shape (n,)
        Their values.
    front : ndarray of int
        Points no other beats, by growing size.
    rounding : ndarray of int
        Points of plain rounding that no other rounding beats.
    budget : float
        Bits per original weight.
    unharmed : Entry or None
        The smallest of those within `WITHIN` of the accuracy in float.
    best, best_rounding : Entry or None
        The most accurate within the budget: of all methods, and of plain rounding.
    """

    points: tuple[Entry, ...]
    size: str
    loss: str
    x: Array
    y: Array
    front: Index
    rounding: Index
    budget: float
    unharmed: Entry | None
    best: Entry | None
    best_rounding: Entry | None


def pareto_info(points: Sequence[Entry], size: str, loss: str, budget: float) -> Pareto:
    """Compute the front of all methods and of plain rounding, the smallest unharmed point and the best in a budget.

    Parameters
    ----------
    points : sequence of Entry
        What is compared.
    size, loss : str
        Names of figures, see `sdqviz.plots.entries.SIZES` and ``LOSSES``.
    budget : float
        Bits per original weight that may be spent.
    """
    known = tuple(one for one in points if not math.isnan(one.values[size] + one.values[loss]))
    x = np.array([one.values[size] for one in known])
    y = np.array([one.values[loss] for one in known])
    cost = -y if FIGURES[loss].grows else y
    of_rounding = np.array([place for place, one in enumerate(known) if one.method == BASELINE], int)
    unharmed = [one for one in points if one.values["lost"] <= WITHIN]
    inside = [one for one in points if one.values["bits"] <= budget and not math.isnan(one.values["accuracy"])]
    return Pareto(
        points=known,
        size=size,
        loss=loss,
        x=x,
        y=y,
        front=front(x, cost),
        rounding=of_rounding[front(x[of_rounding], cost[of_rounding])],
        budget=budget,
        unharmed=min(unharmed, key=lambda one: one.values["bits"], default=None),
        best=_most_accurate(inside),
        best_rounding=_most_accurate([one for one in inside if one.method == BASELINE]),
    )


def _most_accurate(points: Sequence[Entry]) -> Entry | None:
    return max(points, key=lambda one: (one.values["accuracy"], -one.values["bits"]), default=None)


def rounding_verdict(info: Pareto) -> str:
    """Say where plain rounding itself is on the front, or that it is nowhere."""
    if not len(info.rounding):
        return "No run of plain rounding is among these; add it to see what the effort buys."
    winners = [index for index in info.front if info.points[index].method == BASELINE]
    if not winners:
        return "Plain rounding is nowhere on the front: for each of its runs another is no larger and no worse."
    text = FIGURES[info.size].text
    where = ", ".join(text(info.x[index]) for index in winners[:8]) + (" …" if len(winners) > 8 else "")
    unit = " bits" if info.size == "bits" else ""
    own = "is its own" if len(winners) == 1 else "are its own"
    return f"Plain rounding wins at {where}{unit}: {len(winners)} of the {len(info.front)} points of the front {own}."


def headlines(points: Sequence[Entry], total: int, info: Pareto) -> list[tuple[str, str, str, str]]:
    """Return the three headline numbers as (label, value, note, help).

    Parameters
    ----------
    points : sequence of Entry
        What is shown, failed runs included.
    total : int
        How many runs there are before filtering.
    info : Pareto
        From `pareto_info`.
    """
    shown = sum(len(one.runs) for one in points)
    failed = sum(one.failed for one in points)
    note = f"of {total:,}; {len({one.method for one in points})} methods"
    if failed:
        note += f", {failed} failed"
    small, best, beside = info.unharmed, info.best, info.best_rounding
    limit = f"within {100 * WITHIN:g} points of float"
    against = ""
    if beside is not None and best is not None and beside is not best:
        against = f"; rounding {accuracy_text(beside.values['accuracy'])}"
    return [
        ("Runs shown", f"{shown:,}", note, "After the filters and the brush. Failed runs are rows of the table."),
        (
            f"Smallest {limit}",
            "none" if small is None else f"{number(small.values['bits'])} bits",
            "no run shown keeps that much" if small is None else f"{small.method}: {small.settings}",
            "Fewest bits per original weight, everything counted, of the runs shown whose test accuracy is at most "
            f"{100 * WITHIN:g} percentage points below that of the network in float. Found among these runs, hence no "
            "proof that nothing smaller exists.",
        ),
        (
            f"Best at {number(info.budget)} bits",
            "none" if best is None else best.method,
            "no run shown is that small"
            if best is None
            else f"{accuracy_text(best.values['accuracy'])} with {number(best.values['bits'])} bits{against}",
            "The highest test accuracy of the runs shown that cost at most the budget, in bits per original weight.",
        ),
    ]


# -- the Pareto plot --------------------------------------------------------------------------------


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
