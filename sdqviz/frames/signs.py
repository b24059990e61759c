"""Random signs on the coordinates: whatever the vectors' structure, their frame coefficients come out alike."""

from __future__ import annotations

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.frames.frame import Frame, FrameOperator, Harmonics

SIGNS_VERSION = 1
"""Version of how a seed gives signs; files rely on it, so a change needs another number beside the old way."""

TOGETHER = 256
"""Vectors whose signs are changed at a time: so no second matrix of all of them is needed."""


def random_signs(dimension: int, seed: int) -> Array:
    """Return d independent signs ±1 that the seed decides: the same on every machine and in every version.

    Parameters
    ----------
    dimension : int
        d.
    seed : int
        Non-negative.

    Returns
    -------
    ndarray, shape (d,)

    Notes
    -----
    Bit i is the lowest of the i-th 64-bit word of Philox (Salmon et al., 2011) with the key (seed, version): a
    generator that is a published formula, and no method of numpy's that could draw otherwise one day.

    Examples
    --------
    >>> random_signs(6, 0)
    array([-1.,  1.,  1., -1.,  1., -1.])
    """
    words = np.random.Philox(key=np.array([seed, SIGNS_VERSION], np.uint64)).random_raw(dimension)
    return np.where(words & np.uint64(1), 1.0, -1.0)


def signed(frame: Frame, seed: int) -> Frame:
    """Return the frame with vectors diag(ε)e_n, ε random signs.

    Parameters
    ----------
    frame : Frame
        Any frame of R^d.
    seed : int
        Decides the signs, see `random_signs`.

    Returns
    -------
    Frame
        Its frame operator is diag(ε) S diag(ε): as tight as before, with the same norms, the same angles and, along
        every order, the same variation and ‖ΔE‖₂, since diag(ε) is orthogonal. So every bound stays as it was.

    Examples
    --------
    >>> from sdqviz.frames.harmonic import Harmonic
    >>> frame = Harmonic(dimension=4, size=9).build()
    >>> spread = signed(frame, seed=0)
    >>> spread.vectors[0].round(3)
    array([-0.707,  0.   ,  0.707, -0.   ])
    >>> bool(abs(spread.variation() - frame.variation()) < 1e-12)
    True
    """
    operator = SignedOperator(frame.operator, random_signs(frame.dimension, seed))
    waves = frame.harmonic
    if waves is not None:
        waves = Harmonics(waves.frequencies, waves.signs * operator.signs)
    return Frame(operator, frame.dimension, frame.size, tight=frame.tight, harmonic=waves)


class SignedOperator:
    """Another operator behind a change of signs of the coordinates.

    Parameters
    ----------
    operator : FrameOperator
        Of the frame without signs.
    signs : ndarray, shape (d,)
        ε.
    """

    def __init__(self, operator: FrameOperator, signs: Array) -> None:
        self.operator, self.signs = operator, signs

    def analyze(self, x: Array) -> Array:
        """Map vectors, shape (M, d), to ⟨diag(ε)x, e_n⟩, shape (M, N), a few at a time if there are many."""
        if len(x) <= TOGETHER:
            return self.operator.analyze(x * self.signs)
        first = self.operator.analyze(x[:TOGETHER] * self.signs)
        found = np.empty((len(x), first.shape[1]))
        found[:TOGETHER] = first
        for start in range(TOGETHER, len(x), TOGETHER):
            found[start : start + TOGETHER] = self.operator.analyze(x[start : start + TOGETHER] * self.signs)
        return found

    def adjoint(self, c: Array) -> Array:
        """Map coefficients, shape (M, N), to diag(ε) Σ c_n e_n, shape (M, d)."""
        vectors = self.operator.adjoint(c)
        vectors *= self.signs
        return vectors

    def rows(self, index: Index) -> Array:
        """Return the chosen vectors diag(ε)e_n, shape (len(index), d)."""
        return self.operator.rows(index) * self.signs
