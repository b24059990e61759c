"""Reversed bit order: spreads neighbours far apart, the worst habit for ΣΔ on a smooth frame."""

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
class ReversedBits(PermutationChoice):
    """Indices 0 … N−1 sorted by the value of their binary digits read backwards (van der Corput order).

    The digits are those of N−1, so any N is allowed; for N a power of two it is the order in which a
    radix-2 FFT reads its input. On a Hadamard frame it turns natural order into another natural one;
    on a harmonic frame it jumps across the curve at every step.

    Examples
    --------
    >>> from sdqviz.frames import FRAMES
    >>> frame = FRAMES["roots-of-unity"](size=6).build()
    >>> ReversedBits().order(frame)
    array([0, 4, 2, 1, 5, 3])
    """

    name = "reversed-bits"
    title = "Reversed bits"

    def order(
        self, frame: Frame, seed: int = 0, progress: Progress | None = None, should_stop: ShouldStop | None = None
    ) -> Index:
        """Return the indices in reversed bit order; it does not depend on the seed."""
        index = np.arange(frame.size)
        backwards = np.zeros_like(index)
        for bit in range((frame.size - 1).bit_length()):
            backwards = backwards * 2 + ((index >> bit) & 1)
        return np.argsort(backwards)  # the values are distinct, so any sort gives the same order
