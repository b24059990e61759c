"""Filters of minimal support: few taps far apart, stable with a single bit."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable
from fractions import Fraction

from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.filters.filter import FilterChoice
from sdqviz.sigma_delta.taps import Taps

FARTHEST = {2: (40,), 3: (60, 120), 4: (16, 60, 120)}
"""How far the taps after the first are looked for, by order."""


@FILTERS.register
@dataclasses.dataclass(frozen=True)
class MinimalSupport(FilterChoice):
    """Of all filters with r taps at 1 = n_1 < … < n_r that are stable up to ``room``, that of the least ‖g‖₁.

    Notes
    -----
    h at n_j is Π_{i≠j} n_i/(n_i − n_j); then δ_0 − h = Δ^r g with g ≥ 0 and ‖g‖₁ = Πn_j/r!, and every |u_n| ≤ δ/2 if
    ‖h‖₁δ/2 + max|y_n| ≤ Kδ. Güntürk, Comm. Pure Appl. Math. 56 (2003); Deift, Güntürk & Krahmer, ibid. 64 (2011).

    Examples
    --------
    >>> MinimalSupport(room=0.1).taps(2, bits=1)
    Taps(order=2, lags=(1, 4), weights=(Fraction(4, 3), Fraction(-1, 3)))
    """

    name = "minimal-support"
    title = "Minimal support (one bit)"

    room: float = field(
        0.25,
        label="Room, max|y|/δ",
        help="The largest coefficient in steps δ for which the walk must be stable: less room allows shorter filters.",
        minimum=0.001,
        maximum=1.0,
    )

    def shape(self, order: int, bits: int) -> Taps:
        """Return the taps of least ‖g‖₁ that leave the room.

        Raises
        ------
        InputError
            If no filter within reach leaves it.
        """
        limit = 2 * (2 ** (bits - 1) - Fraction(repr(self.room)))  # as it is written: 0.2 is a fifth
        lags = least_lags(order, limit)
        if lags is None:
            raise InputError(
                f"room must be small enough for a filter of order {order} at {bits} bits, got {self.room:g}: ‖h‖₁ > 1 "
                f"for each, and none looked for has ‖h‖₁ ≤ {float(limit):g}"
            )
        return minimal_taps(lags)


def minimal_taps(lags: Iterable[int]) -> Taps:
    """Return the filter of order r with exactly these r taps, as fractions.

    Raises
    ------
    InputError
        If they do not increase, or do not begin at 1.
    """
    places = tuple(lags)
    if not places or places[0] != 1:
        raise InputError(f"lags must begin at 1, got {', '.join(map(str, places)) or 'none'}")
    if any(b <= a for a, b in itertools.pairwise(places)):
        raise InputError(f"lags must increase, got {', '.join(map(str, places))}")
    weights = (math.prod((Fraction(i, i - j) for i in places if i != j), start=Fraction(1)) for j in places)
    return Taps(len(places), places, tuple(weights))


@functools.lru_cache(maxsize=64)
def least_lags(order: int, limit: Fraction) -> tuple[int, ...] | None:
    """Return the lags of least product with ‖h‖₁ ≤ ``limit``, or None within `FARTHEST`."""
    if order == 1:
        return (1,) if limit >= 1 else None
    best: tuple[float, tuple[int, ...]] = (math.inf, ())
    reach = FARTHEST[order]

    most = float(limit) * (1 + 1e-12)

    def search(lags: tuple[int, ...]) -> None:
        nonlocal best
        if len(lags) == order:
            if math.prod(lags) < best[0] and _norm(lags) <= most and minimal_taps(lags).norm <= limit:
                best = (math.prod(lags), lags)
            return
        left = order - len(lags)
        for lag in range(lags[-1] + 1, reach[len(lags) - 1] + 1):
            if math.prod(lags) * lag**left >= best[0]:
                break  # the lags to come are larger still
            search((*lags, lag))

    search((1,))
    return best[1] or None


def _norm(lags: tuple[int, ...]) -> float:
    """Return ‖h‖₁ up to rounding."""
    total = 0.0
    for j in lags:
        weight = 1.0
        for i in lags:
            if i != j:
                weight *= i / (i - j)
        total += abs(weight)
    return total
