"""Bounds on a whole network under path following: a Gaussian ReLU network, quantized many times."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.path import PathLayer, ProbabilisticBound, network_hoeffding, network_paper
from sdqviz.bounds.path.layer import matching_power
from sdqviz.choice import field, field_of
from sdqviz.error import InputError
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.path import LAYER_BITS, MOST_WORK, NEAREST, ROUNDING, PathLayerMatrix, gaps
from sdqviz.explore.curves.point import Axis, Point, Rate, Rule, Subject, promises
from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.explore.network_cloud import run_network
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid


@SUBJECTS.register
@dataclasses.dataclass(frozen=True)
class PathNetwork(Subject):
    """A ReLU network of equally wide layers; the error is that of its worst output over the samples."""

    name = "path-network"
    title = "A whole network under path following"
    axes: ClassVar[Mapping[str, Axis]] = {
        "step": Axis(
            "step", "step δ, in standard deviations of the weights", 0.02, 1.0, 1e-3, 10.0, whole=False,
            fixed=(("finite", False),),
        ),
        "bits": Axis(
            "bits", "bits per weight b, drawn at 2^b − 2", 2, 8, 2, 12, position=gaps, fixed=(("finite", True),)
        ),
        "inputs": Axis("inputs", "width N of every layer", 24, 96, 4, 128, fixed=(("finite", False),)),
        "samples": Axis("samples", "samples m", 2, 16, 2, 32, fixed=(("finite", False),)),
        "layers": Axis("layers", "layers L", 1, 6, 1, 6, fixed=(("finite", False),)),
    }  # fmt: skip
    error: ClassVar[str] = "max ‖Φ(X) − Φ̃(X)‖₂ over the outputs"
    only: ClassVar[Mapping[str, tuple[Rule, ...]]] = {
        "scaling": (("method", ("unified",)),),
        "step": (("finite", (False,)),),
        **dict.fromkeys(("bits", "room"), (("finite", (True,)),)),
    }

    method: str = field_of(PathLayerMatrix, "method", "spfq")
    layers: int = field(2, label="Layers L", help="Each is followed by a ReLU.", minimum=1, maximum=6)
    inputs: int = field(48, label="Width N", help="Inputs and neurons of every layer.", minimum=4, maximum=128)
    samples: int = field(
        4,
        label="Samples m",
        help="Rows of X. About half of a layer's outputs are 0 after the ReLU; with more samples than the others the "
        "weights cannot be aligned perfectly, which the paper's form needs.",
        minimum=2,
        maximum=32,
    )
    finite: bool = field_of(WalkChoice, "finite", False)
    bits: int = field_of(PathLayerMatrix, "bits", 4)
    step: float = field_of(PathLayerMatrix, "step", 0.1)
    scaling: float = field_of(PathLayerMatrix, "scaling", 1.0)
    room: float = field_of(WalkChoice, "room", 4.0)
    seeds: int = field_of(PathLayerMatrix, "seeds", 20)
    failure: float = field_of(WalkChoice, "failure", 0.01)

    def check(self) -> None:
        """Refuse what nobody would wait for."""
        work = self.layers * self.inputs**2 * max(self.inputs, 8 * self.samples)
        if self.seeds * work > MOST_WORK:
            raise InputError(
                f"seeds must be at most {int(MOST_WORK / work)} for {self.layers} layers of width {self.inputs}, "
                f"got {self.seeds}: take fewer"
            )

    def estimated_seconds(self) -> float:
        """Return roughly the time of aligning and walking every layer with every seed."""
        each = 2e-8 * self.inputs**2 * (self.samples + 2) + 2e-5 * self.inputs
        return 0.01 + self.layers * self.seeds * each

    def data(self, seed: int) -> tuple[Array, list[Array]]:
        """Return X, shape (m, N), and the weights of each layer, whose outputs keep the size of its inputs."""
        x = np.abs(np.random.default_rng([seed, 23, self.inputs]).standard_normal((self.samples, self.inputs)))
        random = np.random.default_rng([seed, 24, self.inputs])
        spread = math.sqrt(2 / self.inputs)
        return x, [spread * random.standard_normal((self.inputs, self.inputs)) for _ in range(self.layers)]

    def measure(self, seed: int, should_stop: ShouldStop | None = None) -> Point:
        """Quantize the network ``seeds`` times; it depends on the seed and its shape alone."""
        x, weights = self.data(seed)
        stop_if(should_stop)
        grids = [self._grid(weight) for weight in weights]
        nearest = QUANTIZERS["nearest"]()
        quantizer = nearest if self.method == "gpfq" else QUANTIZERS["stochastic"]()
        cloud = run_network(
            x, weights, quantizer, grids, seeds=self.seeds if quantizer.random else 1, scaling=self._scaling,
            first_seed=seed, should_stop=should_stop,
        )  # fmt: skip
        beside = {ROUNDING: np.array([_rounded(x, weights, grids)])}
        if quantizer.random:
            other = run_network(x, weights, nearest, grids, seeds=1, first_seed=seed, should_stop=should_stop)
            beside[NEAREST] = other.euclidean[:, -1]
        measured = cloud.euclidean[:, -1]
        stated: list[ProbabilisticBound] = [
            network_paper(cloud.layers, self._power(cloud.layers)),
            network_hoeffding(cloud.layers, self.failure),
        ]
        count = grids[0].count
        stored = math.ceil(math.log2(count)) + LAYER_BITS / self.inputs**2 if count else math.nan
        clipped = float(cloud.overload.sum() / (len(cloud.overload) * sum(one.size for one in weights)))
        step = float(np.median([grid.step[0] for grid in grids]))
        return Point(measured, beside, promises([stated] * len(measured)), stored, {"step": step, "clipped": clipped})

    @property
    def _scaling(self) -> float:
        return self.scaling if self.method == "unified" else 1.0

    def _grid(self, weight: Array) -> Grid:
        if not self.finite:
            return Grid.infinite("midtread", np.array([self.step * math.sqrt(2 / self.inputs)]))
        return WalkChoice(operator="quantize", bits=self.bits, room=self.room).grid(float(np.abs(weight).max()))

    def _power(self, layers: Sequence[PathLayer]) -> float:
        """Return the p at which the paper's form fails with probability γ over all layers, which are equally wide."""
        every = dataclasses.replace(layers[0], neurons=sum(layer.neurons for layer in layers))
        return matching_power(every, self.failure)

    def rate(self, axis: str, points: Sequence[Point]) -> Rate | None:
        """Return the exponent in δ or the levels, once products of the layers' errors do not matter."""
        exponent = {"step": 1.0, "bits": -1.0}.get(axis)
        if exponent is None or self.method == "gpfq":
            return None
        of = "δ" if axis == "step" else "1/(2^b − 2)"
        return Rate(exponent, f"the last layer's error is proportional to {of}; before errors are small they multiply")


def _rounded(x: Array, weights: Sequence[Array], grids: Sequence[Grid]) -> float:
    """Return the error of the network whose weights are each rounded to their nearest level."""
    original = current = x
    for weight, grid in zip(weights, grids, strict=True):
        original, current = np.maximum(original @ weight, 0.0), np.maximum(current @ grid.nearest(weight), 0.0)
    return float(np.linalg.norm(original - current, axis=0).max())
