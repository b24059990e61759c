"""GPTQ: each rounding error is made up for by all weights still to come, through the inverse of the Hessian."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.path_following import ErrorFeedback, Prepared
from sdqviz.path_following.feedback import conditional_feedback
from sdqviz.path_following.gram import Gram
from sdqviz.progress import ShouldStop


@METHODS.register
@dataclasses.dataclass(frozen=True)
class Gptq(ErrorFeedback):
    """GPTQ (OPTQ): weights rounded to nearest in turn, errors fed back optimally to the later ones.

    It aims at X̃w, what the layer itself makes of its inputs in the network compressed so far.

    Notes
    -----
    Frantar et al., *GPTQ: accurate post-training quantization for generative pre-trained transformers*
    (arXiv 2210.17323). The factorisation is tried again with ten times the damping as often as it fails.
    """

    name = "gptq"
    title = "GPTQ"

    def prepared(self, gram: Gram, weights: Array, should_stop: ShouldStop | None) -> Prepared:
        """Factorise H in the order of the walk."""
        order = self.walk_order(gram)
        seen = gram if order is None else gram.visited(order)
        aligned = np.where(gram.alive[:, None], weights, 0.0)
        base = aligned if order is None else np.ascontiguousarray(aligned[order])
        feedback, damping = conditional_feedback(seen, self.damping)
        return Prepared(base, base, feedback, np.ones(len(base)), aligned, order, damping)
