"""Frames walked at the points of a sweep: what all subjects that are quantized over a frame share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.hypotheses import harmonic_walk, short_walk
from sdqviz.choice import field
from sdqviz.explore.curves.point import Axis, Point, Rate, Rule, Subject
from sdqviz.frames import FRAMES
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.walk import Walk, Walked, walked
from sdqviz.progress import ShouldStop
from sdqviz.quantizers.alphabet import MAXIMUM_BITS, nearest_index
from sdqviz.sigma_delta.recursion import walk_rows

ROUNDING, RANDOM_ORDER, NATURAL_ORDER = "plain rounding (PCM)", "ΣΔ, random order", "ΣΔ, order as written"
EQUAL_BITS = "plain rounding without a frame, as many bits"
"""Of the vectors themselves, with at most `MAXIMUM_BITS` bits."""

SLOW_ORDERS = ("two-opt", "nearest-neighbour")
"""Orders whose search takes of the order of N²d."""


def families() -> dict[str, str]:
    """Return the frames that exist in every dimension."""
    return {name: title for name, title in FRAMES.titles().items() if FRAMES[name].any_dimension}


def gaps(bits: float) -> float:
    """Return 2^b − 1: how many steps δ lie between the lowest and the highest level."""
    return 2.0**bits - 1


SIZE = Axis("size", "frame size N", 64, 2048, 2, 8192, parity=True)
STEP = Axis("step", "step δ, in units of ‖x‖", 0.1, 6.4, 1e-4, 100.0, whole=False, fixed=(("step_rule", "by-hand"),))
BITS = Axis("bits", "bits per level b, drawn at 2^b − 1", 1, 8, 1, 12, position=gaps)
DIMENSION = Axis("dimension", "dimension d", 4, 128, 2, 256, parity=True)


@dataclasses.dataclass(frozen=True)
class OverFrame(Subject):
    """Base of what is quantized over a frame."""

    only: ClassVar[Mapping[str, tuple[Rule, ...]]] = {"step": (("step_rule", ("by-hand",)),)}

    frame: str = field(
        "harmonic", label="Frame", help="The family whose inner products are quantized.", options=families
    )
    permutation: str = field(
        "identity",
        label="Order of the walk",
        help="In which order ΣΔ visits the frame vectors.",
        options=PERMUTATIONS.titles,
    )
    size: int = field(
        256,
        label="Frame size N",
        help="One level is stored for each frame vector. Moved to the next N the family has.",
        minimum=2,
        maximum=8192,
    )
    bits: int = field(
        2, label="Bits per level", help="Each coefficient becomes one of 2^bits levels.", minimum=1, maximum=12
    )

    def resized(self, dimension: int) -> Self:
        """Return the same with the next N for which the family has a frame of R^d."""
        return dataclasses.replace(self, size=FRAMES[self.frame].admissible_size(dimension, self.size))


def through(
    family: str, dimension: int, size: int, permutation: str, seed: int, should_stop: ShouldStop | None = None
) -> Walked:
    """Build a frame and measure its walk, or find it among the last: many runs differ in steps alone."""
    choice = FRAMES[family](dimension=dimension, size=size)
    return walked(choice, PERMUTATIONS[permutation](), seed, should_stop=should_stop)


def other_order(permutation: str) -> tuple[str, str]:
    """Return the order to hold a walk against, and what it is called."""
    return ("identity", NATURAL_ORDER) if permutation == "random" else ("random", RANDOM_ORDER)


def order_seconds(permutation: str, size: int, dimension: int) -> float:
    """Return roughly how long measuring the walk takes, and finding its order."""
    search = 2e-8 * size**2 * dimension if permutation in SLOW_ORDERS else 0.0
    return 4e-9 * size * dimension**2 + search


@dataclasses.dataclass(frozen=True, eq=False)
class Rounds:
    """Vectors quantized over a frame, each with its step, and what stands beside.

    Attributes
    ----------
    step, largest : ndarray, shape (M,)
        δ and max_n|x_n| of each vector.
    quantized : ndarray, shape (M, d)
        x̃.
    states : ndarray, shape (M, N)
        u_n along the walk.
    beside : mapping of str to ndarray, shape (M, d)
        The vectors by rounding each coefficient alone, and by ΣΔ in another order, with the same steps; and rounded
        themselves with as many bits, the last bits below one left out.
    """

    step: Array
    largest: Array
    quantized: Array
    states: Array
    beside: Mapping[str, Array]

    @classmethod
    def of(
        cls, over: OverFrame, walked: Walked, seed: int, vectors: Array, rule: str, step: float, *, common: bool = False
    ) -> Rounds:
        """Quantize vectors, shape (M, d), with a step each or, if ``common``, one for all."""
        frame, bits, half = walked.frame, over.bits, 2 ** (over.bits - 1)
        besides, besides_name = other_order(over.permutation)
        coefficients = frame.analyze(vectors)
        largest = np.abs(coefficients).max(axis=1)
        reach = {"range": largest, "norm": np.linalg.norm(vectors, axis=1)}.get(rule, np.full(len(vectors), step))
        steps = reach if rule == "by-hand" else reach / (half - 0.5)
        if common:
            steps = np.full(len(vectors), steps.max())
        levels, states = np.empty_like(coefficients), np.empty_like(coefficients)
        walk_rows(coefficients, bits, steps, order=walked.order, out=levels, state=states)
        other = np.empty_like(coefficients)
        walk_rows(coefficients, bits, steps, order=PERMUTATIONS[besides]().order(frame, seed), out=other)
        alone = (nearest_index(coefficients, steps[:, None], half) + 0.5) * steps[:, None]
        beside = {ROUNDING: frame.synthesize(alone), besides_name: frame.synthesize(other)}
        afforded = min(frame.size * bits // frame.dimension, MAXIMUM_BITS)
        beside[EQUAL_BITS] = rounded(vectors, afforded, common)
        return cls(steps, largest, frame.synthesize(levels), states, beside)


def rounded(vectors: Array, bits: int, common: bool = False) -> Array:
    """Round the vectors' own entries to the range of each, or of all; NaN where not one bit is left."""
    if bits < 1:
        return np.full_like(vectors, np.nan)
    half = 2 ** (bits - 1)
    largest = np.abs(vectors).max(axis=None if common else 1, keepdims=True)
    step = largest / (half - 0.5)
    rounded: Array = (nearest_index(vectors, step, half) + 0.5) * step
    return rounded


def walk_facts(walk: Walk) -> dict[str, float]:
    """Return σ, ‖ΔE‖₂, and which limits the walk keeps to (1 for yes)."""
    return {
        "variation": walk.variation,
        "difference_norm": walk.difference_norm,
        "tight": float(walk.tight),
        "harmonic": float(walk.tight and harmonic_walk(walk).met),
        "short": float(walk.tight and walk.dimension >= 3 and short_walk(walk).met),
    }


def frame_rate(axis: str, dimension: int, points: Sequence[Point]) -> Rate | None:
    """Return the exponent in N, δ or the gaps between levels that the theorems give for these walks."""
    if axis == "step":
        return Rate(1.0, "every bound is proportional to δ")
    if axis == "bits":
        return Rate(-1.0, "δ falls as 1/(2^b − 1), and every bound with it")
    if axis != "size":
        return None
    if all(point.facts["harmonic"] for point in points):
        return Rate(-1.0, "σ(F, p) stays below 2π(d+1) whatever N")
    if all(point.facts["short"] for point in points):
        return Rate(-1 / dimension, f"short walks, N^(−1/d) with d = {dimension}")
    if all(point.facts["tight"] for point in points):
        return Rate(0.0, "for a walk this long nothing better is proved: ‖ΔE‖₂ ≤ 2√(N/d)")
    return None
