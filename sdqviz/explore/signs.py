"""What random signs do to the frame coefficients of a structured vector."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.path.statement import ProbabilisticBound
from sdqviz.bounds.spreading import coefficient_range
from sdqviz.frames.frame import Frame
from sdqviz.frames.signs import random_signs

FAILURE = 0.05
"""γ: the share of signs for which the lemma's line may be crossed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """Coefficients of two periods of a sine, of length 1, before and after random signs.

    Attributes
    ----------
    before, after : ndarray, shape (N,)
        |⟨w, e_n⟩| and |⟨w, diag(ε)e_n⟩|.
    limit : ProbabilisticBound
        The lemma's line for the largest of ``after``, with c the largest entry of this frame.
    """

    before: Array
    after: Array
    limit: ProbabilisticBound


def spread(frame: Frame, seed: int = 0) -> Spread:
    """Analyse the vector in a frame as it is and behind the signs of a seed."""
    d = frame.dimension
    vector = np.sin(4 * np.pi * (np.arange(d) + 0.5) / d) if d > 2 else np.arange(d, 0.0, -1)
    vector /= np.linalg.norm(vector)
    before, after = np.abs(frame.analyze(np.stack([vector, vector * random_signs(d, seed)])))
    return Spread(before, after, coefficient_range(1.0, d, frame.size, FAILURE, float(np.abs(frame.vectors).max())))
