"""The Sobolev dual: the left inverse that damps r-th differences most."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Index
from sdqviz.frames.frame import Frame
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.duals.dual import Dual, DualChoice
from sdqviz.sigma_delta.duals.transformed import noise_dual
from sdqviz.sigma_delta.taps import Taps, difference


@DUALS.register
@dataclasses.dataclass(frozen=True)
class Sobolev(DualChoice):
    """F = (D⁻ʳE)⁺D⁻ʳ, r the order of the filter: of all left inverses the one of least ‖FDʳ‖₂.

    Blum, Lammers, Powell & Yılmaz, J. Fourier Anal. Appl. 16 (2010).
    """

    name = "sobolev"
    title = "Sobolev"

    def construct(self, frame: Frame, taps: Taps, order: Index | None) -> Dual:
        """Return the dual of the filter's order."""
        return noise_dual(frame, order, difference(taps.order).polynomial, f"D^(−{taps.order})E")
