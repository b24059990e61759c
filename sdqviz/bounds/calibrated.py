"""Bounds on a layer's output error on its calibration inputs, after walks that feed errors back: C1 and C2."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sdqviz.array import Array
from sdqviz.bounds.statement import Bound, Hypothesis, bound, condition, number_tex

SEEN = "a statement about the {} calibration rows, not about unseen inputs"


def columns_bound(
    pivots: Sequence[Array], errors: Sequence[Array], samples: int, overload: int, frame: Hypothesis
) -> Bound:
    """C1: ‖X̃(T−Q)ᵀ‖_F²/m ≤ Σ_t D_t B_t²/m, each adjusted column quantized with an error of at most B_t.

    Parameters
    ----------
    pivots : sequence of ndarray, shape (d,)
        D of each group of the layer.
    errors : sequence of ndarray, shape (d,)
        B_t: the vector bound of each column's own step.
    samples : int
        m.
    overload : int
        Values that left the quantizer's range in the whole layer; the vector bounds need none.
    frame : Hypothesis
        What the vector bound needs of the frame.
    """
    total = sum(float((d * b**2).sum()) for d, b in zip(pivots, errors, strict=True))
    return bound(
        "calibrated-columns",
        "Adjusted columns, each with its theorem (C1)",
        math.sqrt(total / samples),
        (frame, _inside(overload, "column"), _seen(samples)),
        reference="proved in our docs: calibrated-frames",
        text="calibrated-frames",
        formula=r"\tfrac1{\sqrt m}\|\tilde X(T-Q)^{\mathsf T}\|_F\le\Bigl(\tfrac1m\sum_tD_tB(\delta_t)^2\Bigr)^{1/2}",
        substituted=rf"\Bigl(\tfrac1{{{samples}}}\cdot {number_tex(total)}\Bigr)^{{1/2}}",
    )


def rows_bound(
    pivots: Sequence[Array], steps: Sequence[Array], samples: int, overload: int, spanning: bool = True
) -> Bound:
    """C2: ‖X̃(T−Q)ᵀ‖_F²/m ≤ Σ_n Σ_r D_n δ_rn²/(4m): every value rounded to within half its step.

    Parameters
    ----------
    pivots : sequence of ndarray, shape (N,)
        D of each group of the layer.
    steps : sequence of ndarray
        δ of each group: shape (M,) a step a neuron, or (N, M) a step a value.
    samples : int
        m.
    overload : int
        Values that the alphabet clipped; an unlimited one clips none.
    spanning : bool
        Whether the vectors span R^d: what lies outside their span is not in the sum.
    """
    total = sum(
        float((d[:, None] * (s if s.ndim == 2 else s[None]) ** 2).sum()) / 4 for d, s in zip(pivots, steps, strict=True)
    )
    return bound(
        "calibrated-rows",
        "Every value within half a step (C2)",
        math.sqrt(total / samples),
        (
            condition("spanning", "the vectors span R^d", spanning, "N < d: the vectors do not span R^d"),
            _inside(overload, "value"),
            _seen(samples),
        ),
        reference="proved in our docs: calibrated-frames",
        text="calibrated-frames",
        formula=r"\tfrac1{\sqrt m}\|\tilde X(T-Q)^{\mathsf T}\|_F\le"
        r"\Bigl(\tfrac1{4m}\sum_{r,n}D_n\delta_{rn}^2\Bigr)^{1/2}",
        substituted=rf"\Bigl(\tfrac1{{{samples}}}\cdot {number_tex(total)}\Bigr)^{{1/2}}",
    )


def _inside(overload: int, what: str) -> Hypothesis:
    return condition(
        "range",
        "no value leaves the quantizer's range",
        overload == 0,
        f"{overload} values leave the quantizer's range, so the bound of a {what} lapses",
    )


def _seen(samples: int) -> Hypothesis:
    told = SEEN.format(samples)
    return Hypothesis("calibration", "nothing is said of unseen inputs", told, True)
