"""What a walk through one sequence leaves behind: every step, and whether the quantizer stayed in range."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

from sdqviz.array import Array, Index


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """The steps of a quantizer over coefficients of shape (..., N).

    Attributes
    ----------
    coefficients, quantized : ndarray, shape (..., N)
        What came in, and the levels chosen.
    states : callable
        Walks once more and returns `state`: most who ask for levels never look at it.
    bits : int
        Bits per level.
    step : ndarray, shape (...)
        δ of each sequence.
    stable : bool
        Whether every |coefficient| ≤ (K−‖h‖₁/2)δ, which guarantees |u_n| ≤ δ/2.
    reason : str
        One sentence saying why it is or is not stable.
    overload : ndarray of int, shape (...)
        Steps at which the quantizer's input lay outside [−Kδ, Kδ].
    ties : ndarray of int, shape (...)
        Steps at which it lay on a decision threshold, up to rounding, and went up.
    """

    coefficients: Array
    quantized: Array
    states: Callable[[], Array]
    bits: int
    step: Array
    stable: bool
    reason: str
    overload: Index
    ties: Index

    def __post_init__(self) -> None:
        """Make the arrays read-only: a trace is a record."""
        for array in (self.coefficients, self.quantized, self.step, self.overload, self.ties):
            array.setflags(write=False)

    @functools.cached_property
    def state(self) -> Array:
        """The state u_n after each step, shape (..., N).

        For memoryless rounding it is the running sum of the errors, so that both can be drawn on one axis.
        """
        state = self.states().reshape(self.coefficients.shape)
        state.setflags(write=False)
        return state
