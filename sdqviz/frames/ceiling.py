"""What no frame coefficient of a vector exceeds, found from fewer of them: where coefficients are samples of a wave."""

from __future__ import annotations

import dataclasses
import math

from sdqviz.array import Array, heights
from sdqviz.frames.frame import Frame, FrameChoice
from sdqviz.frames.signs import signed

PER_PERIOD = 8
"""Samples to a period of the highest wave: the largest of them is at most 1/cos(π/8), 8 %, below the wave's peak."""

WORTH = 4
"""How many times fewer samples there must be than coefficients, or looking at all of these is as fast."""

ROUNDING = 1e-12
"""What errors of rounding may take from a ceiling, relative; far more than transforms of any length lose."""


class Ceiling:
    """Bounds max_n |⟨x, e_n⟩| of a frame of waves, by a frame of the same waves with fewer vectors.

    Notes
    -----
    ⟨x, e_n⟩ = p(2πn/N), where p has no frequency above d/2 and does not depend on N. Next to its largest magnitude such
    a p falls no faster than the wave of its highest frequency (M. Riesz), so with M > d equispaced samples
    max|p| ≤ max_m |p(2πm/M)| / cos(πd/2M) (Ehlich & Zeller, Math. Z. 86, 1964).

    Examples
    --------
    >>> import numpy as np
    >>> from sdqviz.frames.harmonic import Harmonic
    >>> choice, x = Harmonic(dimension=4, size=1000), np.eye(4)
    >>> above = Ceiling.of(choice).over(x)
    >>> bool((above >= np.abs(choice.build().analyze(x)).max(axis=1)).all()), Ceiling.of(choice).frame.size
    (True, 16)
    """

    def __init__(self, frame: Frame) -> None:
        self.frame, self.factor = frame, (1 + ROUNDING) / math.cos(math.pi * (frame.dimension // 2) / frame.size)

    @classmethod
    def of(cls, choice: FrameChoice, signs: bool = False, seed: int = 0) -> Ceiling | None:
        """Return the ceiling of a frame, or None where its coefficients are no waves, or too few to be worth it."""
        if not choice.waves:
            return None
        from scipy.fft import next_fast_len

        fewer = next_fast_len(max(2, choice.dimension // 2 * PER_PERIOD), real=True)
        size = choice.admissible_size(choice.dimension, fewer)
        if choice.size < WORTH * size:
            return None
        frame = dataclasses.replace(choice, size=size).build()
        return cls(signed(frame, seed) if signs else frame)

    def over(self, x: Array) -> Array:
        """Return for vectors, shape (M, d), what none of their coefficients exceeds in magnitude, shape (M,)."""
        return self.factor * heights(self.frame.analyze(x))
