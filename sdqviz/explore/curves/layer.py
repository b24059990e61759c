"""Bounds on one layer: the columns of a matrix, Gaussian or of a shipped network, quantized over a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.layer import layer_bound_states, layer_bounds, lemma_5_2
from sdqviz.bounds.statement import Bound
from sdqviz.choice import field, field_of
from sdqviz.error import InputError
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.point import A_POSTERIORI, Axis, Point, Promise, Rate, Rule, promises
from sdqviz.explore.curves.vector import UnitVector
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
from sdqviz.explore.shipped_weights import weight_matrix
from sdqviz.explore.vector import STEP_BITS, VectorChoice
from sdqviz.kernels.spectral_norm import spectral_norm
from sdqviz.methods import frame_fields
from sdqviz.progress import ShouldStop, stop_if

STEP_RULES = {
    **{name: frame_fields.STEP_RULES[name] for name in ("range-layer", "range-column", "norm-layer")},
    "by-hand": "By hand",
}

ERROR, NORM = "error", "norm"

FRAME_BITS = 72
"""What names a layer's frame: a family code, N and the seed."""


@SUBJECTS.register
@dataclasses.dataclass(frozen=True)
class LayerMatrix(OverFrame):
    """A weight matrix scaled to ‖W‖₂ = 1, so that every error is a relative one."""

    name = "layer"
    title = "One layer under frame quantization"
    axes: ClassVar[Mapping[str, Axis]] = {
        "size": SIZE,
        "step": dataclasses.replace(STEP, title="step δ, in units of ‖W‖₂"),
        "bits": BITS,
        "dimension": dataclasses.replace(DIMENSION, title="width d (outputs of the layer)"),
    }
    error: ClassVar[str] = "‖W − Q‖₂ / ‖W‖₂"
    only: ClassVar[Mapping[str, tuple[Rule, ...]]] = {
        **OverFrame.only,
        **dict.fromkeys(("weights", "layer"), (("source", ("network",)),)),
        **dict.fromkeys(("dimension", "columns", "draws"), (("source", ("gaussian",)),)),
    }

    source: str = field(
        "gaussian",
        label="Weights",
        help="Gaussian matrices (they follow the seed), or one layer of a trained network.",
        options={"gaussian": "Gaussian matrices", "network": "A trained network's"},
    )
    weights: str = field_of(VectorChoice, "network")
    layer: int = field_of(VectorChoice, "layer")
    dimension: int = field(
        16, label="Width d", help="Outputs of the layer: the length of its columns.", minimum=2, maximum=256
    )
    columns: int = field(32, label="Columns", help="Inputs of the layer.", minimum=1, maximum=256)
    quantity: str = field(
        ERROR,
        label="Measured",
        help="error: how far the quantized layer is from the layer. norm: how large it gets, which Lemma 5.2 bounds by "
        "the layer's own norm and any bound on the error; that is how errors grow in the layers after it.",
        options={ERROR: "The error", NORM: "The norm"},
    )
    step_rule: str = field(
        "range-layer",
        label="Step rule",
        help="From the largest coefficient of the layer or of each column (one stored scale each), from the largest "
        "column norm (the paper's condition), or by hand.",
        options=STEP_RULES,
    )
    step: float = field_of(UnitVector, "step", help="In units of ‖W‖₂.")
    draws: int = field_of(
        UnitVector,
        "draws",
        3,
        label="Matrices",
        help="Random matrices at every point; of a trained layer there is one.",
        maximum=50,
    )

    @property
    def error_title(self) -> str:
        """The error, or the norm of the quantized layer."""
        return self.error if self.quantity == ERROR else "‖Q‖₂ / ‖W‖₂"

    @property
    def rows(self) -> int:
        """d, which a trained layer decides itself."""
        return self.dimension if self.source == "gaussian" else len(weight_matrix(self.weights, self.layer)[1])

    def admissible(self) -> Self:
        """Move N to the next size the family has, and fill in the width of a trained layer."""
        resized = self.resized(self.rows)
        return resized if self.source == "gaussian" else dataclasses.replace(resized, draws=1)

    def at(self, axis: Axis, value: float) -> Self:
        """Return the choice with one field moved; the width of a trained layer cannot be."""
        if axis.field == "dimension" and self.source != "gaussian":
            raise InputError("sweep must be size, step or bits for a trained layer, got dimension: its width is fixed")
        return super().at(axis, value)

    def matrices(self, seed: int) -> list[Array]:
        """Return the matrices, each of shape (d, columns) and spectral norm 1."""
        if self.source == "network":
            found = [weight_matrix(self.weights, self.layer)[1]]
        else:
            random = np.random.default_rng([seed, 22, self.dimension, self.columns])
            found = list(random.standard_normal((self.draws, self.dimension, self.columns)))
        return [matrix / spectral_norm(matrix) for matrix in found]

    def estimated_seconds(self) -> float:
        """Return roughly the time of transforms, walks and norms, and of finding the order."""
        columns = self.columns if self.source == "gaussian" else 784
        runs = self.draws if self.source == "gaussian" else 1
        each = 0.001 + 8e-8 * self.size * columns + 1.2e-10 * self.size * columns * min(self.size, columns)
        return 0.003 + runs * each + order_seconds(self.permutation, self.size, self.rows)

    def measure(self, seed: int, should_stop: ShouldStop | None = None) -> Point:
        """Quantize every matrix; they depend on the seed and their shape alone, so that only one thing changes."""
        walked = through(self.frame, self.rows, self.size, self.permutation, seed, should_stop)
        rule, _, per = self.step_rule.partition("-")
        measured, steps, stated, states = [], [], [], []
        beside: dict[str, list[float]] = {}
        for matrix in self.matrices(seed):
            stop_if(should_stop)
            columns = np.ascontiguousarray(matrix.T)
            own = self.step_rule if self.step_rule == "by-hand" else rule
            rounds = Rounds.of(self, walked, seed, columns, own, self.step, common=per != "column")
            origin = columns if self.quantity == ERROR else np.zeros_like(columns)
            measured.append(spectral_norm(origin - rounds.quantized))
            for name, other in rounds.beside.items():
                beside.setdefault(name, []).append(spectral_norm(origin - other))
            # a step computed as max|x_n|/(K−½) may miss equality by a rounding
            radius = (2 ** (self.bits - 1) - 0.5) * rounds.step * (1 + 4 * np.finfo(float).eps)
            bounds = layer_bounds(walked.walk, rounds.step, rounds.largest <= radius)
            stated.append([self._stated(matrix, one) for one in bounds])
            last = float(np.linalg.norm(rounds.states[:, -1]))
            left = layer_bound_states(walked.walk, spectral_norm(rounds.states), last)
            states.append(self._stated(matrix, left))
            steps.append(float(np.median(rounds.step)))
        count = columns.size
        scales = len(columns) if per == "column" else 1
        return Point(
            np.array(measured),
            {name: np.array(values) for name, values in beside.items()},
            (*promises(stated), Promise.of(states, A_POSTERIORI)),
            self.size * self.bits / self.rows + (STEP_BITS * scales + FRAME_BITS) / count,
            {"step": float(np.median(steps)), **walk_facts(walked.walk)},
        )

    def _stated(self, matrix: Array, one: Bound) -> Bound:
        """Return a bound on the error, or what Lemma 5.2 makes of it."""
        if self.quantity == ERROR:
            return one
        inherited = lemma_5_2(spectral_norm(matrix), one)
        title = f"Lemma 5.2 with {one.title[0].lower()}{one.title[1:]}"
        return dataclasses.replace(inherited, name=f"lemma-5-2-{one.name}", title=title)

    def rate(self, axis: str, points: Sequence[Point]) -> Rate | None:
        """Return the exponent in N, δ or the levels that the theorems give; the norm only comes close to 1."""
        return frame_rate(axis, self.rows, points) if self.quantity == ERROR else None
