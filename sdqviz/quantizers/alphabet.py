"""Alphabets: the finite sets of levels a quantizer may use."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array
from sdqviz.error import InputError

MAXIMUM_BITS = 16


@dataclasses.dataclass(frozen=True)
class Midrise:
    """The midrise alphabet of 2K levels, K = 2^(bits−1): ±δ/2, ±3δ/2, …, ±(K−½)δ. It has no zero.

    Parameters
    ----------
    bits : int
        Bits per level, 1 to 16.
    step : float
        δ, the distance of neighbouring levels, in the units of the values; positive.

    Notes
    -----
    Czaja & Na (arXiv 2404.08131), eq. (7).

    Examples
    --------
    >>> Midrise(bits=2, step=1.0).levels
    array([-1.5, -0.5,  0.5,  1.5])
    >>> Midrise(bits=2, step=1.0).nearest([0.0, -0.2, 9.0])
    array([ 0.5, -0.5,  1.5])
    """

    bits: int
    step: float

    def __post_init__(self) -> None:
        """Refuse a bit depth or a step that makes no alphabet."""
        check_bits(self.bits)
        if not (np.isfinite(self.step) and self.step > 0):
            raise InputError(f"step must be positive and finite, got {self.step}")

    @property
    def half_levels(self) -> int:
        """K, half the number of levels."""
        return 2 ** (self.bits - 1)

    @property
    def levels(self) -> Array:
        """All 2K levels in increasing order, shape (2K,)."""
        return (np.arange(-self.half_levels, self.half_levels) + 0.5) * self.step

    @property
    def radius(self) -> float:
        """(K−½)δ: the largest level, and the largest |input| for which first-order ΣΔ is stable."""
        return (self.half_levels - 0.5) * self.step

    def nearest(self, values: ArrayLike) -> Array:
        """Round each value to the nearest level; ties and overload as `nearest_index`."""
        return (nearest_index(np.asarray(values, float), self.step, self.half_levels) + 0.5) * self.step


def check_bits(bits: int) -> None:
    """Refuse a bit depth outside 1 … 16."""
    if not 1 <= bits <= MAXIMUM_BITS:
        raise InputError(f"bits must be between 1 and {MAXIMUM_BITS}, got {bits}")


def nearest_index(values: Array, step: ArrayLike, half_levels: int) -> Array:
    """Index k of the midrise level (k+½)δ nearest to each value, clipped to −K … K−1.

    A tie between two levels goes to the upper one (⌊u/δ⌋). ``step`` broadcasts against ``values``;
    where it is 0 the index is that of an ordinary step of 1 (the level itself is then 0).
    """
    divisor = np.where(np.asarray(step) > 0, step, 1.0)
    return np.clip(np.floor(values / divisor), -half_levels, half_levels - 1)
