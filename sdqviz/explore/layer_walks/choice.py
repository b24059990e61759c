"""What is asked about one layer: its data, the random operator T, and how often."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sdqviz.choice import Choice, field, field_of
from sdqviz.error import InputError
from sdqviz.methods.calibrated.path_following import PathFollowing
from sdqviz.methods.gpfq import Gpfq
from sdqviz.methods.gptq import Gptq
from sdqviz.methods.spfq import Spfq
from sdqviz.methods.unified import OPERATORS, Unified
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice
from sdqviz.storage.bits import step_up

NORMS = {"infinity": "Largest entry", "euclidean": "Euclidean"}


@dataclasses.dataclass(frozen=True)
class WalkChoice(Choice):
    """A layer, the random operator T it is quantized with, and how often.

    The layer is Gaussian, with inputs X̃ that differ a little from the original X, or one of a shipped network with
    calibration images, whose earlier layers have been rounded.
    """

    name = "walk"
    title = "One layer along its path"

    source: str = field(
        "gaussian",
        label="Data",
        help="Gaussian inputs and weights (they follow the seed), or a layer of a trained network and what calibration "
        "images look like in front of it.",
        options={"gaussian": "Gaussian numbers", "network": "A trained network's"},
    )
    network: str = field(
        "mnist-fnn",
        label="Network",
        help="A shipped network.",
        options=lambda: {name: title for name, title in NETWORKS.titles().items() if NETWORKS[name].with_data},
    )
    layer: int = field(2, label="Layer", help="Counted from the input.", minimum=1, maximum=6)
    samples: int = field(
        32,
        label="Samples m",
        help="Rows of X: calibration samples, for a convolution patches of them.",
        minimum=2,
        maximum=256,
    )
    inputs: int = field(
        128, label="Inputs N", help="Weights of a neuron, and steps of its walk.", minimum=2, maximum=1024
    )
    neurons: int = field(
        8, label="Neurons", help="How many neurons take part; of a layer with fewer, all.", minimum=1, maximum=64
    )
    drift: float = field(
        0.2,
        label="Change of the inputs",
        help="X̃ = X + this times Gaussian noise: what quantizing the earlier layers has done. With 0 there is nothing "
        "to align.",
        minimum=0.0,
        maximum=1.0,
    )
    operator: str = field(
        "quantize-prune",
        label="Operator T",
        help="What the unified framework does to each value: round it at random to a level above or below, prune it "
        "below c at random, do both, or keep one random sign. All are right on average.",
        options=OPERATORS,
    )
    bits: int = field(
        4,
        label="Bits per weight",
        help="2^bits − 1 levels with a zero in the middle; 2 levels for one bit.",
        minimum=1,
        maximum=8,
    )
    threshold: float = field(
        0.15,
        label="Pruning threshold c",
        help="As a share of the largest weight. Values below c become 0 or ±c at random.",
        minimum=0.0,
        maximum=1.0,
    )
    scaling: float = field(
        1.0,
        label="Scaling C",
        help="Divides the feedback of earlier errors in the unified framework. C = 1 is SPFQ; a larger C keeps the "
        "values in range, as one bit needs, and lets more error stay.",
        minimum=1.0,
        maximum=100.0,
    )
    order: int = field_of(Gpfq, "order", maximum=64)
    room: float = field(
        1.5,
        label="Range of the alphabet",
        help="The largest level as a multiple of the largest weight. Feedback makes values larger than the weights; "
        "what lies beyond the last level is clipped, and then no bound applies.",
        minimum=0.1,
        maximum=10.0,
    )
    seeds: int = field(
        500, label="Seeds", help="Runs of the cloud, each with its own random numbers.", minimum=1, maximum=5000
    )
    norm: str = field(
        "infinity",
        label="Error measured as",
        help="infinity: the largest error over the samples. euclidean: the length of the error. Of the worst neuron.",
        options=NORMS,
    )
    failure: float = field(
        0.01,
        label="Failure probability γ",
        help="The bounds are stated with probability 1 − γ, for all neurons at once.",
        minimum=0.0001,
        maximum=0.5,
        advanced=True,
    )
    finite: bool = field(
        True,
        label="Finite alphabet",
        help="Off: the levels go on for ever, as the theorems assume at first; one bit always ends.",
        advanced=True,
    )
    placement: str = field_of(Unified, "placement")

    def check(self) -> None:
        """Refuse one bit where a zero is needed, and pruning below 0."""
        if self.operator == "quantize-prune" and self.bits == 1:
            raise InputError(
                "bits must be at least 2 for the operator quantize-prune, got 1: one bit has no room for a zero "
                "between two signs; use the operator one-bit",
                bits=2,
            )
        if self.operator == "prune" and self.threshold == 0:
            raise InputError(
                "threshold must be above 0 for the operator prune, got 0: nothing would be pruned", threshold=0.01
            )

    @property
    def prunes(self) -> bool:
        """Whether the operator has a threshold."""
        return self.operator in ("prune", "quantize-prune")

    @property
    def alphabet(self) -> str:
        """Midtread where there is room for a zero."""
        return "midrise" if self.level_bits == 1 else "midtread"

    @property
    def level_bits(self) -> int:
        """Bits of the alphabet: 1 for the one-bit operator whatever ``bits`` says."""
        return 1 if self.operator == "one-bit" else self.bits

    def grid(self, largest: float) -> Grid:
        """Return the alphabet that reaches ``room`` times the largest weight."""
        unit = Grid.finite(self.alphabet, self.level_bits, 1.0)
        step = step_up(np.atleast_1d(self.room * largest / unit.radius))
        if self.finite or self.operator == "one-bit":
            return Grid.finite(self.alphabet, self.level_bits, step)
        return Grid.infinite(self.alphabet, step)

    def quantizer(self, threshold: float) -> QuantizerChoice:
        """Return T with c = ``threshold``, in the units of the weights."""
        if self.prunes:
            return QUANTIZERS.from_dict({"name": self.operator, "threshold": threshold})
        return QUANTIZERS["stochastic" if self.operator == "quantize" else "one-bit"]()

    def method(self, name: str) -> PathFollowing:
        """Return one of the compared methods as the library has it, with this alignment, C and alphabet."""
        levels: dict[str, Any] = {"bits": self.bits, "alphabet": self.alphabet}
        if name == "unified":
            return Unified(
                order=self.order, operator=self.operator, scaling=self.scaling, placement=self.placement, **levels
            )
        if name == "gptq":
            return Gptq(visit="as-is", **levels)
        return {"gpfq": Gpfq, "spfq": Spfq}[name](order=self.order, **levels)
