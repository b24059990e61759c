"""How GPFQ, SPFQ and the unified framework start: align the weights, then feed errors back along the inputs."""

from __future__ import annotations

import dataclasses

from sdqviz.array import Array
from sdqviz.methods.calibrated.plan import Start
from sdqviz.path_following.alignment import align, least_squares, smallest_range
from sdqviz.path_following.feedback import path_gain
from sdqviz.path_following.gram import Gram
from sdqviz.path_following.walk import Tally
from sdqviz.progress import ShouldStop

ALIGNMENTS = {"sweeps": "Sweeps", "least-squares": "Least squares", "smallest-range": "Smallest range"}


@dataclasses.dataclass(frozen=True)
class AlongPath:
    """Starts a walk v_t = w̃_t + ⟨X̃_t, ũ_{t−1}⟩/(C‖X̃_t‖²).

    Attributes
    ----------
    alignment : {"sweeps", "least-squares", "smallest-range"}
        How w̃ is found.
    order : int
        Sweeps.
    scaling, placement
        C, and what it multiplies.
    """

    alignment: str
    order: int
    scaling: float = 1.0
    placement: str = "own"

    def __call__(self, gram: Gram, weights: Array, should_stop: ShouldStop | None) -> Start:
        """Return w̃ and the Gram matrix as the feedback."""
        if self.alignment == "sweeps":
            aligned = align(gram, weights, self.order, should_stop)
        elif self.alignment == "least-squares":
            aligned = least_squares(gram, weights)
        else:
            aligned = smallest_range(gram, weights, should_stop)
        gain = path_gain(gram, self.scaling, self.placement)
        same = gram.cross is None and self.alignment != "smallest-range"  # then w̃ is w
        tally = Tally(gram.squares, coupled=True) if same else None
        return Start(aligned, aligned, gram.inputs, gain, aligned, tally=tally)
