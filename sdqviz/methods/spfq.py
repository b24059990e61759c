"""SPFQ: path following with stochastic rounding, and with an error bound that holds with high probability."""

from __future__ import annotations

import dataclasses

from sdqviz.choice import field, field_of
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.along_path import AlongPath
from sdqviz.methods.calibrated.path_following import PathFollowing
from sdqviz.methods.calibrated.plan import Plan
from sdqviz.methods.gpfq import Gpfq
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import QuantizerChoice


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

    alignment: str = field_of(Gpfq, "alignment")
    order: int = field_of(Gpfq, "order")
    finite: bool = field(
        True,
        label="Finite alphabet",
        help="Off: the levels go on beyond the range, as the theorems assume; what they take is counted.",
        advanced=True,
    )

    def plan(self) -> Plan:
        """Align, then walk along the inputs, rounding at random."""
        start = AlongPath(self.alignment, self.order)
        return Plan(start, self.alphabet, _stochastic, endless=not self.finite)


def _stochastic(threshold: float) -> QuantizerChoice:
    return QUANTIZERS["stochastic"]()
