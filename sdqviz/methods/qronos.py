"""Qronos: GPTQ's feedback, started from the original network's outputs."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.choice import field_of
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.path_following import PathFollowing
from sdqviz.methods.calibrated.plan import Plan, Start
from sdqviz.methods.gptq import Gptq, ordered_feedback
from sdqviz.path_following.alignment import least_squares
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.walk import Tally
from sdqviz.progress import ShouldStop


@METHODS.register
@dataclasses.dataclass(frozen=True)
class Qronos(PathFollowing):
    """Qronos: corrects errors already made in earlier layers and weights, and shapes the later weights.

    It aims at Xw, the original network's outputs. The first weight is rounded with the others as they are; these then
    move to the least-squares solution given it, and from there on each rounding error is fed back as GPTQ does.

    Notes
    -----
    Zhang, Zhang, Colbert & Saab, *Qronos: correcting the past by shaping the future … in post-training quantization*
    (arXiv 2505.11695). Damping pulls the solution towards the given weights.
    """

    name = "qronos"
    title = "Qronos"

    damping: float = field_of(Gptq, "damping")
    visit: str = field_of(Gptq, "visit")
    refinement: int = field_of(Gptq, "refinement")

    def plan(self) -> Plan:
        """Solve the least-squares problem, factorise H, then walk rounding to nearest."""
        return Plan(self._start, self.alphabet, refinements=self.refinement)

    @property
    def numbers_held(self) -> tuple[float, float, float]:
        """As others do, and of each neuron walked at once where the walk begins, and its weights in that order."""
        matrices, weights, walked = super().numbers_held
        return matrices, weights, walked + 2

    def _start(self, gram: Gram, weights: Array, should_stop: ShouldStop | None) -> Start:
        order, factor = ordered_feedback(gram, self.visit, self.damping)
        damping, alive = factor.damping, gram.alive[order]
        aligned = least_squares(gram, weights, damping)
        reference = np.ascontiguousarray(aligned[order])
        base = reference.copy()
        if len(base) and alive[0] and gram.cross is not None:
            first, ordered = order[0], weights[order]
            aimed = gram.cross[first, order] @ ordered + damping * ordered[0]
            later = gram.inputs[first, order[1:]] * alive[1:]
            base[0] = (aimed - later @ ordered[1:]) / (gram.squares[first] + damping)
        tally = Tally(factor.pivots * alive, coupled=False) if gram.cross is None else None
        return Start(base, reference, factor.feedback, np.ones(len(base)), aligned, order, damping, tally)
