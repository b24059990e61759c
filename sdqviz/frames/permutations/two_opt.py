"""2-opt and Or-opt: a walk shortened by turning pieces round and moving pieces elsewhere."""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.choice import field
from sdqviz.frames.frame import Frame
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.permutations.nearest_neighbour import NearestNeighbour
from sdqviz.frames.permutations.permutation import PermutationChoice
from sdqviz.progress import Progress, ShouldStop, report, stop_if

COMPLETE = 256
"""Frames of up to this many vectors try every pair; larger ones only pairs of near vectors."""

LEAST_NEIGHBOURS = 16
"""Near vectors tried for each vector, at least."""

PIECE = 2e7
"""Multiplications between two looks at the clock: some 20 ms."""

BLOCK = 1 << 22
"""Inner products formed together for the lists of near vectors."""


@PERMUTATIONS.register
@dataclasses.dataclass(frozen=True)
class TwoOpt(PermutationChoice):
    """The shorter of the nearest-neighbour walk and the frame as written, improved to a local optimum.

    2-opt replaces two steps by turning the piece between them round; Or-opt takes up to three
    consecutive vectors and puts them elsewhere. Both go on until no such move shortens the walk, or
    until the time limit; the best walk so far is returned. Up to 256 vectors every pair is tried,
    beyond that each vector with its nearest ones only (65,536/N of them, at least 16).

    Notes
    -----
    Croes, Oper. Res. 6 (1958); Or, thesis, Northwestern University (1976); neighbour lists and the
    queue of vectors to look at: Bentley, ORSA J. Comput. 4 (1992).

    Examples
    --------
    >>> from sdqviz.frames import FRAMES
    >>> frame = FRAMES["roots-of-unity"](size=9).build()
    >>> round(frame.variation(TwoOpt().order(frame)), 4), round(16 * float(np.sin(np.pi / 9)), 4)
    (5.4723, 5.4723)
    """

    name = "two-opt"
    title = "Nearest neighbour + 2-opt"

    seconds: float = field(
        10.0, label="Time limit", help="Seconds after which the best walk so far is taken.", minimum=0.01, maximum=3600
    )

    def order(
        self, frame: Frame, seed: int = 0, progress: Progress | None = None, should_stop: ShouldStop | None = None
    ) -> Index:
        """Return the improved walk; it does not depend on the seed.

        Raises
        ------
        InputError
            If the frame vectors would not fit in memory.
        Stopped
            If ``should_stop`` asks for it; it is asked about every 20 ms.
        """
        end = time.monotonic() + self.seconds
        walk = NearestNeighbour(seconds=self.seconds).order(frame, seed, progress, should_stop)
        if frame.variation(walk) > frame.variation():
            walk = np.arange(frame.size)
        if frame.size <= 2:
            return walk
        points = np.array(frame.vectors)
        nearest = nearest_vectors(points, end, progress, should_stop)
        finished = nearest is not None and _shorten(points, nearest, walk, end, progress, should_stop)
        if not finished:
            message = f"2-opt: stopped by the time limit of {self.seconds:g} s at length {frame.variation(walk):.4g}"
            report(progress, 1, 1, message)
        return walk


def nearest_vectors(
    points: Array, end: float, progress: Progress | None, should_stop: ShouldStop | None
) -> Index | None:
    """Return the nearest vectors of each vector, shape (N, K), or None if time runs out."""
    from sdqviz.kernels.threads import run
    from sdqviz.kernels.tour import nearest_lists

    size, dimension = points.shape
    width = size - 1 if size <= COMPLETE else max(LEAST_NEIGHBOURS, COMPLETE**2 // size)
    nearest = np.empty((size, width), np.int32)
    squares = np.einsum("nd,nd->n", points, points)
    together = max(1, int(min(BLOCK / size, 10 * PIECE / (size * dimension))))
    for start in range(0, size, together):
        stop_if(should_stop)
        if time.monotonic() > end:
            return None
        products = points[start : start + together] @ points.T
        run(nearest_lists, products, squares, start, nearest)
        report(progress, start, size, f"2-opt: near vectors of {start} of {size} found")
    return nearest


def _shorten(
    points: Array, nearest: Index, walk: Index, end: float, progress: Progress | None, should_stop: ShouldStop | None
) -> bool:
    """Shorten ``walk`` in place; return whether a local optimum was reached before the time limit."""
    from sdqviz.kernels.shorten import shorten_walk

    size, dimension = points.shape
    position = np.empty_like(walk)
    position[walk] = np.arange(size)
    budget = max(1, int(PIECE / (4 * dimension + 16)))
    changed = True
    while changed:  # look at every vector again until a whole round finds nothing
        before = walk.copy()
        queue, queued, ends = walk.copy(), np.ones(size, np.bool_), np.array([0, size])
        while ends[1] > 0:
            stop_if(should_stop)
            if time.monotonic() > end:
                return False
            shorten_walk(points, nearest, walk, position, queue, queued, ends, budget)
            report(progress, size - int(ends[1]), size, f"2-opt: {ends[1]} of {size} vectors left to look at")
        changed = not np.array_equal(walk, before)
    return True
