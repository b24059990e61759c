"""Path following dragged through C."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.explore.layer_walks import walk
from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.scrub.scrubbed import FEWEST, POINTS, Moving, Scrubbed, Trend, spread, visited
from sdqviz.explore.stored import chosen
from sdqviz.explore.wording import number, percent

ALONG = {"scaling": "C"}
"""What can be dragged, by its name in the link."""

SEEDS, POSITIONS, FARTHEST = 20, 24, 10.0
"""Runs at each C, values of C, and the largest C where the page's own is smaller."""


def at(choice: WalkChoice, scaling: float, seed: int) -> WalkRun:
    """Follow the path with the unified framework alone and another C, with the first seeds of the page's cloud."""
    asked = dataclasses.replace(choice, scaling=scaling, seeds=min(choice.seeds, SEEDS))
    return walk.run(asked, seed, compared=("unified",))


def scrub(choices: Mapping[str, Any]) -> Scrubbed | str:
    """Run the page's layer at many C.

    Returns
    -------
    Scrubbed or str
        Or why there is nothing to drag.
    """
    choice, seed = chosen(WalkChoice, choices), int(choices.get("seed", 0))
    wanted = spread(1.0, min(max(FARTHEST, 2 * choice.scaling), 100.0), choice.scaling, count=POSITIONS)
    values, runs, left_out = visited(wanted, choice.scaling, lambda scaling: at(choice, scaling, seed))
    if len(values) < FEWEST:
        return "There was no time for other values of C; take fewer inputs or neurons."
    along = [np.median(one.path("unified").state, axis=1) / np.median(one.data.norms) for one in runs]
    kept = np.unique(np.linspace(0, len(along[0]) - 1, min(len(along[0]), POINTS)).astype(int))
    worst = np.array([one.measured.max() for one in runs])
    limits = np.array([one.sharpest.value if one.sharpest.holds else np.nan for one in runs])
    seeds = len(runs[0].measured)
    return Scrubbed(
        "C",
        np.array(values),
        values.index(choice.scaling),
        {
            "relative error": tuple(percent(one.relative_error("unified")) for one in runs),
            "bits a weight": tuple(number(one.bits_per_weight) for one in runs),
            "clipped values": tuple(f"{one.path('unified').overload:,}" for one in runs),
        },
        (Moving("median neuron", "unified", tuple(kept + 1 for _ in runs), tuple(one[kept] for one in along)),),
        "step t of the walk",
        "‖u_t‖ / ‖Xw‖",
        (Trend(f"worst of {seeds} seeds", "error", worst), Trend("sharpest bound", "bound", limits)),
        f"error, {choice.norm} norm",
        left_out,
    )
