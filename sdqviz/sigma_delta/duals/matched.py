"""The dual matched to the filter itself: the smallest bound there is."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Index
from sdqviz.frames.frame import Frame
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.duals.dual import Dual, DualChoice
from sdqviz.sigma_delta.duals.transformed import noise_dual
from sdqviz.sigma_delta.taps import Taps


@DUALS.register
@dataclasses.dataclass(frozen=True)
class Matched(DualChoice):
    """F = (H⁻¹E)⁺H⁻¹ with the walk's own filter H: of all left inverses the one of least ‖FH‖₂ = 1/σ_min(H⁻¹E).

    For the greedy filter it is the Sobolev dual.
    """

    name = "matched"
    title = "Matched to the filter"

    def construct(self, frame: Frame, taps: Taps, order: Index | None) -> Dual:
        """Return the dual of the filter."""
        return noise_dual(frame, order, taps.polynomial, "H⁻¹E")
