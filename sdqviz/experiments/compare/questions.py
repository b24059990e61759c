"""Five questions people ask of many runs, each answered by a sentence from the runs at hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from sdqviz.experiments.compare.entry import BASELINE, Entry
from sdqviz.experiments.compare.figures import accuracy_text
from sdqviz.explore.wording import number, percent


@dataclasses.dataclass(frozen=True)
class Amounts:
    """What the questions leave open.

    Attributes
    ----------
    accuracy : float
        Test accuracy to keep, 0 … 1.
    bits : float
        Bits per original weight that may be spent.
    zeros : float
        Share of zero weights that is wanted, 0 … 1.
    """

    accuracy: float = 0.975
    bits: float = 2.2
    zeros: float = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Said:
    """An answer.

    Attributes
    ----------
    sentence : str
        In words; it names sizes and accuracies of what it speaks of.
    entries : tuple of Entry
        The points it speaks of, the answer first.
    """

    sentence: str
    entries: tuple[Entry, ...] = ()


def told(one: Entry) -> str:
    """Name a point with its size and accuracy."""
    where = "" if one.settings == "as is" else f" ({one.brief})"
    return f"{one.called}{where}: {accuracy_text(one.values['accuracy'])} with {number(one.values['bits'])} bits"


def _tested(points: Sequence[Entry]) -> list[Entry]:
    return [one for one in points if not math.isnan(one.values["accuracy"] + one.values["bits"])]


def _best(points: Sequence[Entry]) -> Entry | None:
    return max(points, key=lambda one: (one.values["accuracy"], -one.values["bits"]), default=None)


def _smallest(points: Sequence[Entry]) -> Entry | None:
    return min(points, key=lambda one: (one.values["bits"], -one.values["accuracy"]), default=None)


def smallest(points: Sequence[Entry], amounts: Amounts) -> Said:
    """Answer which file is the smallest with at least so much accuracy."""
    goal = f"at least {accuracy_text(amounts.accuracy)}"
    found = _smallest([one for one in _tested(points) if one.values["accuracy"] >= amounts.accuracy])
    if found is None:
        best = _best(_tested(points))
        nearest = "" if best is None else f" The most accurate is {told(best)}."
        return Said(f"No run here keeps {goal}.{nearest}", () if best is None else (best,))
    return Said(f"The smallest that keeps {goal} is {told(found)}.", (found,))


def best_within(points: Sequence[Entry], amounts: Amounts) -> Said:
    """Answer what is most accurate within so many bits."""
    limit = f"at most {number(amounts.bits)} bits"
    found = _best([one for one in _tested(points) if one.values["bits"] <= amounts.bits])
    if found is None:
        return Said(f"No run here costs {limit}.")
    return Said(f"The most accurate that costs {limit} is {told(found)}.", (found,))


def bits_and_zeros(points: Sequence[Entry], amounts: Amounts) -> Said:
    """Answer what is most accurate with at most so many bits and at least so many zeros."""
    both = f"at most {number(amounts.bits)} bits and at least {percent(amounts.zeros)} zeros"
    found = _best(
        [one for one in _tested(points) if one.values["bits"] <= amounts.bits and one.values["zeros"] >= amounts.zeros]
    )
    if found is None:
        return Said(f"No run here has {both}.")
    return Said(f"The most accurate with {both} is {told(found)}, {percent(found.values['zeros'])} zeros.", (found,))


def one_more_bit(points: Sequence[Entry], amounts: Amounts) -> Said:
    """Answer what one more bit per weight buys."""
    few = best_within(points, amounts).entries
    many = best_within(points, dataclasses.replace(amounts, bits=amounts.bits + 1)).entries
    if not few or not many:
        return Said(f"No run here costs at most {number(amounts.bits + (1 if not many else 0))} bits.", many)
    gain = 100 * (many[0].values["accuracy"] - few[0].values["accuracy"])
    if many[0] is few[0]:
        return Said(f"One more bit buys nothing among these runs: {told(few[0])} stays the best.", few)
    return Said(f"One more bit buys {gain:.2f} points: from {told(few[0])} to {told(many[0])}.", (*many, *few))


def price_of_rounding(points: Sequence[Entry], amounts: Amounts) -> Said:
    """Answer how many bits plain rounding needs for what the best reaches within so many."""
    best = best_within(points, amounts).entries
    if not best:
        return Said(f"No run here costs at most {number(amounts.bits)} bits.")
    if best[0].method == BASELINE:
        return Said(f"Plain rounding is itself the best there: {told(best[0])}.", best)
    reached = [one for one in _tested(points) if one.method == BASELINE]
    enough = _smallest([one for one in reached if one.values["accuracy"] >= best[0].values["accuracy"]])
    if enough is None:
        return Said(f"No plain rounding here reaches what {told(best[0])} gives.", best)
    more = enough.values["bits"] - best[0].values["bits"]
    return Said(
        f"Plain rounding needs {number(enough.values['bits'])} bits for it, {number(abs(more))} "
        f"{'more' if more >= 0 else 'fewer'}: {told(enough)}, against {told(best[0])}.",
        (enough, *best),
    )


QUESTIONS: Mapping[str, tuple[str, tuple[str, ...], Callable[[Sequence[Entry], Amounts], Said]]] = {
    "smallest": ("What is the smallest file with an accuracy of at least x?", ("accuracy",), smallest),
    "best": ("What is the most accurate within x bits?", ("bits",), best_within),
    "zeros": ("What is the most accurate with x bits and y zeros?", ("bits", "zeros"), bits_and_zeros),
    "bit": ("What does one more bit buy, from x bits?", ("bits",), one_more_bit),
    "rounding": ("How many bits does plain rounding need for the same as x bits?", ("bits",), price_of_rounding),
}
"""By name: the question, the amounts it leaves open, and what answers it."""
