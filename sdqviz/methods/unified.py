"""The unified stochastic framework: quantizing, pruning, both, or one bit, in one walk scaled by C."""

from __future__ import annotations

import dataclasses

from sdqviz.choice import field, field_of
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.along_path import AlongPath
from sdqviz.methods.calibrated.path_following import PathFollowing
from sdqviz.methods.calibrated.plan import Plan
from sdqviz.methods.calibrated.scale import AUTO
from sdqviz.methods.gpfq import Gpfq
from sdqviz.methods.spfq import Spfq
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import QuantizerChoice

OPERATORS = {
    "quantize": "Quantize",
    "prune": "Prune",
    "quantize-prune": "Quantize and prune",
    "one-bit": "One bit and a scale",
}


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
    short = "Unified"

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
        options={"own": "Each input's norm", "largest": "The largest norm"},
        advanced=True,
    )
    alignment: str = field_of(Gpfq, "alignment")
    order: int = field_of(Gpfq, "order")
    finite: bool = field_of(Spfq, "finite")

    def check(self) -> None:
        """Ask for a ratio where the operator prunes, and for a zero among the levels."""
        if self.operator != "one-bit":
            super().check()
        if self._prunes and self.pruning_ratio is None:
            raise InputError(
                f"pruning_ratio must be given for the operator {self.operator}, got none", pruning_ratio=0.5
            )
        if self.operator == "quantize-prune" and self.alphabet not in (AUTO, "midtread"):
            raise InputError(
                f"alphabet must be midtread for the operator quantize-prune, got {self.alphabet}: it must have a zero, "
                "and room for ±c beside the levels",
                alphabet="midtread",
            )

    @property
    def _prunes(self) -> bool:
        return self.operator in ("prune", "quantize-prune")

    def plan(self) -> Plan:
        """Align, then walk along the inputs with C and the operator."""
        one_bit = self.operator == "one-bit"
        own = {"one-bit": "midrise", "quantize-prune": "midtread"}
        return Plan(
            AlongPath(self.alignment, self.order, self.scaling, self.placement),
            own.get(self.operator, self.alphabet),
            self._operator,
            endless=not (self.finite or one_bit),
            level_bits=1 if one_bit else None,
            ratio=(self.pruning_ratio or 0.0) if self._prunes else 0.0,
            scaling=self.scaling,
        )

    def _operator(self, threshold: float) -> QuantizerChoice:
        if self._prunes:
            return QUANTIZERS.from_dict({"name": self.operator, "threshold": threshold})
        return QUANTIZERS["stochastic" if self.operator == "quantize" else "one-bit"]()
