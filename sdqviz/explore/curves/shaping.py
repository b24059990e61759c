"""Bounds on one vector under ΣΔ of orders 0 to 4, with any filter and dual, and β-expansions beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.hypotheses import unit_norm_tight
from sdqviz.bounds.noise_shaping import Shaping, crossover, layer_bound_shaped_states, vector_bound_shaping
from sdqviz.choice import field, field_of
from sdqviz.error import InputError
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.point import A_POSTERIORI, Axis, Mark, Point, Promise, Rate, promises
from sdqviz.explore.curves.vector import UnitVector
from sdqviz.explore.curves.walk import BITS, DIMENSION, EQUAL_BITS, SIZE, OverFrame, order_seconds, rounded, through
from sdqviz.explore.vector import STEP_BITS
from sdqviz.frames.walk import Walked
from sdqviz.methods.frame_quantization import FrameQuantization
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers.alphabet import MAXIMUM_BITS
from sdqviz.sigma_delta.beta import BetaExpansion
from sdqviz.sigma_delta.duals import DUALS
from sdqviz.sigma_delta.duals.dual import Dual
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.filters.filter import HIGHEST_ORDER
from sdqviz.sigma_delta.recursion import shape_rows
from sdqviz.sigma_delta.taps import Taps

BETA = "β-expansion, as many bits"
ORDER_0_BOUND = "bound of order 0 at the same δ"
FITTED = "the same with δ fitted to the error: its bound lapses"

SHARES = np.geomspace(0.2, 0.9, 8)
"""Steps that are tried, as shares of the one that keeps every state in its band."""


@SUBJECTS.register
@dataclasses.dataclass(frozen=True)
class ShapedVector(OverFrame):
    """Random vectors of length 1, quantized with one order; the other orders with as many bits stand beside."""

    name = "orders"
    title = "One vector, ΣΔ of order 0 to 4"
    axes: ClassVar[Mapping[str, Axis]] = {"size": SIZE, "bits": BITS, "dimension": DIMENSION}
    error: ClassVar[str] = "‖x − x̂‖ / ‖x‖"
    only: ClassVar[Mapping[str, tuple[tuple[str, tuple[object, ...]], ...]]] = {}

    bits: int = field_of(
        OverFrame,
        "bits",
        5,
        help="Each coefficient becomes one of 2^bits levels; order r needs r bits with the greedy filter.",
    )
    order: int = field(2, label="Order r", help="Of the scheme that is bounded.", minimum=0, maximum=HIGHEST_ORDER)
    filter: str = field_of(FrameQuantization, "filter")
    dual: str = field_of(FrameQuantization, "dual", "sobolev")
    dimension: int = field_of(UnitVector, "dimension")
    draws: int = field_of(UnitVector, "draws")

    def check(self) -> None:
        """Refuse an order that is not stable with so few levels."""
        FILTERS[self.filter]().taps(self.order, self.bits)

    def admissible(self) -> Self:
        """Move N to the next size the family has."""
        return self.resized(self.dimension)

    def estimated_seconds(self) -> float:
        """Return roughly the time of the duals, five QR decompositions of N × d, and of the walks."""
        duals = 1e-9 * self.size * self.dimension**2 * (HIGHEST_ORDER + 1)
        return 0.02 + duals + 4e-6 * self.size * self.draws + order_seconds(self.permutation, self.size, self.dimension)

    def measure(self, seed: int, should_stop: ShouldStop | None = None) -> Point:
        """Quantize ``draws`` vectors with every order that so many levels bear."""
        vectors = np.random.default_rng([seed, 21, self.dimension]).standard_normal((self.draws, self.dimension))
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        walked = through(self.frame, self.dimension, self.size, self.permutation, seed, should_stop)
        coefficients = walked.frame.analyze(vectors)
        largest = np.abs(coefficients).max(axis=1)
        afforded = self.size * self.bits // self.dimension
        plain = rounded(vectors, min(afforded, MAXIMUM_BITS))
        beside = {EQUAL_BITS: np.linalg.norm(vectors - plain, axis=1)}
        for order in range(HIGHEST_ORDER + 1):
            stop_if(should_stop)
            if order != self.order:
                try:
                    taps = FILTERS[self.filter]().taps(order, self.bits)
                    dual = DUALS[self.dual]().build(walked.frame, taps, walked.order)
                except InputError:
                    continue  # what so few levels or digits do not bear
                other = self._walk(walked, coefficients, largest / taps.reach(self.bits), taps, dual)[0]
                beside[f"order {order}"] = np.linalg.norm(vectors - other, axis=1)
        taps = FILTERS[self.filter]().taps(self.order, self.bits)
        dual = DUALS[self.dual]().build(walked.frame, taps, walked.order)
        steps = largest / taps.reach(self.bits)
        quantized, states = self._walk(walked, coefficients, steps, taps, dual)
        tries = [self._walk(walked, coefficients, share * steps, taps, dual)[0] for share in SHARES]
        beside[FITTED] = np.min([np.linalg.norm(vectors - one, axis=1) for one in (quantized, *tries)], axis=0)
        shaping = Shaping(self.order, walked.frame.size, dual.error_norm(taps), DUALS[self.dual].title)
        stable = np.abs(states).max(axis=1) <= steps / 2 * (1 + 1e-9)
        if afforded >= 1:
            beside[BETA] = np.linalg.norm(vectors - BetaExpansion(afforded).run(vectors), axis=1)
        tight = unit_norm_tight(walked.walk)
        if self.order and tight.met:
            beside[ORDER_0_BOUND] = np.sqrt(self.dimension) * steps / 2
        stated = [[vector_bound_shaping(shaping, d, bool(fine))] for d, fine in zip(steps, stable, strict=True)]
        after = [layer_bound_shaped_states(shaping, float(np.linalg.norm(row))) for row in states]
        return Point(
            np.linalg.norm(vectors - quantized, axis=1),
            beside,
            (*promises(stated), Promise.of(after, A_POSTERIORI)),
            self.size * self.bits / self.dimension + STEP_BITS / self.dimension,
            {"step": float(np.median(steps)), "condition": dual.condition},
        )

    def _walk(
        self, walked: Walked, coefficients: Array, steps: Array, taps: Taps, dual: Dual
    ) -> tuple[Array, Array]:  # fmt: skip
        levels, states = np.empty_like(coefficients), np.empty_like(coefficients)
        shape_rows(coefficients, self.bits, steps, taps, order=walked.order, out=levels, state=states)
        return dual.synthesize(levels), states

    def marks(self, axis: str) -> tuple[Mark, ...]:
        """Mark where order 1 begins to prove more than order 0."""
        if axis != "size" or self.frame not in ("harmonic", "half-frequency") or self.permutation != "identity":
            return ()
        return (Mark(crossover(self.dimension), "N = 3d: beyond it order 1 proves more than order 0"),)

    def rate(self, axis: str, points: Sequence[Point]) -> Rate | None:
        """Return −r in N for frames sampled from a smooth path; −1 in the gaps between levels."""
        if axis == "bits":
            return Rate(-1.0, "δ falls as 1/(2^b − 1) once the feedback's share of the levels is small")
        smooth = self.frame in ("harmonic", "half-frequency", "roots-of-unity") and self.permutation == "identity"
        if axis != "size" or not smooth or (self.dual == "canonical" and self.order > 1):
            return None
        return Rate(-float(self.order), f"‖FH‖₂√N falls as N^(−{self.order}) on a smooth path")
