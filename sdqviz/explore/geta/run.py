"""The recordings of the GETA page by name, and what a run reached."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

from sdqviz.error import InputError
from sdqviz.explore.geta import formulas
from sdqviz.explore.wording import percent
from sdqviz.methods.geta import recording
from sdqviz.methods.geta.recording import Beside, Recording

ADDRESS = "geta"


def names() -> tuple[str, ...]:
    """Return the names of the shipped recordings.

    Raises
    ------
    InputError
        If there is none.
    """
    found = tuple(recording.shipped())
    if not found:
        raise InputError("asset recordings must hold at least one recording, got none: install sdqviz again")
    return found


@functools.lru_cache(maxsize=8)
def load(name: str) -> Recording:
    """Return a shipped recording; it is shared and must not be changed.

    Raises
    ------
    InputError
        If there is none of that name, or its file is damaged.
    """
    files = recording.shipped()
    if name not in files:
        raise InputError(f"recording must be one of {', '.join(files)}, got {name!r}")
    return Recording.load(files[name])


def title(run: Recording) -> str:
    """Name a run in a few words; of one that is not finished, what was recorded."""
    name = run.network.get("name", "a network")
    if not run.finished:
        done, gone = (run.moments[-1].step, run.moments[-1].zero) if run.moments else (0, 0.0)
        return f"{name}, {done:,} of {run.steps:,} steps, {percent(gone)} of the units removed so far, seed {run.seed}"
    share = run.method.get("sparsity")
    cut = f", {percent(share)} of the units removed" if isinstance(share, int | float) else ""
    return f"{name}{cut}, {run.steps:,} steps, seed {run.seed}"


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link: those of its recording."""
    run = load(str(choices.get("recording", names()[0])))
    found = figures(run)
    return {key: value for key, value in dataclasses.asdict(found).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a run reached so far.

    Attributes
    ----------
    bits_per_weight : float or None
        Everything stored over the original parameters; None until the run is finished.
    accuracy_before, accuracy_after : float or None
        Test accuracy of the original and, last tested, of the run.
    relative_bops : float
        Over the original at 32 × 32 bits.
    removed, units : int
        Units removed, and prunable ones.
    ascents : int
        Joint steps that went uphill.
    """

    bits_per_weight: float | None
    accuracy_before: float | None
    accuracy_after: float | None
    relative_bops: float
    removed: int
    units: int
    ascents: int


def figures(run: Recording) -> Figures:
    """Return what a run reached: from its report if it is finished, else from its last moment."""
    report = run.report or {}
    last = run.moments[-1] if run.moments else None
    tested = [one.accuracy for one in run.moments if one.accuracy is not None]
    removed, units = formulas.totals(run)
    return Figures(
        bits_per_weight=report.get("bits_per_weight"),
        accuracy_before=report.get("accuracy_before", run.accuracy_before),
        accuracy_after=report.get("accuracy_after", tested[-1] if tested else None),
        relative_bops=formulas.relative_bops(run),
        removed=removed,
        units=units,
        ascents=last.ascents if last else 0,
    )


def baseline(run: Recording) -> Beside | None:
    """Return the baseline to name beside the accuracy: of the fine-tuned ones, or else of all, that of nearest cost."""
    tested = [one for one in run.beside if one.accuracy is not None and one.relative_bops > 0]
    cost = figures(run).relative_bops

    def distance(one: Beside) -> float:
        return abs(math.log(one.relative_bops / cost)) if cost > 0 else 0.0

    return min(tested, key=lambda one: ("fine-tuned" not in one.label, distance(one)), default=None)
