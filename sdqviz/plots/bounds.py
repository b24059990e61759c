"""What the Bounds page says: the sweep a link asks for, slopes, ratios and failures in words, tables, formulas."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.explore import preset
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.curve import BoundLine, Curve, Fit, Sweep, medians
from sdqviz.explore.curves.point import A_POSTERIORI, Point, Promise
from sdqviz.explore.curves.walk import EQUAL_BITS, NATURAL_ORDER, RANDOM_ORDER, ROUNDING
from sdqviz.explore.stored import picked
from sdqviz.explore.wording import number, percent
from sdqviz.plots import theme
from sdqviz.plots.panel import Formula

ADDRESS = "bounds"
"""The page's address."""

DEFAULTS: dict[str, Any] = {"subject": "vector", "points": 9, "parity": "even", "at": "last"}
"""What the page shows at first, where it does not ask the subject's own defaults."""

PLACES = ("first", "middle", "last")
"""Which point is taken apart."""

SHORT = {
    "variation": "variation",
    "variation-zero-sum": "zero-sum",
    "spectral": "spectral",
    "corollary-3-3": "short walk",
    "layer-spectral": "spectral",
    "layer-variation": "variation",
    "lemma-5-1": "short walk",
    "lemma-5-1-rounded": "short walk, rounded",
    "lemma-5-1-harmonic": "harmonic",
    "lemma-5-1-harmonic-rounded": "harmonic, rounded",
    "layer-states": "from the states",
    "network-layer-spectral": "spectral",
    "network-layer-variation": "variation",
    "network-lemma-5-1-harmonic-rounded": "harmonic (14)",
    "network-lemma-5-1-rounded": "short walks",
    "corollary-5-4": "Corollary 5.4",
    "theorem-5-6": "Theorem 5.6",
    **{f"p{k}": f"P{k}" for k in range(5)},
    **{f"path-{norm}-{form}": title for norm in ("infinity", "euclidean") for form, title in (
        ("paper", "paper's form"), ("hoeffding", "Hoeffding"), ("per-sample", "per sample"), ("trace", "from inputs"))},
}  # fmt: skip
"""The bounds' names on a plot."""

OTHER_ORDER = dataclasses.replace(theme.COMPRESSED, symbol="square-open", dash="dot")

BESIDE = {
    ROUNDING: ("PCM", theme.ROUNDING),
    "plain rounding": ("rounding", theme.ROUNDING),
    "plain rounding, as many bits per weight": ("rounding", theme.ROUNDING),
    "GPFQ (nearest level)": ("GPFQ", theme.METHODS["gpfq"]),
    RANDOM_ORDER: ("ΣΔ, random order", OTHER_ORDER),
    NATURAL_ORDER: ("ΣΔ, as written", OTHER_ORDER),
    EQUAL_BITS: ("rounding, equal bits", dataclasses.replace(theme.ROUNDING, symbol="diamond-open", dash="dash")),
}
"""Names on a plot, and looks, of what stands beside."""


# -- from the link to the curve -------------------------------------------------------------------------


def asked(choices: Mapping[str, Any]) -> Sweep:
    """Read the parameters of the page's link as a sweep.

    Raises
    ------
    InputError
        If the choices do not go together.
    """
    subject = picked(SUBJECTS, choices, "subject", DEFAULTS["subject"])
    name = str(choices.get("sweep", next(iter(subject.axes))))
    axis = subject.axes.get(name)
    low, high = (choices.get(f"{name}_{end}") for end in ("from", "to"))
    return Sweep(
        subject,
        name,
        (axis.low if axis else 1) if low is None else low,
        (axis.high if axis else 2) if high is None else high,
        int(choices.get("points", DEFAULTS["points"])),
        str(choices.get("parity", DEFAULTS["parity"])),
        int(choices.get("seed", 0)),
    )


def build(choices: Mapping[str, Any]) -> Curve:
    """Run the sweep that the parameters of the page's link describe."""
    return asked(choices).run()


def stored_curve(sweep: Sweep) -> Curve | None:
    """Return the stored curve of the preset that asks for the same sweep, if there is one."""
    for one in preset.of_page(ADDRESS).values():
        if "curve" in one.result and asked(one.choices) == sweep:
            return Curve.of(sweep, [Point.from_dict(point) for point in one.result["curve"]])
    return None


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link; of a network all points too."""
    curve = build(choices)
    rate, least = curve.rate, curve.smallest
    found: dict[str, Any] = {
        "slope": curve.fit.slope,
        "margin": curve.fit.margin,
        "theory": "none" if rate is None else f"{rate.exponent:g}",
        "smallest_ratio": math.inf if least is None else least.ratio,
        "comparisons": curve.comparisons,
        "violations": len(curve.violations),
    }
    if curve.sweep.subject.name == "network":
        found["curve"] = [point.to_dict() for point in curve.points]
    return found


# -- info: numbers and words only -------------------------------------------------------------------------


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
            "order": "r"}.get(curve.axis.field, curve.axis.field)  # fmt: skip


def at_value(curve: Curve, place: int) -> str:
    """Write where a point is, whole numbers in full."""
    value = float(curve.values[place])
    return f"{axis_name(curve)}\u00a0=\u00a0{f'{value:.0f}' if curve.axis.whole else number(value)}"


def shown_beside(curve: Curve, equal: bool) -> dict[str, Array]:
    """Return what is drawn beside: all but rounding at equal bits, which is drawn only if asked for."""
    return {name: values for name, values in curve.beside.items() if equal or name != EQUAL_BITS}


def place_of(curve: Curve, name: str) -> int:
    """Return the index of the point to take apart."""
    return {"first": 0, "middle": len(curve.x) // 2}.get(name, len(curve.x) - 1)


def short(line: BoundLine) -> str:
    """Return the name of a bound on a plot."""
    return SHORT.get(line.name, line.title)


def why(promise: Promise | None) -> str:
    """Say in a few lines why a bound applies at a point or which hypothesis fails."""
    if promise is None:
        return "not stated here"
    if promise.holds.all():
        stated = "" if promise.probability >= 1 else f", with probability {percent(promise.probability)}"
        return f"all hypotheses met{stated}"
    words = promise.because.removeprefix("Not applicable: ").rstrip(".").split()
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > 60:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return f"fails in {int((~promise.holds).sum())} of {len(promise.holds)} runs: " + "<br>".join(lines)


def bound_table(curve: Curve) -> str:
    """Write all bounds of the sweep as a Markdown table, with the hypothesis that fails where one does."""
    total = len(curve.x)
    lines = [
        "| bound | kind | points where it applies | slope | smallest bound / measured | where it does not apply |",
        "|---|---|---|---|---|---|",
    ]
    for line in curve.bounds:
        fit = Fit.through(curve.x, line.median, line.applies)
        slope = signed(fit.slope) if math.isfinite(fit.slope) else "n/a"
        least = ratios(curve, line)
        kind = line.kind.replace("-", "\u2011")  # which no line breaks at
        why = line.reason.replace("|", "\\|")
        lines.append(
            f"| {line.title} | {kind} | {int(line.applies.sum())} of {total} | {slope} | "
            f"{number(float(least.min())) if np.isfinite(least).any() else 'n/a'} | {why} |"
        )
    return "\n".join(lines)


def ratios(curve: Curve, line: BoundLine) -> Array:
    """Return bound/measured where the bound holds, infinite elsewhere, shape (points, runs)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(line.holds & (curve.measured > 0), line.values / curve.measured, np.inf)
    return np.where(np.isnan(found), np.inf, found)


def left_out(curve: Curve) -> str:
    """Say how many points are left out, and why the first of them is."""
    reasons = curve.sweep.left_out
    return f"{len(reasons)} of {len(reasons) + len(curve.x)} points are left out: {reasons[0]}."


def violation_table(curve: Curve) -> str:
    """Write every violation as a row of a Markdown table."""
    lines = ["| bound | at | run | measured | bound's value |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.bound} | {axis_name(curve)} = {number(one.value)} | {one.run + 1} | {one.measured:.6g} | "
        f"{one.limit:.6g} |"
        for one in curve.violations
    ]
    return "\n".join(lines)


def code(curve: Curve) -> str:
    """Return the lines that compute the page's numbers."""
    sweep = curve.sweep
    values = sweep.subject.to_dict()
    name = values.pop("name")
    defaults = type(sweep.subject).defaults()
    given = ", ".join(f"{key}={value!r}" for key, value in values.items() if value != defaults[key])
    least = curve.smallest
    return f"""from sdqviz.explore.curves.curve import Sweep
from sdqviz.bound_curves import SUBJECTS

subject = SUBJECTS[{name!r}]({given})
sweep = Sweep(subject, {sweep.axis!r}, {sweep.low!r}, {sweep.high!r}, {sweep.count}, {sweep.parity!r}, {sweep.seed})
curve = sweep.run()

curve.fit.slope, curve.fit.margin    # {curve.fit.slope:.6g}, {curve.fit.margin:.6g}
curve.smallest                       # {"None" if least is None else f"ratio {least.ratio:.6g}"}
curve.comparisons                    # {curve.comparisons}
curve.violations                     # {curve.violations!r}
for line in curve.bounds:
    print(line.title, line.median, line.applies)"""


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
        f"{BESIDE[name][0]} {signed(curve.fit_beside(name).slope)}"
        for name in shown_beside(curve, equal)
        if curve.fit_beside(name).count > 2 and name != EQUAL_BITS
    ]
    if besides:
        parts.append(f"Beside it: {', '.join(besides)}.")
    if any(line.probability < 1 for line in curve.bounds):
        least = min(line.probability for line in curve.bounds)
        parts.append(f"Bounds are stated with probability {percent(least)} each.")
    legend = ["circles: bounds known beforehand"]
    if any(line.kind == A_POSTERIORI for line in curve.bounds):
        legend.append("triangles: bounds that use what was measured")
    if any(not line.applies.all() for line in curve.bounds):
        legend.append("dashed: a hypothesis fails, the hover names it")
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


def table(curve: Curve) -> dict[str, Array]:
    """Return everything that is drawn, a row a point."""
    columns = {
        curve.axis.field: curve.values,
        "bits_per_original_weight": curve.bits_per_weight,
        "measured_median": curve.median,
        "measured_min": np.nanmin(curve.measured, axis=1),
        "measured_max": np.nanmax(curve.measured, axis=1),
    }
    for name, values in curve.beside.items():
        columns[name] = medians(values)
    for line in curve.bounds:
        columns[line.name] = line.median
        columns[f"{line.name} applies"] = line.applies
        columns[f"{line.name} because"] = np.array([why(one).replace("<br>", " ") for one in line.promises])
    return columns


def slope_formulas(curve: Curve) -> list[Formula]:
    """Return how the slope and its interval are computed, with the numbers."""
    fit, rate = curve.fit, curve.rate
    symbols = [
        ("s", "slope with its 95 % interval", slope_text(fit)),
        (
            "k",
            "points fitted" + (", where an a-priori bound applies" if curve.covered.sum() >= 3 else ""),
            str(fit.count),
        ),
        ("", "slope of the tightest a-priori bound", slope_text(curve.bound_fit)),
    ]
    if rate is not None:
        symbols.append(("", f"theory ({rate.because})", signed(rate.exponent)))
    return [
        Formula(
            r"\log y=a+s\log x,\qquad s\pm t_{0.975,\,k-2}"
            r"\sqrt{\frac{\sum_i r_i^2}{(k-2)\sum_i(\log x_i-\overline{\log x})^2}}",
            symbols,
            "Least squares through the medians; the interval is Student's, with residuals r taken as independent.",
        )
    ]


def formulas(curve: Curve, place: int) -> list[Formula]:
    """Return the formula of every bound with the numbers of one point."""
    found = []
    for line in curve.bounds:
        one = line.promises[place]
        if one is None or not one.formula:
            continue
        held = f"{int(one.holds.sum())} of {len(one.holds)}"
        symbols = [("", "runs in which all hypotheses are met", held)]
        if one.probability < 1:
            symbols.append(("", "stated with probability", percent(one.probability)))
        source = ". ".join(part.rstrip(".") for part in (one.title, one.reference, one.because) if part) + "."
        found.append(Formula(one.formula, symbols, source, one.substituted, one.text))
    return found
