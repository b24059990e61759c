"""Draws the answer of a lesson: what the engine found and what was guessed, in one plot."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from sdqviz.array import Array
from sdqviz.explore.wording import number
from sdqviz.lessons.lesson import Curve, Lesson, OneOf, Reveal, Series
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink, Look

LOOKS: dict[str, Look] = {
    "ours": theme.COMPRESSED,
    "rounding": theme.ROUNDING,
    "bound": theme.BOUND,
    "original": theme.ORIGINAL,
    **theme.METHODS,
}


def draw_reveal(lesson: Lesson, found: Reveal, guessed: object, ink: Ink) -> Panel:
    """Draw the answer, and the guess on its axis where it is a number of the plot.

    Parameters
    ----------
    lesson : Lesson
        The lesson.
    found : Reveal
        What the engine found.
    guessed : float, str or None
        The guess.
    ink : Ink
        The page's colours.
    """
    figure = theme.figure(ink, height=380, x=found.x_title, y=found.y_title)
    for one in found.series:
        look = LOOKS[one.meaning]
        if one.x.dtype.kind in "US" and found.log_y:  # a bar has no foot on a logarithmic axis
            figure.add_scatter(x=one.x, y=one.y, name=one.name, mode="markers", marker=look.marker(ink, 12))
        elif one.x.dtype.kind in "US":
            figure.add_bar(x=one.x, y=one.y, name=one.name, marker={"color": look.colour(ink)})
        else:
            kept = theme.decimate(one.y)
            figure.add_scatter(x=one.x[kept], y=one.y[kept], name=one.name, mode="lines", line=look.line(ink, 2))
    for axis, is_log, values in (("x", found.log_x, "x"), ("y", found.log_y, "y")):
        if is_log:
            low, high = _range(found.series, values)
            figure.update_layout({f"{axis}axis": theme.log_axis(low, high)})
    if found.guess_axis and isinstance(guessed, int | float):
        _mark(figure, found.guess_axis, float(guessed), f"your guess {number(float(guessed))}", ink)
    if isinstance(lesson.guess, Curve):
        truth = lesson.guess.read(found.truth)
        figure.add_scatter(x=lesson.guess.at, y=truth, mode="markers", marker=_answer(ink), showlegend=False)
        if guessed is not None:
            _sketch(figure, lesson.guess, guessed, ink)
    told = "" if guessed is None else f" {lesson.surprise(guessed, found)}"
    return Panel(
        name=f"lesson-{lesson.name}",
        title=lesson.title,
        look=found.sentence,
        alt=f"{lesson.title}. {found.sentence}{told}",
        figure=figure,
        formulas=[],
        table=lambda: _columns(found.series),
    )


def _sketch(figure: go.Figure, asked: Curve, values: object, ink: Ink) -> None:
    look = {"color": theme.ERROR.colour(ink), "width": 2, "dash": "dot"}
    figure.add_scatter(
        x=asked.at, y=asked.read(values), name="your guess", mode="lines+markers", line=look,
        marker=theme.ERROR.marker(ink, 9),
    )  # fmt: skip


def _answer(ink: Ink) -> dict[str, object]:
    return {"color": ink.page, "size": 11, "line": {"color": theme.COMPRESSED.colour(ink), "width": 3}}


def _mark(figure: go.Figure, axis: str, value: float, text: str, ink: Ink) -> None:
    line = {"color": theme.ERROR.colour(ink), "width": 2, "dash": "dot"}
    drawn = figure.add_vline if axis == "x" else figure.add_hline
    drawn(**{axis: value}, line=line, annotation={"text": text, "font": {"color": ink.text, "size": 13}})


def _range(series: tuple[Series, ...], axis: str) -> tuple[float, float]:
    low, high = theme.reach(np.concatenate([np.asarray(getattr(one, axis), float) for one in series])) or (1.0, 10.0)
    return low / 1.3, high * 1.3


def _columns(series: tuple[Series, ...]) -> dict[str, Array]:
    columns: dict[str, Array] = {}
    for one in series:
        columns[f"{one.name}, x"] = one.x
        columns[one.name] = one.y
    return columns


def answer_in_words(lesson: Lesson, found: Reveal) -> str:
    """Say the answer alone."""
    if isinstance(lesson.guess, OneOf):
        return lesson.guess.options[str(found.truth)]
    if isinstance(found.truth, tuple):
        return ", ".join(number(value) for value in found.truth)
    return number(float(found.truth))
