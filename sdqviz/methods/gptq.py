"""GPTQ: each rounding error is made up for by all weights still to come, through the inverse of the Hessian."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.choice import field, field_of
from sdqviz.kernels.turn import turned
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.path_following import PathFollowing
from sdqviz.methods.calibrated.plan import Plan, Start
from sdqviz.methods.gpfq import Gpfq
from sdqviz.path_following.factor import Factor
from sdqviz.path_following.feedback import conditional_feedback
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.walk import Tally
from sdqviz.progress import ShouldStop


@METHODS.register
@dataclasses.dataclass(frozen=True)
class Gptq(PathFollowing):
    """GPTQ (OPTQ): weights rounded to nearest in turn, errors fed back optimally to the later ones.

    It aims at X̃w, what the layer itself makes of its inputs in the network compressed so far.

    Notes
    -----
    Frantar et al., *GPTQ: accurate post-training quantization for generative pre-trained transformers*
    (arXiv 2210.17323). The factorisation is tried again with ten times the damping as often as it fails.
    """

    name = "gptq"
    title = "GPTQ"

    damping: float = field(
        0.01,
        label="Damping",
        help="Added to the diagonal of H, as a share of its mean.",
        minimum=0.0,
        maximum=100.0,
        advanced=True,
    )
    visit: str = field(
        "largest-first",
        label="Order of the weights",
        help="As they are, or inputs with the largest norm first, while there are many weights left to make up.",
        options={"as-is": "As they come", "largest-first": "Largest first"},
        advanced=True,
    )
    refinement: int = field_of(Gpfq, "refinement")

    def plan(self) -> Plan:
        """Factorise H, then walk rounding to nearest."""
        return Plan(self._start, self.alphabet, refinements=self.refinement)

    def _start(self, gram: Gram, weights: Array, should_stop: ShouldStop | None) -> Start:
        order, factor = ordered_feedback(gram, self.visit, self.damping)
        aligned = weights if gram.alive.all() else np.where(gram.alive[:, None], weights, 0.0)
        base = turned(aligned.T, columns=order)
        tally = Tally(factor.pivots * gram.alive[order], coupled=False) if gram.cross is None else None
        gain = np.ones(len(base))
        return Start(base, base, factor.feedback, gain, aligned, order, factor.damping, tally, own=True)


def walk_order(gram: Gram, visit: str) -> Index:
    """Return the order of the walk: the inputs as they are, or those with the largest norm first."""
    return np.argsort(-gram.squares, kind="stable") if visit == "largest-first" else np.arange(len(gram.squares))


def ordered_feedback(gram: Gram, visit: str, damping: float) -> tuple[Index, Factor]:
    """Return the order of the walk, and the factor of H in that order, which is computed once for all who ask."""
    order, which = walk_order(gram, visit), (visit, damping)
    factor = gram.kept.get(which)
    if factor is None:
        seen = dataclasses.replace(gram, cross=None).visited(order)  # a copy, which becomes the factor
        factor = gram.kept[which] = conditional_feedback(seen, damping, overwrite=True)
    return order, factor
