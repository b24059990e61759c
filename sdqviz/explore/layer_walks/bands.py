"""What is drawn of a layer along its path: bands over its neurons, and the operator T at a row of values."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.layer_walks.walk import WalkRun

BAND = (0.1, 0.9)
"""Quantiles over the neurons between which a walk's band lies."""


DRAWS = 450
"""Points at which the operator is drawn."""


WIDEST = 1.6
"""How far beyond its last levels the operator is drawn, as a multiple of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Band:
    """‖u_t‖ over ‖Xw‖ of one method along the walk, over the neurons; each of shape (N,)."""

    median: Array
    low: Array
    high: Array


def bands(run: WalkRun) -> dict[str, Band]:
    """Compute the band of every method; neurons whose output is zero take no part."""
    alive = run.data.norms > 0
    found = {}
    for path in run.paths:
        ratio = path.state[:, alive] / run.data.norms[alive]
        low, median, high = np.quantile(ratio, (BAND[0], 0.5, BAND[1]), axis=1)
        found[path.name] = Band(median, low, high)
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """The operator at a row of values.

    Attributes
    ----------
    value, drawn, mean, nearest : ndarray, shape (k,)
        z, one draw of T(z), E T(z) and the level nearest to z.
    """

    value: Array
    drawn: Array
    mean: Array
    nearest: Array


def operator_info(run: WalkRun) -> Drawn:
    """Draw T once at each of many values, and average it over equally likely random numbers."""
    reach = float(np.abs(run.values).max())
    if run.grid.count and run.quantizer.rounds:
        radius = float(run.grid.radius[0])
        reach = min(max(reach, radius), WIDEST * radius)
    value = np.linspace(-1.08 * reach, 1.08 * reach, DRAWS)
    uniform = np.random.default_rng(0).random(DRAWS)[:, None]
    column = value[:, None]
    everything = (np.arange(128) + 0.5) / 128
    mean = run.quantizer.apply(np.repeat(column, 128, axis=1), run.grid, everything).mean(axis=1)
    drawn = run.quantizer.apply(column, run.grid, uniform)[:, 0]
    return Drawn(value, drawn, mean, run.grid.nearest(column)[:, 0])
