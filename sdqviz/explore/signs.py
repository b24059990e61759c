"""What random signs do to the frame coefficients of a structured vector."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.path.statement import ProbabilisticBound
from sdqviz.bounds.spreading import coefficient_range
from sdqviz.explore.shipped_weights import weight_matrix
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame
from sdqviz.frames.signs import random_signs

FAILURE = 0.05
"""γ: the share of signs for which the lemma's line may be crossed."""

LEAST, NEURON = 16, ("mnist-fnn-seed0", 1, 800)
"""d below which signs have nothing to spread over, and whose weights stand in: network, layer, N of their frame."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """Coefficients of a vector of length 1 before and after random signs.

    Attributes
    ----------
    what : str
        Which vector, in which frame, as the beginning of a sentence.
    before, after : ndarray, shape (N,)
        |⟨w, e_n⟩| and |⟨w, diag(ε)e_n⟩|.
    limit : ProbabilisticBound
        The lemma's line for the largest of ``after``, with c the largest entry of this frame.
    """

    what: str
    before: Array
    after: Array
    limit: ProbabilisticBound


def spread(frame: Frame, seed: int = 0) -> Spread:
    """Analyse two periods of a sine in a frame as they are and behind the signs of a seed.

    In few dimensions nothing can be spread: then it is a neuron of a shipped network in a frame of its own.
    """
    d = frame.dimension
    what = f"Two periods of a sine in d = {d}"
    vector = np.sin(4 * np.pi * (np.arange(d) + 0.5) / d)
    if d < LEAST:
        small, (frame, vector) = d, neuron()
        d = frame.dimension
        what = (
            f"d = {small} is too few entries to spread anything over, so this is a neuron of {NEURON[0]}, d = {d}, in "
            f"a half-frequency frame of {frame.size} vectors"
        )
    vector = vector / np.linalg.norm(vector)
    before, after = np.abs(frame.analyze(np.stack([vector, vector * random_signs(d, seed)])))
    limit = coefficient_range(1.0, d, frame.size, FAILURE, float(np.abs(frame.vectors).max()))
    return Spread(what, before, after, limit)


@functools.cache
def neuron() -> tuple[Frame, Array]:
    """Return the weights into the first neuron of `NEURON`, and a frame for them."""
    name, layer, size = NEURON
    weights = np.asarray(weight_matrix(name, layer)[1][0], float)
    return FRAMES["half-frequency"](dimension=len(weights), size=size).build(), weights
