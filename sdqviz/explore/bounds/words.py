"""What the Bounds page says: slopes, ratios and failures in words."""

from __future__ import annotations

import math

from sdqviz.array import Array
from sdqviz.explore.curves.curve import Curve
from sdqviz.explore.curves.line import BoundLine, Fit
from sdqviz.explore.curves.point import A_POSTERIORI, Promise
from sdqviz.explore.curves.shaping import BETA, FITTED, ORDER_0_BOUND
from sdqviz.explore.curves.walk import EQUAL_BITS, NATURAL_ORDER, RANDOM_ORDER, ROUNDING
from sdqviz.explore.wording import begun, folded, number, percent

SHORT = {
    "variation": "variation",
    "variation-zero-sum": "zero-sum",
    "variation-any-start": "any start",
    "spectral": "spectral",
    "corollary-3-3": "short walk",
    "layer-spectral": "spectral",
    "layer-variation": "variation",
    "lemma-5-1": "short walk",
    "lemma-5-1-rounded": "short walk, rounded",
    "lemma-5-1-harmonic": "harmonic",
    "lemma-5-1-harmonic-rounded": "harmonic, rounded",
    "layer-states": "from the states",
    "shaping-canonical": "canonical dual",
    "shaping-sobolev": "Sobolev dual",
    "shaping-matched": "matched dual",
    "network-layer-spectral": "spectral",
    "network-layer-variation": "variation",
    "network-lemma-5-1-harmonic-rounded": "harmonic",
    "equation-14": "harmonic (14)",
    "network-lemma-5-1-rounded": "short walks",
    "corollary-5-4": "Corollary 5.4",
    "theorem-5-6": "Theorem 5.6",
    "path-network-paper": "paper's form",
    "path-network-hoeffding": "Hoeffding",
    **{f"p{k}": f"P{k}" for k in range(5)},
    **{f"path-{norm}-{form}": title for norm in ("infinity", "euclidean") for form, title in (
        ("paper", "paper's form"), ("hoeffding", "Hoeffding"), ("per-sample", "per sample"), ("trace", "from inputs"))},
}  # fmt: skip
"""The bounds' names on a plot."""


BESIDE = {
    ROUNDING: "PCM",
    "plain rounding": "rounding",
    "plain rounding, as many bits per weight": "rounding",
    "GPFQ (nearest level)": "GPFQ",
    RANDOM_ORDER: "ΣΔ, random order",
    NATURAL_ORDER: "ΣΔ, as written",
    BETA: "β-expansion",
    ORDER_0_BOUND: "order 0's bound",
    FITTED: "δ fitted",
    EQUAL_BITS: "rounding, equal bits",
}
"""Names on a plot of what stands beside, where they differ from its own."""


def signed(value: float) -> str:
    """Write an exponent with two decimals and a real minus sign.

    Examples
    --------
    >>> signed(-1.0), signed(0.4567), signed(-0.001)
    ('−1.00', '0.46', '0.00')
    """
    text = f"{value:.2f}".replace("-", "−")
    return "0.00" if text == "−0.00" else text


def slope_text(fit: Fit) -> str:
    """Write a slope with its interval; a word where there are too few points."""
    if not math.isfinite(fit.slope):
        return "n/a"
    return f"{signed(fit.slope)} ± {fit.margin:.2f}"


def slope_value(fit: Fit) -> str:
    """Write a slope alone."""
    return signed(fit.slope) if math.isfinite(fit.slope) else "n/a"


def slope_note(curve: Curve) -> str:
    """Say how sure the slope is and what to hold it against: theory, and the tightest bound's own slope."""
    rate = curve.rate
    parts = [f"± {curve.fit.margin:.2f} (95 %)"] if math.isfinite(curve.fit.slope) else ["too few points for a slope"]
    if rate is not None:
        parts.append(f"theory {exponent(rate.exponent)}: {rate.because}")
    else:
        parts.append("theory gives no power here")
    if math.isfinite(curve.bound_fit.slope):
        parts.append(f"the tightest bound's own slope is {signed(curve.bound_fit.slope)}")
    return "; ".join(parts)


def exponent(value: float) -> str:
    """Write an exponent of a theorem, whole numbers without decimals.

    Examples
    --------
    >>> exponent(-1.0), exponent(-1 / 16)
    ('−1', '−0.06')
    """
    return signed(value).removesuffix(".00")


def ratio_headline(curve: Curve) -> tuple[str, str]:
    """Return the smallest bound/measured and where it is."""
    least = curve.smallest
    if least is None:
        return "n/a", "no bound applies at any point"
    return number(least.ratio), f"“{least.bound}” at {at_value(curve, list(curve.values).index(least.value))}"


def verdict(curve: Curve) -> tuple[str, str]:
    """Return how many comparisons fail, out of how many, and what that means."""
    total, found = curve.comparisons, len(curve.violations)
    if total == 0:
        return "None possible", "no bound applies at any point, so nothing can be violated"
    count = f"{found} in {total:,}"
    uncertain = [line for line in curve.bounds if line.probability < 1]
    if found:
        return count, "this is a defect, please report the link"
    if not uncertain:
        return count, "bound, point and run: every one with all hypotheses met is kept"
    above, least = len(curve.failures), min(line.probability for line in uncertain)
    return count, f"stated with probability {percent(least)}: {above} runs above, no more than chance allows"


def axis_name(curve: Curve) -> str:
    """Return the letter of what is swept."""
    return {"size": "N", "step": "δ", "bits": "b", "dimension": "d", "inputs": "N", "samples": "m", "scaling": "C",
            "order": "r", "layers": "L"}.get(curve.axis.field, curve.axis.field)  # fmt: skip


def at_value(curve: Curve, place: int) -> str:
    """Write where a point is, whole numbers in full."""
    value = float(curve.values[place])
    return f"{axis_name(curve)}\u00a0=\u00a0{f'{value:.0f}' if curve.axis.whole else number(value)}"


def shown_beside(curve: Curve, equal: bool) -> dict[str, Array]:
    """Return what is drawn beside: all but rounding at equal bits, which is drawn only if asked for."""
    return {name: values for name, values in curve.beside.items() if equal or name != EQUAL_BITS}


def has_slope(curve: Curve, name: str) -> bool:
    """Say whether what stands beside is fitted by a power: what halves with every bit is none."""
    return name not in (EQUAL_BITS, BETA) and curve.fit_beside(name).count > 2


def short(line: BoundLine) -> str:
    """Return the name of a bound on a plot."""
    return SHORT.get(line.name.removeprefix("lemma-5-2-"), line.title)


def why(promise: Promise | None) -> str:
    """Say in a few lines why a bound applies at a point or which hypothesis fails."""
    if promise is None:
        return "not stated here"
    if promise.holds.all():
        stated = "" if promise.probability >= 1 else f", with probability {percent(promise.probability)}"
        return f"all hypotheses met{stated}"
    return f"fails in {int((~promise.holds).sum())} of {len(promise.holds)} runs: {folded(promise.reason, 61)}"


def left_out(curve: Curve) -> str:
    """Say how many points are left out, and why the first of them is."""
    reasons = curve.sweep.left_out
    return f"{len(reasons)} of {len(reasons) + len(curve.x)} points are left out: {reasons[0]}."


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
        f"{BESIDE.get(name, name)} {signed(curve.fit_beside(name).slope)}"
        for name in shown_beside(curve, equal)
        if has_slope(curve, name)
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
    parts.append(f"{begun(told)}.")
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
