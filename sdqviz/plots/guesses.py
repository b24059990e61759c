"""Draws what a class guessed, and once it is revealed the answer beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.explore.wording import folded, number
from sdqviz.lessons.lesson import Curve, Lesson, Number, OneOf
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink

BINS = 20
"""Bars a range of numbers is cut into, at most."""

LONGEST = 16
"""Characters of an answer in one line below its bar."""


def draw_guesses(
    lesson: Lesson, guesses: Sequence[Any], truth: object, mine: object, ink: Ink, *, height: int = 300
) -> Panel:
    """Draw how many guessed what.

    Parameters
    ----------
    lesson : Lesson
        What was asked.
    guesses : sequence
        What was guessed, as the lesson reads it.
    truth : float, str, tuple or None
        The answer; None while it is not revealed.
    mine : float, str, list or None
        What the visitor who looks guessed.
    ink : Ink
        The page's colours.
    height : int
        Pixels.
    """
    asked = lesson.guess
    figure = theme.figure(ink, height=height, x=asked.label, y="guesses", bargap=0.15, showlegend=False)
    if isinstance(asked, OneOf):
        counted, columns = _options(figure, asked, guesses, truth, mine, ink)
    elif isinstance(asked, Number):
        counted, columns = _numbers(figure, asked, guesses, truth, mine, ink)
    else:
        return _curves(lesson, asked, guesses, truth, mine, ink, height)
    most = max((int(v) for v in columns["guesses"]), default=0)
    figure.update_yaxes(range=[0, max(4, 1.25 * most)], tick0=0, dtick=max(1, -(-most // 5)))
    return _panel(lesson, guesses, truth, figure, counted, columns)


def _panel(
    lesson: Lesson, guesses: Sequence[Any], truth: object, figure: Any, counted: str, columns: dict[str, Any]
) -> Panel:
    people = f"{len(guesses)} {'guess' if len(guesses) == 1 else 'guesses'}"
    return Panel(
        name=f"guesses-{lesson.name}",
        title="What the class guessed" if truth is None else "What the class guessed, and the answer",
        look=f"{people}{counted}.",
        alt=f"{people} to “{lesson.title}”{counted}.",
        figure=figure,
        formulas=[],
        table=lambda: columns,
    )


def _options(
    figure: Any, asked: OneOf, guesses: Sequence[Any], truth: object, mine: object, ink: Ink
) -> tuple[str, dict[str, Any]]:
    names = list(asked.options)
    counts = np.array([sum(one == name for one in guesses) for name in names])
    colours = [(theme.COMPRESSED if name == truth else theme.ORIGINAL).colour(ink) for name in names]
    told = ["the answer" if name == truth else "" for name in names]
    told = [" · ".join(filter(None, (t, "you" if name == mine else ""))) for t, name in zip(told, names, strict=True)]
    figure.add_bar(
        x=[folded(text, LONGEST) for text in asked.options.values()],
        y=counts,
        marker={"color": colours},
        text=[f"{count}{f' · {t}' if t else ''}" for count, t in zip(counts, told, strict=True)],
        textposition="outside",
        textfont={"color": ink.text, "size": 15},
        cliponaxis=False,
    )
    lines = max(folded(text, LONGEST).count("<br>") + 1 for text in asked.options.values())
    figure.update_xaxes(title_text="", tickangle=0)
    figure.update_layout(margin_b=16 + 17 * lines)
    counted = ""
    if truth is not None and len(guesses):
        counted = f": {counts[names.index(str(truth))]} chose “{asked.options[str(truth)]}”, which is the answer"
    return counted, {"answer": np.array(list(asked.options.values())), "guesses": counts}


def _numbers(
    figure: Any, asked: Number, guesses: Sequence[Any], truth: object, mine: object, ink: Ink
) -> tuple[str, dict[str, Any]]:
    bins = max(1, min(BINS, round((asked.high - asked.low) / asked.step)))
    counts, edges = np.histogram(np.asarray(guesses, float), bins, (asked.low, asked.high))
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2, y=counts, width=np.diff(edges), marker={"color": theme.ORIGINAL.colour(ink)}
    )
    low, high = asked.low, asked.high
    counted = "" if not len(guesses) else f", half of them up to {number(float(np.median(guesses)))}"
    if isinstance(mine, int | float):
        line = {"color": theme.ERROR.colour(ink), "width": 2, "dash": "dot"}
        figure.add_vline(x=mine, line=line, annotation={"text": f"you: {number(float(mine))}", "yanchor": "top"})
    if isinstance(truth, int | float):
        low, high = min(low, float(truth)), max(high, float(truth))
        line = {"color": theme.COMPRESSED.colour(ink), "width": 3}
        figure.add_vline(x=truth, line=line, annotation={"text": f"<b>{number(float(truth))}</b>", "yanchor": "bottom"})
        counted += f"; the answer is {number(float(truth))}"
    room = 0.03 * (high - low)
    figure.update_xaxes(range=[low - room, high + room])
    return counted, {"from": edges[:-1], "to": edges[1:], "guesses": counts}


def _curves(
    lesson: Lesson, asked: Curve, guesses: Sequence[Any], truth: object, mine: object, ink: Ink, height: int
) -> Panel:
    """Draw every curve thinly, the median of the class, and once it is revealed the answer."""
    drawn = np.array([asked.read(one) for one in guesses]).reshape(-1, len(asked.at))
    figure = theme.figure(ink, height=height, x=asked.unit, y=asked.label)
    gaps = np.full((len(drawn), 1), np.nan)
    figure.add_scatter(
        x=np.tile([*asked.at, np.nan], len(drawn)), y=np.hstack([drawn, gaps]).ravel(), mode="lines", name="guesses",
        line={"color": ink.faint, "width": 1.5}, hoverinfo="skip",
    )  # fmt: skip
    counted, columns = "", {"at": np.array(asked.at)}
    if len(drawn):
        median = np.median(drawn, axis=0)
        figure.add_scatter(x=asked.at, y=median, name="median", mode="lines+markers", line=theme.ORIGINAL.line(ink, 2))
        columns |= {"median": median, "low": drawn.min(axis=0), "high": drawn.max(axis=0)}
    if mine is not None:
        line = {"color": theme.ERROR.colour(ink), "width": 2, "dash": "dot"}
        figure.add_scatter(x=asked.at, y=asked.read(mine), name="you", mode="lines", line=line)
    if truth is not None:
        answer = asked.read(truth)
        figure.add_scatter(x=asked.at, y=answer, name="answer", mode="lines", line=theme.COMPRESSED.line(ink, 3))
        columns["answer"] = np.array(answer)
        if len(drawn):
            off = float(np.abs(np.median(drawn, axis=0) - answer).mean())
            counted = f"; the median is off by {number(off)} on average"
    return _panel(lesson, guesses, truth, figure, counted, columns)
