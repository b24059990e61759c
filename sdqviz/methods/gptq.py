"""GPTQ: each rounding error is made up for by all weights still to come, through the inverse of the Hessian."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.choice import field
from sdqviz.methods import METHODS
from sdqviz.path_following import PathFollowing, Prepared
from sdqviz.progress import ShouldStop
from sdqviz.recursion import Gram, conditional_feedback


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
        options=("as-is", "largest-first"),
        advanced=True,
    )
    refinement: int = field(
        0,
        label="Refining sweeps",
        help="How often all weights are visited again, each getting its best level while the others stay.",
        minimum=0,
        maximum=100,
        advanced=True,
    )

    def prepared(self, gram: Gram, weights: Array, should_stop: ShouldStop | None) -> Prepared:
        """Factorise H in the order of the walk."""
        order = np.argsort(-gram.squares, kind="stable") if self.visit == "largest-first" else None
        seen = gram if order is None else gram.visited(order)
        aligned = np.where(gram.alive[:, None], weights, 0.0)
        base = aligned if order is None else np.ascontiguousarray(aligned[order])
        feedback, damping = conditional_feedback(seen, self.damping)
        return Prepared(base, base, feedback, np.ones(len(base)), aligned, order, damping)

    @property
    def refinements(self) -> int:
        """The refining sweeps."""
        return self.refinement
