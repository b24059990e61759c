"""The noise-shaping theorem: what ΣΔ of any order and filter does to a vector or a layer, with any dual."""

from __future__ import annotations

import dataclasses
import math

from numpy.typing import ArrayLike

from sdqviz.bounds.hypotheses import Stability, columns_in_range, in_range
from sdqviz.bounds.layer import Columns, step_norm
from sdqviz.bounds.statement import Bound, Hypothesis, bound, condition, number_tex
from sdqviz.error import InputError

TEXT = "noise-shaping"


@dataclasses.dataclass(frozen=True)
class Shaping:
    """What the theorem uses of a frame walked with a filter H and reconstructed with a left inverse F.

    Attributes
    ----------
    order : int
        r.
    size : int
        N.
    norm : float
        ‖FH‖₂.
    dual : str
        What people call F.
    """

    order: int
    size: int
    norm: float
    dual: str

    def __post_init__(self) -> None:
        """Refuse sizes below 1 and negative norms."""
        if self.size < 1 or not self.norm >= 0:
            raise InputError(f"size must be at least 1 and norm not negative, got {self.size} and {self.norm}")

    @property
    def title(self) -> str:
        """Order and dual, as people read them."""
        return f"Order {self.order}, {self.dual} dual"


def vector_bound_shaping(shaping: Shaping, step: float, stable: Stability) -> Bound:
    """‖x − x̂‖ ≤ ‖FH‖₂·√N·δ/2 where y − q = Hu with |u_n| ≤ δ/2, and x̂ = Fq with FE = I.

    Parameters
    ----------
    shaping : Shaping
        The walk and the dual.
    step : float
        δ.
    stable : Hypothesis or bool
        Whether every |u_n| ≤ δ/2, as it is for |y_n| ≤ (K − ‖h‖₁/2)δ.
    """
    if step < 0:
        raise InputError(f"step must not be negative, got {step}")
    return bound(
        f"shaping-{shaping.dual.lower().split()[0]}",
        shaping.title,
        shaping.norm * math.sqrt(shaping.size) * float(step) / 2,
        (_inverts(shaping), in_range(stable)),
        reference=f"proved in our docs: {TEXT}",
        text="noise-shaping",
        formula=r"\|x-\hat x\|\le\|FH\|_2\,\frac{\sqrt N\,\delta}{2}",
        substituted=rf"{number_tex(shaping.norm)}\cdot\frac{{\sqrt{{{shaping.size}}}\cdot {number_tex(step)}}}{{2}}",
    )


def vector_bound_step_sum(shaping: Shaping, lengths: float, step: float, stable: Stability) -> Bound:
    """‖x − x̂‖ ≤ (δ/2)Σ_n‖(FH)_n‖ where every |u_n| ≤ δ/2: the theorem step by step, as Theorem 3.1 is for order 1.

    Parameters
    ----------
    shaping : Shaping
        The walk and the dual.
    lengths : float
        Σ_n‖(FH)_n‖ of the columns of FH; for order 1 and a tight frame (d/N)(σ(F, p) + 1).
    step : float
        δ.
    stable : Hypothesis or bool
        Whether every |u_n| ≤ δ/2.
    """
    if step < 0 or not lengths >= 0:
        raise InputError(f"step and lengths must not be negative, got {step} and {lengths}")
    return bound(
        "shaping-steps",
        f"{shaping.title}, step by step",
        lengths * float(step) / 2,
        (_inverts(shaping), in_range(stable)),
        reference=f"proved in our docs: {TEXT}",
        text="noise-shaping",
        formula=r"\|x-\hat x\|\le\frac\delta2\sum_{n=1}^N\|(FH)_n\|",
        substituted=rf"\frac{{{number_tex(step)}}}{{2}}\cdot {number_tex(lengths)}",
    )


def layer_bound_shaping(shaping: Shaping, steps: ArrayLike, stable: Columns) -> Bound:
    """‖W − Q‖₂ ≤ ‖FH‖₂·(√N/2)(Σδ_j²)^½: the theorem over the columns of a layer.

    Parameters
    ----------
    shaping : Shaping
        The walk and the dual.
    steps : array_like, shape (M,)
        δ of each column.
    stable : Hypothesis, bool or array_like of bool, shape (M,)
        Whether all states of each column stay within ±δ/2.
    """
    total = step_norm(steps)
    return bound(
        "layer-shaping",
        shaping.title,
        shaping.norm * math.sqrt(shaping.size) / 2 * total,
        (_inverts(shaping), columns_in_range(stable)),
        reference=f"proved in our docs: {TEXT}",
        text="noise-shaping",
        formula=r"\|W-Q\|_2\le\|FH\|_2\,\frac{\sqrt N}{2}\Bigl(\sum_j\delta_j^2\Bigr)^{1/2}",
        substituted=rf"{number_tex(shaping.norm)}\cdot\frac{{\sqrt{{{shaping.size}}}}}{{2}}\cdot {number_tex(total)}",
    )


def layer_bound_shaped_states(shaping: Shaping, state_norm: float) -> Bound:
    """‖W − Q‖₂ ≤ ‖FH‖₂·‖U‖₂, from the states; stable or not.

    Parameters
    ----------
    shaping : Shaping
        The walk and the dual.
    state_norm : float
        ‖U‖₂ of the N × M matrix of states of all columns.
    """
    return bound(
        "layer-states",
        "From the stored states",
        shaping.norm * state_norm,
        (_inverts(shaping),),
        reference=f"proved in our docs: {TEXT}",
        text="noise-shaping",
        formula=r"\|W-Q\|_2\le\|FH\|_2\|U\|_2",
        substituted=rf"{number_tex(shaping.norm)}\cdot {number_tex(state_norm)}",
    )


def crossover(dimension: int, bits: int | None = None) -> float:
    """Return the N beyond which the bound of order 1 is the smaller one, for harmonic frames walked as written.

    Order 0 gives √d·δ₀/2, order 1 √d·δ₁·sin(πd/2N), apart from the last state. At the same δ that is N > 3d, as
    sin(π/6) = 1/2. With δ₀ = μ/K and δ₁ = μ/(K − ½), each the least for coefficients up to μ, order 1 needs more.

    Parameters
    ----------
    dimension : int
        d.
    bits : int, optional
        Bits per level, K = 2^(bits−1), where each order has its own least step; without, both have the same.

    Examples
    --------
    >>> round(crossover(10), 9), round(crossover(10, bits=1), 2), round(crossover(10, bits=8), 2)
    (30.0, 62.17, 30.13)
    """
    if bits is None:
        return 3.0 * dimension
    return math.pi * dimension / (2 * math.asin((1 - 2.0**-bits) / 2))


def _inverts(shaping: Shaping) -> Hypothesis:
    return condition("inverse", f"FE = I for the {shaping.dual} dual, N = {shaping.size}", True)
