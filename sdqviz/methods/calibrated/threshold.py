"""The threshold at which a walk makes a given share of its weights zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BISECTIONS = 40
"""Halvings of the interval of thresholds; few are needed before the ratio is met to a weight or stops moving."""


def solve_threshold(reached: Callable[[float], float], target: float, largest: float, count: int) -> float:
    """Find a threshold c, a float32 number, at which a share ``target`` of the weights is zero.

    Parameters
    ----------
    reached : callable
        The share of zeros at a threshold; roughly increasing.
    target : float
        0 < target < 1.
    largest : float
        The largest weight: a scale to start from.
    count : int
        Number of weights; the ratio need not be met closer than to half a weight.

    Returns
    -------
    float
        The threshold with the share nearest to the target of all that were tried.
    """
    low, high = 0.0, max(largest, float(np.finfo(np.float32).tiny))
    tried: dict[float, float] = {}

    def at(threshold: float) -> float:
        if threshold not in tried:
            tried[threshold] = reached(threshold)
        return tried[threshold]

    if at(0.0) >= target:
        return 0.0
    for _ in range(20):  # feedback makes the values of a walk larger than the weights
        if at(float(np.float32(high))) >= target:
            break
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        nearest = min(abs(share - target) for share in tried.values())
        if nearest <= max(0.5 / count, 2e-4):
            break
        middle = float(np.float32((low + high) / 2))
        if middle in tried:
            break
        low, high = (middle, high) if at(middle) < target else (low, middle)
    return min(tried, key=lambda threshold: abs(tried[threshold] - target))
