"""The ΣΔ Lab dragged through N, or through δ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.explore import sigma_delta as lab
from sdqviz.explore.scrub.scrubbed import FEWEST, POINTS, Moving, Scrubbed, Trend, spread, visited
from sdqviz.explore.scrub.sizes import sizes
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import number, percent

ALONG = {"size": "N", "step": "δ"}
"""What can be dragged, by its name in the link."""

FINER, COARSER = 8.0, 4.0
"""How many times smaller and larger than the page's own δ the ends are."""


def scrub(choices: Mapping[str, Any]) -> Scrubbed | str:
    """Run the page's vector at many N or δ; ``choices["along"]`` says which.

    Returns
    -------
    Scrubbed or str
        Or why there is nothing to drag.
    """
    along = choices["along"]
    own = lab.build(choices)
    if own.norm == 0:
        return "A vector of zeros stays the same."
    if along == "size":
        mine, wanted = float(own.frame.size), sizes(choices, own.frame)
    else:
        mine, wanted = own.step, spread(own.step / FINER, own.step * COARSER, own.step)

    def run(value: float) -> VectorRun:
        if value == mine:
            return own
        given = {"size": int(value)} if along == "size" else {"step_rule": "by-hand", "step": value}
        return lab.build({**choices, **given})

    values, runs, left_out = visited(wanted, mine, run)
    if len(values) < FEWEST:
        return f"There are no other values of {ALONG[along]} here."
    bounds = [one.tightest for one in runs]
    numbers = {
        "relative error": tuple(percent(one.error / one.norm) for one in runs),
        "bits a weight": tuple(number(one.bits_per_weight) for one in runs),
        "bound": tuple(
            percent(bound.value / one.norm) if bound.holds else "none applies"
            for bound, one in zip(bounds, runs, strict=True)
        ),
    }
    limits = [bound.value / one.norm if bound.holds else np.nan for bound, one in zip(bounds, runs, strict=True)]
    curves, across, up = _vectors(runs) if along == "size" else _states(runs)
    return Scrubbed(
        ALONG[along],
        np.array(values),
        values.index(mine),
        numbers,
        curves,
        across,
        up,
        (
            Trend(own.called, "compressed", np.array([one.error / one.norm for one in runs])),
            Trend("rounding", "rounding", np.array([one.rounded_error / one.norm for one in runs])),
            Trend("bound", "bound", np.array(limits)),
        ),
        "error / ‖x‖",
        left_out,
    )


def _vectors(runs: list[VectorRun]) -> tuple[tuple[Moving, ...], str, str]:
    """Return the vector and what comes back of it."""
    entries = [np.arange(1, len(one.vector[:POINTS]) + 1) for one in runs]
    found = {
        "x": ("original", [one.vector for one in runs]),
        f"x̃ of {runs[0].called}": ("compressed", [one.reconstruction for one in runs]),
        "x̃ of rounding": ("rounding", [one.rounded_reconstruction for one in runs]),
    }
    curves = tuple(
        Moving(name, meaning, tuple(entries), tuple(values[:POINTS] for values in each))
        for name, (meaning, each) in found.items()
    )
    return curves, "entry of the vector", "value"


def _states(runs: list[VectorRun]) -> tuple[tuple[Moving, ...], str, str]:
    """Return the state along the walk, and the band it should stay in."""
    steps = [np.arange(1, min(one.frame.size, POINTS) + 1) for one in runs]
    ends = [np.array([1.0, shown[-1], np.nan, 1.0, shown[-1]]) for shown in steps]
    bands = [np.array([1, 1, np.nan, -1, -1]) * one.step / 2 for one in runs]
    states = [one.trace.state[:POINTS] for one in runs]
    return (
        (
            Moving("band ±δ/2", "band", tuple(ends), tuple(bands)),
            Moving("state", "compressed", tuple(steps), tuple(states)),
        ),
        "step n along the walk",
        "state",
    )
