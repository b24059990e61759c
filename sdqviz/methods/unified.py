"""The unified stochastic framework: quantizing, pruning, both, or one bit, in one walk scaled by C."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Array
from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.path_following import ALIGNMENTS, PathFollowing, Prepared, align
from sdqviz.path_following.feedback import path_gain
from sdqviz.path_following.gram import Gram
from sdqviz.progress import ShouldStop
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice

OPERATORS = ("quantize", "prune", "quantize-prune", "one-bit")


@METHODS.register
@dataclasses.dataclass(frozen=True)
class Unified(PathFollowing):
    """Path following with a stochastic operator T and feedback ⟨X̃_t, ũ_{t−1}⟩/(C‖X̃_t‖²).

    Notes
    -----
    Zhang & Saab, *Unified stochastic framework for neural network quantization and pruning* (arXiv 2412.18184).
    C = 1 is SPFQ's feedback. The one-bit operator has the two levels ±s whatever ``bits`` and ``alphabet`` say.
    """

    name = "unified"
    title = "Unified stochastic framework"

    alphabet: str = field(
        "midtread",
        label="Alphabet",
        help="Midtread: 2^bits − 1 levels with a zero. Midrise: 2^bits levels without one, for quantizing alone.",
        options=("midtread", "midrise"),
    )
    operator: str = field(
        "quantize-prune",
        label="Operator",
        help="Quantize to levels, prune and keep the other weights in float, do both, or keep one bit and a scale.",
        options=OPERATORS,
    )
    pruning_ratio: float | None = field(
        0.5,
        label="Pruning ratio",
        help="Share of each layer's weights that are to become zero; the threshold c is solved for. For the pruning "
        "operators.",
        minimum=0.001,
        maximum=0.999,
    )
    scaling: float = field(
        1.0,
        label="Scaling C",
        help="Weakens the feedback of earlier errors: more error, but values that stay in range, as the theorem for "
        "one bit asks.",
        minimum=1.0,
        maximum=1e6,
    )
    placement: str = field(
        "own",
        label="C multiplies",
        help="The norm of each input, or the largest norm of all.",
        options=("own", "largest"),
        advanced=True,
    )
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

    def check(self) -> None:
        """Ask for a ratio where the operator prunes, and for a zero among the levels."""
        if self.operator != "one-bit":
            super().check()
        if self._prunes and self.pruning_ratio is None:
            raise InputError(f"pruning_ratio must be given for the operator {self.operator}, got none")
        if self.operator == "quantize-prune" and self.alphabet == "midrise":
            raise InputError("alphabet must be midtread for the operator quantize-prune, got midrise: it has no zero")

    @property
    def _prunes(self) -> bool:
        return self.operator in ("prune", "quantize-prune")

    def prepared(self, gram: Gram, weights: Array, should_stop: ShouldStop | None) -> Prepared:
        """Align, then walk along the inputs with C."""
        aligned = align(gram, weights, self.alignment, self.order, should_stop)
        return Prepared(aligned, aligned, gram.inputs, path_gain(gram, self.scaling, self.placement), aligned)

    def quantizer(self, threshold: float) -> QuantizerChoice:
        """Return the operator."""
        if self._prunes:
            return QUANTIZERS.from_dict({"name": self.operator, "threshold": threshold})
        return QUANTIZERS["stochastic" if self.operator == "quantize" else "one-bit"]()

    def finite_grid(self, bits: int, step: Array) -> Grid:
        """Return the alphabet that the scale is fitted to: two levels for one bit."""
        return Grid.finite("midrise", 1, step) if self.operator == "one-bit" else super().finite_grid(bits, step)

    def grid(self, bits: int, step: Array) -> Grid:
        """Return the alphabet that weights are quantized to."""
        if self.finite or self.operator == "one-bit":
            return self.finite_grid(bits, step)
        return Grid.infinite(self.alphabet, step)

    @property
    def target_ratio(self) -> float:
        """The pruning ratio, for an operator that prunes."""
        return (self.pruning_ratio or 0.0) if self._prunes else 0.0
