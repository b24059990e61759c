"""What tells one calibrated method from another: how a walk starts, the operator, the alphabet."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from sdqviz.array import Array, Index
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.walk import Tally
from sdqviz.progress import ShouldStop
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import QuantizerChoice


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """What the walk of one group starts from; rows are inputs in the order of the walk, columns neurons.

    Attributes
    ----------
    base, reference, feedback, gain
        As `sdqviz.path_following.walk.walk` takes them.
    aligned : ndarray, shape (N, M)
        w̃, in the order of the weights.
    order : ndarray of int or None, shape (N,)
        The order of the walk, if it is not that of the weights.
    damping : float
        λ, in units of H.
    tally : Tally or None
        What a walk can sum up on its way to know its error: with H itself fed back eᵀHe, and with a factor
        eᵀ(H + λI)e, e = w − q on live inputs; None where the error ‖Xw − X̃q‖² is another.
    own : bool
        Whether ``base`` is nobody else's, so that the last walk may overwrite it.
    """

    base: Array
    reference: Array
    feedback: Array
    gain: Array
    aligned: Array
    order: Index | None = None
    damping: float = 0.0
    tally: Tally | None = None
    own: bool = False


class Starting(Protocol):
    """Aligns the weights of one group, shape (N, M), and finds how their errors are fed back."""

    def __call__(self, gram: Gram, weights: Array, should_stop: ShouldStop | None) -> Start:
        """Return what the walk starts from."""


class Operators(Protocol):
    """Gives the operator T for a threshold, which is 0 without a pruning ratio."""

    def __call__(self, threshold: float) -> QuantizerChoice:
        """Return T."""


def nearest(threshold: float) -> QuantizerChoice:
    """Return rounding to nearest, whatever the threshold: an operator that does not prune."""
    return QUANTIZERS["nearest"]()


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """How a method quantizes a layer.

    Attributes
    ----------
    start : Starting
        Aligns, and finds the feedback.
    alphabet : str
        One of `sdqviz.methods.calibrated.scale.CHOICES`.
    operator : Operators
        T.
    endless : bool
        Whether levels go on for ever; scales are fitted to a finite alphabet all the same.
    level_bits : int or None
        Bits of a level, whatever the layer's are.
    ratio : float
        Share of the weights that are to become zero; 0 for no pruning.
    refinements : int
        How often the quantized weights are visited again.
    scaling : float
        C.
    """

    start: Starting
    alphabet: str
    operator: Operators = nearest
    endless: bool = False
    level_bits: int | None = None
    ratio: float = 0.0
    refinements: int = 0
    scaling: float = 1.0
