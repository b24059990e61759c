"""How what stands beside a bound looks."""

from __future__ import annotations

import dataclasses

from sdqviz.explore.curves.shaping import BETA, FITTED, ORDER_0_BOUND
from sdqviz.explore.curves.walk import EQUAL_BITS, NATURAL_ORDER, RANDOM_ORDER, ROUNDING
from sdqviz.plots import theme
from sdqviz.plots.sigma_delta.orders import LOOKS

OTHER_ORDER = dataclasses.replace(theme.COMPRESSED, symbol="square-open", dash="dot")


BESIDE = {
    ROUNDING: theme.ROUNDING,
    "plain rounding": theme.ROUNDING,
    "plain rounding, as many bits per weight": theme.ROUNDING,
    "GPFQ (nearest level)": theme.METHODS["gpfq"],
    **{f"order {order}": look for order, look in enumerate(LOOKS)},
    BETA: theme.METHODS["unified"],
    ORDER_0_BOUND: theme.SECOND_BOUND,
    FITTED: dataclasses.replace(theme.ERROR, symbol="x-open", dash="dot"),
    EQUAL_BITS: dataclasses.replace(theme.ROUNDING, symbol="diamond-open", dash="dash"),
}
"""Looks of what stands beside."""

UNNAMED = (theme.ROUNDING, OTHER_ORDER)
"""Looks of what stands beside without one of its own, in turn."""


def beside_look(name: str) -> theme.Look:
    """Return the look of what stands beside."""
    if name in (RANDOM_ORDER, NATURAL_ORDER):
        return OTHER_ORDER
    return BESIDE.get(name, UNNAMED[sum(map(ord, name)) % len(UNNAMED)])
