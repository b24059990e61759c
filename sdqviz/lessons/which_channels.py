"""Lesson 8: which layer loses most when pruning is learned."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.explore.wording import percent
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Claim, Lesson, OneOf, Reveal, Series
from sdqviz.methods.geta.recording import Recording, shipped

RUN = "mnist-lenet-70-seed0"
LAYERS = ("conv1", "conv2", "hidden")


@LESSONS.register
@dataclasses.dataclass(frozen=True)
class WhichChannels(Lesson):
    """The share of the units that a recorded run of GETA removed, layer by layer."""

    name = "which-channels"
    title = "Which channels would you cut?"
    place = 8
    question = (
        "A small convolutional network with two convolutions (6 and 16 channels) and a hidden dense layer (120 units) "
        "is pruned while it is trained: 70 % of all units must go. GETA learns which. **Which layer loses the "
        "largest share?**"
    )
    guess = OneOf("The largest share goes from", {name: name for name in LAYERS})
    why = (
        "What is removed is what the loss misses least, over the whole network at once. A wide layer has units that do "
        "the same; a narrow one at the entrance feeds everything that follows."
    )
    break_it = "On the page GETA move the slider through the run: when do the channels go, and what do the bits do?"

    def reveal(self) -> Reveal:
        """Count what the recorded run removed."""
        run = Recording.load(shipped()[RUN])
        groups = [one for one in run.groups if one.prunable]
        names = [one.name for one in groups]
        share = np.array([len(one.removed) / one.units for one in groups])
        most = int(share.argmax())
        total = sum(len(one.removed) for one in groups) / sum(one.units for one in groups)
        return Reveal(
            names[most],
            f"{names[most]} loses {percent(float(share[most]))} of its units, {names[int(share.argmin())]} only "
            f"{percent(float(share.min()))}; over all it is {percent(total)}.",
            (
                Claim("the largest share is above that of all", float(share[most]), "≥", total),
                Claim("the smallest is below", float(share.min()), "≤", total),
            ),
            (Series("removed, %", np.array(names), 100 * share, "ours"),),
            "layer",
            "units removed, %",
            "geta",
            {"recording": RUN},
        )
