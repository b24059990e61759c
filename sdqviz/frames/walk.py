"""A frame walked in some order: what the walk measures, closed forms for harmonic frames, and one cache of both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from sdqviz import memory
from sdqviz.array import Array, Index
from sdqviz.frames.frame import DenseOperator, Frame, FrameChoice
from sdqviz.frames.permutations.permutation import PermutationChoice
from sdqviz.kernels.spectral_norm import largest_eigenvalue
from sdqviz.kernels.threads import one_blas_thread
from sdqviz.progress import Progress, ShouldStop, stop_if
from sdqviz.recent import Recent

TIGHT_TOLERANCE = 1e-10
"""Largest deviation from a unit-norm tight frame that counts as rounding."""

WORK_AT_ONCE = 1 << 30
"""Multiplications between two looks at ``should_stop``: less than 100 ms."""

WIDE = 512
"""Dimension above which eigenvalues take so long that a request to stop must not wait for them."""

POLL = 0.05
"""Seconds between two looks at ``should_stop`` while eigenvalues are computed."""


@dataclasses.dataclass(frozen=True)
class Walk:
    """What the bounds need to know of a frame walked in some order p.

    Attributes
    ----------
    dimension, size : int
        d and N.
    tight : bool
        Whether the frame is unit-norm and tight (a FUNTF).
    zero_sum : bool
        Whether Σ e_n = 0.
    variation : float
        σ(F, p) = Σ_{n<N} ‖e_{p(n)} − e_{p(n+1)}‖.
    difference_norm : float
        ‖ΔE‖₂ of the (N−1) × d matrix of the differences e_{p(n)} − e_{p(n+1)}.
    closed_norm : float
        The same with the row e_{p(N)} appended; not needed, and equal to ``difference_norm``, where
        the last state vanishes.
    defect : float
        Largest of ‖(d/N)S − I‖₂ and max|‖e_n‖ − 1|: 0 for frames tight by construction.

    Examples
    --------
    >>> from sdqviz.frames.harmonic import Harmonic
    >>> walk = Walk.of(Harmonic(dimension=4, size=100).build())
    >>> walk.tight, walk.zero_sum, walk.closing, round(walk.variation, 2)
    (True, True, 0, 9.83)
    """

    dimension: int
    size: int
    tight: bool
    zero_sum: bool
    variation: float
    difference_norm: float
    closed_norm: float
    defect: float = 0.0

    @property
    def closing(self) -> int:
        """Weight of the last state in a bound: 0 where it vanishes (Σe_n = 0 and N even), else 1."""
        return 0 if self.zero_sum and self.size % 2 == 0 else 1

    @classmethod
    def of(
        cls,
        frame: Frame,
        order: ArrayLike | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Self:
        """Measure the walk through ``frame`` in ``order``, shape (N,).

        Waves in the order as written have closed forms in the size of one vector. Of other walks the vectors are looked
        at, a block at a time.

        Raises
        ------
        InputError
            If ``order`` is no permutation, or a d × d matrix that is needed would not fit in memory.
        Stopped
            If ``should_stop`` asks for it; it is asked at least every 100 ms.
        """
        index = frame.check_order(order)
        if frame.harmonic is not None and np.array_equal(index, np.arange(frame.size)):
            variation, difference_norm, closed_norm = _along_waves(frame, frame.harmonic.frequencies)
        else:
            variation, difference_norm, closed_norm = _looked_at(frame, index, should_stop)
        defect = 0.0 if frame.tight else max(frame.norm_deviation, frame.tightness)
        return cls(
            dimension=frame.dimension,
            size=frame.size,
            tight=defect <= TIGHT_TOLERANCE,
            zero_sum=frame.zero_sum,
            variation=variation,
            difference_norm=difference_norm,
            closed_norm=closed_norm,
            defect=defect,
        )

    @classmethod
    def harmonic(cls, dimension: int, size: int) -> Self:
        """Return the walk of the harmonic frame as written, from closed forms: no vector is formed.

        ``variation`` and ``difference_norm`` are exact. ``closed_norm`` is an upper bound (the walk closed to a cycle
        has orthogonal columns), so every bound made with it holds.
        """
        even = dimension % 2 == 0
        difference = harmonic_difference_norm(dimension, size)
        return cls(
            dimension=dimension,
            size=size,
            tight=True,
            zero_sum=even,
            variation=harmonic_variation(dimension, size),
            difference_norm=difference,
            closed_norm=difference if even and size % 2 == 0 else math.hypot(difference, 1),
        )


def _looked_at(frame: Frame, index: Index, should_stop: ShouldStop | None) -> tuple[float, float, float]:
    """Return σ, ‖ΔE‖₂ and the norm with the last row appended, from all differences of vectors."""
    d = frame.dimension
    memory.require("the geometry of a walk", d * d, "use a smaller dimension d")
    gram, variation = np.zeros((d, d)), 0.0
    for difference in frame.differences(index):
        variation += float(np.linalg.norm(difference, axis=1).sum())
        together = max(WORK_AT_ONCE // difference.size, 1)
        for start in range(0, d, together):
            stop_if(should_stop)
            columns = slice(start, start + together)
            gram[:, columns] += difference.T @ difference[:, columns]
    difference_norm = closed_norm = _root_of_largest(gram, should_stop)
    if not (frame.zero_sum and frame.size % 2 == 0):
        last = np.asarray(frame.operator.rows(index[-1:]))
        closed_norm = _root_of_largest(gram + last.T @ last, should_stop)
    return variation, difference_norm, closed_norm


def _along_waves(frame: Frame, frequencies: Array) -> tuple[float, float, float]:
    """Return the same of a tight frame of waves as written, f all whole or all half numbers, in O(d).

    Walked on to e_N, which is e_0 or −e_0, the differences of each pair of coordinates are those of the frame, turned
    by an angle and 2 sin(πf/N) times as long: their Gram matrix is diagonal, with D_f = (N/d) 4 sin²(πf/N) twice. The
    step c from e_{N−1} to e_N is not part of the walk, and takes cc* away. Each D_f, being there twice, stays an
    eigenvalue (Cauchy), so ‖ΔE‖₂² = max D_f. With the row s = e_{N−1} appended, the largest eigenvalue of
    D − cc* + ss* is where (1 − Σs²/(λ−D))(1 + Σc²/(λ−D)) + (Σsc/(λ−D))² vanishes above all D, and no more than 1
    above.
    """
    size, whole = frame.size, bool((frequencies % 1 == 0).all())
    sines = np.sin(np.pi * frequencies / size) ** 2
    variation = (size - 1) * math.sqrt(8 / frame.dimension * float(sines.sum()))
    constant = np.zeros(frame.dimension % 2)  # the coordinate in which no two vectors differ
    diagonal = np.concatenate([constant, np.repeat(4 * size / frame.dimension * sines, 2)])
    top = float(diagonal.max())
    if frame.zero_sum and size % 2 == 0:
        return variation, math.sqrt(top), math.sqrt(top)
    last, first = np.asarray(frame.operator.rows(np.array([size - 1, 0])))
    step = last - first if whole else last + first
    below = top - diagonal

    def secular(above: float) -> float:
        weights = 1 / (above + below)
        own, taken, both = (float(parts @ weights) for parts in (last**2, step**2, last * step))
        return (1 - own) * (1 + taken) + both**2

    low, high = 0.0, 1.0  # the root is not below low, nor above high
    while high - low > np.finfo(float).eps * (top + high):  # of the sum nothing finer can be told
        middle = (low + high) / 2
        low, high = (low, middle) if secular(middle) >= 0 else (middle, high)
    return variation, math.sqrt(top), math.sqrt(top + high)


def _root_of_largest(gram: Array, should_stop: ShouldStop | None) -> float:
    """Return the root of the largest eigenvalue; LAPACK cannot be stopped, so a stop leaves it to end by itself."""

    def compute() -> float:
        return math.sqrt(max(largest_eigenvalue(gram.copy()), 0.0))

    if len(gram) <= WIDE:
        with one_blas_thread():
            return compute()
    return compute() if should_stop is None else _watched(compute, should_stop)


def _watched(compute: Callable[[], float], should_stop: ShouldStop) -> float:
    pool = ThreadPoolExecutor(1)
    try:
        future = pool.submit(compute)
        while True:
            try:
                return future.result(timeout=POLL)
            except TimeoutError:
                stop_if(should_stop)
    finally:
        pool.shutdown(wait=False)


# -- how long walks are -------------------------------------------------------------------------------


def wang_variation(dimension: int, size: int) -> float:
    """Return 4√(d+3)(N^(1−1/d) − 1), the right-hand side of (8): some order has at most this variation.

    Examples
    --------
    >>> round(wang_variation(3, 1000), 2)
    970.0
    """
    return 4 * math.sqrt(dimension + 3) * (size ** (1 - 1 / dimension) - 1)


def harmonic_variation_limit(dimension: int) -> float:
    """Return 2π(d+1): no harmonic frame of R^d in its natural order has a larger variation, whatever N."""
    return 2 * math.pi * (dimension + 1)


def harmonic_variation(dimension: int, size: int) -> float:
    """Return σ of the harmonic frame as written: exactly (N−1)√((8/d) Σ_{k≤d/2} sin²(πk/N))."""
    k = np.arange(1, dimension // 2 + 1)
    return (size - 1) * math.sqrt(8 / dimension * float((np.sin(np.pi * k / size) ** 2).sum()))


def harmonic_difference_norm(dimension: int, size: int) -> float:
    """Return 2√(N/d)·max_k sin(πk/N), which is ‖ΔE‖₂ of the harmonic frame as written.

    The maximum is over k ≤ d/2: sin(π⌊d/2⌋/N), since ⌊d/2⌋ ≤ N/2.
    """
    return 2 * math.sqrt(size / dimension) * math.sin(math.pi * (dimension // 2) / size)


# -- frames walked lately -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Walked:
    """A frame, the order of the walk through it, and what the walk measures.

    Attributes
    ----------
    frame : Frame
        The frame.
    order : ndarray of int, shape (N,), or None
        The order p; None for the order as written, which needs no rearranging.
    walk : Walk
        Its geometry.
    """

    frame: Frame
    order: Index | None
    walk: Walk

    @property
    def visits(self) -> Index:
        """The frame vectors in the order of the walk, written out, shape (N,)."""
        return np.arange(self.frame.size) if self.order is None else self.order


_walked: Recent[tuple[FrameChoice, PermutationChoice, int], Walked] = Recent(64, 1 << 25)


def walked(
    choice: FrameChoice,
    ordering: PermutationChoice,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Walked:
    """Build a frame, order it and measure its walk, or find it among the last: layers and runs repeat them.

    Parameters
    ----------
    choice : FrameChoice
        The frame.
    ordering : PermutationChoice
        The order of the walk.
    seed : int
        Of both.
    progress, should_stop : callable, optional
        Passed on to finding the order; measuring asks ``should_stop`` too.

    Raises
    ------
    InputError
        If there is no such frame or it would not fit in memory.
    Stopped
        If ``should_stop`` asks for it; nothing is kept then.
    """
    key = (choice, ordering, seed)
    found = _walked.get(key)
    if found is None:
        stop_if(should_stop)
        frame = choice.build(seed)
        given = ordering.order(frame, seed, progress, should_stop)
        order = None if np.array_equal(given, np.arange(frame.size)) else given
        walk = Walk.of(frame, order, should_stop)
        dense = isinstance(frame.operator, DenseOperator)
        numbers = frame.size * (frame.dimension if dense else 1)
        found = _walked.put(key, Walked(frame, order, walk), float(numbers))
    return found
