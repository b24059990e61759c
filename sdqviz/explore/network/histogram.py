"""The weights of a layer before, after and after plain rounding, counted in common bins."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.explore.what_if import Answer

BINS = 81
"""Bins of a histogram."""


@dataclasses.dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of a layer's weights in common bins.

    Attributes
    ----------
    edges : ndarray, shape (BINS + 1,)
        Bin edges.
    before, after, rounded : ndarray of int, shape (BINS,)
        Weights in each bin.
    """

    edges: Array
    before: Index
    after: Index
    rounded: Index


def histogram_info(asked: Answer, name: str) -> Histogram:
    """Count the weights of a layer before, after, and after plain rounding, in the same bins."""
    item = asked.layer(name)
    rounded = asked.comparison.rounding.weights[name]
    reach = float(max(np.abs(item.layer.weight).max(), np.abs(item.weight).max(), np.abs(rounded).max(), 1e-12))
    ends = (-reach * (1 + 1e-6), reach * (1 + 1e-6))
    # bins of one width are counted as they come; of given edges numpy cannot know that and sorts
    before, after, beside = (np.histogram(w, BINS, ends)[0] for w in (item.layer.weight, item.weight, rounded))
    return Histogram(np.histogram_bin_edges(ends, BINS, ends), before, after, beside)
