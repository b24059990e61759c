"""What a search for the smallest size tried, in words and as a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdqviz.experiments.compare.entry import Entry
from sdqviz.experiments.compare.figures import accuracy_text
from sdqviz.experiments.run import Run
from sdqviz.experiments.target import Search, held_out, most_runs
from sdqviz.experiments.target import size as size_of
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number
from sdqviz.methods import METHODS


def sentence(found: Search) -> str:
    """Say what was found, what the test inputs say to it, and what was not looked at."""
    count = f"{len(found.trials)} runs tried"
    if not found.complete:
        count = f"Stopped after {len(found.trials)} of at most {most_runs(found.aim)} runs"
    skipped = "".join(f" Not searched: {METHODS.called(name)}, {why}." for name, why in found.skipped.items())
    if found.best is None or found.best.report is None:
        none = f"None of the {count} keeps enough: widen the methods or lower the goal."
        return f"{none if found.complete else f'{count}: none of them keeps enough.'}{skipped}"
    report = found.best.report
    verdict = "kept" if found.met else "missed on the test inputs, though not on the held-out ones"
    return (
        f"{'Smallest found' if found.complete else 'Smallest so far'}: {title_of(found.best)} with "
        f"{number(size_of(found.best))} bits per original weight and "
        f"{accuracy_text(report.accuracy_after or 0.0)} test accuracy (goal {accuracy_text(found.aim.accuracy)}: "
        f"{verdict}). {count}; a smaller one may exist beyond them.{skipped}"
    )


def title_of(trial: Run) -> str:
    """Return a trial's method and settings."""
    one = Entry((trial,), "")
    return f"{one.called}, {one.settings}"


def trail(found: Search) -> dict[str, list[Any]]:
    """Return the trials in the order they were tried, as columns."""
    rows = [(trial, Entry((trial,), "")) for trial in found.trials]
    return {
        "method": [one.called for _, one in rows],
        "settings": [one.settings for _, one in rows],
        "bits per weight": [_rounded(size_of(trial)) for trial, _ in rows],
        "held out, %": [_rounded(100 * held_out(trial)) for trial, _ in rows],
        "enough": ["yes" if found.enough(trial) else "no" for trial, _ in rows],
        "test accuracy, %": [_rounded(100 * one.values["accuracy"]) for _, one in rows],
        "problem": [trial.problem for trial, _ in rows],
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


def formula(found: Search) -> Formula:
    """Return what is enough on the held-out inputs."""
    return Formula(
        r"a_\text{held}\ \ge\ a_\text{held}^\text{float}-\left(a_\text{test}^\text{float}-x\right)",
        [
            (r"a_\text{held}", "accuracy on the held-out inputs", ""),
            ("x", "the goal, on the test inputs", accuracy_text(found.aim.accuracy)),
            (r"n_\text{held}", "held-out inputs", str(found.aim.held_out)),
            ("n", "runs tried", str(len(found.trials))),
        ],
        "Every line of choices is bisected by size, which supposes that accuracy grows along it. Nothing is "
        "claimed beyond the runs that were tried.",
        rf"a_\text{{held}}\ \ge\ {found.needed:.4f}",
    )
