"""Bounds on what frame quantization does to a vector and to a layer, each with its hypotheses checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.frames.frame import ROWS_AT_ONCE, Frame

CZAJA_NA = "Czaja & Na, arXiv 2404.08131"
BPY = "Benedetto, Powell & Yılmaz, IEEE Trans. Inf. Theory 52 (2006)"

ZERO_SUM_TOLERANCE = 1e-13
"""‖Σe_n‖/N below which a frame counts as zero-sum: rounding only, so that dropping a term stays rigorous."""

TIGHT_TOLERANCE = 1e-10
"""Largest deviation from a unit-norm tight frame that counts as rounding."""


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """One condition of a theorem: whether it is met here, and the sentence part that says so with numbers."""

    holds: bool
    text: str


@dataclasses.dataclass(frozen=True)
class Bound:
    """An upper bound with the reasons to believe it.

    Attributes
    ----------
    name, title : str
        Slug, and what people read.
    value : float
        The bound; it may be computed even where a hypothesis fails.
    holds : bool
        Whether every hypothesis was verified and the value is finite.
    because : str
        One sentence: the hypotheses met, or those that fail, with numbers.
    reference : str
        Where the statement is proved.
    text : str
        Slug of the text in ``assets/texts`` that proves it.
    formula, substituted : str
        LaTeX of the formula, and of the same formula with the current numbers put in.
    """

    name: str
    title: str
    value: float
    holds: bool
    because: str
    reference: str
    text: str
    formula: str
    substituted: str


B = TypeVar("B", bound=Bound)


def bound(
    name: str,
    title: str,
    value: float,
    hypotheses: Iterable[Hypothesis],
    *,
    reference: str,
    text: str,
    formula: str,
    substituted: str,
) -> Bound:
    """Assemble a `Bound`: it holds if all hypotheses do and the value is finite.

    ``substituted`` is the formula with numbers, without the result, which is appended.
    """
    hypotheses = tuple(hypotheses)
    value = float(value)
    failed = [h.text for h in hypotheses if not h.holds]
    if not math.isfinite(value):
        failed.append(f"the value is not finite ({value})")
    if failed:
        because = f"Not applicable: {'; '.join(failed)}."
    else:
        because = f"All hypotheses hold: {'; '.join(h.text for h in hypotheses) or 'there are none'}."
    return Bound(
        name, title, value, not failed, because, reference, text, formula, f"{substituted} = {number_tex(value)}"
    )


def not_applicable(name: str, title: str, reason: str, *, text: str = "network-bound") -> Bound:
    """Return the bound of something outside a theorem's class: no value, and the reason."""
    return Bound(name, title, math.nan, False, f"Not applicable: {reason}.", "", text, "", "")


def smallest(bounds: Iterable[B], fits: Callable[[B], bool]) -> B:
    """Return the bound of smallest value among those that fit; if none does, among all.

    Raises
    ------
    InputError
        If there is none at all.
    """
    candidates = tuple(bounds)
    if not candidates:
        raise InputError("bounds must contain at least one bound, got none")
    fitting = [one for one in candidates if fits(one)]
    return min(fitting or candidates, key=lambda one: one.value if math.isfinite(one.value) else math.inf)


def tightest(bounds: Iterable[Bound]) -> Bound:
    """Return the bound of smallest value among those that hold; if none holds, among all.

    Raises
    ------
    InputError
        If there is none at all.
    """
    return smallest(bounds, lambda one: one.holds)


def number_tex(value: float) -> str:
    r"""Format a number for LaTeX: three significant digits, whole numbers in full.

    Examples
    --------
    >>> number_tex(1000), number_tex(0.000012345), number_tex(2.5)
    ('1000', '1.23\\times10^{-5}', '2.5')
    """
    if math.isnan(value):
        return r"\text{undefined}"
    if math.isinf(value):
        return r"\infty" if value > 0 else r"-\infty"
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return rf"{mantissa}\times10^{{{int(exponent)}}}" if exponent else mantissa


# -- the walk ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Walk:
    """What the bounds need to know of a frame walked in some order p.

    Attributes
    ----------
    dimension, size : int
        d and N.
    tight : bool
        Whether the frame is unit-norm and tight (a FUNTF).
    zero_sum : bool
        Whether Σ e_n = 0.
    variation : float
        σ(F, p) = Σ_{n<N} ‖e_{p(n)} − e_{p(n+1)}‖.
    difference_norm : float
        ‖ΔE‖₂ of the (N−1) × d matrix of the differences e_{p(n)} − e_{p(n+1)}.
    closed_norm : float
        The same with the row e_{p(N)} appended; not needed, and equal to ``difference_norm``, where
        the last state vanishes.
    defect : float
        Largest of ‖(d/N)S − I‖₂ and max|‖e_n‖ − 1|: 0 for frames tight by construction.

    Examples
    --------
    >>> from sdqviz.frames.harmonic import Harmonic
    >>> walk = Walk.of(Harmonic(dimension=4, size=100).build())
    >>> walk.tight, walk.zero_sum, walk.closing, round(walk.variation, 2)
    (True, True, 0, 9.83)
    """

    dimension: int
    size: int
    tight: bool
    zero_sum: bool
    variation: float
    difference_norm: float
    closed_norm: float
    defect: float = 0.0

    @property
    def closing(self) -> int:
        """Weight of the last state in a bound: 0 where it vanishes (Σe_n = 0 and N even), else 1."""
        return 0 if self.zero_sum and self.size % 2 == 0 else 1

    @classmethod
    def of(cls, frame: Frame, order: ArrayLike | None = None) -> Self:
        """Measure the walk through ``frame`` in ``order``, shape (N,), a block of vectors at a time."""
        index = frame.check_order(order)
        d, size = frame.dimension, frame.size
        gram, frame_operator, total = np.zeros((d, d)), np.zeros((d, d)), np.zeros(d)
        variation, norm_defect = 0.0, 0.0
        rows = np.zeros((0, d))
        for start in range(0, size, ROWS_AT_ONCE):
            last = rows[-1:]
            rows = np.asarray(frame.operator.rows(index[start : start + ROWS_AT_ONCE]))
            path = np.concatenate([last, rows])
            difference = path[:-1] - path[1:]
            variation += float(np.linalg.norm(difference, axis=1).sum())
            gram += difference.T @ difference
            total += rows.sum(axis=0)
            if not frame.tight:
                frame_operator += rows.T @ rows
                norm_defect = max(norm_defect, float(np.abs(np.linalg.norm(rows, axis=1) - 1).max()))
        defect = 0.0
        if not frame.tight:
            residual = frame_operator * (d / size) - np.eye(d)
            defect = max(norm_defect, float(np.abs(np.linalg.eigvalsh(residual)).max()))
        zero_sum = bool(np.linalg.norm(total) <= ZERO_SUM_TOLERANCE * size)
        difference_norm = closed_norm = _root_of_largest(gram)
        if not (zero_sum and size % 2 == 0):
            closed_norm = _root_of_largest(gram + rows[-1:].T @ rows[-1:])
        return cls(
            dimension=d,
            size=size,
            tight=defect <= TIGHT_TOLERANCE,
            zero_sum=zero_sum,
            variation=variation,
            difference_norm=difference_norm,
            closed_norm=closed_norm,
            defect=defect,
        )

    @classmethod
    def harmonic(cls, dimension: int, size: int) -> Self:
        """Return the walk of the harmonic frame as written, from closed forms: no vector is formed.

        ``variation`` is exact; ``difference_norm`` and ``closed_norm`` are upper bounds (the walk
        closed to a cycle has orthogonal columns), so every bound made with them holds.
        """
        even = dimension % 2 == 0
        difference = harmonic_difference_norm(dimension, size)
        return cls(
            dimension=dimension,
            size=size,
            tight=True,
            zero_sum=even,
            variation=harmonic_variation(dimension, size),
            difference_norm=difference,
            closed_norm=difference if even and size % 2 == 0 else math.hypot(difference, 1),
        )


def _root_of_largest(gram: Array) -> float:
    return math.sqrt(max(float(np.linalg.eigvalsh(gram)[-1]), 0.0))


# -- hypotheses ---------------------------------------------------------------------------------------


def unit_norm_tight(walk: Walk) -> Hypothesis:
    """Require a finite unit-norm tight frame."""
    if walk.tight:
        return Hypothesis(True, "the frame is unit-norm and tight")
    return Hypothesis(False, f"the frame is not unit-norm and tight (it deviates by {walk.defect:.3g})")


def stability(largest: ArrayLike, step: ArrayLike, bits: int) -> Hypothesis:
    """Require |x_n| ≤ (K−½)δ of every coefficient, which keeps every state within ±δ/2.

    Parameters
    ----------
    largest : array_like, shape (M,) or ()
        max_n |⟨x, e_n⟩| of each column (the norm ‖x‖ is larger, so it may be given instead).
    step : array_like, shape (M,) or ()
        δ of each column.
    bits : int
        Bits per level; K = 2^(bits−1).
    """
    top, radius = np.broadcast_arrays(
        np.atleast_1d(np.asarray(largest, float)), (2 ** (bits - 1) - 0.5) * np.asarray(step, float)
    )
    # a step computed as max|x_n|/(K−½) may miss equality by a rounding; NaN counts as unstable
    outside = ~(top <= radius * (1 + 4 * np.finfo(float).eps))
    if not outside.any():
        return Hypothesis(True, "the quantizer stays in range, |x_n| ≤ (K−½)δ")
    worst = int(np.argmax(np.where(outside, np.nan_to_num(top - radius, nan=np.inf), -np.inf)))
    which = f"in {int(outside.sum())} of {top.size} columns " if top.size > 1 else ""
    return Hypothesis(
        False, f"the quantizer leaves its range {which}(max|x_n| = {top[worst]:.4g} > (K−½)δ = {radius[worst]:.4g})"
    )


def _stable(stable: Hypothesis | bool) -> Hypothesis:
    if isinstance(stable, Hypothesis):
        return stable
    return Hypothesis(bool(stable), f"the quantizer {'stays in' if stable else 'leaves its'} range, |x_n| ≤ (K−½)δ")


def at_least_three(dimension: int) -> Hypothesis:
    """Require d ≥ 3, as (8) and all that rests on it does."""
    if dimension >= 3:
        return Hypothesis(True, f"d = {dimension} ≥ 3")
    return Hypothesis(False, f"d = {dimension} is below 3")


def short_walk(walk: Walk) -> Hypothesis:
    """Require that the order satisfies (8)."""
    limit = wang_variation(walk.dimension, walk.size)
    return _at_most("the order's variation", walk.variation, limit, "the limit (8)")


def harmonic_walk(walk: Walk) -> Hypothesis:
    """Require σ ≤ 2π(d+1), the property of harmonic frames in their natural order that is used."""
    limit = harmonic_variation_limit(walk.dimension)
    return _at_most("the order's variation", walk.variation, limit, "2π(d+1)")


def _at_most(what: str, value: float, limit: float, limit_name: str) -> Hypothesis:
    holds = value <= limit * (1 + 1e-12)
    return Hypothesis(holds, f"{what} {value:.4g} is {'at most' if holds else 'above'} {limit_name} = {limit:.4g}")


# -- how long walks are -------------------------------------------------------------------------------


def wang_variation(dimension: int, size: int) -> float:
    """Return 4√(d+3)(N^(1−1/d) − 1), the right-hand side of (8): some order has at most this variation.

    Examples
    --------
    >>> round(wang_variation(3, 1000), 2)
    970.0
    """
    return 4 * math.sqrt(dimension + 3) * (size ** (1 - 1 / dimension) - 1)


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
            Hypothesis(fits.holds, f"{fits.text}, ratio {ratio:.3g}"),
        ),
        reference=f"Wang (2008); {CZAJA_NA}, Theorem 3.2",
        text="wang-order",
        formula=r"\sigma(F,p)\le 4\sqrt{d+3}\,\bigl(N^{1-1/d}-1\bigr)",
        substituted=rf"{number_tex(walk.variation)}\le 4\sqrt{{{d}+3}}\,\bigl({size}^{{1-1/{d}}}-1\bigr)",
    )


def harmonic_variation_limit(dimension: int) -> float:
    """Return 2π(d+1): no harmonic frame of R^d in its natural order has a larger variation, whatever N."""
    return 2 * math.pi * (dimension + 1)


def harmonic_variation_sharp(dimension: int) -> float:
    """Return the limit of the variation for N → ∞, an upper bound for every N.

    2π√((d+1)(d+2)/12) for d even, 2π√((d−1)(d+1)/12) for d odd.
    """
    d = dimension
    return 2 * math.pi * math.sqrt(((d + 1) * (d + 2) if d % 2 == 0 else (d - 1) * (d + 1)) / 12)


def harmonic_variation(dimension: int, size: int) -> float:
    """Return σ of the harmonic frame as written: exactly (N−1)√((8/d) Σ_{k≤d/2} sin²(πk/N))."""
    k = np.arange(1, dimension // 2 + 1)
    return (size - 1) * math.sqrt(8 / dimension * float((np.sin(np.pi * k / size) ** 2).sum()))


def half_frequency_variation_limit(dimension: int) -> float:
    """Return 2π√((d²−1)/12), which bounds σ of the half-frequency harmonic frame for every N ≥ d, d even."""
    return 2 * math.pi * math.sqrt((dimension**2 - 1) / 12)


def harmonic_difference_norm(dimension: int, size: int) -> float:
    """Return 2√(N/d)·max_k sin(πk/N), which bounds ‖ΔE‖₂ of the harmonic frame as written.

    The maximum is over k ≤ d/2: sin(π⌊d/2⌋/N), since ⌊d/2⌋ ≤ N/2.
    """
    return 2 * math.sqrt(size / dimension) * math.sin(math.pi * (dimension // 2) / size)


# -- one vector ---------------------------------------------------------------------------------------


def _check_step(step: float) -> float:
    if step < 0:
        raise InputError(f"step must not be negative, got {step}")
    return float(step)


def _plus(count: int) -> str:
    return f"+{count}" if count else ""


def _variation_vector(
    walk: Walk,
    step: float,
    hypotheses: tuple[Hypothesis, ...],
    extra: int,
    name: str,
    title: str,
    source: str,
    text: str,
) -> Bound:
    step = _check_step(step)
    d, size = walk.dimension, walk.size
    return bound(
        name,
        title,
        step * d / (2 * size) * (walk.variation + extra),
        hypotheses,
        reference=source,
        text=text,
        formula=rf"\|x-\tilde x\|\le\frac{{\delta d}}{{2N}}\bigl(\sigma(F,p){_plus(extra)}\bigr)",
        substituted=rf"\frac{{{number_tex(step)}\cdot {d}}}{{2\cdot {size}}}"
        rf"\bigl({number_tex(walk.variation)}{_plus(extra)}\bigr)",
    )


def variation_bound(walk: Walk, step: float, stable: Hypothesis | bool) -> Bound:
    """Theorem 3.1: ‖x − x̃‖ ≤ (δd/2N)(σ(F,p) + 1), for first-order ΣΔ started at u_0 = 0.

    Parameters
    ----------
    walk : Walk
        The frame and its order.
    step : float
        δ.
    stable : Hypothesis or bool
        Whether every |⟨x,e_n⟩| ≤ (K−½)δ; `stability` computes it.
    """
    return _variation_vector(
        walk,
        step,
        (unit_norm_tight(walk), _stable(stable)),
        1,
        "variation",
        "Frame variation",
        f"{CZAJA_NA}, Theorem 3.1; proved in our docs: vector-bound",
        "vector-bound",
    )


def variation_bound_any_start(walk: Walk, step: float, stable: Hypothesis | bool, start: float = 0.0) -> Bound:
    """Allow any start |u_0| ≤ δ/2: ‖x − x̃‖ ≤ (δd/2N)(σ(F,p) + 2)."""
    inside = abs(start) <= step / 2
    begins = Hypothesis(inside, f"|u_0| = {abs(start):.4g} is {'at most' if inside else 'above'} δ/2 = {step / 2:.4g}")
    return _variation_vector(
        walk,
        step,
        (unit_norm_tight(walk), _stable(stable), begins),
        2,
        "variation-any-start",
        "Frame variation, any start",
        f"{BPY}; proved in our docs: vector-bound",
        "vector-bound",
    )


def variation_bound_zero_sum(walk: Walk, step: float, stable: Hypothesis | bool) -> Bound:
    """Drop the +1 where Σe_n = 0 and N is even: then the last state is exactly 0.

    For N odd |u_N| = δ/2 exactly, and the +1 stays.
    """
    odd = walk.size % 2
    sums = Hypothesis(walk.zero_sum, "Σe_n = 0" if walk.zero_sum else "the frame vectors do not sum to 0")
    parity = Hypothesis(True, f"N = {walk.size} is {'odd, so |u_N| = δ/2' if odd else 'even, so u_N = 0'}")
    return _variation_vector(
        walk,
        step,
        (unit_norm_tight(walk), _stable(stable), sums, parity),
        odd,
        "variation-zero-sum",
        "Frame variation, zero-sum frame",
        f"{BPY}; proved in our docs: zero-sum",
        "zero-sum",
    )


def spectral_bound(walk: Walk, step: float, stable: Hypothesis | bool) -> Bound:
    """Our spectral form: ‖x − x̃‖ ≤ (δd/2N)(√(N−1)‖ΔE‖₂ + 1), without the +1 where u_N = 0."""
    step = _check_step(step)
    d, size, extra = walk.dimension, walk.size, walk.closing
    return bound(
        "spectral",
        "Spectral form",
        step * d / (2 * size) * (math.sqrt(size - 1) * walk.difference_norm + extra),
        (unit_norm_tight(walk), _stable(stable)),
        reference="proved in our docs: spectral-form",
        text="spectral-form",
        formula=rf"\|x-\tilde x\|\le\frac{{\delta d}}{{2N}}\bigl(\sqrt{{N-1}}\,\|\Delta E\|_2{_plus(extra)}\bigr)",
        substituted=rf"\frac{{{number_tex(step)}\cdot {d}}}{{2\cdot {size}}}"
        rf"\bigl(\sqrt{{{size - 1}}}\cdot {number_tex(walk.difference_norm)}{_plus(extra)}\bigr)",
    )


def corollary_3_3(walk: Walk, step: float, stable: Hypothesis | bool) -> Bound:
    """Corollary 3.3: ‖x − x̃‖ ≤ 2δd√(d+3)·N^(−1/d), for d ≥ 3 and an order that satisfies (8)."""
    step = _check_step(step)
    d, size = walk.dimension, walk.size
    return bound(
        "corollary-3-3",
        "Short walk, any frame",
        2 * step * d * math.sqrt(d + 3) * size ** (-1 / d),
        (unit_norm_tight(walk), _stable(stable), at_least_three(d), short_walk(walk)),
        reference=f"{CZAJA_NA}, Corollary 3.3; proved in our docs: wang-order",
        text="wang-order",
        formula=r"\|x-\tilde x\|\le 2\delta d\sqrt{d+3}\,N^{-1/d}",
        substituted=rf"2\cdot {number_tex(step)}\cdot {d}\sqrt{{{d}+3}}\cdot {size}^{{-1/{d}}}",
    )


def vector_bounds(walk: Walk, step: float, stable: Hypothesis | bool) -> tuple[Bound, ...]:
    """Return the bounds on ‖x − x̃‖ for a walk started at 0, those of other hypotheses included."""
    return (
        variation_bound(walk, step, stable),
        variation_bound_zero_sum(walk, step, stable),
        spectral_bound(walk, step, stable),
        corollary_3_3(walk, step, stable),
    )


# -- one layer ----------------------------------------------------------------------------------------


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


def _columns_in_range(stable: Hypothesis | bool | ArrayLike) -> Hypothesis:
    if isinstance(stable, Hypothesis):
        return stable
    flags = np.atleast_1d(np.asarray(stable, bool))
    if flags.all():
        return Hypothesis(True, "every column stays in the quantizer's range")
    return Hypothesis(False, f"{int((~flags).sum())} of {flags.size} columns leave the quantizer's range")


def layer_bound_variation(walk: Walk, steps: ArrayLike, stable: Hypothesis | bool | ArrayLike) -> Bound:
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
    total = step_norm(steps)
    d, size, extra = walk.dimension, walk.size, walk.closing
    return bound(
        "layer-variation",
        "Frame variation",
        total * d / (2 * size) * (walk.variation + extra),
        (unit_norm_tight(walk), _columns_in_range(stable)),
        reference=f"{CZAJA_NA}, Theorem 3.1 over the columns; proved in our docs: layer-bound",
        text="layer-bound",
        formula=rf"\|W-Q\|_2\le\Bigl(\sum_j\delta_j^2\Bigr)^{{1/2}}\frac{{d}}{{2N}}\bigl(\sigma(F,p){_plus(extra)}\bigr)",
        substituted=rf"{number_tex(total)}\cdot\frac{{{d}}}{{2\cdot {size}}}"
        rf"\bigl({number_tex(walk.variation)}{_plus(extra)}\bigr)",
    )


def layer_bound_spectral(walk: Walk, steps: ArrayLike, stable: Hypothesis | bool | ArrayLike) -> Bound:
    """‖W − Q‖₂ ≤ (Σδ_j²)^½ (d/2N)(√(N−1)‖ΔE‖₂ + 1), without the +1 where every last state is 0.

    Parameters as in `layer_bound_variation`.
    """
    total = step_norm(steps)
    d, size, extra = walk.dimension, walk.size, walk.closing
    return bound(
        "layer-spectral",
        "Spectral form",
        total * d / (2 * size) * (math.sqrt(size - 1) * walk.difference_norm + extra),
        (unit_norm_tight(walk), _columns_in_range(stable)),
        reference="proved in our docs: spectral-form",
        text="spectral-form",
        formula=r"\|W-Q\|_2\le\Bigl(\sum_j\delta_j^2\Bigr)^{1/2}\frac{d}{2N}"
        rf"\bigl(\sqrt{{N-1}}\,\|\Delta E\|_2{_plus(extra)}\bigr)",
        substituted=rf"{number_tex(total)}\cdot\frac{{{d}}}{{2\cdot {size}}}"
        rf"\bigl(\sqrt{{{size - 1}}}\cdot {number_tex(walk.difference_norm)}{_plus(extra)}\bigr)",
    )


def layer_bound_states(walk: Walk, state_norm: float, last_norm: float) -> Bound:
    """‖W − Q‖₂ ≤ (d/N)·min(‖[ΔE; e_{p(N)}]‖₂‖U‖₂, ‖ΔE‖₂‖U‖₂ + ‖u_N‖), from the states; stable or not.

    Parameters
    ----------
    walk : Walk
        The frame and its order.
    state_norm : float
        ‖U‖₂ of the N × M matrix of states of all columns (`spectral_norm`).
    last_norm : float
        ‖u_N‖, the norm of the last states of all columns; 0 for a stable walk of even length through
        a zero-sum frame.
    """
    d, size = walk.dimension, walk.size
    closed = walk.closed_norm if walk.closing else math.hypot(walk.difference_norm, 1)
    together, apart = closed * state_norm, walk.difference_norm * state_norm + last_norm
    u, difference, last = number_tex(state_norm), number_tex(walk.difference_norm), number_tex(last_norm)
    return bound(
        "layer-states",
        "From the stored states",
        d / size * min(together, apart),
        (unit_norm_tight(walk),),
        reference="proved in our docs: a-posteriori",
        text="a-posteriori",
        formula=r"\|W-Q\|_2\le\frac{d}{N}\min\bigl(\|[\Delta E;e_{p(N)}]\|_2\|U\|_2,\;"
        r"\|\Delta E\|_2\|U\|_2+\|u_N\|\bigr)",
        substituted=rf"\frac{{{d}}}{{{size}}}\min\bigl({number_tex(closed)}\cdot {u},\;"
        rf"{difference}\cdot {u}+{last}\bigr)",
    )


def lemma_5_1(walk: Walk, steps: ArrayLike, stable: Hypothesis | bool | ArrayLike) -> Bound:
    """Lemma 5.1: ‖W − Q‖₂ ≤ 2(Σδ_j²)^½ d√(d+3)·N^(−1/d), for d ≥ 3 and an order that satisfies (8)."""
    total = step_norm(steps)
    d, size = walk.dimension, walk.size
    return bound(
        "lemma-5-1",
        "Short walk, any frame (Lemma 5.1)",
        2 * total * d * math.sqrt(d + 3) * size ** (-1 / d),
        (unit_norm_tight(walk), _columns_in_range(stable), at_least_three(d), short_walk(walk)),
        reference=f"{CZAJA_NA}, Lemma 5.1; proved in our docs: layer-bound",
        text="layer-bound",
        formula=r"\|W-Q\|_2\le 2\Bigl(\sum_j\delta_j^2\Bigr)^{1/2}d\sqrt{d+3}\,N^{-1/d}",
        substituted=rf"2\cdot {number_tex(total)}\cdot {d}\sqrt{{{d}+3}}\cdot {size}^{{-1/{d}}}",
    )


def lemma_5_1_rounded(walk: Walk, steps: ArrayLike, stable: Hypothesis | bool | ArrayLike) -> Bound:
    """Lemma 5.1 with √(d+3) ≤ √(2d): ‖W − Q‖₂ ≤ 2√2(Σδ_j²)^½ d^(3/2) N^(−1/d)."""
    total = step_norm(steps)
    d, size = walk.dimension, walk.size
    return bound(
        "lemma-5-1-rounded",
        "Short walk, any frame (Lemma 5.1, rounded)",
        2 * math.sqrt(2) * total * d**1.5 * size ** (-1 / d),
        (unit_norm_tight(walk), _columns_in_range(stable), at_least_three(d), short_walk(walk)),
        reference=f"{CZAJA_NA}, Lemma 5.1; proved in our docs: layer-bound",
        text="layer-bound",
        formula=r"\|W-Q\|_2\le 2\sqrt2\,\Bigl(\sum_j\delta_j^2\Bigr)^{1/2}d^{3/2}N^{-1/d}",
        substituted=rf"2\sqrt2\cdot {number_tex(total)}\cdot {d}^{{3/2}}\cdot {size}^{{-1/{d}}}",
    )


def lemma_5_1_harmonic(walk: Walk, steps: ArrayLike, stable: Hypothesis | bool | ArrayLike) -> Bound:
    """‖W − Q‖₂ ≤ (Σδ_j²)^½ (d/2N)(2π(d+1) + 1): the harmonic form of Lemma 5.1.

    All that is used of a harmonic frame in its natural order is σ ≤ 2π(d+1), which is checked.
    """
    total = step_norm(steps)
    d, size = walk.dimension, walk.size
    return bound(
        "lemma-5-1-harmonic",
        "Harmonic frame as written (Lemma 5.1)",
        total * d / (2 * size) * (harmonic_variation_limit(d) + 1),
        (unit_norm_tight(walk), _columns_in_range(stable), harmonic_walk(walk)),
        reference=f"{BPY}; {CZAJA_NA}, section 5; proved in our docs: harmonic-frames",
        text="harmonic-frames",
        formula=r"\|W-Q\|_2\le\Bigl(\sum_j\delta_j^2\Bigr)^{1/2}\frac{d}{2N}\bigl(2\pi(d+1)+1\bigr)",
        substituted=rf"{number_tex(total)}\cdot\frac{{{d}}}{{2\cdot {size}}}\bigl(2\pi({d}+1)+1\bigr)",
    )


def lemma_5_1_harmonic_rounded(walk: Walk, steps: ArrayLike, stable: Hypothesis | bool | ArrayLike) -> Bound:
    """‖W − Q‖₂ ≤ (3π/2)(Σδ_j²)^½ d²/N: the harmonic form with 2π(d+1) + 1 ≤ 3πd, for d ≥ 3."""
    total = step_norm(steps)
    d, size = walk.dimension, walk.size
    return bound(
        "lemma-5-1-harmonic-rounded",
        "Harmonic frame as written (Lemma 5.1, rounded)",
        1.5 * math.pi * total * d**2 / size,
        (unit_norm_tight(walk), _columns_in_range(stable), at_least_three(d), harmonic_walk(walk)),
        reference=f"{CZAJA_NA}, section 5; proved in our docs: harmonic-frames",
        text="harmonic-frames",
        formula=r"\|W-Q\|_2\le\frac{3\pi}{2}\Bigl(\sum_j\delta_j^2\Bigr)^{1/2}\frac{d^2}{N}",
        substituted=rf"\frac{{3\pi}}{{2}}\cdot {number_tex(total)}\cdot\frac{{{d}^2}}{{{size}}}",
    )


def layer_bounds(walk: Walk, steps: ArrayLike, stable: Hypothesis | bool | ArrayLike) -> tuple[Bound, ...]:
    """Return every a-priori bound on ‖W − Q‖₂, those whose hypotheses fail included; see `tightest`."""
    return (
        layer_bound_spectral(walk, steps, stable),
        layer_bound_variation(walk, steps, stable),
        lemma_5_1_harmonic(walk, steps, stable),
        lemma_5_1_harmonic_rounded(walk, steps, stable),
        lemma_5_1(walk, steps, stable),
        lemma_5_1_rounded(walk, steps, stable),
    )


def memoryless_layer_bound(steps: ArrayLike, dimension: int, in_range: Hypothesis | bool | ArrayLike) -> Bound:
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
    total = step_norm(steps)
    return bound(
        "memoryless",
        "Plain rounding",
        0.5 * math.sqrt(dimension) * total,
        (_columns_in_range(in_range),),
        reference="proved in our docs: memoryless",
        text="memoryless",
        formula=r"\|W-Q\|_2\le\tfrac12\Bigl(d\sum_j\delta_j^2\Bigr)^{1/2}",
        substituted=rf"\tfrac12\sqrt{{{dimension}}}\cdot {number_tex(total)}",
    )


def lemma_5_2(weight_norm: float, layer: Bound) -> Bound:
    """Lemma 5.2: ‖Q‖₂ ≤ ‖W‖₂ + B, with B any bound on ‖W − Q‖₂ that holds."""
    inherits = Hypothesis(layer.holds, f"B is “{layer.title}”: {layer.because.rstrip('.')}")
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
