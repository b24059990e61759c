"""One vector through one frame: everything a ΣΔ walk does to it, with plain rounding beside it."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from sdqviz import memory
from sdqviz.array import Array, Index
from sdqviz.bounds.statement import Bound, tightest
from sdqviz.choice import Choice, field
from sdqviz.error import InputError
from sdqviz.explore.pasted import LONGEST, parse_vector
from sdqviz.explore.shaped_walk import (
    FIRST_ORDER,
    Scheme,
    dual_rows,
    fed_back,
    frame_rows,
    running_limit,
    scheme_bounds,
)
from sdqviz.explore.shipped_weights import weight_column, weight_files
from sdqviz.frames.frame import Frame
from sdqviz.frames.walk import Walk
from sdqviz.quantizers.alphabet import MAXIMUM_BITS, Midrise
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.filters.filter import HIGHEST_ORDER
from sdqviz.sigma_delta.recursion import TIE, Pcm, SigmaDelta
from sdqviz.sigma_delta.taps import FIRST, Taps
from sdqviz.sigma_delta.trace import Trace

SOURCES = {
    "gaussian": "Gaussian numbers",
    "sine": "A sine",
    "weights": "A trained network's weights",
    "pasted": "Your own numbers",
}


STEP_RULES = {"range": "From the range", "norm": "From the norm", "by-hand": "By hand"}


STEP_BITS = 32
"""Bits of the stored step δ."""


@dataclasses.dataclass(frozen=True)
class VectorChoice(Choice):
    """What is quantized, and how finely.

    The input is a Gaussian vector, two periods of a sine, one column of a shipped network's weights
    (the weights that leave one input of the layer), or numbers the user pasted.
    """

    name = "vector"
    title = "One vector"

    input: str = field(
        "gaussian",
        label="Input",
        help="The vector to quantize: random (it follows the seed), two periods of a sine, one column of a trained "
        "network's weights, or your own numbers.",
        options=SOURCES,
    )
    network: str = field(
        "mnist-fnn-seed0", label="Network", help="A shipped network and its training seed.", options=weight_files
    )
    layer: int = field(1, label="Layer", help="Which layer's weights, counted from the input.", minimum=1, maximum=6)
    column: int = field(
        400, label="Column", help="The weights that leave this input of the layer.", minimum=0, maximum=783
    )
    pasted: str = field(
        "0.6, -0.3, 0.74",
        label="Your numbers",
        help=f"Up to {LONGEST} numbers, separated by commas, spaces or new lines.",
    )
    bits: int = field(
        1,
        label="Bits per level",
        help="Each frame coefficient becomes one of 2^bits levels.",
        minimum=1,
        maximum=8,
    )
    order: int = field(
        1,
        label="Order of ΣΔ",
        help="0 rounds each coefficient by itself (frame rounding). 1 adds each error to the next coefficient. r ≥ 2 "
        "spreads it over several steps to come: its r-th differences are left. That takes levels: with the filter "
        "greedy order r needs r bits, minimal-support does with one.",
        minimum=0,
        maximum=HIGHEST_ORDER,
    )
    filter: str = field(
        "greedy",
        label="Filter",
        help="How an error is spread over the steps to come; orders 0 and 1 leave no choice. greedy: the r-th "
        "difference, r taps in a row, |h|₁ = 2^r − 1. minimal-support: r taps far apart, |h|₁ ≤ 1.5 at one bit.",
        options=FILTERS.titles,
    )
    dual: str = field(
        "canonical",
        label="Dual",
        help="Vectors that put x together again from the levels. canonical: those of the frame. sobolev: those that "
        "damp r-th differences most. matched: the same for the filter itself. smaller: canonical or matched, whichever "
        "has the smaller bound. For order 0 all are the canonical one.",
        options=DUALS.titles,
    )
    step_rule: str = field(
        "range",
        label="Step rule",
        help="How δ is chosen. range: the largest coefficient just fits, max|x_n| = (K−½)δ. norm: the paper's "
        "condition ‖x‖ = (K−½)δ, usually far larger. by-hand: your own δ; too small a δ overloads the quantizer. "
        "Orders other than 1 leave (K−‖h‖₁/2)δ.",
        options=STEP_RULES,
    )
    step: float = field(
        0.5,
        label="Step δ",
        help="Distance of neighbouring levels, in the units of the vector.",
        minimum=1e-6,
        maximum=1e6,
    )

    def check(self) -> None:
        """Refuse an order that is not stable with so few levels."""
        _ = self.scheme.taps(self.bits)

    @property
    def scheme(self) -> Scheme:
        """Order, filter and dual."""
        return Scheme(self.order, self.filter, self.dual)

    @property
    def fixed_dimension(self) -> int | None:
        """Length of the vector where the input decides it, else None.

        Raises
        ------
        InputError
            If pasted text is not a list of numbers, or the network has no such layer.
        """
        if self.input in ("weights", "pasted"):
            return len(self.vector(0, 0))
        return None

    def vector(self, dimension: int, seed: int) -> Array:
        """Return the vector, shape (d,); ``dimension`` counts only for made-up inputs.

        Raises
        ------
        InputError
            If pasted text is not a list of numbers, or the network has no such layer or column.
        """
        if self.input == "gaussian":
            return np.random.default_rng([seed, 1]).standard_normal(dimension)
        if self.input == "sine":
            return np.sin(4 * np.pi * (np.arange(dimension) + 0.5) / dimension)
        if self.input == "weights":
            return weight_column(self.network, self.layer, self.column)
        return parse_vector(self.pasted)


@dataclasses.dataclass(frozen=True, eq=False)
class VectorRun:
    """What came of one vector. Sequences of length N are in the order of the walk.

    Attributes
    ----------
    vector : ndarray, shape (d,)
        x.
    frame : Frame
        The frame.
    order : ndarray of int, shape (N,)
        The walk p.
    walk : Walk
        Its geometry.
    scheme : Scheme
        Order, filter and dual.
    taps : Taps
        The filter h for this alphabet.
    bits : int
        Bits per level.
    step : float
        δ.
    trace, rounded : Trace
        ΣΔ, and rounding of each coefficient on its own with the same levels (PCM).
    reconstruction, rounded_reconstruction : ndarray, shape (d,)
        x̃ of both.
    running_error, rounded_running_error : ndarray, shape (N,)
        ‖Σ_{n≤k}(x_n − q_n)f_n‖, f_n the vectors of the dual: what the first k levels leave behind.
    running_bound : ndarray, shape (N,)
        (δ/2)Σ_{n≤k}‖(FH)_n‖, the filter cut off after step k: it bounds ``running_error`` where the theorem applies.
        For order 1 and a tight frame this is (δd/2N)(σ of the first k steps + 1).
    partial_sums, true_sums : ndarray, shape (N, min(d, 3))
        The walks Σ_{n≤k} q_n f_n and Σ_{n≤k} x_n f_n, first coordinates.
    last : ndarray, shape (d,)
        f of the last vector visited.
    bounds : tuple of Bound
        Bounds on ‖x − x̃‖.
    plain_bits : int
        Bits per weight of rounding the vector itself, the most that are not more than ΣΔ's.
    plain : ndarray, shape (d,)
        The vector rounded to that, without a frame.
    """

    vector: Array
    frame: Frame
    order: Index
    walk: Walk
    scheme: Scheme
    taps: Taps
    bits: int
    step: float
    trace: Trace
    rounded: Trace
    reconstruction: Array
    rounded_reconstruction: Array
    running_error: Array
    rounded_running_error: Array
    running_bound: Array
    partial_sums: Array
    true_sums: Array
    last: Array
    bounds: tuple[Bound, ...]
    plain_bits: int
    plain: Array

    @property
    def norm(self) -> float:
        """‖x‖."""
        return float(np.linalg.norm(self.vector))

    @property
    def error(self) -> float:
        """‖x − x̃‖ of ΣΔ."""
        return float(np.linalg.norm(self.vector - self.reconstruction))

    @property
    def rounded_error(self) -> float:
        """‖x − x̃‖ of rounding each frame coefficient on its own."""
        return float(np.linalg.norm(self.vector - self.rounded_reconstruction))

    @property
    def plain_error(self) -> float:
        """‖x − x̃‖ of rounding the vector itself at ``plain_bits`` bits a weight."""
        return float(np.linalg.norm(self.vector - self.plain))

    @property
    def level_bits(self) -> float:
        """Bits of the levels per original weight, N·b/d."""
        return self.frame.size * self.bits / self.frame.dimension

    @property
    def step_bits(self) -> float:
        """Bits of the stored step per original weight, 32/d."""
        return STEP_BITS / self.frame.dimension

    @property
    def bits_per_weight(self) -> float:
        """Bits per original weight: levels and the stored step."""
        return self.level_bits + self.step_bits

    @property
    def overload(self) -> int:
        """Steps at which the quantizer's input left its range."""
        return int(self.trace.overload)

    @property
    def tightest(self) -> Bound:
        """The smallest bound that applies."""
        return tightest(self.bounds)

    @property
    def called(self) -> str:
        """What people call the scheme: without feedback it is no ΣΔ."""
        return "ΣΔ" if self.taps.order else "frame rounding"

    @functools.cached_property
    def fed(self) -> Array:
        """What earlier errors add to each coefficient, Σ_j h_j u_{n−n_j}; for order 1 u_{n−1}. Shape (N,)."""
        return fed_back(self.trace.state, self.taps)

    @property
    def tied(self) -> bool:
        """Whether the walk ends exactly on a threshold: order 1, Σe_n = 0, N odd, and nothing overloaded."""
        return self.taps == FIRST and self.walk.zero_sum and self.frame.size % 2 == 1 and self.trace.stable

    def overloaded(self) -> Index:
        """Return the steps n at which what was to be rounded, x_n and what was fed back, is beyond ±Kδ; from 0 on."""
        rounded = np.abs(self.trace.coefficients + self.fed)
        return np.flatnonzero(rounded > 2 ** (self.bits - 1) * self.step + TIE * np.maximum(rounded, self.step))


def run(
    vector: Array, frame: Frame, order: Index, bits: int, step: float | str, walk: Walk | None = None,
    scheme: Scheme = FIRST_ORDER,
) -> VectorRun:  # fmt: skip
    """Quantize one vector over a frame with ΣΔ, and by rounding beside it.

    Parameters
    ----------
    vector : ndarray, shape (d,)
        x; finite and not zero.
    frame : Frame
        The frame.
    order : ndarray of int, shape (N,)
        The walk p.
    bits : int
        Bits per level.
    step : float or str
        δ, or the rule ``"range"`` or ``"norm"`` that gives it.
    walk : Walk, optional
        The geometry of the frame in this order, if it is known already.
    scheme : Scheme
        Order, filter and dual; rounding beside always has the canonical dual, and of orders above 1, whose feedback
        takes levels, the step that it needs itself by the same rule.

    Raises
    ------
    InputError
        If the vector is zero, the filter is not stable with so few levels, the dual is too badly conditioned, or the
        work would not fit.
    """
    if not np.any(vector):
        raise InputError("the vector must not be zero, got zeros only: there is nothing to quantize")
    d, size = frame.dimension, frame.size
    memory.require("the walk of this vector", size * (60.0 + 2 * d), "use a smaller size N")
    taps = scheme.taps(bits)
    coefficients = frame.analyze(vector)[order]
    delta, plain_delta = _steps(vector, coefficients, bits, step, taps)
    trace = SigmaDelta(bits=bits, step=delta, order=scheme.order, filter=scheme.filter).run(coefficients)
    rounded = Pcm(bits=bits, step=plain_delta).run(coefficients)
    walk = Walk.of(frame, order) if walk is None else walk
    plain_rows = frame_rows(frame, order)
    published = taps == FIRST and scheme.canonical
    dual = None if published else scheme.build_dual(frame, order, taps)
    rows = plain_rows if dual is None or scheme.canonical else dual_rows(dual, order)
    limit = running_limit(rows, taps)
    sums, left = _walked(rows, trace)
    in_frame_order = np.empty((2, size))
    in_frame_order[:, order] = trace.quantized, rounded.quantized
    synthesize = frame.synthesize if dual is None or scheme.canonical else dual.synthesize
    plain_bits = int(min(size * bits // d, MAXIMUM_BITS))
    plain = np.zeros_like(vector)
    if plain_bits >= 1:
        plain = Midrise(plain_bits, float(np.abs(vector).max()) / (2 ** (plain_bits - 1) - 0.5)).nearest(vector)
    return VectorRun(
        vector=vector,
        frame=frame,
        order=order,
        walk=walk,
        scheme=scheme,
        taps=taps,
        bits=bits,
        step=delta,
        trace=trace,
        rounded=rounded,
        reconstruction=synthesize(in_frame_order[0]),
        rounded_reconstruction=frame.synthesize(in_frame_order[1]),
        running_error=np.linalg.norm(left, axis=1),
        rounded_running_error=np.linalg.norm(_walked(plain_rows, rounded)[1], axis=1),
        running_bound=delta / 2 * limit,
        partial_sums=np.array(sums[:, :3]),
        true_sums=np.array((sums + left)[:, :3]),
        last=np.array(rows[-1]),
        bounds=scheme_bounds(scheme, taps, dual, walk, trace, float(limit[-1])),
        plain_bits=plain_bits,
        plain=plain,
    )


def _steps(vector: Array, coefficients: Array, bits: int, step: float | str, taps: Taps) -> tuple[float, float]:
    """Return δ of ΣΔ and of rounding beside it."""
    if step not in ("range", "norm"):
        return float(step), float(step)
    largest = float(np.abs(coefficients).max() if step == "range" else np.linalg.norm(vector))
    delta = largest / taps.reach(bits)
    return delta, delta if taps.order <= 1 else largest / 2 ** (bits - 1)


def _walked(rows: Array, trace: Trace) -> tuple[Array, Array]:
    """Return the partial sums of levels and of errors, shapes (N, d), over the vectors of a dual."""
    errors = (trace.coefficients - trace.quantized)[:, None]
    return np.cumsum(rows * trace.quantized[:, None], axis=0), np.cumsum(rows * errors, axis=0)
