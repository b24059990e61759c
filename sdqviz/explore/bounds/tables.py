"""Tables and formulas of the Bounds page."""

from __future__ import annotations

import math

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.bounds.words import axis_name, ratio_headline, signed, slope_text, why
from sdqviz.explore.curves.curve import Curve
from sdqviz.explore.curves.line import BoundLine, Fit, medians
from sdqviz.explore.formula import Formula
from sdqviz.explore.tables import markdown
from sdqviz.explore.wording import number, percent


def bound_table(curve: Curve) -> str:
    """Write all bounds of the sweep as a Markdown table, with the hypothesis that fails where one does."""
    head = ("bound", "kind", "points where it applies", "slope", "smallest bound / measured", "where it does not apply")
    rows = []
    for line in curve.bounds:
        fit = Fit.through(curve.x, line.median, line.applies)
        least = ratios(curve, line)
        rows.append(
            (
                line.title,
                line.kind.replace("-", "\u2011"),  # which no line breaks at
                f"{int(line.applies.sum())} of {len(curve.x)}",
                signed(fit.slope) if math.isfinite(fit.slope) else "n/a",
                number(float(least.min())) if np.isfinite(least).any() else "n/a",
                line.reason,
            )
        )
    return markdown(head, rows)


def ratios(curve: Curve, line: BoundLine) -> Array:
    """Return bound/measured where the bound holds, infinite elsewhere, shape (points, runs)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(line.holds & (curve.measured > 0), line.values / curve.measured, np.inf)
    return np.where(np.isnan(found), np.inf, found)


def violation_table(curve: Curve) -> str:
    """Write every violation as a row of a Markdown table."""
    at = axis_name(curve)
    rows = [
        (one.bound, f"{at} = {number(one.value)}", one.run + 1, f"{one.measured:.6g}", f"{one.limit:.6g}")
        for one in curve.violations
    ]
    return markdown(("bound", "at", "run", "measured", "bound's value"), rows)


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


def ratio_formula(curve: Curve) -> Formula:
    """Return what is looked for, and over how many comparisons."""
    value, _ = ratio_headline(curve)
    return Formula(
        r"\min_{\text{runs, points}}\frac{\text{bound}}{\text{measured}}",
        [("", "smallest", value), ("", "comparisons with all hypotheses met", f"{curve.comparisons:,}")],
        "Only where all hypotheses of a bound are met.",
    )
