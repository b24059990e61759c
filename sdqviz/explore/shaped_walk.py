"""What a noise-shaping filter and a dual make of one walk: what is owed when, what is left when, what is proved."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.bounds.hypotheses import stability
from sdqviz.bounds.noise_shaping import Shaping, vector_bound_shaping, vector_bound_step_sum
from sdqviz.bounds.statement import Bound, not_applicable
from sdqviz.bounds.vector import vector_bounds
from sdqviz.frames.frame import ROWS_AT_ONCE, Frame
from sdqviz.frames.walk import Walk
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.duals.dual import Dual
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.taps import FIRST, Taps
from sdqviz.sigma_delta.trace import Trace


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How errors are fed back, and how levels become a vector again.

    Attributes
    ----------
    order : int
        r, 0 to 4.
    filter, dual : str
        Names in `FILTERS` and `DUALS`.
    """

    order: int = 1
    filter: str = "greedy"
    dual: str = "canonical"

    @property
    def canonical(self) -> bool:
        """Whether vectors come back by the frame itself, as all duals of rounding do."""
        return self.order == 0 or self.dual == "canonical"

    def taps(self, bits: int) -> Taps:
        """Return the filter for 2^bits levels; refuse what is not stable with them."""
        return FILTERS[self.filter]().taps(self.order, bits)

    def build_dual(self, frame: Frame, order: Index, taps: Taps) -> Dual:
        """Return the dual of a frame walked in an order."""
        along = None if np.array_equal(order, np.arange(frame.size)) else order
        return DUALS["canonical" if self.canonical else self.dual]().build(frame, taps, along)


FIRST_ORDER = Scheme()
"""What the paper does."""


def frame_rows(frame: Frame, order: Index) -> Array:
    """Return the vectors of the canonical dual along the walk, shape (N, d)."""
    rows = np.asarray(frame.operator.rows(order))
    if frame.tight:
        return rows * (frame.dimension / frame.size)
    return np.asarray(rows @ np.linalg.inv(frame.adjoint(frame.analyze(np.eye(frame.dimension)))))


def dual_rows(dual: Dual, order: Index) -> Array:
    """Return the vectors of a dual along the walk, shape (N, d): what one level of size 1 gives."""
    found, size = np.empty((len(order), dual.frame.dimension)), len(order)
    for start in range(0, size, ROWS_AT_ONCE):
        part = order[start : start + ROWS_AT_ONCE]
        single = np.zeros((len(part), size))
        single[np.arange(len(part)), part] = 1.0
        found[start : start + len(part)] = dual.synthesize(single)
    return found


def fed_back(states: Array, taps: Taps) -> Array:
    """Return what earlier errors add to each step, Σ_j h_j u_{n−n_j}, shape (N,)."""
    total = np.zeros_like(states)
    for lag, weight in zip(*taps.arrays(), strict=True):
        total[lag:] += weight * states[: max(len(states) - lag, 0)]  # nothing for lags beyond the walk
    return total


def owed(trace: Trace, taps: Taps, step: int) -> tuple[Array, Array]:
    """Return what is owed to the steps to come once step n is done, shapes (m,), m the farthest lag.

    Parameters
    ----------
    trace : Trace
        One walk.
    taps : Taps
        Its filter.
    step : int
        n, counted from 0.

    Returns
    -------
    earlier, own : ndarray, shape (m,)
        What is added to steps n+1, …, n+m by the errors before step n, and by its own, h_j u_n.
    """
    farthest = max(taps.lags, default=0)
    before, own = np.zeros(step + 1 + farthest), np.zeros(farthest)
    before[:step] = trace.state[:step]
    for lag, weight in zip(*taps.arrays(), strict=True):
        own[lag - 1] = weight * trace.state[step]
    return fed_back(before, taps)[step + 1 :], own


def running_limit(rows: Array, taps: Taps) -> Array:
    """Return Σ_{k≤n}‖(FH)_k‖ with the filter cut off after each step n: times δ/2 it bounds what n levels leave.

    Parameters
    ----------
    rows : ndarray, shape (N, d)
        The vectors f_n of the dual, along the walk.
    taps : Taps
        The filter.
    """
    size, column, total = len(rows), np.array(rows), np.zeros(len(rows))
    lags, weights = taps.arrays()
    borders = [0, *(int(lag) for lag in lags)]
    for place, begin in enumerate(borders):
        if begin:
            column[: max(size - begin, 0)] -= weights[place - 1] * rows[begin:]
        summed = np.concatenate([[0.0], np.cumsum(np.linalg.norm(column, axis=1))])
        done = np.arange(1, size + 1)  # a column k counts as it is now for begin ≤ n − k < end
        total += summed[np.maximum(done - begin, 0)]
        if place + 1 < len(borders):
            total -= summed[np.maximum(done - borders[place + 1], 0)]
    return total


def scheme_bounds(
    scheme: Scheme, taps: Taps, dual: Dual | None, walk: Walk, trace: Trace, lengths: float
) -> tuple[Bound, ...]:  # fmt: skip
    """Return the bounds on ‖x − x̂‖: the paper's for its own scheme, else those of the noise-shaping theorem.

    Parameters
    ----------
    scheme : Scheme
        What was done.
    taps : Taps
        Its filter.
    dual : Dual or None
        Its dual; not needed for first-order ΣΔ with the canonical one.
    walk : Walk
        The frame and its order.
    trace : Trace
        The walk.
    lengths : float
        Σ_n‖(FH)_n‖.
    """
    step = float(trace.step)
    stable = stability(float(abs(trace.coefficients).max()), step, trace.bits, float(taps.norm))
    if dual is None:
        return vector_bounds(walk, step, stable)
    name = "canonical" if scheme.canonical else scheme.dual
    if name == "smaller":
        name = "canonical" if dual.condition == 1 else "matched"  # the one it took
    title = DUALS[name].title
    shaping = Shaping(taps.order, walk.size, dual.error_norm(taps), title)
    first = f"the order is {taps.order}" if taps != FIRST else f"the dual is {title.lower()}"
    return (
        vector_bound_step_sum(shaping, lengths, step, stable),
        vector_bound_shaping(shaping, step, stable),
        not_applicable(
            "variation", "Frame variation",
            f"Theorem 3.1 is about first-order ΣΔ with the canonical dual, and here {first}", text="vector-bound",
        ),
    )  # fmt: skip
