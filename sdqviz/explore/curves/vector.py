"""Bounds on one vector: unit vectors over a frame, walked by first-order ΣΔ, with plain rounding beside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np

from sdqviz.bounds.hypotheses import stability
from sdqviz.bounds.layer import layer_bound_states
from sdqviz.bounds.vector import variation_bound_any_start, vector_bounds
from sdqviz.choice import field
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.point import A_POSTERIORI, Axis, Point, Promise, Rate, promises
from sdqviz.explore.curves.walk import (
    BITS,
    DIMENSION,
    SIZE,
    STEP,
    OverFrame,
    Rounds,
    frame_rate,
    order_seconds,
    through,
    walk_facts,
)
from sdqviz.explore.vector import STEP_BITS, STEP_RULES
from sdqviz.progress import ShouldStop


@SUBJECTS.register
@dataclasses.dataclass(frozen=True)
class UnitVector(OverFrame):
    """Random vectors of length 1, so that every error is a relative one."""

    name = "vector"
    title = "One vector over a frame (ΣΔ)"
    axes: ClassVar[Mapping[str, Axis]] = {"size": SIZE, "step": STEP, "bits": BITS, "dimension": DIMENSION}
    error: ClassVar[str] = "‖x − x̃‖ / ‖x‖"

    dimension: int = field(16, label="Dimension d", help="Length of the vectors.", minimum=2, maximum=256)
    step_rule: str = field(
        "range",
        label="Step rule",
        help="range: the largest coefficient of each vector just fits, max|x_n| = (K−½)δ. norm: ‖x‖ = (K−½)δ, the "
        "paper's condition. by-hand: the step below; too small a step leaves the range, and then no bound applies.",
        options=STEP_RULES,
    )
    step: float = field(0.5, label="Step δ", help="In units of ‖x‖.", minimum=1e-4, maximum=1e4)
    draws: int = field(
        16, label="Vectors", help="Random vectors at every point: the median and the range are shown.", minimum=1,
        maximum=200,
    )  # fmt: skip

    def admissible(self) -> Self:
        """Move N to the next size the family has."""
        return self.resized(self.dimension)

    def estimated_seconds(self) -> float:
        """Return roughly the time of transforms, walks and, where it is not free, of finding the order."""
        return 0.004 + 6e-8 * self.size * self.draws + order_seconds(self.permutation, self.size, self.dimension)

    def measure(self, seed: int, should_stop: ShouldStop | None = None) -> Point:
        """Quantize ``draws`` vectors; they depend on the seed and on d alone, so that only one thing changes."""
        vectors = np.random.default_rng([seed, 21, self.dimension]).standard_normal((self.draws, self.dimension))
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        walked = through(self.frame, self.dimension, self.size, self.permutation, seed, should_stop)
        rounds = Rounds.of(self, walked, seed, vectors, self.step_rule, self.step)
        measured = np.linalg.norm(vectors - rounds.quantized, axis=1)
        stable = [stability(top, step, self.bits) for top, step in zip(rounds.largest, rounds.step, strict=True)]
        stated = [
            (*vector_bounds(walked.walk, step, fine), variation_bound_any_start(walked.walk, step, fine))
            for step, fine in zip(rounds.step, stable, strict=True)
        ]
        states = [
            layer_bound_states(walked.walk, float(np.linalg.norm(row)), abs(float(row[-1]))) for row in rounds.states
        ]
        return Point(
            measured,
            {name: np.linalg.norm(vectors - other, axis=1) for name, other in rounds.beside.items()},
            (*promises(stated), _vector_form(Promise.of(states, A_POSTERIORI))),
            self.size * self.bits / self.dimension + STEP_BITS / self.dimension,
            {"step": float(np.median(rounds.step)), **walk_facts(walked.walk)},
        )

    def rate(self, axis: str, points: Sequence[Point]) -> Rate | None:
        """Return the exponent in N, δ or the levels that the theorems give."""
        return frame_rate(axis, self.dimension, points)


def _vector_form(stated: Promise) -> Promise:
    """Write the bound from the states for a single column, which is the vector."""
    return dataclasses.replace(stated, formula=stated.formula.replace(r"\|W-Q\|_2", r"\|x-\tilde x\|"))
