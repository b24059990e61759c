"""Bounds on path following, each with the probability it is stated with: SPFQ, the unified framework, sharper forms."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array
from sdqviz.bound import Bound, Hypothesis, bound, number_tex
from sdqviz.error import InputError
from sdqviz.quantizer import Grid, QuantizerChoice

SPFQ = "Zhang & Saab, SPFQ, arXiv 2309.10975"
UNIFIED = "Zhang & Saab, unified stochastic framework, arXiv 2412.18184"

PLACEMENTS = ("own", "largest")
"""Whose squared norm C multiplies: that of the input at hand, or the largest of all inputs."""

DEAD = 1e-12
"""Inputs whose norm is below this share of the largest count as zero; they get q = 0 and take no part."""

PERFECT = 1e-9
"""‖û‖ relative to the largest input norm below which an alignment counts as perfect: rounding only."""


@dataclasses.dataclass(frozen=True)
class ProbabilisticBound(Bound):
    """A bound that holds with at least a stated probability over the quantizer's random numbers.

    Attributes
    ----------
    probability : float
        The stated probability, in [0, 1]; 0 where the formula gives nothing positive.
    """

    probability: float

    @property
    def informative(self) -> bool:
        """Whether the stated probability is positive; otherwise the statement is true and empty."""
        return self.probability > 0


def probabilistic_bound(
    name: str,
    title: str,
    value: float,
    hypotheses: Iterable[Hypothesis],
    probability: float,
    *,
    reference: str,
    text: str,
    formula: str,
    substituted: str,
) -> ProbabilisticBound:
    """Assemble a `ProbabilisticBound` as `sdqviz.bound.bound` does; the probability is cut to [0, 1]."""
    plain = bound(
        name, title, value, hypotheses, reference=reference, text=text, formula=formula, substituted=substituted
    )
    stated = min(probability, 1.0) if probability > 0 else 0.0
    empty = "" if stated > 0 else " The stated probability is not positive, so this says nothing."
    fields = {field.name: getattr(plain, field.name) for field in dataclasses.fields(Bound)}
    return ProbabilisticBound(**fields | {"because": plain.because + empty}, probability=stated)


def sharpest(bounds: Iterable[ProbabilisticBound], probability: float) -> ProbabilisticBound:
    """Return the smallest bound that holds with at least ``probability``; if none does, the smallest of all.

    Raises
    ------
    InputError
        If there is none at all.
    """
    candidates = tuple(bounds)
    if not candidates:
        raise InputError("bounds must contain at least one bound, got none")
    # 1 − γ computed along two paths may differ in its last digits
    fitting = [b for b in candidates if b.holds and b.informative and b.probability >= probability - 1e-12]
    return min(fitting or candidates, key=lambda b: b.value if math.isfinite(b.value) else math.inf)


# -- the operator -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Operator:
    """What the bounds use of the random operator T: E T(z) = z, and how far T(z) can be from z.

    Attributes
    ----------
    title : str
        What people read.
    limit : float
        M ≥ |T(z) − z|, what the papers' forms use.
    width : float
        ω: T(z) − z lies in an interval of this length, given z; what the sharper forms use.
    unbiased : Hypothesis
        Whether E T(z) = z where nothing is clipped.
    radius : float
        Beyond it T clips; infinite for an infinite alphabet and where T only prunes.
    """

    title: str
    limit: float
    width: float
    unbiased: Hypothesis
    radius: float = math.inf

    def __post_init__(self) -> None:
        """Refuse negative sizes and a width that the limit does not allow."""
        if not (self.limit >= 0 and 0 <= self.width <= 2 * self.limit):
            raise InputError(f"limit and width must satisfy 0 ≤ ω ≤ 2M, got M = {self.limit}, ω = {self.width}")

    @classmethod
    def _two_points(cls, title: str, width: float, radius: float = math.inf) -> Self:
        if not (width > 0 and math.isfinite(width)):
            raise InputError(f"step, threshold and scale must be positive, got {width}")
        return cls(title, width, width, Hypothesis(True, f"E T(z) = z and |T(z)−z| ≤ {width:.4g}"), radius)

    @classmethod
    def quantize(cls, step: float) -> Self:
        """Stochastic rounding with step δ and no last level: M = ω = δ."""
        return cls._two_points("quantize", float(step))

    @classmethod
    def prune(cls, threshold: float) -> Self:
        """Stochastic pruning below c: M = ω = c."""
        return cls._two_points("prune", float(threshold))

    @classmethod
    def quantize_prune(cls, step: float, threshold: float) -> Self:
        """Pruning below c, stochastic rounding above: M = ω = max(c, δ)."""
        return cls._two_points("quantize and prune", max(float(step), float(threshold)))

    @classmethod
    def one_bit(cls, scale: float) -> Self:
        """Return the operator of random signs ±s: M = ω = 2s, unbiased for |z| ≤ s."""
        return cls._two_points("one bit", 2 * float(scale), float(scale))

    @classmethod
    def of(cls, quantizer: QuantizerChoice, grid: Grid) -> Self:
        """Return the operator of a quantizer and its alphabets, with the widest and the shortest of the neurons'."""
        limit = float(np.max(quantizer.error_limit(grid)))
        if quantizer.random:
            radius = float(np.min(grid.radius)) if grid.count and quantizer.rounds else math.inf
            return cls._two_points(quantizer.title.lower(), limit, radius)
        reason = f"“{quantizer.title}” is not random, so its errors need not average out"
        return cls(quantizer.title.lower(), limit, 2 * limit, Hypothesis(False, reason))


# -- clipping -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Clipping:
    """Why no value lies beyond the last level, and with what probability one may after all.

    Attributes
    ----------
    hypothesis : Hypothesis
        That nothing is clipped.
    failure : float
        Probability lost to it.
    """

    hypothesis: Hypothesis
    failure: float = 0.0


NO_CLIPPING = Clipping(Hypothesis(True, "the alphabet has no end"))
"""Of infinite alphabets, and of an operator that only prunes."""


def within_reach(reach: ProbabilisticBound, radius: float) -> Clipping:
    """Compare a bound on max|v_t| with the largest level: then the finite alphabet acts like the infinite one.

    Parameters
    ----------
    reach : ProbabilisticBound
        Bound on |v_t| of the walk without clipping: `range_paper`, `range_hoeffding` or `range_per_step`.
    radius : float
        Largest level: Kδ of a midtread alphabet, s of one bit.
    """
    if not reach.holds:
        return Clipping(Hypothesis(False, f"the range is not bounded: {reach.because.rstrip('.')}"), 1.0)
    what = f"the largest level {radius:.4g}"
    if reach.value <= radius * (1 + 1e-12):
        return Clipping(Hypothesis(True, f"{what} is beyond the range {reach.value:.4g}"), 1 - reach.probability)
    text = f"the finite alphabet may clip: {what} is below the range {reach.value:.4g}"
    return Clipping(Hypothesis(False, text), 1 - reach.probability)


def measured_clipping(overload: int, steps: int) -> Clipping:
    """Use what a run has seen: the probability of clipping nothing *and* breaking the bound is at most the stated one.

    Parameters
    ----------
    overload, steps : int
        Values clipped, out of how many.
    """
    if overload:
        return Clipping(Hypothesis(False, f"the finite alphabet clipped {overload} of {steps} values"), 0.0)
    return Clipping(Hypothesis(True, f"the alphabet clipped none of {steps} values"), 0.0)


# -- one layer ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class PathLayer:
    """What the bounds need to know of a layer that path following quantizes.

    Attributes
    ----------
    samples : int
        m, rows of X̃.
    inputs : int
        N, columns of X̃: weights of a neuron.
    largest, smallest : float
        max_j‖X̃_j‖, and the smallest norm of the columns that are not zero. In bounds on a whole network
        ``largest`` is that of the original activations X.
    operator : Operator
        T.
    scaling : float
        C ≥ 1; 1 is SPFQ.
    placement : {"own", "largest"}
        Whether the feedback is divided by C‖X̃_t‖² or by C·max_j‖X̃_j‖².
    neurons : int
        How many neurons the bound is to hold for at once.
    alignment_infinity, alignment_euclidean : float
        Largest ‖û‖_∞ and ‖û‖₂ of the neurons, û = Xw − X̃w̃; 0 for perfect alignment.
    clipping : Clipping
        Why the alphabet's end is not felt.
    """

    samples: int
    inputs: int
    largest: float
    smallest: float
    operator: Operator
    scaling: float = 1.0
    placement: str = "own"
    neurons: int = 1
    alignment_infinity: float = 0.0
    alignment_euclidean: float = 0.0
    clipping: Clipping = NO_CLIPPING

    def __post_init__(self) -> None:
        """Refuse counts below 1, C below 1 and norms that are none."""
        for what in ("samples", "inputs", "neurons"):
            if getattr(self, what) < 1:
                raise InputError(f"{what} must be at least 1, got {getattr(self, what)}")
        _check_scaling(self.scaling)
        if self.placement not in PLACEMENTS:
            raise InputError(f"placement must be one of {', '.join(PLACEMENTS)}, got {self.placement!r}")
        if not 0 <= self.smallest <= self.largest:
            raise InputError(f"norms must satisfy 0 ≤ smallest ≤ largest, got {self.smallest} and {self.largest}")
        for what in ("alignment_infinity", "alignment_euclidean"):
            if not getattr(self, what) >= 0:
                raise InputError(f"{what} must not be negative, got {getattr(self, what)}")

    @classmethod
    def of_norms(
        cls,
        norms: ArrayLike,
        samples: int,
        operator: Operator,
        *,
        scaling: float = 1.0,
        placement: str = "own",
        neurons: int = 1,
        alignment_infinity: float = 0.0,
        alignment_euclidean: float = 0.0,
        clipping: Clipping = NO_CLIPPING,
    ) -> Self:
        """Build from the column norms ‖X̃_j‖, shape (N,), and m.

        Examples
        --------
        >>> layer = PathLayer.of_norms([3.0, 0.0, 4.0], samples=2, operator=Operator.quantize(0.1))
        >>> layer.inputs, layer.largest, round(layer.ratio, 3)
        (3, 4.0, 1.333)
        """
        values = np.asarray(norms, float)
        if values.ndim != 1 or values.size == 0:
            raise InputError(f"norms must be one value per input, got shape {values.shape}")
        if not (values >= 0).all():
            raise InputError(f"norms must be non-negative numbers, got {values[~(values >= 0)][0]}")
        largest = float(values.max())
        alive = values[values > DEAD * largest]
        smallest = float(alive.min()) if alive.size else 0.0
        return cls(
            samples, values.size, largest, smallest, operator, float(scaling), placement, neurons,
            float(alignment_infinity), float(alignment_euclidean), clipping,
        )  # fmt: skip

    @property
    def ratio(self) -> float:
        """κ of the range: max‖X̃_j‖/min‖X̃_t‖ with C‖X̃_t‖², 1 with C·max_j‖X̃_j‖²."""
        return self.largest / self.smallest if self.placement == "own" and self.smallest > 0 else 1.0

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Return the conditions all bounds on the layer share."""
        clipping = self.clipping.hypothesis
        if self.clipping is NO_CLIPPING and math.isfinite(self.operator.radius):
            text = f"the finite alphabet may clip: nothing says that no value leaves ±{self.operator.radius:.4g}"
            clipping = Hypothesis(False, text)
        return (self.operator.unbiased, Hypothesis(True, f"C = {self.scaling:.4g} ≥ 1"), clipping)


def _check_scaling(scaling: float) -> None:
    if not (scaling >= 1 and math.isfinite(scaling)):
        raise InputError(f"scaling C must be at least 1, got {scaling}")


def _check_power(power: float) -> None:
    if not (power > 0 and math.isfinite(power)):
        raise InputError(f"power p must be positive, got {power}")


def _check_failure(failure: float) -> None:
    if not 0 < failure < 1:
        raise InputError(f"failure γ must be strictly between 0 and 1, got {failure}")


def paper_failure(layer: PathLayer, power: float) -> float:
    """Return √2·m·N^(−p) times the number of neurons: what the papers' forms may fail with; not cut to 1."""
    return math.sqrt(2) * layer.samples * layer.neurons * layer.inputs**-power


def matching_power(layer: PathLayer, failure: float) -> float:
    """Return the p at which the papers' forms fail with probability γ, so that forms can be compared.

    Infinite for a single input, where N^(−p) is 1 for every p.
    """
    _check_failure(failure)
    if layer.inputs == 1:
        return math.inf
    return math.log(math.sqrt(2) * layer.samples * layer.neurons / failure) / math.log(layer.inputs)


def _alignment(layer: PathLayer, size: float, norm: str) -> tuple[tuple[Hypothesis, ...], str, str]:
    """Return the hypothesis, the term of the formula and the number that approximate alignment adds."""
    if size == 0:
        return (Hypothesis(True, "the alignment is perfect"),), "", ""
    text = f"the approximate alignment adds ‖û‖ = {size:.4g}"
    return (Hypothesis(True, text),), rf"+\|\hat u\|_{norm}", f"+{number_tex(size)}"


def _scaled_tex(scaling: float, inside: str) -> tuple[str, str]:
    """Return C√(inside/(2C−1)) as a formula and with C put in; both reduce to √inside for C = 1."""
    if scaling == 1:
        return rf"\sqrt{{{inside}}}", rf"\sqrt{{{inside}}}"
    c = number_tex(scaling)
    return (
        rf"C\sqrt{{\frac{{{inside}}}{{2C-1}}}}",
        rf"{c}\sqrt{{\frac{{{inside}}}{{2\cdot {c}-1}}}}",
    )


def _spread(scaling: float) -> float:
    return scaling / math.sqrt(2 * scaling - 1)


def _source(layer: PathLayer) -> tuple[str, str]:
    """Return the reference and the text of the papers' forms."""
    if layer.scaling == 1:
        return f"{SPFQ}; proved in our docs: path-following", "path-following"
    return f"{UNIFIED}; proved in our docs: unified", "unified"


def paper_infinity(layer: PathLayer, power: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖_∞ ≤ MC√(2πp log N/(2C−1))·max_j‖X̃_j‖ with probability at least 1 − √2·m·N^(−p).

    Parameters
    ----------
    layer : PathLayer
        The layer; C = 1 gives the bound of SPFQ, where M = δ.
    power : float
        p > 0. Informative only if p > log(√2·m)/log N.

    Notes
    -----
    Both placements of C have the same bound. For several neurons the failure is multiplied by their number.

    Examples
    --------
    >>> layer = PathLayer.of_norms([1.0] * 100, samples=10, operator=Operator.quantize(0.1))
    >>> result = paper_infinity(layer, power=2.0)
    >>> round(result.value, 4), round(result.probability, 6)
    (0.7607, 0.998586)
    """
    _check_power(power)
    value = _paper_factor(layer, power) * layer.largest
    return _paper(layer, power, value, layer.alignment_infinity, "infinity", "Largest error, the paper's form")


def paper_euclidean(layer: PathLayer, power: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖₂ ≤ √m times `paper_infinity`, on the same event."""
    _check_power(power)
    value = math.sqrt(layer.samples) * _paper_factor(layer, power) * layer.largest
    return _paper(layer, power, value, layer.alignment_euclidean, "euclidean", "Euclidean error, the paper's form")


def _paper_factor(layer: PathLayer, power: float) -> float:
    return layer.operator.limit * _spread(layer.scaling) * math.sqrt(2 * math.pi * power * math.log(layer.inputs))


def _paper(layer: PathLayer, power: float, value: float, added: float, kind: str, title: str) -> ProbabilisticBound:
    euclidean = kind == "euclidean"
    norm = "2" if euclidean else r"{\infty}"
    aligned, term, number = _alignment(layer, added, norm)
    reference, text = _source(layer)
    formula, _ = _scaled_tex(layer.scaling, r"2\pi p\log N")
    _, numbers = _scaled_tex(layer.scaling, rf"2\pi\cdot {number_tex(power)}\log {layer.inputs}")
    root, root_number = (r"\sqrt m\,", rf"\sqrt{{{layer.samples}}}\cdot ") if euclidean else ("", "")
    return probabilistic_bound(
        f"path-{kind}-paper",
        title,
        value + added,
        (*layer.hypotheses(), *aligned),
        1 - paper_failure(layer, power) - layer.clipping.failure,
        reference=reference,
        text=text,
        formula=rf"\|Xw-\tilde Xq\|_{norm}\le {root}M{formula}\,"
        rf"\max_j\|\tilde X_j\|_2{term}",
        substituted=rf"{root_number}{number_tex(layer.operator.limit)}\cdot {numbers}\cdot "
        rf"{number_tex(layer.largest)}{number}",
    )


def hoeffding_infinity(layer: PathLayer, failure: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖_∞ ≤ ωC√(log(2m/γ)/(2(2C−1)))·max_j‖X̃_j‖ with probability at least 1 − γ.

    Parameters
    ----------
    layer : PathLayer
        The layer; for several neurons m becomes m times their number.
    failure : float
        γ, strictly between 0 and 1.

    Examples
    --------
    >>> layer = PathLayer.of_norms([1.0] * 100, samples=10, operator=Operator.quantize(0.1))
    >>> round(hoeffding_infinity(layer, failure=0.001414).value, 4)
    0.2186
    """
    _check_failure(failure)
    count = layer.samples * layer.neurons
    value = layer.operator.width * _spread(layer.scaling) * math.sqrt(math.log(2 * count / failure) / 2)
    aligned, term, number = _alignment(layer, layer.alignment_infinity, r"{\infty}")
    formula, _ = _scaled_tex(layer.scaling, r"\tfrac12\log(2m/\gamma)")
    _, numbers = _scaled_tex(layer.scaling, rf"\tfrac12\log(2\cdot {count}/{number_tex(failure)})")
    return probabilistic_bound(
        "path-infinity-hoeffding",
        "Largest error, Hoeffding form",
        value * layer.largest + layer.alignment_infinity,
        (*layer.hypotheses(), *aligned),
        1 - failure - layer.clipping.failure,
        reference="proved in our docs: hoeffding",
        text="hoeffding",
        formula=rf"\|Xw-\tilde Xq\|_{{\infty}}\le\omega {formula}\,\max_j\|\tilde X_j\|_2{term}",
        substituted=rf"{number_tex(layer.operator.width)}\cdot {numbers}\cdot {number_tex(layer.largest)}{number}",
    )


def hoeffding_euclidean(layer: PathLayer, failure: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖₂ ≤ (ω/2)(C/√(2C−1))·max_j‖X̃_j‖·√(m + 2√(mt) + 2t), t = log(1/γ), with probability ≥ 1 − γ.

    Parameters as in `hoeffding_infinity`; for several neurons t = log(neurons/γ).

    Examples
    --------
    >>> layer = PathLayer.of_norms([1.0] * 100, samples=10, operator=Operator.quantize(0.1))
    >>> round(hoeffding_euclidean(layer, failure=0.001414).value, 4)
    0.3135
    """
    _check_failure(failure)
    value = _euclidean_factor(layer, math.log(layer.neurons / failure)) * layer.largest
    aligned, term, number = _alignment(layer, layer.alignment_euclidean, "2")
    inside = r"m+2\sqrt{mt}+2t"
    t = number_tex(math.log(layer.neurons / failure))
    formula, _ = _scaled_tex(layer.scaling, inside)
    _, numbers = _scaled_tex(
        layer.scaling, rf"{layer.samples}+2\sqrt{{{layer.samples}\cdot {t}}}+2\cdot {t}"
    )  # fmt: skip
    return probabilistic_bound(
        "path-euclidean-hoeffding",
        "Euclidean error, Hoeffding form",
        value + layer.alignment_euclidean,
        (*layer.hypotheses(), *aligned),
        1 - failure - layer.clipping.failure,
        reference="proved in our docs: hoeffding",
        text="hoeffding",
        formula=rf"\|Xw-\tilde Xq\|_2\le\frac\omega2 {formula}\,\max_j\|\tilde X_j\|_2{term},\quad "
        rf"t={_logarithm_tex(layer)}",
        substituted=rf"\frac{{{number_tex(layer.operator.width)}}}2\cdot {numbers}\cdot "
        rf"{number_tex(layer.largest)}{number}",
    )


def _logarithm_tex(layer: PathLayer) -> str:
    return r"\log(1/\gamma)" if layer.neurons == 1 else r"\log(n/\gamma)\text{ for }n\text{ neurons}"


def _euclidean_factor(layer: PathLayer, t: float) -> float:
    """Return what multiplies the largest norm in the Euclidean form with failure e^(−t) per neuron."""
    m = layer.samples
    return layer.operator.width / 2 * _spread(layer.scaling) * math.sqrt(m + 2 * math.sqrt(m * t) + 2 * t)


# -- forms that use the inputs themselves -------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Sensitivity:
    """How the rounding errors ε_t = v_t − q_t add up: ũ_N = Zε and v − w̃ = (I − L⁻¹)ε, Z = X̃L⁻¹.

    Attributes
    ----------
    scaling, placement
        Of the walk it was computed for.
    per_sample : ndarray or None, shape (m,)
        Σ_t Z_it²: ω²/4 times it is the diagonal of S_N. None if only the Gram matrix was given.
    per_step : ndarray, shape (N,)
        Σ_{j<t} (L⁻¹)_tj², the same for the feedback v_t − w̃_t; 0 at dead inputs.
    trace, frobenius, norm : float
        Tr A, ‖A‖_F and ‖A‖₂ of A = ZᵀZ.

    Notes
    -----
    S_t = P_tS_{t−1}P_t + (ω²/4)X̃_tX̃_tᵀ, the matrix of the sub-Gaussian tail, ends at (ω²/4)ZZᵀ. The walk says
    Le = ε for the weight errors e, with L = I + D·tril(H, −1) and D the gains, so no m×m matrix is needed.
    """

    scaling: float
    placement: str
    per_sample: Array | None
    per_step: Array
    trace: float
    frobenius: float
    norm: float

    @classmethod
    def of(cls, inputs: ArrayLike, scaling: float = 1.0, placement: str = "own") -> Self:
        """Compute from X̃, shape (m, N); O(N³ + mN²)."""
        x = np.asarray(inputs, float)
        if x.ndim != 2 or x.size == 0:
            raise InputError(f"inputs must be samples × inputs, got shape {x.shape}")
        inverse = _inverse(x.T @ x, scaling, placement)
        z = x @ inverse
        return cls._measured(scaling, placement, inverse, z @ z.T if len(z) < z.shape[1] else z.T @ z, (z**2).sum(1))

    @classmethod
    def of_gram(cls, gram: ArrayLike, scaling: float = 1.0, placement: str = "own") -> Self:
        """Compute from H = X̃ᵀX̃, shape (N, N); O(N³). There is no form per sample then."""
        h = np.asarray(gram, float)
        if h.ndim != 2 or h.shape[0] != h.shape[1] or h.size == 0:
            raise InputError(f"gram must be square, got shape {h.shape}")
        inverse = _inverse(h, scaling, placement)
        return cls._measured(scaling, placement, inverse, inverse.T @ h @ inverse, None)

    @classmethod
    def _measured(cls, scaling: float, placement: str, inverse: Array, a: Array, per_sample: Array | None) -> Self:
        values = np.maximum(np.linalg.eigvalsh(a), 0.0)
        return cls(
            float(scaling),
            placement,
            per_sample,
            (np.tril(inverse, -1) ** 2).sum(axis=1),
            float(values.sum()),
            float(np.linalg.norm(values)),
            float(values[-1]),
        )

    def check(self, layer: PathLayer) -> None:
        """Refuse a layer that walks differently."""
        if (self.scaling, self.placement) != (layer.scaling, layer.placement):
            raise InputError(
                f"sensitivity must be computed for C = {layer.scaling} and placement {layer.placement}, "
                f"got C = {self.scaling} and {self.placement}"
            )
        if len(self.per_step) != layer.inputs:
            raise InputError(f"sensitivity must have {layer.inputs} inputs, got {len(self.per_step)}")
        if self.per_sample is not None and len(self.per_sample) != layer.samples:
            raise InputError(f"sensitivity must have {layer.samples} samples, got {len(self.per_sample)}")


def _inverse(gram: Array, scaling: float, placement: str) -> Array:
    """Return L⁻¹ of L = I + D·tril(H, −1), with columns and rows of dead inputs removed from the walk."""
    from scipy.linalg import solve_triangular

    _check_scaling(scaling)
    if placement not in PLACEMENTS:
        raise InputError(f"placement must be one of {', '.join(PLACEMENTS)}, got {placement!r}")
    squares = np.maximum(np.diagonal(gram), 0.0)
    alive = squares > DEAD**2 * squares.max()
    divisor = squares if placement == "own" else np.full_like(squares, squares.max())
    gain = np.where(alive, 1 / (scaling * np.where(alive, divisor, 1.0)), 0.0)
    lower = gain[:, None] * np.where(alive, np.tril(gram, -1), 0.0)
    np.fill_diagonal(lower, 1.0)
    inverse: Array = solve_triangular(lower, np.diag(alive.astype(float)), lower=True, check_finite=False)
    return inverse


def sample_limits(layer: PathLayer, sensitivity: Sensitivity, failure: float) -> Array:
    """Return √(2S_ii log(2m/γ)) + ‖û‖_∞ of each sample i, shape (m,): all hold at once with probability 1 − γ."""
    _check_failure(failure)
    sensitivity.check(layer)
    count = layer.samples * layer.neurons
    return (
        np.sqrt(_variances(layer, sensitivity)) * math.sqrt(2 * math.log(2 * count / failure))
        + layer.alignment_infinity
    )


def _variances(layer: PathLayer, sensitivity: Sensitivity) -> Array:
    """Return S_ii, shape (m,)."""
    if sensitivity.per_sample is None:
        raise InputError("sensitivity must be computed from the inputs for a bound per sample, got a Gram matrix")
    return layer.operator.width**2 / 4 * sensitivity.per_sample


def per_sample_infinity(layer: PathLayer, sensitivity: Sensitivity, failure: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖_∞ ≤ max_i √(2S_ii log(2m/γ)) with probability at least 1 − γ; `sample_limits` has each sample.

    Parameters
    ----------
    layer : PathLayer
        The layer.
    sensitivity : Sensitivity
        Of the same inputs, C and placement; S = (ω²/4)ZZᵀ.
    failure : float
        γ, strictly between 0 and 1.
    """
    value = float(sample_limits(layer, sensitivity, failure).max())
    aligned, term, number = _alignment(layer, layer.alignment_infinity, r"{\infty}")
    largest = float(_variances(layer, sensitivity).max())
    count = layer.samples * layer.neurons
    return probabilistic_bound(
        "path-infinity-per-sample",
        "Largest error, from the inputs",
        value,
        (*layer.hypotheses(), *aligned),
        1 - failure - layer.clipping.failure,
        reference="proved in our docs: hoeffding",
        text="hoeffding",
        formula=rf"\|Xw-\tilde Xq\|_{{\infty}}\le\max_i\sqrt{{2S_{{ii}}\log(2m/\gamma)}}{term}",
        substituted=rf"\sqrt{{2\cdot {number_tex(largest)}\log(2\cdot {count}/{number_tex(failure)})}}{number}",
    )


def trace_euclidean(layer: PathLayer, sensitivity: Sensitivity, failure: float) -> ProbabilisticBound:
    """‖Xw − X̃q‖₂² ≤ Tr S + 2‖S‖_F√t + 2‖S‖₂t, t = log(1/γ), with probability at least 1 − γ.

    Parameters as in `per_sample_infinity`; the Gram matrix suffices.
    """
    _check_failure(failure)
    sensitivity.check(layer)
    t = math.log(layer.neurons / failure)
    square = layer.operator.width**2 / 4
    trace, frobenius, norm = (square * part for part in (sensitivity.trace, sensitivity.frobenius, sensitivity.norm))
    aligned, term, number = _alignment(layer, layer.alignment_euclidean, "2")
    return probabilistic_bound(
        "path-euclidean-trace",
        "Euclidean error, from the inputs",
        math.sqrt(trace + 2 * frobenius * math.sqrt(t) + 2 * norm * t) + layer.alignment_euclidean,
        (*layer.hypotheses(), *aligned),
        1 - failure - layer.clipping.failure,
        reference="proved in our docs: hoeffding",
        text="hoeffding",
        formula=rf"\|Xw-\tilde Xq\|_2\le\sqrt{{\operatorname{{Tr}}S+2\|S\|_F\sqrt t+2\|S\|_2t}}{term},\quad "
        rf"t={_logarithm_tex(layer)}",
        substituted=rf"\sqrt{{{number_tex(trace)}+2\cdot {number_tex(frobenius)}\sqrt{{{number_tex(t)}}}"
        rf"+2\cdot {number_tex(norm)}\cdot {number_tex(t)}}}{number}",
    )


def layer_bounds(
    layer: PathLayer, failure: float, sensitivity: Sensitivity | None = None
) -> tuple[ProbabilisticBound, ...]:
    """Return every bound on ‖Xw − X̃q‖ that fails with probability γ at most, first the ∞-norm, then the 2-norm.

    The papers' forms take the p that matches γ; for a single input there is none, and they are left out.
    """
    power = matching_power(layer, failure)
    infinity = [hoeffding_infinity(layer, failure)]
    euclidean = [hoeffding_euclidean(layer, failure)]
    if math.isfinite(power):
        infinity.insert(0, paper_infinity(layer, power))
        euclidean.insert(0, paper_euclidean(layer, power))
    if sensitivity is not None:
        if sensitivity.per_sample is not None:
            infinity.append(per_sample_infinity(layer, sensitivity, failure))
        euclidean.append(trace_euclidean(layer, sensitivity, failure))
    return (*infinity, *euclidean)


# -- the range ----------------------------------------------------------------------------------------


def range_paper(layer: PathLayer, largest_weight: float, power: float) -> ProbabilisticBound:
    """max_t|v_t| ≤ ‖w̃‖_∞ + Mκ√(2πp log N/(2C−1)) with probability at least 1 − √2·N^(1−p), for each neuron.

    Parameters
    ----------
    layer : PathLayer
        The layer, without regard to its ``clipping``: the walk is the one without clipping.
    largest_weight : float
        ‖w̃‖_∞, the largest over the neurons.
    power : float
        p; informative only if p > 1.

    Notes
    -----
    κ = max‖X̃_j‖/min‖X̃_t‖ where C multiplies ‖X̃_t‖², and κ = 1 where it multiplies max_j‖X̃_j‖². An alphabet whose
    largest level is at least this value clips nothing (`within_reach`).
    """
    _check_power(power)
    weight = _check_weight(largest_weight)
    n, c = layer.inputs, layer.scaling
    feedback = layer.operator.limit * layer.ratio * math.sqrt(2 * math.pi * power * math.log(n) / (2 * c - 1))
    return probabilistic_bound(
        "path-range-paper",
        "Range of the walk, the paper's form",
        weight + feedback,
        (layer.operator.unbiased,),
        1 - math.sqrt(2) * layer.neurons * n ** (1 - power),
        reference=f"{SPFQ if c == 1 else UNIFIED}; proved in our docs: finite-alphabet",
        text="finite-alphabet",
        formula=r"\max_t|v_t|\le\|\tilde w\|_\infty+M\kappa\sqrt{\frac{2\pi p\log N}{2C-1}}",
        substituted=rf"{number_tex(weight)}+{number_tex(layer.operator.limit)}\cdot {number_tex(layer.ratio)}"
        rf"\sqrt{{\frac{{2\pi\cdot {number_tex(power)}\log {n}}}{{2\cdot {number_tex(c)}-1}}}}",
    )


def range_hoeffding(layer: PathLayer, largest_weight: float, failure: float) -> ProbabilisticBound:
    """max_t|v_t| ≤ ‖w̃‖_∞ + (ω/2)κ√(2 log(2N/γ)/(2C−1)) with probability at least 1 − γ; see `range_paper`."""
    _check_failure(failure)
    weight = _check_weight(largest_weight)
    c, count = layer.scaling, layer.inputs * layer.neurons
    feedback = layer.operator.width / 2 * layer.ratio * math.sqrt(2 * math.log(2 * count / failure) / (2 * c - 1))
    return probabilistic_bound(
        "path-range-hoeffding",
        "Range of the walk, Hoeffding form",
        weight + feedback,
        (layer.operator.unbiased,),
        1 - failure,
        reference="proved in our docs: finite-alphabet",
        text="finite-alphabet",
        formula=r"\max_t|v_t|\le\|\tilde w\|_\infty+\frac\omega2\kappa\sqrt{\frac{2\log(2N/\gamma)}{2C-1}}",
        substituted=rf"{number_tex(weight)}+\frac{{{number_tex(layer.operator.width)}}}2\cdot {number_tex(layer.ratio)}"
        rf"\sqrt{{\frac{{2\log(2\cdot {count}/{number_tex(failure)})}}{{2\cdot {number_tex(c)}-1}}}}",
    )


def range_per_step(
    layer: PathLayer, sensitivity: Sensitivity, aligned: ArrayLike, failure: float
) -> ProbabilisticBound:
    """max_t|v_t| ≤ max_t(|w̃_t| + (ω/2)√(2ℓ_t log(2N/γ))), ℓ_t = Σ_{j<t}(L⁻¹)_tj², with probability ≥ 1 − γ.

    Parameters
    ----------
    layer : PathLayer
        The layer.
    sensitivity : Sensitivity
        Of the same inputs, C and placement.
    aligned : array_like, shape (N,) or (N, neurons)
        w̃.
    failure : float
        γ.
    """
    _check_failure(failure)
    sensitivity.check(layer)
    weights = np.abs(np.asarray(aligned, float)).reshape(len(np.asarray(aligned)), -1)
    if weights.shape != (layer.inputs, layer.neurons):
        raise InputError(f"aligned must have shape ({layer.inputs}, {layer.neurons}), got {np.shape(aligned)}")
    count = layer.inputs * layer.neurons
    feedback = layer.operator.width / 2 * np.sqrt(2 * math.log(2 * count / failure) * sensitivity.per_step)
    total = weights.max(axis=1) + feedback
    worst = int(total.argmax())
    return probabilistic_bound(
        "path-range-per-step",
        "Range of the walk, from the inputs",
        float(total[worst]),
        (layer.operator.unbiased,),
        1 - failure,
        reference="proved in our docs: finite-alphabet",
        text="finite-alphabet",
        formula=r"\max_t|v_t|\le\max_t\Bigl(|\tilde w_t|+\frac\omega2\sqrt{2\ell_t\log(2N/\gamma)}\Bigr)",
        substituted=rf"{number_tex(float(weights[worst].max()))}+\frac{{{number_tex(layer.operator.width)}}}2"
        rf"\sqrt{{2\cdot {number_tex(float(sensitivity.per_step[worst]))}"
        rf"\log(2\cdot {count}/{number_tex(failure)})}}",
    )


def _check_weight(largest_weight: float) -> float:
    if not largest_weight >= 0:
        raise InputError(f"largest_weight must not be negative, got {largest_weight}")
    return float(largest_weight)


def levels_needed(reach: ProbabilisticBound, step: float) -> int:
    """Return the smallest K for which the levels kδ, |k| ≤ K, contain the range; log2(2K+1) are the bits.

    Examples
    --------
    >>> layer = PathLayer.of_norms([1.0] * 1000, samples=10, operator=Operator.quantize(0.5))
    >>> levels_needed(range_hoeffding(layer, 3.0, failure=0.01), 0.5)
    9
    """
    if not step > 0:
        raise InputError(f"step must be positive, got {step}")
    if not math.isfinite(reach.value):
        raise InputError(f"reach must be finite, got {reach.value}")
    return max(1, math.ceil(reach.value / step * (1 - 1e-12)))


# -- one bit ------------------------------------------------------------------------------------------


def one_bit_scaling_paper(
    largest_weight: float, scale: float, inputs: int, power: float, *, ratio: float = 1.0, scaling: float | None = None,
    neurons: int = 1,
) -> ProbabilisticBound:  # fmt: skip
    """Signs ±s stay in range if C ≥ ½ + 4πpκ²s² log N/(s − ‖w̃‖_∞)², with probability ≥ 1 − √2·N^(1−p).

    The value is the smallest such C. If ``scaling`` is given, it is checked against it.

    Parameters
    ----------
    largest_weight : float
        ‖w̃‖_∞, below s.
    scale : float
        s.
    inputs : int
        N.
    power : float
        p; informative only if p > 1.
    ratio : float
        κ; 1 if C multiplies the largest norm.
    scaling : float, optional
        The C in use.
    neurons : int
        How many neurons it is to hold for.

    Examples
    --------
    >>> [round(one_bit_scaling_paper(0.5, 1.0, n, 2.0).value) for n in (200, 2000, 20000)]
    [533, 765, 996]
    """
    _check_power(power)
    hypotheses, room = _one_bit(largest_weight, scale, inputs, ratio, neurons)
    value = 0.5 + 4 * math.pi * power * math.log(inputs) * (ratio * scale / room) ** 2 if room else math.inf
    return probabilistic_bound(
        "one-bit-scaling-paper",
        "Smallest C for one bit, the paper's form",
        max(value, 1.0),
        (*hypotheses, *_large_enough(scaling, value)),
        1 - math.sqrt(2) * neurons * inputs ** (1 - power),
        reference=f"{UNIFIED}; proved in our docs: one-bit-c",
        text="one-bit-c",
        formula=r"C\ge\max\Bigl(1,\;\tfrac12+\frac{4\pi p\,\kappa^2s^2\log N}{(s-\|\tilde w\|_\infty)^2}\Bigr)",
        substituted=rf"\max\Bigl(1,\;\tfrac12+\frac{{4\pi\cdot {number_tex(power)}\cdot {number_tex(ratio)}^2\cdot "
        rf"{number_tex(scale)}^2\log {inputs}}}{{({number_tex(scale)}-{number_tex(largest_weight)})^2}}\Bigr)",
    )


def one_bit_scaling_hoeffding(
    largest_weight: float, scale: float, inputs: int, failure: float, *, ratio: float = 1.0,
    scaling: float | None = None, neurons: int = 1,
) -> ProbabilisticBound:  # fmt: skip
    """Signs ±s stay in range if C ≥ ½ + κ²s² log(2N/γ)/(s − ‖w̃‖_∞)², with probability ≥ 1 − γ.

    Parameters as in `one_bit_scaling_paper`, with γ for p.

    Examples
    --------
    >>> [round(one_bit_scaling_hoeffding(0.5, 1.0, n, 2**0.5 / n).value) for n in (200, 2000, 20000)]
    [44, 63, 81]
    """
    _check_failure(failure)
    hypotheses, room = _one_bit(largest_weight, scale, inputs, ratio, neurons)
    count = inputs * neurons
    value = 0.5 + math.log(2 * count / failure) * (ratio * scale / room) ** 2 if room else math.inf
    return probabilistic_bound(
        "one-bit-scaling-hoeffding",
        "Smallest C for one bit, Hoeffding form",
        max(value, 1.0),
        (*hypotheses, *_large_enough(scaling, value)),
        1 - failure,
        reference="proved in our docs: one-bit-c",
        text="one-bit-c",
        formula=r"C\ge\max\Bigl(1,\;\tfrac12+\frac{\kappa^2s^2\log(2N/\gamma)}{(s-\|\tilde w\|_\infty)^2}\Bigr)",
        substituted=rf"\max\Bigl(1,\;\tfrac12+\frac{{{number_tex(ratio)}^2\cdot {number_tex(scale)}^2"
        rf"\log(2\cdot {count}/{number_tex(failure)})}}{{({number_tex(scale)}-{number_tex(largest_weight)})^2}}\Bigr)",
    )


def _one_bit(
    largest_weight: float, scale: float, inputs: int, ratio: float, neurons: int
) -> tuple[tuple[Hypothesis, ...], float]:
    """Return the hypothesis ‖w̃‖_∞ < s and the room s − ‖w̃‖_∞, 0 where there is none."""
    weight = _check_weight(largest_weight)
    if not scale > 0:
        raise InputError(f"scale must be positive, got {scale}")
    if inputs < 1 or neurons < 1:
        raise InputError(f"inputs and neurons must be at least 1, got {inputs} and {neurons}")
    if not ratio >= 1:
        raise InputError(f"ratio κ must be at least 1, got {ratio}")
    inside = weight < scale
    text = f"the largest weight {weight:.4g} is {'below' if inside else 'not below'} the scale s = {scale:.4g}"
    return (Hypothesis(inside, text),), (scale - weight if inside else 0.0)


def _large_enough(scaling: float | None, least: float) -> tuple[Hypothesis, ...]:
    if scaling is None:
        return ()
    _check_scaling(scaling)
    holds = scaling >= least * (1 - 1e-12)
    return (Hypothesis(holds, f"C = {scaling:.4g} is {'at least' if holds else 'below'} {least:.4g}"),)


# -- the whole network --------------------------------------------------------------------------------


def propagate(layers: Sequence[PathLayer], factors: Sequence[float]) -> Array:
    """Bound max_j‖X_j − X̃_j‖₂ after each layer: E_i = a_i(R_i + E_{i−1}) + ‖û_i‖, E_0 = 0, shape (L,).

    Parameters
    ----------
    layers : sequence of PathLayer
        From input to output; ``largest`` is R_i = max_j‖X_j‖₂ over the layer's inputs in the *original* network.
    factors : sequence of float
        a_i: each layer's own error is at most a_i·max_j‖X̃_j‖₂.
    """
    errors, error = np.empty(len(layers)), 0.0
    for i, (layer, factor) in enumerate(zip(layers, factors, strict=True)):
        error = factor * (layer.largest + error) + layer.alignment_euclidean
        errors[i] = error
    return errors


def network_paper(layers: Sequence[PathLayer], power: float) -> ProbabilisticBound:
    """max_j‖Φ(X)_j − Φ̃(X)_j‖₂ ≤ Σ_i (Π_{k≥i} a_k) max_j‖X_j^(i)‖₂, a_k = δ_k√(2πpm log N_k), ReLU, perfect alignment.

    Parameters
    ----------
    layers : sequence of PathLayer
        From input to output, each with its own step, its number of neurons, and as ``largest`` the largest column norm
        of its inputs in the original network.
    power : float
        p; the probability is at least 1 − √2·Σ_i m·N_i·N_{i−1}^(−p).

    Notes
    -----
    With C > 1 the factor a_k gains C/√(2C−1). Biases kept in float change nothing.
    """
    _check_power(power)
    _check_network(layers)
    factors = [math.sqrt(layer.samples) * _paper_factor(layer, power) for layer in layers]
    failure = sum(paper_failure(layer, power) + layer.clipping.failure for layer in layers)
    return probabilistic_bound(
        "path-network-paper",
        "Network, the paper's form",
        float(propagate(layers, factors)[-1]),
        (*_all_layers(layers), _perfect(layers)),
        1 - failure,
        reference=f"{SPFQ}; proved in our docs: full-network",
        text="full-network",
        formula=r"\max_j\|\Phi(X)_j-\tilde\Phi(X)_j\|_2\le\sum_{i=0}^{L-1}\Bigl(\prod_{k=i}^{L-1}"
        r"\delta_k\sqrt{2\pi pm\log N_k}\Bigr)\max_j\|X_j^{(i)}\|_2",
        substituted=_network_numbers(layers, factors),
    )


def network_hoeffding(layers: Sequence[PathLayer], failure: float) -> ProbabilisticBound:
    """Sum as `network_paper` does, with a_k = (ω_k/2)√(m + 2√(mt) + 2t), t = log(L·neurons/γ), probability ≥ 1 − γ.

    What alignment leaves, ``alignment_euclidean`` of each layer, is added on the way, so it need not be perfect.
    Parameters as in `network_paper`, with γ for p.
    """
    _check_failure(failure)
    _check_network(layers)
    factors = [_euclidean_factor(layer, math.log(len(layers) * layer.neurons / failure)) for layer in layers]
    added = max(layer.alignment_euclidean for layer in layers)
    text = "the alignment is perfect" if added == 0 else f"approximate alignment adds ‖û‖ ≤ {added:.4g} per layer"
    return probabilistic_bound(
        "path-network-hoeffding",
        "Network, Hoeffding form",
        float(propagate(layers, factors)[-1]),
        (*_all_layers(layers), Hypothesis(True, text)),
        1 - failure - sum(layer.clipping.failure for layer in layers),
        reference="proved in our docs: full-network",
        text="full-network",
        formula=r"\max_j\|\Phi(X)_j-\tilde\Phi(X)_j\|_2\le\sum_{i=0}^{L-1}\Bigl(\prod_{k=i}^{L-1}a_k\Bigr)"
        r"\max_j\|X_j^{(i)}\|_2,\quad a_k=\frac{\omega_k}2\sqrt{m+2\sqrt{mt_k}+2t_k},\quad t_k=\log(LN_{k+1}/\gamma)",
        substituted=_network_numbers(layers, factors),
    )


def _check_network(layers: Sequence[PathLayer]) -> None:
    if not layers:
        raise InputError("layers must contain at least one layer, got none")
    if len({layer.samples for layer in layers}) > 1:
        raise InputError(
            f"layers must have the same number of samples, got {', '.join(str(layer.samples) for layer in layers)}"
        )


def _all_layers(layers: Sequence[PathLayer]) -> tuple[Hypothesis, ...]:
    """Join the layers' hypotheses: those that fail by layer, those that hold once."""
    failed = [
        Hypothesis(False, f"in layer {i + 1} {hypothesis.text}")
        for i, layer in enumerate(layers)
        for hypothesis in layer.hypotheses()
        if not hypothesis.holds
    ]
    return tuple(failed) or (Hypothesis(True, f"in all {len(layers)} layers T is unbiased, C ≥ 1, nothing is clipped"),)


def _perfect(layers: Sequence[PathLayer]) -> Hypothesis:
    for i, layer in enumerate(layers):
        if layer.alignment_euclidean > PERFECT * layer.largest:
            return Hypothesis(
                False, f"the alignment of layer {i + 1} is not perfect (‖û‖ = {layer.alignment_euclidean:.4g})"
            )
    return Hypothesis(True, "the alignment is perfect")


def _network_numbers(layers: Sequence[PathLayer], factors: Sequence[float]) -> str:
    numbers = [number_tex(factor) for factor in factors]
    terms = [
        r"\cdot ".join([*numbers[i:], number_tex(layer.largest)])
        + (
            "+" + r"\cdot ".join([*numbers[i + 1 :], number_tex(layer.alignment_euclidean)])
            if layer.alignment_euclidean
            else ""
        )
        for i, layer in enumerate(layers)
    ]
    return "+".join(terms)


# -- Gaussian weights ---------------------------------------------------------------------------------


def gaussian_form(samples: int, widths: Sequence[int]) -> Bound:
    """Relative square error ≲ m·(log N_max)^(L+1)/N_min of a network with Gaussian weights: a form, not a bound.

    Parameters
    ----------
    samples : int
        m.
    widths : sequence of int
        N_0, …, N_{L−1}, the numbers of inputs of the L layers.

    Notes
    -----
    The constant is not known to us, so ``holds`` is False and the value is only good for a slope.
    """
    if samples < 1 or not widths or min(widths) < 1:
        raise InputError(f"samples and widths must be at least 1, got {samples} and {list(widths)}")
    depth = len(widths)
    return bound(
        "path-gaussian-form",
        "Gaussian weights (form only)",
        samples * math.log(max(widths)) ** (depth + 1) / min(widths),
        (Hypothesis(False, "this is a form only, its constant is not known; compare slopes, not values"),),
        reference=f"form of {SPFQ}",
        text="gaussian-weights",
        formula=r"\frac{\|\Phi(X)-\tilde\Phi(X)\|^2}{\|\Phi(X)\|^2}\lesssim\frac{m(\log N_{\max})^{L+1}}{N_{\min}}",
        substituted=rf"\frac{{{samples}\cdot(\log {max(widths)})^{{{depth + 1}}}}}{{{min(widths)}}}",
    )


def gaussian_layer(
    layer: PathLayer, frobenius: float, gram_frobenius: float, failure: float, deviation: float = 1.0
) -> ProbabilisticBound:
    """‖Xw − X̃q‖²/‖Xw‖² ≤ (‖error‖ at γ/2)²/(σ²(‖X‖_F² − 2‖XᵀX‖_F√t)), t = log(2M/γ), for one layer, w ~ N(0, σ²I).

    Parameters
    ----------
    layer : PathLayer
        The layer; M is its number of neurons.
    frobenius, gram_frobenius : float
        ‖X‖_F and ‖XᵀX‖_F of the original inputs.
    failure : float
        γ, half of it for the rounding and half for the weights.
    deviation : float
        σ.

    Notes
    -----
    For columns of one norm the numerator is about mδ²/4 and the denominator N: slope −1 in the width.
    """
    _check_failure(failure)
    if not (deviation > 0 and frobenius >= 0 and gram_frobenius >= 0):
        raise InputError(
            f"deviation must be positive and norms not negative, got {deviation}, {frobenius}, {gram_frobenius}"
        )
    error = hoeffding_euclidean(layer, failure / 2)
    t = math.log(2 * layer.neurons / failure)
    least = deviation**2 * (frobenius**2 - 2 * gram_frobenius * math.sqrt(t))
    enough = Hypothesis(
        least > 0,
        f"‖Xw‖² is at least {least:.4g}" if least > 0 else "the inputs point in too few directions for a lower bound",
    )
    return probabilistic_bound(
        "path-gaussian-layer",
        "Gaussian weights, one layer",
        error.value**2 / least if least > 0 else math.inf,
        (*layer.hypotheses(), Hypothesis(True, f"the weights are independent N(0, {deviation:.3g}²)"), enough),
        1 - failure - layer.clipping.failure,
        reference="proved in our docs: gaussian-weights",
        text="gaussian-weights",
        formula=r"\frac{\|Xw-\tilde Xq\|_2^2}{\|Xw\|_2^2}\le"
        r"\frac{B^2}{\sigma^2(\|X\|_F^2-2\|X^{\mathsf T}X\|_F\sqrt t)}",
        substituted=rf"\frac{{{number_tex(error.value)}^2}}{{{number_tex(deviation)}^2({number_tex(frobenius)}^2"
        rf"-2\cdot {number_tex(gram_frobenius)}\sqrt{{{number_tex(t)}}})}}",
    )


def gaussian_range(layer: PathLayer, failure: float, deviation: float = 1.0) -> ProbabilisticBound:
    """max_t|v_t| ≤ (σ + (ω/2)κ/√(2C−1))·√(2 log(4N/γ)) with probability ≥ 1 − γ, for w̃ ~ N(0, σ²I).

    With `levels_needed`, this is the curve of log2(2K+1) ≈ ½ log2 log N bits that suffice.

    Examples
    --------
    >>> def levels(inputs):
    ...     layer = PathLayer.of_norms(np.ones(inputs), samples=10, operator=Operator.quantize(0.5))
    ...     return levels_needed(gaussian_range(layer, failure=0.01), 0.5)
    >>> levels(100), levels(10_000), levels(1_000_000)
    (12, 14, 16)
    """
    _check_failure(failure)
    if not deviation > 0:
        raise InputError(f"deviation must be positive, got {deviation}")
    count = layer.inputs * layer.neurons
    feedback = layer.operator.width / 2 * layer.ratio / math.sqrt(2 * layer.scaling - 1)
    return probabilistic_bound(
        "path-range-gaussian",
        "Range of the walk, Gaussian weights",
        (deviation + feedback) * math.sqrt(2 * math.log(4 * count / failure)),
        (layer.operator.unbiased, Hypothesis(True, f"the weights are independent N(0, {deviation:.3g}²)")),
        1 - failure,
        reference="proved in our docs: gaussian-weights",
        text="gaussian-weights",
        formula=r"\max_t|v_t|\le\Bigl(\sigma+\frac{\omega\kappa}{2\sqrt{2C-1}}\Bigr)\sqrt{2\log(4N/\gamma)}",
        substituted=rf"({number_tex(deviation)}+{number_tex(feedback)})"
        rf"\sqrt{{2\log(4\cdot {count}/{number_tex(failure)})}}",
    )
