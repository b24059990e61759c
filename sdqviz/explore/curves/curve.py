"""Bound and measured along a sweep: points, curves, fitted slopes, ratios, and every comparison that fails."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
from scipy.special import bdtrc

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.explore.curves.line import BoundLine, Fit, medians
from sdqviz.explore.curves.point import A_PRIORI, Axis, Point, Rate, Subject
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.recent import Recent

FEWEST = 3
"""Points a slope with an interval needs."""

SIGNIFICANCE = 1e-3
"""Chance below which failures of bounds that may fail are no longer put down to chance, over all comparisons."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is swept: a subject along one of its axes.

    Attributes
    ----------
    subject : Subject
        Everything that stays, and the field that moves.
    axis : str
        Name of the axis.
    low, high : float
        Its range.
    count : int
        Points.
    parity : str
        One of `PARITIES`, for axes where it matters.
    seed : int
        Of everything that is drawn.
    """

    subject: Subject
    axis: str
    low: float
    high: float
    count: int = 9
    parity: str = "even"
    seed: int = 0

    @property
    def settings(self) -> tuple[tuple[float, Subject], ...]:
        """The value and the choice of each point, each once; points that cannot be are left out.

        Raises
        ------
        InputError
            If the axis is not one of the subject's, the range is none, or no point can be.
        """
        found, refused = self._tried
        if not found:
            raise refused[0]
        return found

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why points are left out, a sentence each."""
        return tuple(str(one) for one in self._tried[1])

    @functools.cached_property
    def _tried(self) -> tuple[tuple[tuple[float, Subject], ...], tuple[InputError, ...]]:
        if self.axis not in self.subject.axes:
            raise InputError(f"sweep must be one of {', '.join(self.subject.axes)}, got {self.axis!r}")
        axis = self.subject.axes[self.axis]
        found: dict[Subject, float] = {}
        refused = []
        for value in axis.values(self.low, self.high, self.count, self.parity):
            try:
                setting = self.subject.at(axis, value)
            except InputError as error:
                refused.append(error)
                continue
            found.setdefault(setting, float(getattr(setting, axis.field)))
        return tuple((value, setting) for setting, value in found.items()), tuple(refused)

    def estimated_seconds(self) -> float:
        """Return roughly how long the points that are not known yet take."""
        return sum(one.estimated_seconds() for _, one in self.settings if _points.get((one, self.seed)) is None)

    def run(self, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Curve:
        """Measure all points; points measured lately are not measured again.

        Raises
        ------
        InputError
            If a choice cannot be used.
        Stopped
            If asked to stop; finished points are kept.
        """
        points = []
        for place, (value, setting) in enumerate(self.settings):
            stop_if(should_stop)
            told = f"{self.subject.axes[self.axis].field} = {value:g}"
            report(progress, place, len(self.settings), told)
            found = _points.get((setting, self.seed))
            if found is None:
                found = _points.put((setting, self.seed), setting.measure(self.seed, should_stop))
            points.append(found)
        report(progress, len(points), len(points), "done")
        return Curve.of(self, points)


_points: Recent[tuple[Subject, int], Point] = Recent(2048)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A run above a bound whose hypotheses it meets.

    Attributes
    ----------
    bound : str
        Title of the bound.
    value : float
        Where on the axis.
    run : int
        Which run.
    measured, limit : float
        The error, and the bound on it.
    probability : float
        With which the bound is stated: 1 makes this a violation.
    """

    bound: str
    value: float
    run: int
    measured: float
    limit: float
    probability: float


@dataclasses.dataclass(frozen=True)
class Smallest:
    """The comparison in which a bound comes closest to what was measured."""

    ratio: float
    bound: str
    value: float


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A sweep with everything that was found.

    Attributes
    ----------
    sweep : Sweep
        What was asked.
    values, x : ndarray, shape (points,)
        Swept values, and where they are drawn.
    points : tuple of Point
        The points.
    measured : ndarray, shape (points, runs)
        Errors.
    beside : mapping of str to ndarray, shape (points, runs)
        Errors of what stands beside.
    bounds : tuple of BoundLine
        All bounds.
    """

    sweep: Sweep
    values: Array
    x: Array
    points: tuple[Point, ...]
    measured: Array
    beside: Mapping[str, Array]
    bounds: tuple[BoundLine, ...]

    @classmethod
    def of(cls, sweep: Sweep, points: Sequence[Point]) -> Self:
        """Join the points of a sweep."""
        axis = sweep.subject.axes[sweep.axis]
        values = np.array([value for value, _ in sweep.settings], float)
        runs = max(len(point.measured) for point in points)

        def column(given: Iterable[Array | None]) -> Array:
            rows = [np.full(runs, math.nan) if one is None else np.resize(one, runs) for one in given]
            return np.array(rows, float)

        names = dict.fromkeys(one.name for point in points for one in point.promises)
        lines = []
        for name in names:
            found = [next((one for one in point.promises if one.name == name), None) for point in points]
            some = next(one for one in found if one is not None)
            held = column([None if one is None else one.holds for one in found])
            lines.append(
                BoundLine(
                    name, some.title, some.kind, column([None if one is None else one.values for one in found]),
                    np.nan_to_num(held).astype(bool), tuple(found),
                )
            )  # fmt: skip
        besides = dict.fromkeys(name for point in points for name in point.beside)
        return cls(
            sweep, values, np.array([axis.position(value) for value in values]), tuple(points),
            column([point.measured for point in points]),
            {name: column([point.beside.get(name) for point in points]) for name in besides}, tuple(lines),
        )  # fmt: skip

    @property
    def setting(self) -> Subject:
        """The choice of the first point, with everything that goes with the axis."""
        return self.sweep.settings[0][1]

    @property
    def axis(self) -> Axis:
        """The axis that was swept."""
        return self.sweep.subject.axes[self.sweep.axis]

    @property
    def median(self) -> Array:
        """Median error over the runs, shape (points,)."""
        return medians(self.measured)

    @property
    def bits_per_weight(self) -> Array:
        """Bits per original weight of each point."""
        return np.array([point.bits_per_weight for point in self.points])

    @property
    def covered(self) -> Array:
        """Points at which some a-priori bound applies to every run, shape (points,)."""
        applying = [line.applies for line in self.bounds if line.kind == A_PRIORI]
        return np.any(applying, axis=0) if applying else np.zeros(len(self.x), bool)

    @property
    def fitted(self) -> Array:
        """Points a slope is fitted to: those where an a-priori bound applies, or all if they are too few."""
        covered = self.covered
        return covered if covered.sum() >= FEWEST else np.ones_like(covered)

    @functools.cached_property
    def fit(self) -> Fit:
        """Slope of the median error over the `fitted` points."""
        return Fit.through(self.x, self.median, self.fitted)

    def fit_beside(self, name: str) -> Fit:
        """Slope of what stands beside, over the same points."""
        return Fit.through(self.x, medians(self.beside[name]), self.fitted)

    @functools.cached_property
    def tightest(self) -> Array:
        """The smallest a-priori bound that applies at each point, NaN where none does, shape (points,)."""
        return self._least(A_PRIORI)

    def _least(self, kind: str) -> Array:
        rows = [np.where(line.applies, line.median, np.inf) for line in self.bounds if line.kind == kind]
        least = np.min(rows, axis=0) if rows else np.full(len(self.x), np.inf)
        return np.where(np.isfinite(least), least, math.nan)

    @functools.cached_property
    def bound_fit(self) -> Fit:
        """Slope of the tightest a-priori bound."""
        return Fit.through(self.x, self.tightest)

    @property
    def rate(self) -> Rate | None:
        """What theory says of the slope."""
        return self.setting.rate(self.sweep.axis, self.points)

    # -- comparisons ----------------------------------------------------------------------------------

    @property
    def comparisons(self) -> int:
        """How many (bound, point, run) have all hypotheses met, a limit and an error."""
        return int(sum((line.holds & np.isfinite(line.values * self.measured)).sum() for line in self.bounds))

    @functools.cached_property
    def failures(self) -> tuple[Failure, ...]:
        """Every run above a bound whose hypotheses it meets, also those of bounds that may fail."""
        found = []
        for line in self.bounds:
            above = line.holds & (self.measured > line.values * (1 + 1e-9))
            for place, run in np.argwhere(above):
                stated = line.promises[place]
                found.append(
                    Failure(
                        line.title, float(self.values[place]), int(run), float(self.measured[place, run]),
                        float(line.values[place, run]), 1.0 if stated is None else stated.probability,
                    )
                )  # fmt: skip
        return tuple(found)

    @property
    def violations(self) -> tuple[Failure, ...]:
        """Failures that nothing excuses: of bounds stated for certain, or more often than chance allows."""
        certain = tuple(one for one in self.failures if one.probability >= 1)
        return certain if self.consistent else (*certain, *(one for one in self.failures if one.probability < 1))

    @functools.cached_property
    def consistent(self) -> bool:
        """Whether bounds that may fail do so no more often than chance allows, over all of them together."""
        tails = []
        for line, place in itertools.product(self.bounds, range(len(self.x))):
            stated = line.promises[place]
            if stated is not None and stated.probability < 1:
                holds = line.holds[place]
                above = int((holds & (self.measured[place] > line.values[place] * (1 + 1e-9))).sum())
                tails.append(float(bdtrc(above - 1, int(holds.sum()), 1 - stated.probability)))
        return min(tails, default=1.0) >= SIGNIFICANCE / max(len(tails), 1)

    @functools.cached_property
    def smallest(self) -> Smallest | None:
        """The smallest bound/measured among all comparisons; None if there is none."""
        best: Smallest | None = None
        for line in self.bounds:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(line.holds & (self.measured > 0), line.values / self.measured, np.inf)
            ratio = np.where(np.isfinite(ratio), ratio, np.inf)
            place = int(ratio.min(axis=1).argmin())
            least = float(ratio[place].min())
            if math.isfinite(least) and (best is None or least < best.ratio):
                best = Smallest(least, line.title, float(self.values[place]))
        return best
