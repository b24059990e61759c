"""A random order: what the walk costs when nobody thinks about it."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Index
from sdqviz.frames.frame import Frame
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.permutations.permutation import PermutationChoice
from sdqviz.progress import Progress, ShouldStop


@PERMUTATIONS.register
@dataclasses.dataclass(frozen=True)
class RandomOrder(PermutationChoice):
    """A uniformly random permutation of the frame vectors.

    For a unit-norm zero-sum frame the expected variation is about √2·N: it grows with N, and with it
    the bound does not fall.

    Examples
    --------
    >>> from sdqviz.frames import FRAMES
    >>> frame = FRAMES["roots-of-unity"](size=6).build()
    >>> RandomOrder().order(frame, seed=0)
    array([3, 2, 5, 4, 0, 1])
    """

    name = "random"
    title = "Random"

    def order(
        self, frame: Frame, seed: int = 0, progress: Progress | None = None, should_stop: ShouldStop | None = None
    ) -> Index:
        """Return the permutation of this seed."""
        return np.random.default_rng(seed).permutation(frame.size)
