"""What an ordering of a frame can be asked for, a choice whose ``order`` gives the permutation."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Index
from sdqviz.choice import Choice
from sdqviz.frames.frame import Frame
from sdqviz.progress import Progress, ShouldStop


@dataclasses.dataclass(frozen=True)
class PermutationChoice(Choice):
    """An order in which to walk through the vectors of a frame."""

    def order(
        self, frame: Frame, seed: int = 0, progress: Progress | None = None, should_stop: ShouldStop | None = None
    ) -> Index:
        """Return the permutation p as indices, shape (N,): the walk visits e_{p(0)} first.

        Parameters
        ----------
        frame : Frame
            The frame to walk through.
        seed : int
            Seed of the random orderings; others ignore it.
        progress, should_stop : callable, optional
            Progress messages, and a request to stop (raises `Stopped`).
        """
        raise NotImplementedError
