"""Scales fitted to weights alone: the largest, a percentile, or the smallest square error."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from sdqviz.array import Array
from sdqviz.quantizers.quantizer import Grid

FITS = ("max", "percentile", "mse", "search")
SCALES = ("per-neuron", "per-layer")

SHRINKS = np.linspace(0.02, 1.0, 99)
"""Candidates for the largest level, as shares of the largest weight, among which the square error picks."""


SEARCHED = (0.8, 0.9, 1.0, 1.15, 1.3, 1.5)
"""Multiples of the step with the smallest square error that the search tries by walking."""

SEARCHED_COARSE = (0.6, 0.8, 1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3)
"""The same for alphabets of up to four levels, where the values that feedback makes go far beyond the weights."""


@dataclasses.dataclass(frozen=True)
class ScaleFit:
    """How steps are found.

    Attributes
    ----------
    scale : {"per-neuron", "per-layer"}
        A step for each neuron, or the same for all.
    fit : {"max", "percentile", "mse", "search"}
        What becomes the largest level: the largest weight, or the percentile of the magnitudes (its mean over the
        neurons for one scale per layer); or the step with the smallest square error of 99, from which a search starts.
    percentile : float
        For the percentile fit.
    stretch : float
        Multiplies the step.
    """

    scale: str
    fit: str
    percentile: float = 100.0
    stretch: float = 1.0


def fitted_step(weights: Array, used: Array, grid_of: Callable[[Array], Grid], how: ScaleFit) -> Array:
    """Find the step δ of each neuron from its weights alone.

    Parameters
    ----------
    weights : ndarray, shape (M, N)
        A row per neuron.
    used : ndarray of bool, shape (M, N)
        Which weights count; those at dead inputs or pruned do not.
    grid_of : callable
        Returns the finite alphabet for steps of shape (M,).
    how : ScaleFit
        What the steps are fitted to.

    Returns
    -------
    ndarray, shape (M,)
    """
    sizes = np.where(used, np.abs(weights), 0.0)
    reach = float(grid_of(np.ones(1)).radius[0])
    if how.fit == "percentile":
        heights = np.array(
            [
                np.percentile(row[mask], how.percentile) if mask.any() else 0.0
                for row, mask in zip(sizes, used, strict=True)
            ]
        )
        wanted = heights if how.scale == "per-neuron" else heights.mean(keepdims=True)
        return how.stretch * np.broadcast_to(wanted / reach, len(weights))
    together = how.scale == "per-layer"
    largest = (sizes.reshape(1, -1) if together else sizes).max(axis=1, initial=0.0) / reach
    if how.fit == "max":
        return how.stretch * np.broadcast_to(largest, len(weights))
    values = np.ascontiguousarray((weights.reshape(1, -1) if together else weights).T)
    counted = np.ascontiguousarray((used.reshape(1, -1) if together else used).T)
    best, least = largest, np.full(len(largest), np.inf)
    for shrink in SHRINKS:
        step = shrink * largest
        missed = ((grid_of(step).nearest(values) - values) ** 2).sum(axis=0, where=counted)
        best, least = np.where(missed < least, step, best), np.minimum(missed, least)
    return how.stretch * np.broadcast_to(best, len(weights))
