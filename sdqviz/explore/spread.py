"""The same question asked with several seeds: how much of an answer is luck."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.compression.question import Question
from sdqviz.error import InputError
from sdqviz.explore import what_if
from sdqviz.explore.what_if import SHARED, Kept
from sdqviz.progress import Progress, ShouldStop, part, report, stop_if

MOST_SEEDS = 10
"""The most seeds that are run one after the other."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """The same question asked with several seeds.

    Attributes
    ----------
    seeds : ndarray of int, shape (n,)
        The seeds, one after the other.
    accuracies : ndarray, shape (n,)
        Test accuracy with each, 0 … 1; NaN without test data.
    errors : ndarray, shape (n,)
        Relative output error with each.
    """

    seeds: Index
    accuracies: Array
    errors: Array

    @property
    def tested(self) -> bool:
        """Whether there are accuracies."""
        return not bool(np.isnan(self.accuracies).any())

    @staticmethod
    def told(values: Array) -> tuple[float, float]:
        """Return mean and standard deviation (n − 1 in the denominator; NaN for a single value)."""
        return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan


def over_seeds(
    question: Question, count: int, progress: Progress | None = None, should_stop: ShouldStop | None = None,
    kept: Kept = SHARED,
) -> Spread:  # fmt: skip
    """Compress, measure and test with ``count`` seeds, from the question's own upwards; what is known is not run again.

    A seed decides everything that is drawn, the calibration inputs too, so each value is what `answer` reports for it.

    Parameters
    ----------
    question : Question
        What is asked.
    count : int
        How many seeds, 1 to `MOST_SEEDS`.
    progress, should_stop : callable, optional
        As everywhere.
    kept : Kept
        As for `answer`.

    Raises
    ------
    InputError
        If the count is out of range, or the choices do not fit the network.
    Stopped
        If asked to stop; finished seeds are kept.
    """
    if not 1 <= count <= MOST_SEEDS:
        raise InputError(f"seeds must be between 1 and {MOST_SEEDS}, got {count}")
    seeds = np.arange(question.seed, question.seed + count)
    found = []
    for place, seed in enumerate(seeds.tolist()):
        stop_if(should_stop)
        share = part(progress, place / count, (place + 1) / count, f"seed {seed}: ")
        found.append(_of_seed(dataclasses.replace(question, seed=seed), share, should_stop, kept))
    report(progress, 100, 100, "done")
    accuracies, errors = np.array(found).T
    return Spread(seeds, accuracies, errors)


def _of_seed(
    question: Question, progress: Progress | None, should_stop: ShouldStop | None, kept: Kept
) -> tuple[float, float]:
    """Return (accuracy, relative output error) of a question; the run itself is not kept."""
    found = kept.seeds.get(question)
    if found is not None:
        return found
    before = what_if.known(question, kept)
    if before is None:
        given = what_if.network(question.network, None, should_stop, kept)
        one = question.compress(given, progress, should_stop).report
    else:
        one = before.comparison.report
    accuracy = math.nan if one.accuracy_after is None else one.accuracy_after
    return kept.seeds.put(question, (accuracy, one.relative_output_error))
