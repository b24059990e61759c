"""What stands beside a bound on a plot, and what the plot of the curves says."""

from __future__ import annotations

import dataclasses
import math

from sdqviz.explore.bounds.words import axis_name, exponent, short, shown_beside, signed, slope_text, verdict
from sdqviz.explore.curves.curve import Curve
from sdqviz.explore.curves.point import A_POSTERIORI
from sdqviz.explore.curves.shaping import BETA, FITTED, ORDER_0_BOUND
from sdqviz.explore.curves.walk import EQUAL_BITS, NATURAL_ORDER, RANDOM_ORDER, ROUNDING
from sdqviz.explore.wording import number, percent
from sdqviz.plots import theme
from sdqviz.plots.sigma_delta.orders import LOOKS

OTHER_ORDER = dataclasses.replace(theme.COMPRESSED, symbol="square-open", dash="dot")


BESIDE = {
    ROUNDING: ("PCM", theme.ROUNDING),
    "plain rounding": ("rounding", theme.ROUNDING),
    "plain rounding, as many bits per weight": ("rounding", theme.ROUNDING),
    "GPFQ (nearest level)": ("GPFQ", theme.METHODS["gpfq"]),
    RANDOM_ORDER: ("ΣΔ, random order", OTHER_ORDER),
    NATURAL_ORDER: ("ΣΔ, as written", OTHER_ORDER),
    **{f"order {order}": (f"order {order}", look) for order, look in enumerate(LOOKS)},
    BETA: ("β-expansion", theme.METHODS["unified"]),
    ORDER_0_BOUND: ("order 0's bound", theme.SECOND_BOUND),
    FITTED: ("δ fitted", dataclasses.replace(theme.ERROR, symbol="x-open", dash="dot")),
    EQUAL_BITS: ("rounding, equal bits", dataclasses.replace(theme.ROUNDING, symbol="diamond-open", dash="dash")),
}
"""Names on a plot, and looks, of what stands beside."""


UNNAMED = (theme.ROUNDING, OTHER_ORDER)
"""Looks of what stands beside without one of its own, in turn."""


def beside_look(name: str) -> tuple[str, theme.Look]:
    """Return the name on a plot, and the look, of what stands beside."""
    if name in BESIDE:
        return BESIDE[name]
    return name, UNNAMED[sum(map(ord, name)) % len(UNNAMED)]


def look_sentence(curve: Curve, equal: bool = False) -> str:
    """Say what to look at, in the reader's words, from the numbers."""
    fit, rate = curve.fit, curve.rate
    parts = []
    if math.isfinite(fit.slope):
        low, high = fit.slope - fit.margin, fit.slope + fit.margin
        parts.append(f"Measured goes as {axis_name(curve)}^({slope_text(fit)}).")
        if curve.axis.field == "bits":
            parts[-1] = f"Measured goes as (number of gaps between levels)^({slope_text(fit)})."
        if rate is not None and rate.exponent != 0 and high < rate.exponent:
            parts.append(f"That is faster than the {exponent(rate.exponent)} that is proved.")
        elif rate is not None and low <= rate.exponent <= high:
            parts.append("That is the rate the theorem gives.")
        elif rate is not None:
            parts.append(f"The theorem's rate is {exponent(rate.exponent)}.")
    besides = [
        f"{beside_look(name)[0]} {signed(curve.fit_beside(name).slope)}"
        for name in shown_beside(curve, equal)
        if curve.fit_beside(name).count > 2 and name != EQUAL_BITS
    ]
    if besides:
        parts.append(f"Beside it: {', '.join(besides)}.")
    if any(line.probability < 1 for line in curve.bounds):
        least = min(line.probability for line in curve.bounds)
        parts.append(f"Bounds are stated with probability {percent(least)} each.")
    legend = ["dashed with circles: bounds known beforehand"]
    if any(line.kind == A_POSTERIORI for line in curve.bounds):
        legend.append("triangles: bounds that use what was measured")
    if any(not line.applies.all() for line in curve.bounds):
        legend.append("dotted: a hypothesis fails, the hover names it")
    told = "; ".join(legend)
    parts.append(f"{told[0].upper()}{told[1:]}.")
    return " ".join(parts)


def alt_text(curve: Curve) -> str:
    """Say in words and numbers what the curves show."""
    median = curve.median
    told = ", ".join(
        f"{short(line)} {number(float(line.median[-1]))}" for line in curve.bounds if math.isfinite(line.median[-1])
    )
    return (
        f"{curve.setting.error_title} on logarithmic axes against {curve.axis.title} from "
        f"{number(float(curve.values[0]))} to {number(float(curve.values[-1]))}: median {number(float(median[0]))} to "
        f"{number(float(median[-1]))}, fitted slope {slope_text(curve.fit)}. Bounds at the last point: {told}. "
        f"{verdict(curve)[0]} comparisons violate a bound."
    )
