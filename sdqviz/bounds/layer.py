"""Bounds on what frame quantization does to a layer: its columns together, each with its hypotheses checked."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.bounds.hypotheses import (
    Stability,
    at_least_three,
    columns_in_range,
    harmonic_walk,
    short_walk,
    unit_norm_tight,
)
from sdqviz.bounds.statement import BPY, CZAJA_NA, Bound, Hypothesis, bound, number_tex
from sdqviz.bounds.terms import (
    Term,
    harmonic_rounded_term,
    harmonic_term,
    short_rounded_term,
    short_term,
    spectral_term,
    variation_term,
)
from sdqviz.error import InputError
from sdqviz.frames.walk import Walk

Columns = Stability | ArrayLike
"""Whether the columns stay in the quantizer's range: a hypothesis, or a flag for each or for all."""


def step_norm(steps: ArrayLike) -> float:
    """Return √(Σ_j δ_j²) over the columns; √M·δ for one common step.

    Raises
    ------
    InputError
        If there is no column or a step is negative.
    """
    values = np.atleast_1d(np.asarray(steps, float))
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"steps must be one value per column, got shape {values.shape}")
    if (values < 0).any():
        raise InputError(f"steps must not be negative, got {values.min():.3g}")
    return float(np.linalg.norm(values))


def _on_layer(
    name: str, title: str, steps: ArrayLike, term: Term, hypotheses: Iterable[Hypothesis], *, reference: str, text: str
) -> Bound:
    """State ‖W − Q‖₂ ≤ (Σδ_j²)^½ · term."""
    statement = r"\|W-Q\|_2\le\Bigl(\sum_j\delta_j^2\Bigr)^{1/2}"
    return term.scaled(name, title, step_norm(steps), statement, hypotheses, reference=reference, text=text)


def layer_bound_variation(walk: Walk, steps: ArrayLike, stable: Columns) -> Bound:
    """‖W − Q‖₂ ≤ (Σδ_j²)^½ (d/2N)(σ(F,p) + 1), without the +1 where every last state is 0.

    Parameters
    ----------
    walk : Walk
        The frame of R^d, d the length of the quantized columns, and its order.
    steps : array_like, shape (M,)
        δ of each column.
    stable : Hypothesis, bool or array_like of bool, shape (M,)
        Whether each column stays in the quantizer's range.
    """
    return _on_layer(
        "layer-variation",
        "Frame variation",
        steps,
        variation_term(walk, walk.closing),
        (unit_norm_tight(walk), columns_in_range(stable)),
        reference=f"{CZAJA_NA}, Theorem 3.1 over the columns",
        text="layer-bound",
    )


def layer_bound_spectral(walk: Walk, steps: ArrayLike, stable: Columns) -> Bound:
    """‖W − Q‖₂ ≤ (Σδ_j²)^½ (d/2N)(√(N−1)‖ΔE‖₂ + 1), without the +1 where every last state is 0.

    Parameters as in `layer_bound_variation`.
    """
    return _on_layer(
        "layer-spectral",
        "Spectral form",
        steps,
        spectral_term(walk),
        (unit_norm_tight(walk), columns_in_range(stable)),
        reference="",
        text="spectral-form",
    )


def layer_bound_states(walk: Walk, state_norm: float, last_norm: float) -> Bound:
    """‖W − Q‖₂ ≤ (d/N)·min(‖[ΔE; e_{p(N)}]‖₂‖U‖₂, ‖ΔE‖₂‖U‖₂ + ‖u_N‖), from the states; stable or not.

    Parameters
    ----------
    walk : Walk
        The frame and its order.
    state_norm : float
        ‖U‖₂ of the N × M matrix of states of all columns (`sdqviz.array.spectral_norm`).
    last_norm : float
        ‖u_N‖, the norm of the last states of all columns; 0 for a stable walk of even length through
        a zero-sum frame.
    """
    d, size = walk.dimension, walk.size
    closed = walk.closed_norm if walk.closing else math.hypot(walk.difference_norm, 1)
    joined, apart = closed * state_norm, walk.difference_norm * state_norm + last_norm
    u, difference, last = number_tex(state_norm), number_tex(walk.difference_norm), number_tex(last_norm)
    return bound(
        "layer-states",
        "From the stored states",
        d / size * min(joined, apart),
        (unit_norm_tight(walk),),
        reference="proved in our docs: a-posteriori",
        text="a-posteriori",
        formula=r"\|W-Q\|_2\le\frac{d}{N}\min\bigl(\|[\Delta E;e_{p(N)}]\|_2\|U\|_2,\;"
        r"\|\Delta E\|_2\|U\|_2+\|u_N\|\bigr)",
        substituted=rf"\frac{{{d}}}{{{size}}}\min\bigl({number_tex(closed)}\cdot {u},\;"
        rf"{difference}\cdot {u}+{last}\bigr)",
    )


def lemma_5_1(walk: Walk, steps: ArrayLike, stable: Columns) -> Bound:
    """Lemma 5.1: ‖W − Q‖₂ ≤ 2(Σδ_j²)^½ d√(d+3)·N^(−1/d), for d ≥ 3 and an order that satisfies (8)."""
    return _on_layer(
        "lemma-5-1",
        "Short walk, any frame (Lemma 5.1)",
        steps,
        short_term(walk),
        (unit_norm_tight(walk), columns_in_range(stable), at_least_three(walk.dimension), short_walk(walk)),
        reference=f"{CZAJA_NA}, Lemma 5.1",
        text="layer-bound",
    )


def lemma_5_1_rounded(walk: Walk, steps: ArrayLike, stable: Columns) -> Bound:
    """Lemma 5.1 with √(d+3) ≤ √(2d): ‖W − Q‖₂ ≤ 2√2(Σδ_j²)^½ d^(3/2) N^(−1/d)."""
    return _on_layer(
        "lemma-5-1-rounded",
        "Short walk, any frame (Lemma 5.1, rounded)",
        steps,
        short_rounded_term(walk),
        (unit_norm_tight(walk), columns_in_range(stable), at_least_three(walk.dimension), short_walk(walk)),
        reference=f"{CZAJA_NA}, Lemma 5.1",
        text="layer-bound",
    )


def lemma_5_1_harmonic(walk: Walk, steps: ArrayLike, stable: Columns) -> Bound:
    """‖W − Q‖₂ ≤ (Σδ_j²)^½ (d/2N)(2π(d+1) + 1): the harmonic form of Lemma 5.1.

    All that is used of a harmonic frame in its natural order is σ ≤ 2π(d+1), which is checked.
    """
    return _on_layer(
        "lemma-5-1-harmonic",
        "Harmonic frame as written (Lemma 5.1)",
        steps,
        harmonic_term(walk),
        (unit_norm_tight(walk), columns_in_range(stable), harmonic_walk(walk)),
        reference=f"{BPY}; {CZAJA_NA}, section 5",
        text="harmonic-frames",
    )


def lemma_5_1_harmonic_rounded(walk: Walk, steps: ArrayLike, stable: Columns) -> Bound:
    """‖W − Q‖₂ ≤ (3π/2)(Σδ_j²)^½ d²/N: the harmonic form with 2π(d+1) + 1 ≤ 3πd, for d ≥ 3."""
    return _on_layer(
        "lemma-5-1-harmonic-rounded",
        "Harmonic frame as written (Lemma 5.1, rounded)",
        steps,
        harmonic_rounded_term(walk),
        (unit_norm_tight(walk), columns_in_range(stable), at_least_three(walk.dimension), harmonic_walk(walk)),
        reference=f"{CZAJA_NA}, section 5",
        text="harmonic-frames",
    )


def layer_bounds(walk: Walk, steps: ArrayLike, stable: Columns) -> tuple[Bound, ...]:
    """Return every a-priori bound on ‖W − Q‖₂, those whose hypotheses fail included."""
    return (
        layer_bound_spectral(walk, steps, stable),
        layer_bound_variation(walk, steps, stable),
        lemma_5_1_harmonic(walk, steps, stable),
        lemma_5_1_harmonic_rounded(walk, steps, stable),
        lemma_5_1(walk, steps, stable),
        lemma_5_1_rounded(walk, steps, stable),
    )


def memoryless_layer_bound(steps: ArrayLike, dimension: int, in_range: Columns) -> Bound:
    """‖W − Q‖₂ ≤ ½(d Σδ_j²)^½ for plain rounding, of the weights or of their tight-frame coefficients.

    Parameters
    ----------
    steps : array_like, shape (M,)
        δ of each column.
    dimension : int
        d, the length of a column.
    in_range : Hypothesis, bool or array_like of bool, shape (M,)
        Whether every rounded value lies in [−Kδ, Kδ], where rounding errs by δ/2 at most.
    """
    return _on_layer(
        "memoryless",
        "Plain rounding",
        steps,
        Term(0.5 * math.sqrt(dimension), r"\tfrac12\sqrt d", rf"\tfrac12\sqrt{{{dimension}}}"),
        (columns_in_range(in_range),),
        reference="",
        text="memoryless",
    )


def lemma_5_2(weight_norm: float, layer: Bound) -> Bound:
    """Lemma 5.2: ‖Q‖₂ ≤ ‖W‖₂ + B, with B any bound on ‖W − Q‖₂ that holds."""
    inherits = Hypothesis("layer", "B bounds ‖W − Q‖₂", f"B is “{layer.title}”: {layer.reason}", layer.holds)
    return bound(
        "lemma-5-2",
        "Norm of the quantized layer (Lemma 5.2)",
        weight_norm + layer.value,
        (inherits,),
        reference=f"{CZAJA_NA}, Lemma 5.2",
        text="layer-bound",
        formula=r"\|Q\|_2\le\|W\|_2+B",
        substituted=rf"{number_tex(weight_norm)}+{number_tex(layer.value)}",
    )
