"""Of two duals the one with the smaller bound."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Index
from sdqviz.error import InputError
from sdqviz.frames.frame import Frame
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.duals.canonical import Canonical
from sdqviz.sigma_delta.duals.dual import Dual, DualChoice
from sdqviz.sigma_delta.duals.matched import Matched
from sdqviz.sigma_delta.taps import Taps

WITHIN = 1.02
"""How much larger the canonical dual's ‖FH‖₂ may be."""


@DUALS.register
@dataclasses.dataclass(frozen=True)
class Smaller(DualChoice):
    """The canonical dual where its ‖FH‖₂ is within 2 % of that of the matched one, or that one is ill-conditioned.

    No left inverse has a smaller ‖FH‖₂ than the matched one; where the canonical one costs next to nothing, its errors
    are those of a fast transform and of a condition number of 1.
    """

    name = "smaller"
    title = "The smaller bound of two"

    def construct(self, frame: Frame, taps: Taps, order: Index | None) -> Dual:
        """Return one of the two."""
        plain = Canonical().build(frame, taps, order)
        try:
            matched = Matched().build(frame, taps, order)
        except InputError:
            return plain
        return plain if plain.error_norm(taps) <= WITHIN * matched.error_norm(taps) else matched
