"""Frame rounding, and how large frame coefficients get behind random signs."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from sdqviz.bounds.hypotheses import Stability, columns_in_range, unit_norm_tight
from sdqviz.bounds.layer import step_norm
from sdqviz.bounds.path.statement import ProbabilisticBound, probabilistic_bound
from sdqviz.bounds.statement import Bound, Hypothesis, bound, number_tex
from sdqviz.error import InputError
from sdqviz.frames.walk import Walk


def layer_bound_rounding(walk: Walk, steps: ArrayLike, in_range: Stability | ArrayLike) -> Bound:
    """‖W − Q‖₂ ≤ ½(d Σδ_j²)^½ where each coefficient in a tight frame is rounded by itself: order 0, whatever N.

    Parameters
    ----------
    walk : Walk
        The frame of R^d; the order does not matter.
    steps : array_like, shape (M,)
        δ of each column.
    in_range : Hypothesis, bool or array_like of bool, shape (M,)
        Whether all coefficients lie in [−Kδ, Kδ], where rounding errs by δ/2 at most.
    """
    total = step_norm(steps)
    return bound(
        "layer-rounding",
        "Frame rounding",
        0.5 * math.sqrt(walk.dimension) * total,
        (unit_norm_tight(walk), columns_in_range(in_range)),
        reference="proved in our docs: memoryless",
        text="memoryless",
        formula=r"\|W-Q\|_2\le\tfrac12\Bigl(d\sum_j\delta_j^2\Bigr)^{1/2}",
        substituted=rf"\tfrac12\sqrt{{{walk.dimension}}}\cdot {number_tex(total)}",
    )


def coefficient_range(
    norm: float, dimension: int, size: int, failure: float, largest_entry: float | None = None
) -> ProbabilisticBound:
    """max_n |⟨w, diag(ε)e_n⟩| ≤ c‖w‖√(2 log(2N/γ)) with probability 1 − γ over the random signs ε.

    Parameters
    ----------
    norm : float
        ‖w‖.
    dimension, size : int
        d and N.
    failure : float
        γ, strictly between 0 and 1.
    largest_entry : float, optional
        c with |e_ni| ≤ c for all n and i; √(2/d) by default, as harmonic frames have it.

    Returns
    -------
    ProbabilisticBound

    Raises
    ------
    InputError
        If γ is out of range.
    """
    if not 0 < failure < 1:
        raise InputError(f"failure γ must be strictly between 0 and 1, got {failure}")
    entry = math.sqrt(2 / dimension) if largest_entry is None else largest_entry
    return probabilistic_bound(
        "coefficient-range",
        "Largest coefficient behind random signs",
        entry * norm * math.sqrt(2 * math.log(2 * size / failure)),
        (
            Hypothesis(
                "signs",
                "|e_ni| ≤ c, signs independent of w",
                f"|e_ni| ≤ {entry:.4g}, and the signs are independent of w",
                True,
            ),
        ),
        1 - failure,
        reference="proved in our docs: spread-frames",
        text="spread-frames",
        formula=r"\max_n|\langle w,\mathrm{diag}(\varepsilon)e_n\rangle|\le c\,\|w\|\sqrt{2\log(2N/\gamma)}",
        substituted=rf"{number_tex(entry)}\cdot {number_tex(norm)}\sqrt{{2\log({2 * size}/{number_tex(failure)})}}",
    )
