"""A run beside its baselines and the original, as points and as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.explore.geta.run import figures
from sdqviz.explore.geta.words import accuracy, unbroken
from sdqviz.explore.tables import markdown
from sdqviz.explore.wording import number, percent
from sdqviz.methods import METHODS
from sdqviz.methods.geta.recording import Recording


@dataclasses.dataclass(frozen=True)
class Mark:
    """One way of making the network smaller, as a point; its method by its name, the original has none."""

    label: str
    method: str
    accuracy: float | None
    relative_bops: float
    bits_per_weight: float
    sparsity: float


def marks(run: Recording) -> list[Mark]:
    """Return the run and its baselines as points, the run first."""
    found, report = figures(run), run.report or {}
    bits = found.bits_per_weight if found.bits_per_weight is not None else float("nan")
    share = found.removed / found.units if found.units else 0.0
    own = Mark("GETA", "geta", found.accuracy_after, found.relative_bops, bits, share)
    others = [
        Mark(one.label, _method(one.label), one.accuracy, one.relative_bops, one.bits_per_weight, one.sparsity)
        for one in run.beside
    ]
    before = report.get("accuracy_before", run.accuracy_before)
    return [own, *others, Mark("original", "", before, 1.0, 32.0, 0.0)]


def _method(label: str) -> str:
    """Return the name of a baseline's method; pruning by size for one that has none."""
    return next((name for name in METHODS if label.startswith(METHODS[name].title)), "magnitude-pruning")


def beside_table(shown: Sequence[Mark]) -> dict[str, Any]:
    """Return the points as columns."""
    return {
        "what": np.array([one.label for one in shown]),
        "accuracy": np.array([np.nan if one.accuracy is None else one.accuracy for one in shown]),
        "relative_bops": np.array([one.relative_bops for one in shown]),
        "bits_per_weight": np.array([one.bits_per_weight for one in shown]),
        "pruned": np.array([one.sparsity for one in shown]),
    }


def beside_lines(run: Recording) -> str:
    """Return the run and its baselines as a table in Markdown."""
    rows = [
        (
            one.label,
            accuracy(one.accuracy),
            percent(one.relative_bops),
            number(one.bits_per_weight) if np.isfinite(one.bits_per_weight) else "at the end",
            percent(one.sparsity),
        )
        for one in marks(run)
    ]
    return unbroken(markdown(("", "accuracy", "relative BOPs", "bits per weight", "pruned"), rows, "---:"))


def short(label: str) -> str:
    """Return what is done and with how many bits.

    Examples
    --------
    >>> short("Smallest units removed, fine-tuned, 8 bits, activations 8")
    'Smallest units removed, 8 bits'
    """
    first, *rest = label.split(", ")
    return ", ".join([first, *[part for part in rest if part.endswith(("bit", "bits"))][:1]])
