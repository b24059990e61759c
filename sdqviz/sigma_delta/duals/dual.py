"""What a dual is, and the one theorem on what it makes of shaped noise."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from sdqviz import memory
from sdqviz.array import Array, Index
from sdqviz.choice import Choice
from sdqviz.error import InputError
from sdqviz.frames.frame import Frame
from sdqviz.recent import Recent
from sdqviz.sigma_delta.taps import Taps, divide

WORST_CONDITION = 1e-3
"""A dual is refused where condition number times rounding unit is larger: no digit would be left to trust."""


class Dual:
    """A left inverse F of a frame walked in some order."""

    frame: Frame
    condition: float
    """Condition number of what was inverted; 1 where nothing was."""

    def synthesize(self, levels: ArrayLike) -> Array:
        """Return the vectors that levels stand for, shape (..., N) → (..., d); they are indexed by frame vector."""
        q = np.asarray(levels, float)
        if q.ndim == 0 or q.shape[-1] != self.frame.size:
            raise InputError(f"the last axis must have length {self.frame.size}, got shape {q.shape}")
        return self.apply(q)

    def apply(self, levels: Array) -> Array:
        """Return F of levels, shape (..., N) → (..., d)."""
        raise NotImplementedError

    def error_norm(self, taps: Taps) -> float:
        """Return ‖FH‖₂ for the filter H = I − h of a walk: what its states can do to the vector.

        Notes
        -----
        y − q = Hu and FE = I, so x − x̂ = F(y − q) = FHu: this is the whole theorem. With |u_n| ≤ δ/2 it gives
        ‖x − x̂‖ ≤ ‖FH‖₂·√N·δ/2, and for the columns of a matrix ‖W − Q‖₂ ≤ ‖FH‖₂·‖U‖₂.
        For F = (H⁻¹E)⁺H⁻¹ it is 1/σ_min(H⁻¹E), for the canonical dual of a tight frame (d/N)‖EᵀH‖₂.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class Projection(Dual):
    """F = P·B⁻¹, B a causal filter, P as a matrix.

    Attributes
    ----------
    frame : Frame
        The frame.
    order : ndarray of int, shape (N,), or None
        Order of the walk; None for the order as written.
    projection : ndarray, shape (d, N)
        P, along the walk.
    inverse : tuple of Fraction
        Coefficients of the filter B that is inverted first; (1,) for none.
    condition : float
        Condition number of B⁻¹E, as which P was found; 1 where nothing was inverted.
    """

    frame: Frame
    order: Index | None
    projection: Array
    inverse: tuple[Fraction, ...]
    condition: float

    def apply(self, levels: Array) -> Array:
        """Return P B⁻¹ of levels, shape (..., N) → (..., d)."""
        along = levels if self.order is None else levels[..., self.order]
        return np.asarray(filtered(along, self.inverse) @ self.projection.T)

    def error_norm(self, taps: Taps) -> float:
        """Return ‖FH‖₂, from the matrix FH."""
        shape = divide(taps.polynomial, self.inverse)
        shaped = np.zeros_like(self.projection)
        for lag, weight in enumerate(shape[: self.frame.size]):
            if weight:
                shaped[:, : self.frame.size - lag] += float(weight) * self.projection[:, lag:]
        return math.sqrt(max(float(np.linalg.eigvalsh(shaped @ shaped.T)[-1]), 0.0))


@dataclasses.dataclass(frozen=True)
class DualChoice(Choice):
    """A rule that gives a frame, walked in an order with a filter, a dual."""

    def build(self, frame: Frame, taps: Taps, order: Index | None = None) -> Dual:
        """Return the dual, or the one built lately for the same frame, order and filter.

        Parameters
        ----------
        frame : Frame
            The frame.
        taps : Taps
            The filter of the walk.
        order : ndarray of int, shape (N,), optional
            The order of the walk.

        Raises
        ------
        InputError
            If it would not fit in memory, or the frame is too badly conditioned for this filter.
        """
        key = (id(frame), self, taps, None if order is None else order.tobytes())
        found = _built.get(key)
        if found is None:
            memory.require("the dual of this frame", frame.size * frame.dimension, "use a smaller size N")
            found = _built.put(key, self.construct(frame, taps, order), float(frame.size * frame.dimension))
        return found

    def construct(self, frame: Frame, taps: Taps, order: Index | None) -> Dual:
        """Return the dual, made anew."""
        raise NotImplementedError


_built: Recent[tuple[int, DualChoice, Taps, bytes | None], Dual] = Recent(16, 1 << 25)
"""By the frame's identity: a dual holds its frame, so that no other can take its place."""


def walked_vectors(frame: Frame, order: Index | None) -> Array:
    """Return the frame vectors along the walk, shape (N, d)."""
    return frame.vectors if order is None else frame.vectors[order]


def filtered(values: Array, inverse: tuple[Fraction, ...]) -> Array:
    """Apply B⁻¹ along the last axis: never as a matrix.

    Each factor D of B is undone by a running sum: one recursion of order r would pass the rounding error of every step
    through r sums, which at N = 4000 and r = 4 leaves no digit.
    """
    while sum(inverse) == 0:
        values, inverse = np.cumsum(values, axis=-1), divide(inverse, (Fraction(1), Fraction(-1)))
    if len(inverse) == 1:
        return values
    from scipy.signal import lfilter

    return np.asarray(lfilter([1.0], [float(value) for value in inverse], values, axis=-1))


def shaped_dual(frame: Frame, order: Index | None, inverse: tuple[Fraction, ...], what: str) -> Dual:
    """Return the dual (B⁻¹E)⁺B⁻¹, of the least ‖FB‖₂ of all, by a QR decomposition.

    Raises
    ------
    InputError
        If the condition number of B⁻¹E leaves no digits.
    """
    q, r = np.linalg.qr(filtered(walked_vectors(frame, order).T, inverse).T)
    singular = np.linalg.svd(r, compute_uv=False)
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else math.inf
    if not condition * np.finfo(float).eps <= WORST_CONDITION:
        raise InputError(
            f"the condition number of {what} must be at most {WORST_CONDITION / np.finfo(float).eps:.2g}, got "
            f"{condition:.3g} for d = {frame.dimension}, N = {frame.size}: take a lower order or the canonical dual",
            dual="canonical",
        )
    return Projection(frame, order, np.linalg.solve(r, q.T), inverse, condition)
