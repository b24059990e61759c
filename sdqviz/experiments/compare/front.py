"""Who wins where: the points no other beats, the smallest unharmed, the best within a budget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.experiments.compare.entry import BASELINE, Entry
from sdqviz.experiments.compare.figures import FIGURES, accuracy_text
from sdqviz.explore.wording import number

WITHIN = 0.005
"""Of the accuracy in float: what counts as unharmed."""


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


AS_NEAR = 1.02
"""Sizes that are this much further away count as equally near: the same bits with one scale a neuron or a layer."""


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
        The most accurate within the budget; and the plain rounding nearest to it in size, of equally near ones the
        most accurate.
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
        Names of figures, see `sdqviz.experiments.compare.figures.SIZES` and ``LOSSES``.
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
    best = _most_accurate(inside)
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
        best=best,
        best_rounding=_nearest(points, best),
    )


def _most_accurate(points: Sequence[Entry]) -> Entry | None:
    return max(points, key=lambda one: (one.values["accuracy"], -one.values["bits"]), default=None)


def _nearest(points: Sequence[Entry], best: Entry | None) -> Entry | None:
    """Return the plain rounding whose size is nearest to that of the best, on the same network."""
    if best is None:
        return None
    tested = [one for one in points if one.method == BASELINE and one.network == best.network]
    away = [
        (abs(math.log(one.values["bits"] / best.values["bits"])), one)
        for one in tested
        if not math.isnan(one.values["accuracy"]) and one.values["bits"] > 0
    ]
    if not away:
        return None
    nearest = min(distance for distance, _ in away) + math.log(AS_NEAR)
    return _most_accurate([one for distance, one in away if distance <= nearest])


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
        against = (
            f"; rounding nearest in size: {accuracy_text(beside.values['accuracy'])} with "
            f"{number(beside.values['bits'])} bits"
        )
    return [
        ("Runs shown", f"{shown:,}", note, "After the filters and the brush. Failed runs are rows of the table."),
        (
            f"Fewest bits {limit}",
            "none" if small is None else number(small.values["bits"]),
            "no run shown keeps that much" if small is None else f"{small.called}: {small.brief}",
            "Fewest bits per original weight, everything counted, of the runs shown whose test accuracy is at most "
            f"{100 * WITHIN:g} percentage points below that of the network in float. Found among these runs, hence no "
            "proof that nothing smaller exists.",
        ),
        (
            f"Best at {number(info.budget)} bits",
            "none" if best is None else accuracy_text(best.values["accuracy"]),
            "no run shown is that small"
            if best is None
            else f"{best.called} with {number(best.values['bits'])} bits{against}",
            "The highest test accuracy of the runs shown that cost at most the budget, in bits per original weight.",
        ),
    ]
