"""Lines of a sweep: a slope fitted on logarithmic axes, and one bound along the points."""

from __future__ import annotations

import dataclasses
import math
from typing import Self

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.curves.point import Promise
from sdqviz.explore.layer_walks.width import fitted_slope


@dataclasses.dataclass(frozen=True)
class Fit:
    """A line through points on logarithmic axes, by least squares.

    Attributes
    ----------
    slope : float
        Its slope; NaN for fewer than three points.
    margin : float
        Half of its 95 % interval, from Student's t with ``count`` − 2 degrees of freedom.
    count : int
        Points it goes through.
    centre, height : float
        Geometric means of x and y, through which the line passes.
    """

    slope: float
    margin: float
    count: int
    centre: float
    height: float

    @classmethod
    def through(cls, x: Array, y: Array, used: Array | None = None) -> Self:
        """Fit log y = a + s log x to the points that are used, positive and finite."""
        kept = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
        if used is not None:
            kept &= used
        if not kept.any():
            return cls(math.nan, math.nan, 0, math.nan, math.nan)
        u, v = x[kept], y[kept]
        slope, margin = fitted_slope(u, v)
        return cls(slope, margin, len(u), float(np.exp(np.log(u).mean())), float(np.exp(np.log(v).mean())))

    def line(self, x: Array) -> Array:
        """Return the line at ``x``."""
        return self.height * (x / self.centre) ** self.slope


@dataclasses.dataclass(frozen=True, eq=False)
class BoundLine:
    """One bound along the sweep.

    Attributes
    ----------
    name, title, kind : str
        As in `Promise`.
    values, holds : ndarray, shape (points, runs)
        The bound, NaN where it is not stated, and whether its hypotheses are met.
    promises : tuple of Promise or None
        That of each point.
    """

    name: str
    title: str
    kind: str
    values: Array
    holds: Array
    promises: tuple[Promise | None, ...]

    @property
    def median(self) -> Array:
        """Median over the runs, shape (points,)."""
        return medians(self.values)

    @property
    def applies(self) -> Array:
        """Whether it holds in every run of a point, shape (points,)."""
        return np.asarray(self.holds.all(axis=1))

    @property
    def probability(self) -> float:
        """The smallest probability it is stated with."""
        return min((one.probability for one in self.promises if one is not None), default=1.0)

    @property
    def reason(self) -> str:
        """The first hypothesis that fails along the sweep; empty if none does."""
        for one in self.promises:
            if one is not None and not one.holds.all():
                return one.reason
        return ""


def medians(values: Array) -> Array:
    """Return the median over the runs of each point, shape (points,); NaN where there is no number."""
    some = np.isfinite(values).any(axis=1)
    median = np.full(len(values), math.nan)
    median[some] = np.nanmedian(np.where(np.isfinite(values[some]), values[some], np.nan), axis=1)
    return median
