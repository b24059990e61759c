"""GETA: prunes whole channels and learns every layer's bits in one training run; the channels are then cut out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.geta.settings import Settings
from sdqviz.methods.method import CompressedLayer, LeftAlone, NewTensors, Reduction, Task
from sdqviz.storage.bits import Packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

POSITIONS = 200
"""Places at which a convolution is taken to be applied, for the rough estimate of time."""


@METHODS.register
@dataclasses.dataclass(frozen=True)
class Geta(Settings):
    """Joint structured pruning and quantization-aware training in four stages.

    Warm-up: plain steps. Projection: every layer's bits are pushed down, period by period. Joint: in each period the
    least salient units are marked and forgotten, while the rule for the step d keeps the whole update a descent.
    Cool-down: bits are fixed, units are gone, everything else trains on; the rate falls along half a cosine.

    Notes
    -----
    Qu et al., *GETA: Automatic joint structured pruning and quantization for efficient neural network training and
    compression*, arXiv 2502.16638 (CVPR 2025). The published rule for d keeps its promise for clip + d·R with the old
    rounding R, not for x^Q rounded anew; ``safeguard`` lowers γ until it holds for what is really done.
    """

    name = "geta"
    title = "GETA (pruning and quantization)"
    short = "GETA"

    @property
    def trains(self) -> bool:
        """It does."""
        return True

    @property
    def stochastic(self) -> bool:
        """The order of the training inputs is drawn."""
        return True

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long the training takes on one core: three passes over every product of the layers."""
        products = sum(math.prod(shape) * (POSITIONS if len(shape) > 2 else 1) for shape in shapes)
        weights = sum(math.prod(shape) for shape in shapes)
        step = 3e-3 + 1e-3 * len(shapes) + 1.5e-10 * self.batch * products + 1.5e-8 * weights
        return 4.0 + self.plan.steps * step

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer | LeftAlone | NewTensors | Reduction]:
        """Train, then hand over every layer with its zeros, the other retrained tensors, and what to cut."""
        from sdqviz.methods.geta import result, training

        if task.network is None:
            raise InputError("network must be given to train it, got none")
        trained = training.train(
            task.network, self, task.seed, task.progress, task.should_stop, calibration=task.inputs
        )
        yield from result.items(trained, task.layers)

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored levels, the step and the maps of kept channels describe."""
        import numpy as np

        weight = np.zeros(shape)
        levels = stored["levels"]
        offset = 2 ** (levels.bits - 1) - 1
        kept: list[NDArray[Any]] = [
            np.flatnonzero(stored[name].values) if name in stored else np.arange(size)
            for name, size in zip(("outputs", "inputs"), shape[:2], strict=True)
        ]
        step = float(stored["step"].values[0])
        weight[np.ix_(*kept)] = (levels.values.astype(float) - offset) * step
        return weight, None
