"""Bounds on path following: one layer quantized many times, against bounds stated with a probability."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds import path as path_bound
from sdqviz.bounds.path import ProbabilisticBound
from sdqviz.choice import field, field_of
from sdqviz.error import InputError
from sdqviz.explore import monte_carlo
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.point import Axis, Point, Rate, Rule, Subject, promises
from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.explore.layer_walks.data import LayerData, layer_data
from sdqviz.path_following.alignment import align
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid

METHODS = {"spfq": "SPFQ", "gpfq": "GPFQ", "unified": "Unified stochastic framework"}
OPERATORS = {"quantize": "Quantize", "quantize-prune": "Quantize and prune", "one-bit": "One bit and a scale"}
ROUNDING, NEAREST = "plain rounding", "GPFQ (nearest level)"

MOST_WORK = 1.5e9
"""Seeds × neurons × N² of a point above which it is refused."""

LAYER_BITS = 32
"""Bits of the stored step."""


def gaps(bits: float) -> float:
    """Return 2^b − 2, the steps between the lowest and the highest of 2^b − 1 levels."""
    return 2.0**bits - 2


@SUBJECTS.register
@dataclasses.dataclass(frozen=True)
class PathLayerMatrix(Subject):
    """A Gaussian layer, quantized along its path with many seeds; the error is that of its worst neuron."""

    name = "path"
    title = "One layer under path following"
    axes: ClassVar[Mapping[str, Axis]] = {
        "inputs": Axis("inputs", "width N (inputs of a neuron)", 48, 384, 4, 768, fixed=(("finite", False),)),
        "samples": Axis("samples", "samples m", 8, 128, 2, 256, fixed=(("finite", False),)),
        "bits": Axis("bits", "bits per weight b, drawn at 2^b − 2", 2, 8, 2, 12, position=gaps),
        "step": Axis(
            "step", "step δ, in standard deviations of the weights", 0.05, 2.0, 1e-3, 10.0, whole=False,
            fixed=(("finite", False),),
        ),
        "scaling": Axis("scaling", "scaling C", 1, 64, 1, 1000, whole=False, fixed=(("method", "unified"),)),
        "order": Axis("order", "order r of the alignment, X̃ changed by 0.3", 1, 32, 1, 64, fixed=(("drift", 0.3),)),
    }  # fmt: skip
    error: ClassVar[str] = "‖Xw − X̃q‖ of the worst neuron"
    only: ClassVar[Mapping[str, tuple[Rule, ...]]] = {
        **dict.fromkeys(("operator", "scaling", "placement"), (("method", ("unified",)),)),
        "threshold": (("method", ("unified",)), ("operator", ("quantize-prune",))),
        "step": (("finite", (False,)),),
        "bits": (("finite", (True,)), ("operator", ("quantize", "quantize-prune"))),
        "room": (("finite", (True,)),),
    }

    method: str = field(
        "spfq",
        label="Method",
        help="spfq: random levels, right on average. gpfq: nearest levels, to which no theorem here applies. unified: "
        "with an operator and a scaling C of its own.",
        options=METHODS,
    )
    operator: str = field(
        "quantize",
        label="Operator T",
        help="Of the unified framework: random levels, random levels and pruning, or one random sign.",
        options=OPERATORS,
    )
    norm: str = field_of(WalkChoice, "norm", "euclidean")
    inputs: int = field(128, label="Inputs N", help="Weights of a neuron.", minimum=4, maximum=768)
    samples: int = field(32, label="Samples m", help="Rows of X.", minimum=2, maximum=256)
    neurons: int = field(4, label="Neurons", help="The bound is for all at once.", minimum=1, maximum=16)
    finite: bool = field_of(WalkChoice, "finite", True)
    bits: int = field(
        4, label="Bits per weight", help="2^bits − 1 levels with a zero in the middle; at one bit two levels.",
        minimum=2, maximum=12,
    )  # fmt: skip
    step: float = field(
        0.25,
        label="Step δ",
        help="In standard deviations of the weights; used where the levels go on for ever.",
        minimum=1e-3,
        maximum=1e4,
    )
    scaling: float = field_of(WalkChoice, "scaling", maximum=1e4)
    order: int = field_of(WalkChoice, "order", 1)
    drift: float = field_of(WalkChoice, "drift", 0.0)
    threshold: float = field_of(WalkChoice, "threshold", 0.1)
    room: float = field_of(WalkChoice, "room", 1.5)
    seeds: int = field(
        40,
        label="Runs",
        help="At every point, each with its own random numbers; the layer stays.",
        minimum=1,
        maximum=1000,
    )
    failure: float = field_of(WalkChoice, "failure", 0.01)
    placement: str = field_of(WalkChoice, "placement", "own")

    def check(self) -> None:
        """Refuse what nobody would wait for."""
        work = self.seeds * self.neurons * self.inputs**2
        if work > MOST_WORK:
            raise InputError(
                f"seeds must be at most {int(MOST_WORK / (self.neurons * self.inputs**2))} for "
                f"{self.neurons} neurons of {self.inputs} inputs, got {self.seeds}: take fewer"
            )

    @property
    def error_title(self) -> str:
        """The norm that is measured."""
        return self.error.replace("q‖", "q‖∞" if self.norm == "infinity" else "q‖₂")

    @property
    def walk(self) -> WalkChoice:
        """The same layer as the page Path following has it."""
        return WalkChoice(
            samples=self.samples, inputs=self.inputs, neurons=self.neurons, drift=self.drift,
            operator=self._operator, bits=self.bits, threshold=self.threshold, room=self.room,
            finite=self.finite, failure=self.failure,
        )  # fmt: skip

    @property
    def _operator(self) -> str:
        return self.operator if self.method == "unified" else "quantize"

    @property
    def _scaling(self) -> float:
        return self.scaling if self.method == "unified" else 1.0

    def estimated_seconds(self) -> float:
        """Return roughly the time of the walks and of what the sharper bounds need."""
        walks = 1.2e-9 * self.seeds * self.neurons * self.inputs * (self.inputs + 2 * self.samples + 200)
        return 0.004 + walks + 4e-9 * self.inputs**2 * (self.inputs / 4 + self.samples)

    def measure(self, seed: int, should_stop: ShouldStop | None = None) -> Point:
        """Quantize the layer ``seeds`` times; it depends on the seed and its shape alone."""
        data = layer_data(self.walk, seed)
        stop_if(should_stop)
        largest = float(np.abs(data.weights[data.gram.alive]).max(initial=0.0))
        grid = self.walk.grid(largest) if self._ends else Grid.infinite("midtread", np.array([self.step]))
        threshold = float(np.float32(self.threshold * largest))
        quantizer = QUANTIZERS["nearest"]() if self.method == "gpfq" else self.walk.quantizer(threshold)
        aligned = align(data.gram, data.weights, self.order)
        given: dict[str, Any] = {
            "original": None if data.agree else data.original, "aligned": aligned, "first_seed": seed,
            "should_stop": should_stop,
        }  # fmt: skip
        cloud = monte_carlo.run_layer(
            data.inputs, data.weights, quantizer, grid, scaling=self._scaling, placement=self.placement,
            seeds=self.seeds if quantizer.random else 1, **given,
        )  # fmt: skip
        measured = cloud.worst(self.norm)
        beside = {ROUNDING: self._rounded(data, grid)}
        if quantizer.random:
            other = monte_carlo.run_layer(data.inputs, data.weights, QUANTIZERS["nearest"](), grid, seeds=1, **given)
            beside[NEAREST] = other.worst(self.norm)
        stated: tuple[ProbabilisticBound, ...] = path_bound.layer_bounds(
            cloud.layer, self.failure, cloud.sensitivity(data.inputs)
        )
        chosen = [one for one in stated if self.norm in one.name]
        stored = self._bits_stored(grid) + LAYER_BITS / data.weights.size
        clipped = float(cloud.overload.sum() / (cloud.seeds * data.weights.size))
        facts = {"step": float(grid.step[0]), "clipped": clipped}
        return Point(measured, beside, promises([chosen] * len(measured)), stored, facts)

    @property
    def _ends(self) -> bool:
        return self.finite or self._operator == "one-bit"

    def _bits_stored(self, grid: Grid) -> float:
        """Bits of a level; those of an endless alphabet are not bounded."""
        return float(math.ceil(math.log2(grid.count))) if grid.count else math.nan

    def _rounded(self, data: LayerData, grid: Grid) -> Array:
        """Return the error of rounding every weight to its nearest level, shape (1,)."""
        kept = np.where(data.gram.alive[:, None], grid.nearest(data.weights), 0.0)
        left = data.original @ data.weights - data.inputs @ kept
        sizes = np.abs(left).max(axis=0) if self.norm == "infinity" else np.linalg.norm(left, axis=0)
        return np.array([sizes.max()])

    def rate(self, axis: str, points: Sequence[Point]) -> Rate | None:
        """Return the exponent in N, δ or the levels; nothing is proved of nearest levels."""
        if self.method == "gpfq":
            return None
        if axis == "inputs" and self.norm == "euclidean" and self.drift == 0:
            return Rate(0.0, "the bound depends on δ, m and max‖X_j‖, not on the width")
        if axis == "step" and self.drift == 0 and self._operator == "quantize":
            return Rate(1.0, "every bound is proportional to δ")
        if axis == "bits" and self.drift == 0 and self._operator == "quantize":
            return Rate(-1.0, "δ falls as 1/(2^b − 2), and every bound with it")
        return None
