"""The plain filter of order r, the r-th difference: short, but it asks for many levels."""

from __future__ import annotations

import dataclasses

from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.filters.filter import FilterChoice
from sdqviz.sigma_delta.taps import Taps, difference


@FILTERS.register
@dataclasses.dataclass(frozen=True)
class Greedy(FilterChoice):
    """h_j = (−1)^(j−1) C(r, j), so that y − q = D^r u.

    Every |u_n| ≤ δ/2 if |y_n| ≤ (K − 2^(r−1) + ½)δ, and this is exact for the worst input: order r needs r bits.

    Examples
    --------
    >>> Greedy().taps(2, bits=2).reach(2)
    0.5
    """

    name = "greedy"
    title = "Greedy (r-th difference)"

    def shape(self, order: int, bits: int) -> Taps:
        """Return the taps of D^r."""
        return difference(order)
