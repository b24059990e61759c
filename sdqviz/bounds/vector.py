"""Bounds on what frame quantization does to one vector, each with its hypotheses checked."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sdqviz.bounds.hypotheses import Stability, at_least_three, in_range, short_walk, unit_norm_tight
from sdqviz.bounds.statement import BPY, CZAJA_NA, Bound, Hypothesis, bound, condition, number_tex
from sdqviz.bounds.terms import Term, short_term, spectral_term, variation_term
from sdqviz.error import InputError
from sdqviz.frames.walk import Walk, wang_variation


def wang_variation_bound(walk: Walk) -> Bound:
    """Check (8) for the order at hand: σ(F, p) ≤ 4√(d+3)(N^(1−1/d) − 1); the reason reports the ratio.

    Wang's theorem says some order of any unit-norm frame satisfies it for d ≥ 3; whether this order
    does is computed, so ``holds`` is a check and not a belief.
    """
    d, size = walk.dimension, walk.size
    value = wang_variation(d, size)
    ratio = walk.variation / value if value > 0 else math.inf
    fits = short_walk(walk)
    return bound(
        "wang-variation",
        "Variation of a short walk (8)",
        value,
        (
            at_least_three(d),
            unit_norm_tight(walk),
            Hypothesis(fits.name, fits.needs, f"{fits.got}, ratio {ratio:.3g}", fits.met),
        ),
        reference=f"Wang (2008); {CZAJA_NA}, Theorem 3.2",
        text="wang-order",
        formula=r"\sigma(F,p)\le 4\sqrt{d+3}\,\bigl(N^{1-1/d}-1\bigr)",
        substituted=rf"{number_tex(walk.variation)}\le 4\sqrt{{{d}+3}}\,\bigl({size}^{{1-1/{d}}}-1\bigr)",
    )


def _on_vector(
    name: str, title: str, step: float, term: Term, hypotheses: Iterable[Hypothesis], *, reference: str, text: str
) -> Bound:
    """State ‖x − x̃‖ ≤ δ · term."""
    if step < 0:
        raise InputError(f"step must not be negative, got {step}")
    statement = r"\|x-\tilde x\|\le\delta"
    return term.scaled(name, title, float(step), statement, hypotheses, reference=reference, text=text)


def variation_bound(walk: Walk, step: float, stable: Stability) -> Bound:
    """Theorem 3.1: ‖x − x̃‖ ≤ (δd/2N)(σ(F,p) + 1), for first-order ΣΔ started at u_0 = 0.

    Parameters
    ----------
    walk : Walk
        The frame and its order.
    step : float
        δ.
    stable : Hypothesis or bool
        Whether every |⟨x,e_n⟩| ≤ (K−½)δ; `sdqviz.bounds.hypotheses.stability` computes it.
    """
    return _on_vector(
        "variation",
        "Frame variation",
        step,
        variation_term(walk, 1),
        (unit_norm_tight(walk), in_range(stable)),
        reference=f"{CZAJA_NA}, Theorem 3.1",
        text="vector-bound",
    )


def variation_bound_any_start(walk: Walk, step: float, stable: Stability, start: float = 0.0) -> Bound:
    """Allow any start |u_0| ≤ δ/2: ‖x − x̃‖ ≤ (δd/2N)(σ(F,p) + 2)."""
    inside = abs(start) <= step / 2
    begins = Hypothesis(
        "start",
        "|u_0| ≤ δ/2",
        f"|u_0| = {abs(start):.4g} is {'at most' if inside else 'above'} δ/2 = {step / 2:.4g}",
        inside,
    )
    return _on_vector(
        "variation-any-start",
        "Frame variation, any start",
        step,
        variation_term(walk, 2),
        (unit_norm_tight(walk), in_range(stable), begins),
        reference=BPY,
        text="vector-bound",
    )


def variation_bound_zero_sum(walk: Walk, step: float, stable: Stability) -> Bound:
    """Drop the +1 where Σe_n = 0 and N is even: then the last state is exactly 0.

    For N odd |u_N| = δ/2 exactly, and the +1 stays.
    """
    odd = walk.size % 2
    sums = condition("zero-sum", "Σe_n = 0", walk.zero_sum, "the frame vectors do not sum to 0")
    last = f"N = {walk.size} is {'odd, so |u_N| = δ/2' if odd else 'even, so u_N = 0'}"
    return _on_vector(
        "variation-zero-sum",
        "Frame variation, zero-sum frame",
        step,
        variation_term(walk, odd),
        (unit_norm_tight(walk), in_range(stable), sums, condition("parity", last, True)),
        reference=BPY,
        text="zero-sum",
    )


def spectral_bound(walk: Walk, step: float, stable: Stability) -> Bound:
    """Our spectral form: ‖x − x̃‖ ≤ (δd/2N)(√(N−1)‖ΔE‖₂ + 1), without the +1 where u_N = 0."""
    return _on_vector(
        "spectral",
        "Spectral form",
        step,
        spectral_term(walk),
        (unit_norm_tight(walk), in_range(stable)),
        reference="",
        text="spectral-form",
    )


def corollary_3_3(walk: Walk, step: float, stable: Stability) -> Bound:
    """Corollary 3.3: ‖x − x̃‖ ≤ 2δd√(d+3)·N^(−1/d), for d ≥ 3 and an order that satisfies (8)."""
    return _on_vector(
        "corollary-3-3",
        "Short walk, any frame",
        step,
        short_term(walk),
        (unit_norm_tight(walk), in_range(stable), at_least_three(walk.dimension), short_walk(walk)),
        reference=f"{CZAJA_NA}, Corollary 3.3",
        text="wang-order",
    )


def vector_bounds(walk: Walk, step: float, stable: Stability) -> tuple[Bound, ...]:
    """Return the bounds on ‖x − x̃‖ for a walk started at 0, those of other hypotheses included."""
    return (
        variation_bound(walk, step, stable),
        variation_bound_zero_sum(walk, step, stable),
        spectral_bound(walk, step, stable),
        corollary_3_3(walk, step, stable),
    )
