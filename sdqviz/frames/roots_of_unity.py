"""Roots of unity: N equally spaced directions of the plane, the frames one can draw."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame, FrameChoice
from sdqviz.frames.harmonic import HarmonicOperator


@FRAMES.register
@dataclasses.dataclass(frozen=True)
class RootsOfUnity(FrameChoice):
    """e_n = (cos 2πn/N, sin 2πn/N), the harmonic frame of the plane; N = 3 is the Mercedes-Benz frame.

    Unit-norm, tight and zero-sum from N = 3 on. The walk as written has N−1 steps of length
    2 sin(π/N), so σ < 2π whatever N is.

    Notes
    -----
    Benedetto, Powell & Yılmaz, IEEE Trans. Inf. Theory 52 (2006). N = 2 gives e_1 = −e_0, which does
    not span the plane.

    Examples
    --------
    >>> frame = RootsOfUnity(size=7).build()
    >>> frame.bounds
    (3.5, 3.5)
    >>> round(frame.variation(), 4)
    5.2066
    """

    name = "roots-of-unity"
    title = "Roots of unity"
    any_dimension: ClassVar[bool] = False

    dimension: int = field(
        2, label="Dimension d", help="Roots of unity are vectors of the plane.", minimum=2, maximum=2
    )
    size: int = field(7, label="Frame size N", help="Number of directions, equally spaced.", minimum=3, maximum=1 << 22)

    @classmethod
    def admissible_size(cls, dimension: int, at_least: int) -> int:
        """Return the smallest N ≥ ``at_least``, at least 3; refuse dimensions other than 2."""
        if dimension != 2:
            raise InputError(f"dimension must be 2 for roots of unity, got {dimension}")
        return max(at_least, 3)

    @classmethod
    def sums_to_zero(cls, dimension: int) -> bool:
        """Return True."""
        return True

    def build(self, seed: int = 0) -> Frame:
        """Return the frame; it does not depend on the seed."""
        return Frame(HarmonicOperator(2, self.size), 2, self.size, tight=True)
