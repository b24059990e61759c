"""SPFQ: path following with stochastic rounding, and with an error bound that holds with high probability."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Array
from sdqviz.choice import field
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.path_following import ALIGNMENTS, PathFollowing, Prepared, align
from sdqviz.path_following.feedback import path_gain
from sdqviz.path_following.gram import Gram
from sdqviz.progress import ShouldStop
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice


@METHODS.register
@dataclasses.dataclass(frozen=True)
class Spfq(PathFollowing):
    """Stochastic path following quantization: alignment of order r, then stochastic rounding along the path.

    Notes
    -----
    Zhang & Saab, *SPFQ: a stochastic algorithm and its error analysis for neural network quantization*
    (arXiv 2309.10975). Its theorems speak of an infinite alphabet; a finite one clips, and that is counted.
    """

    name = "spfq"
    title = "SPFQ"

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
    finite: bool = field(
        True,
        label="Finite alphabet",
        help="Off: the levels go on beyond the range, as the theorems assume; what they take is counted.",
        advanced=True,
    )

    def prepared(self, gram: Gram, weights: Array, should_stop: ShouldStop | None) -> Prepared:
        """Align, then walk along the inputs."""
        aligned = align(gram, weights, self.alignment, self.order, should_stop)
        return Prepared(aligned, aligned, gram.inputs, path_gain(gram), aligned)

    def quantizer(self, threshold: float) -> QuantizerChoice:
        """Return stochastic rounding."""
        return QUANTIZERS["stochastic"]()

    def grid(self, bits: int, step: Array) -> Grid:
        """Return the alphabet that weights are quantized to."""
        return self.finite_grid(bits, step) if self.finite else Grid.infinite(self.alphabet, step)
