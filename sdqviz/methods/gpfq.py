"""GPFQ: greedy path following with rounding to nearest, and its sparse variants."""

from __future__ import annotations

import dataclasses

from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.along_path import ALIGNMENTS, AlongPath
from sdqviz.methods.calibrated.path_following import PathFollowing
from sdqviz.methods.calibrated.plan import Plan
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import QuantizerChoice


@METHODS.register
@dataclasses.dataclass(frozen=True)
class Gpfq(PathFollowing):
    """Greedy path following quantization: q_t is the level nearest to w̃_t + ⟨X̃_t, ũ_{t−1}⟩/‖X̃_t‖².

    Notes
    -----
    Lybrand & Saab, *A greedy algorithm for quantizing neural networks* (2021); Zhang, Zhou & Saab, *Post-training
    quantization for neural networks with provable guarantees* (2023), also for the thresholds.
    """

    name = "gpfq"
    title = "GPFQ"

    alignment: str = field(
        "sweeps",
        label="Alignment",
        help="How the weights are first moved to suit the activations of the network compressed so far: by sweeps, by "
        "least squares, or by the linear program of the smallest range (small layers).",
        options=ALIGNMENTS,
    )
    order: int = field(
        1,
        label="Order r",
        help="Sweeps of the alignment; more of them come closer to least squares.",
        minimum=1,
        maximum=1000,
    )
    threshold: str = field(
        "none",
        label="Threshold",
        help="Sparse GPFQ: soft moves all values towards zero before rounding, hard sets small ones to zero.",
        options={"none": "None", "soft": "Soft", "hard": "Hard"},
    )
    pruning_ratio: float | None = field(
        None,
        label="Pruning ratio",
        help="Share of each layer's weights that are to become zero; the threshold is solved for.",
        minimum=0.001,
        maximum=0.999,
    )
    refinement: int = field(
        0,
        label="Refining sweeps",
        help="How often all weights are visited again, each getting its best level while the others stay.",
        minimum=0,
        maximum=100,
        advanced=True,
    )

    def check(self) -> None:
        """Ask for a ratio where there is a threshold, and the other way round."""
        super().check()
        if (self.threshold == "none") != (self.pruning_ratio is None):
            raise InputError(
                f"pruning_ratio must be given together with a threshold, got {self.pruning_ratio} and {self.threshold}",
                pruning_ratio=None if self.threshold == "none" else 0.5,
            )

    def plan(self) -> Plan:
        """Align, then walk along the inputs, rounding to nearest, perhaps behind a threshold."""
        return Plan(
            AlongPath(self.alignment, self.order),
            self.alphabet,
            self._operator,
            ratio=self.pruning_ratio or 0.0,
            refinements=self.refinement,
        )

    def _operator(self, threshold: float) -> QuantizerChoice:
        if self.threshold == "none":
            return QUANTIZERS["nearest"]()
        return QUANTIZERS.from_dict({"name": f"{self.threshold}-threshold", "threshold": threshold})
