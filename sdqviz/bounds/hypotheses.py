"""What the theorems on frames ask, each condition checked and told with numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.bounds.statement import Hypothesis, condition
from sdqviz.frames.walk import Walk, harmonic_variation_limit, wang_variation

Stability = Hypothesis | bool
"""That the quantizer stays in range: checked by `stability`, or known."""


def unit_norm_tight(walk: Walk) -> Hypothesis:
    """Require a finite unit-norm tight frame."""
    return condition(
        "tight",
        "the frame is unit-norm and tight",
        walk.tight,
        f"the frame is not unit-norm and tight (it deviates by {walk.defect:.3g})",
    )


def stability(largest: ArrayLike, step: ArrayLike, bits: int, feedback: float = 1.0) -> Hypothesis:
    """Require |x_n| ≤ (K−‖h‖₁/2)δ of every coefficient, which keeps every state within ±δ/2.

    Parameters
    ----------
    largest : array_like, shape (M,) or ()
        max_n |⟨x, e_n⟩| of each column (the norm ‖x‖ is larger, so it may be given instead).
    step : array_like, shape (M,) or ()
        δ of each column.
    bits : int
        Bits per level; K = 2^(bits−1).
    feedback : float
        ‖h‖₁ of the filter; 1 for first-order ΣΔ, 0 for rounding.
    """
    top, radius = np.broadcast_arrays(
        np.atleast_1d(np.asarray(largest, float)), (2 ** (bits - 1) - feedback / 2) * np.asarray(step, float)
    )
    reach = {0.0: "K", 1.0: "(K−½)"}.get(feedback, f"(K−{feedback / 2:.4g})")
    # a step computed as max|x_n|/(K−½) may miss equality by a rounding; NaN counts as unstable
    outside = ~(top <= radius * (1 + 4 * np.finfo(float).eps))
    worst = int(np.argmax(np.where(outside, np.nan_to_num(top - radius, nan=np.inf), -np.inf)))
    which = f"in {int(outside.sum())} of {top.size} columns " if top.size > 1 else ""
    return condition(
        "range",
        f"the quantizer stays in range, |x_n| ≤ {reach}δ",
        not outside.any(),
        f"the quantizer leaves its range {which}(max|x_n| = {top[worst]:.4g} > {reach}δ = {radius[worst]:.4g})",
    )


def in_range(stable: Stability) -> Hypothesis:
    """Take the stability of one walk as checked, or as known."""
    if isinstance(stable, Hypothesis):
        return stable
    needs = "the quantizer stays in range, |x_n| ≤ (K−½)δ"
    return condition("range", needs, bool(stable), "the quantizer leaves its range, |x_n| ≤ (K−½)δ")


def columns_in_range(stable: Stability | ArrayLike) -> Hypothesis:
    """Take the stability of the columns of a layer as checked, or as known for each."""
    if isinstance(stable, Hypothesis):
        return stable
    flags = np.atleast_1d(np.asarray(stable, bool))
    return condition(
        "range",
        "every column stays in the quantizer's range",
        bool(flags.all()),
        f"{int((~flags).sum())} of {flags.size} columns leave the quantizer's range",
    )


def at_least_three(dimension: int) -> Hypothesis:
    """Require d ≥ 3, as (8) and all that rests on it does."""
    return condition("dimension", "d ≥ 3", dimension >= 3, f"d = {dimension} is below 3", f"d = {dimension} ≥ 3")


def short_walk(walk: Walk) -> Hypothesis:
    """Require that the order satisfies (8)."""
    return _at_most("short", walk.variation, wang_variation(walk.dimension, walk.size), "the limit (8)")


def harmonic_walk(walk: Walk) -> Hypothesis:
    """Require σ ≤ 2π(d+1), the property of harmonic frames in their natural order that is used."""
    return _at_most("harmonic", walk.variation, harmonic_variation_limit(walk.dimension), "2π(d+1)")


def _at_most(name: str, value: float, limit: float, limit_name: str) -> Hypothesis:
    met = value <= limit * (1 + 1e-12)
    what = "the order's variation"
    return Hypothesis(
        name,
        f"{what} is at most {limit_name}",
        f"{what} {value:.4g} is {'at most' if met else 'above'} {limit_name} = {limit:.4g}",
        met,
    )
