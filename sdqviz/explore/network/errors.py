"""What each layer of a compressed network loses, with plain rounding beside."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.network.words import bits_text
from sdqviz.explore.rounding_beside import Comparison
from sdqviz.explore.wording import number
from sdqviz.report import Report


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """Errors of all layers by one way of storing them.

    Attributes
    ----------
    name : str
        For the legend.
    same_input, propagated : ndarray, shape (layers,)
        Relative errors; of weights alone, ``same_input`` is that of the weights and ``propagated`` is NaN.
    """

    name: str
    same_input: Array
    propagated: Array


def errors_info(found: Comparison) -> list[Series]:
    """Return the errors per layer: the run, and plain rounding with both fits."""

    def series(report: Report, name: str) -> Series:
        same = [row.relative_error if report.inputs else row.weight_error for row in report.layers]
        return Series(name, np.array(same), np.array([row.propagated_error for row in report.layers]))

    beside = found.rounding
    return [
        series(found.report, found.report.method["name"]),
        *(series(one, f"rounding, {bits_text(beside, fit)}, {fit}") for fit, one in beside.reports.items()),
    ]


def told(found: Comparison) -> str:
    """Write the errors of every layer, those of the better rounding beside."""
    mine, *rounded = errors_info(found)
    best = rounded[[*found.rounding.reports].index(found.rounding.best_fit)]
    names = [row.name for row in found.report.layers]
    if found.report.inputs:
        rows = "; ".join(
            f"{name} {number(a)} and {number(b)}, rounding {number(c)}"
            for name, a, b, c in zip(names, mine.same_input, mine.propagated, best.same_input, strict=True)
        )
        return f"Relative error per layer, same input and propagated. {rows}."
    rows = "; ".join(
        f"{name} {number(a)}, rounding {number(c)}"
        for name, a, c in zip(names, mine.same_input, best.same_input, strict=True)
    )
    return f"Relative error of the weights per layer. {rows}."
