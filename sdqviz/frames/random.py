"""Random unit-norm tight frames: Gaussian vectors, moved until they are unit-norm and tight."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz import memory
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import DenseOperator, Frame, FrameChoice

WORK = 6e9
"""Largest N·d² that is built: some ten seconds on two cores."""


@FRAMES.register
@dataclasses.dataclass(frozen=True)
class RandomTight(FrameChoice):
    """N Gaussian vectors brought to a unit-norm tight frame; N = d gives a random orthonormal basis.

    Nothing about it is structured: no fast transform, no short walk as written. Its tightness
    ‖S − (N/d)I‖₂/(N/d) is at most 1e-10.

    Notes
    -----
    Descent of the frame potential, finished exactly by plane rotations: see `sdqviz.frames.tightening`.

    Examples
    --------
    >>> frame = RandomTight(dimension=5, size=13).build(seed=1)
    >>> frame.bounds, frame.tightness < 1e-10, frame.norm_deviation < 1e-12
    ((2.6, 2.6), True, True)
    """

    name = "random"
    title = "Random tight"

    def check(self) -> None:
        """Require N ≥ d."""
        if self.size < self.dimension:
            raise InputError(
                f"size must be at least {self.dimension} for dimension {self.dimension}, got {self.size}: "
                "fewer vectors than dimensions cannot span"
            )

    def build(self, seed: int = 0) -> Frame:
        """Return the frame of this seed.

        Raises
        ------
        InputError
            If the vectors would not fit in memory, or if N·d² is above `WORK`.
        """
        from sdqviz.frames.tightening import unit_norm_tight

        memory.require("the matrix of frame vectors", self.size * self.dimension, "use a smaller size N")
        if self.size * self.dimension**2 > WORK:
            raise InputError(
                f"size times dimension squared must be at most {WORK:g} for a random tight frame, "
                f"got {self.size * self.dimension**2:.3g}: use a harmonic or a Hadamard frame"
            )
        vectors = np.random.default_rng(seed).standard_normal((self.size, self.dimension))
        return Frame(DenseOperator(unit_norm_tight(vectors)), self.dimension, self.size, tight=True)
