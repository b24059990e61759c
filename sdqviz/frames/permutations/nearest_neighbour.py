"""Nearest neighbour: from each vector on to the nearest one not yet visited."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from sdqviz.array import Index
from sdqviz.choice import field
from sdqviz.frames.frame import Frame
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.permutations.permutation import PermutationChoice
from sdqviz.progress import Progress, ShouldStop, report, stop_if

PIECE = 2e7
"""Coordinates compared between two looks at the clock: some 20 ms."""


@PERMUTATIONS.register
@dataclasses.dataclass(frozen=True)
class NearestNeighbour(PermutationChoice):
    """Start at e_0 and always go on to the nearest vector left; O(N²d).

    When the time limit ends the walk, the vectors left follow in the order in which the frame is
    written, and the last progress message says how many they are.

    Examples
    --------
    >>> from sdqviz.frames import FRAMES
    >>> frame = FRAMES["platonic"](size=8).build()
    >>> NearestNeighbour().order(frame)
    array([0, 1, 3, 2, 6, 4, 5, 7])
    """

    name = "nearest-neighbour"
    title = "Nearest neighbour"

    seconds: float = field(
        10.0, label="Time limit", help="Seconds after which the rest follows as written.", minimum=0.01, maximum=3600
    )

    def order(
        self, frame: Frame, seed: int = 0, progress: Progress | None = None, should_stop: ShouldStop | None = None
    ) -> Index:
        """Return the walk; it does not depend on the seed.

        Raises
        ------
        InputError
            If the frame vectors would not fit in memory.
        Stopped
            If ``should_stop`` asks for it; it is asked about every 20 ms.
        """
        from sdqviz.kernels.tour import extend_walk

        begin = time.monotonic()
        stop_if(should_stop)
        points = np.array(frame.vectors)  # the kernel permutes its copy, so that the vectors left stay together
        walk = np.arange(frame.size)
        done = 1
        while done < frame.size and time.monotonic() - begin < self.seconds:
            stop_if(should_stop)
            steps = max(1, int(PIECE / ((frame.size - done) * frame.dimension)))
            reached = min(done + steps, frame.size)
            extend_walk(points, walk, done, reached)
            done = reached
            report(progress, done, frame.size, f"nearest neighbour: {done} of {frame.size} vectors placed")
        left = frame.size - done
        if left > 0:
            walk[done:].sort()
            message = (
                f"nearest neighbour: time limit of {self.seconds:g} s, {left} of {frame.size} vectors left as written"
            )
            report(progress, done, frame.size, message)
        return walk
