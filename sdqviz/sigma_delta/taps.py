"""The filter of a noise-shaping quantizer: its taps as exact fractions, and what they need to stay stable."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.error import InputError

ROUNDING = 4 * float(np.finfo(float).eps)
"""A step computed as max|x_n|/reach may miss equality by so much."""


@dataclasses.dataclass(frozen=True)
class Taps:
    """A causal filter h: v_n = y_n + Σ_j h_j u_{n−n_j}, q_n = Q(v_n), u_n = v_n − q_n, so that y − q = Hu, H = I − h.

    Attributes
    ----------
    order : int
        r: H is D^r times a filter g with finitely many taps; 0 for no feedback at all.
    lags : tuple of int
        n_1 < n_2 < …, at least 1.
    weights : tuple of Fraction
        h at those lags.

    Examples
    --------
    >>> Taps(2, (1, 4), (Fraction(4, 3), Fraction(-1, 3))).norm
    Fraction(5, 3)
    """

    order: int
    lags: tuple[int, ...] = ()
    weights: tuple[Fraction, ...] = ()

    def __post_init__(self) -> None:
        """Refuse lags that do not increase from 1 on."""
        if len(self.lags) != len(self.weights):
            raise InputError(f"taps must have one weight a lag, got {len(self.lags)} lags, {len(self.weights)} weights")
        if self.lags and (self.lags[0] < 1 or any(b <= a for a, b in zip(self.lags, self.lags[1:], strict=False))):
            raise InputError(f"lags must increase from at least 1, got {', '.join(map(str, self.lags))}")

    @property
    def norm(self) -> Fraction:
        """‖h‖₁."""
        return sum((abs(weight) for weight in self.weights), Fraction(0))

    @property
    def polynomial(self) -> tuple[Fraction, ...]:
        """Coefficients of δ_0 − h, the first column of H."""
        values = [Fraction(0)] * (max(self.lags, default=0) + 1)
        values[0] = Fraction(1)
        for lag, weight in zip(self.lags, self.weights, strict=True):
            values[lag] -= weight
        return tuple(values)

    @property
    def quotient(self) -> tuple[Fraction, ...]:
        """Coefficients of g with δ_0 − h = Δ^r g."""
        return divide(self.polynomial, difference(self.order).polynomial)

    def reach(self, bits: int) -> float:
        """Return the largest |y_n|, in steps δ, up to which every |u_n| ≤ δ/2: K − ‖h‖₁/2, K = 2^(bits−1)."""
        return float(2 ** (bits - 1) - self.norm / 2)

    def require(self, bits: int, name: str) -> None:
        """Refuse a bit depth with which nothing but zeros would be stable, naming the least.

        Raises
        ------
        InputError
            If K ≤ ‖h‖₁/2.
        """
        if self.reach(bits) > 0:
            return
        least = math.floor(self.norm / 2) + 1
        enough = (least - 1).bit_length() + 1
        raise InputError(
            f"bits must be at least {enough} for order {self.order} with the filter {name}, got "
            f"{bits}: ‖h‖₁/2 = {float(self.norm / 2):g} half-levels are taken by the feedback, so K must be at least "
            f"{least}",
            bits=enough,
        )

    def arrays(self) -> tuple[Index, Array]:
        """Return lags and weights for compiled code, shapes (taps,)."""
        return np.array(self.lags, np.int64), np.array([float(weight) for weight in self.weights])


def difference(order: int) -> Taps:
    """Return the taps of D^r, the greedy scheme of order r: h_j = (−1)^(j−1) C(r, j).

    Examples
    --------
    >>> [int(weight) for weight in difference(3).weights]
    [3, -3, 1]
    """
    lags = tuple(range(1, order + 1))
    return Taps(order, lags, tuple(Fraction((-1) ** (j - 1) * math.comb(order, j)) for j in lags))


FIRST = difference(1)
"""First-order ΣΔ as Czaja & Na write it."""


def divide(numerator: tuple[Fraction, ...], denominator: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
    """Return the quotient of two power series with leading coefficient 1 that divide without remainder.

    Raises
    ------
    InputError
        If they do not.
    """
    rest, found = list(numerator), []
    for place in range(max(len(numerator) - len(denominator) + 1, 0)):
        factor = rest[place]
        found.append(factor)
        for offset, value in enumerate(denominator):
            rest[place + offset] -= factor * value
    if any(rest):
        raise InputError("taps must be a difference of the order they are said to have, got others")
    return tuple(found)
