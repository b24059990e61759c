"""The order in which the frame is written: for harmonic frames already a short walk."""

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
class Identity(PermutationChoice):
    """p(n) = n."""

    name = "identity"
    title = "As written"

    def order(
        self, frame: Frame, seed: int = 0, progress: Progress | None = None, should_stop: ShouldStop | None = None
    ) -> Index:
        """Return 0, 1, …, N−1."""
        return np.arange(frame.size)
