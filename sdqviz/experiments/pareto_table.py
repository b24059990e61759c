"""The table of accuracy against size: a cell for each method and budget, and the sentences it proves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdqviz.experiments.sweep_plan import describe
from sdqviz.explore.tables import markdown
from sdqviz.methods.method import MethodChoice
from sdqviz.strict_json import write_json
from sdqviz.version import __version__

NETWORK = "mnist-fnn"
BUDGETS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
SLACK = 0.1
"""A budget of x bits per original weight is kept by what costs at most x + 0.1, everything counted."""

HELD_OUT = 10_000
"""Training images on which settings are judged; calibration inputs are drawn from the other 50,000 meanwhile."""

TUNED_ON = 0
"""The training run of the network whose settings serve the others too."""

ROUNDINGS, FRAMES = ("rounding, max", "rounding, MSE"), ("frame quantization", "spread frames")
"""Lines that correct no error by data: plain rounding, whose inputs at most choose its alphabet, and frames."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a method reaches within a budget.

    Attributes
    ----------
    line : str
        The method, a key of `LINES`.
    budget : float
        Bits per original weight, to be kept up to `SLACK`.
    method : MethodChoice or None
        The settings with the highest accuracy on the held-out training images; None if none keeps the budget.
    tuned : float
        That accuracy, 0 … 1.
    accuracies, bits : tuple of float
        Test accuracy and bits per original weight of each training run of the network.
    """

    line: str
    budget: float
    method: MethodChoice | None
    tuned: float = math.nan
    accuracies: tuple[float, ...] = ()
    bits: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Mean test accuracy."""
        return float(np.mean(self.accuracies)) if self.accuracies else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the test accuracy over the training runs, n − 1 in the denominator."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types; NaN as None."""
        return {
            "line": self.line,
            "budget": self.budget,
            "method": None if self.method is None else self.method.to_dict(),
            "tuned": None if math.isnan(self.tuned) else self.tuned,
            "accuracies": list(self.accuracies),
            "bits": list(self.bits),
        }


@dataclasses.dataclass(frozen=True)
class Table:
    """The table: a cell for each method and budget.

    Attributes
    ----------
    cells : tuple of Cell
        Method by method, within a method by budget.
    exact : tuple of float
        Test accuracy of each training run before compression.
    tried : int
        Settings that were tried, over all methods.
    """

    cells: tuple[Cell, ...]
    exact: tuple[float, ...]
    tried: int

    def cell(self, line: str, budget: float) -> Cell:
        """Return one cell."""
        return next(cell for cell in self.cells if (cell.line, cell.budget) == (line, budget))

    @property
    def lines(self) -> tuple[str, ...]:
        """The methods."""
        return tuple(dict.fromkeys(cell.line for cell in self.cells))

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets."""
        return tuple(dict.fromkeys(cell.budget for cell in self.cells))

    def to_markdown(self) -> str:
        """Return the table, what it says, and the settings that were chosen."""
        best = {budget: self._best(budget) for budget in self.budgets}
        head = ["method", *(f"budget {budget:g}" for budget in self.budgets)]
        rows = [
            [line, *(_text(self.cell(line, budget), best[budget] == line) for budget in self.budgets)]
            for line in self.lines
        ]
        notes = [
            f"Test accuracy in percent on {NETWORK}, mean ± standard deviation of {len(self.exact)} training runs "
            f"(in float {100 * np.mean(self.exact):.2f}); in brackets the bits per original weight, everything "
            f"counted. A budget of x bits allows x + {SLACK:g}. The best of a column is bold.",
            f"{self.tried} settings were judged by the accuracy on {HELD_OUT:,} training images with the network of "
            f"seed {TUNED_ON}; test images took no part.",
            *self._verdicts(),
        ]
        chosen = [
            f"- {cell.line}, {cell.budget:g}: {describe(cell.method)}" for cell in self.cells if cell.method is not None
        ]
        title = f"## Accuracy against size, {NETWORK}"
        return "\n".join(
            [
                title,
                "",
                markdown(head, rows),
                "",
                *(f"{note}\n" for note in notes),
                "Settings:",
                "",
                *chosen,
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {
            "network": NETWORK,
            "version": __version__,
            "slack": SLACK,
            "exact": list(self.exact),
            "tried": self.tried,
            "cells": [cell.to_dict() for cell in self.cells],
        }

    def write(self, folder: Path) -> None:
        """Write ``pareto.md`` and ``pareto.json``."""
        (folder / "pareto.md").write_text(self.to_markdown() + "\n", encoding="utf-8")
        (folder / "pareto.json").write_text(write_json(self.to_dict(), 1) + "\n", "utf-8")

    def _best(self, budget: float, lines: Sequence[str] | None = None) -> str:
        """Return the line of the highest mean accuracy, of those named or of all."""
        found = self.lines if lines is None else [line for line in lines if line in self.lines]
        return max(found, key=lambda line: _or_nothing(self.cell(line, budget).mean))

    def _verdicts(self) -> Iterator[str]:
        """Say who wins at each budget, and where frames win and lose against plain rounding without data."""
        if not (set(FRAMES) & set(self.lines) and set(ROUNDINGS) & set(self.lines)):
            return
        for budget in self.budgets:
            best, frame, other = (self.cell(self._best(budget, of), budget) for of in (None, FRAMES, ROUNDINGS))
            if frame.accuracies and other.accuracies:
                verb = "beats" if frame.mean > other.mean else "loses to"
                spread = max(_or_nothing(frame.deviation), _or_nothing(other.deviation))
                within = ", a difference within the spread" if abs(frame.mean - other.mean) < spread else ""
                first = "" if best is frame else f" The best of all is {best.line}: {_percent(best)}."
                yield (
                    f"At a budget of {budget:g} {frame.line} {verb} plain rounding: {_percent(frame)} against "
                    f"{_percent(other)} ({other.line}){within}.{first}"
                )
            elif best.accuracies:
                yield f"At a budget of {budget:g} the best of all is {best.line}: {_percent(best)}."


def _percent(cell: Cell) -> str:
    return f"{100 * cell.mean:.2f}"


def _or_nothing(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _text(cell: Cell, best: bool) -> str:
    if cell.method is None:
        return "none fits"
    spread = "" if math.isnan(cell.deviation) else f" ± {100 * cell.deviation:.2f}"
    number = f"{_percent(cell)}{spread}"
    return f"{f'**{number}**' if best else number} ({np.mean(cell.bits):.2f})"
