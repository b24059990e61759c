"""What a noise-shaping filter can be asked for."""

from __future__ import annotations

import dataclasses

from sdqviz.choice import Choice
from sdqviz.error import InputError
from sdqviz.sigma_delta.taps import Taps

HIGHEST_ORDER = 4
"""The highest order r of ΣΔ offered."""


@dataclasses.dataclass(frozen=True)
class FilterChoice(Choice):
    """A family of causal filters h, one for each order r and alphabet."""

    def taps(self, order: int, bits: int) -> Taps:
        """Return the taps of order r for 2^bits levels.

        Raises
        ------
        InputError
            If r is out of range, or no walk with these taps and this alphabet is stable; the message names the least
            number of bits.
        """
        if not 0 <= order <= HIGHEST_ORDER:
            raise InputError(f"order must be between 0 and {HIGHEST_ORDER}, got {order}")
        found = self.shape(order, bits) if order else Taps(0)
        found.require(bits, self.name)
        return found

    def shape(self, order: int, bits: int) -> Taps:
        """Return the taps of order r ≥ 1, stable or not."""
        raise NotImplementedError
