"""The canonical dual: the pseudo-inverse of the frame, whatever the filter."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np

from sdqviz.array import Index
from sdqviz.frames.frame import Frame
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.duals.dual import Dual, DualChoice, Projection, walked_vectors
from sdqviz.sigma_delta.taps import Taps


@DUALS.register
@dataclasses.dataclass(frozen=True)
class Canonical(DualChoice):
    """F = S⁻¹Eᵀ, for a tight frame (d/N)Eᵀ: what the paper uses, and what fast transforms apply.

    Its errors stop falling faster than about 1/N² whatever the order.
    """

    name = "canonical"
    title = "Canonical"

    def construct(self, frame: Frame, taps: Taps, order: Index | None) -> Dual:
        """Return the dual; the filter plays no part."""
        vectors = walked_vectors(frame, order)
        if frame.tight:
            projection = vectors.T * (frame.dimension / frame.size)
        else:
            projection = np.linalg.solve(vectors.T @ vectors, vectors.T)
        return Projection(frame, order, projection, (Fraction(1),), 1.0)
