"""Lesson 4: the same vectors in another order."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.explore import frames, sigma_delta
from sdqviz.explore.wording import number
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Claim, Lesson, Number, Reveal, Series

VECTORS = 20
ORDERS = {"identity": "as written", "reversed-bits": "bits reversed", "random": "random"}


@LESSONS.register
@dataclasses.dataclass(frozen=True)
class OtherOrder(Lesson):
    """The length of three tours and the error along each."""

    name = "other-order"
    title = "Same vectors, other order"
    place = 4
    question = (
        "ΣΔ visits the 128 vectors of a harmonic frame one after the other and hands the rest on each time. Shuffle "
        "them: the same vectors, the same levels, another order. **How many times longer is the tour?**"
    )
    guess = Number("Length of a random tour over that of the order as written", 1, 30, 0.5)
    why = (
        "What is handed on lands on the next vector; if that one points elsewhere, it does not cancel. The bound is "
        "$\\frac{\\delta d}{2N}(\\sigma+1)$ with $\\sigma$ the length of the tour: short for neighbours on a "
        "closed curve, near $\\sqrt2\\,N$ for strangers."
    )
    proof = "harmonic-frames"
    break_it = "On the page Frames, let *two-opt* look for a shorter tour of a random frame."

    def reveal(self) -> Reveal:
        """Walk through the frame in three orders, with 20 vectors."""
        lab = {
            "input": "gaussian", "dimension": 8, "frame": "harmonic", "size": 128, "bits": 1, "step_rule": "range",
        }  # fmt: skip
        shown = {"frame": "harmonic", "dimension": 8, "size": 128, "seed": 0}
        length, error = {}, {}
        for order in ORDERS:
            length[order] = frames.build({**shown, "permutation": order}).walk.variation
            runs = [sigma_delta.build({**lab, "permutation": order, "seed": seed}) for seed in range(VECTORS)]
            error[order] = float(np.median([one.error / one.norm for one in runs]))
        orders = np.array(list(ORDERS.values()))
        longer = length["random"] / length["identity"]
        worse = error["random"] / error["identity"]
        return Reveal(
            longer,
            f"The random tour is {number(longer)} times as long, and the median error of {VECTORS} vectors is "
            f"{number(worse)} times as large.",
            (
                Claim("the random tour is longer", longer, ">", 1.0),
                Claim("its error is larger", worse, ">", 1.0),
            ),
            (
                Series("length of the tour", orders, np.array(list(length.values())) / length["identity"], "bound"),
                Series("median error", orders, np.array(list(error.values())) / error["identity"], "ours"),
            ),
            "order",
            "times that of the order as written",
            "frames",
            {**shown, "permutation": "random"},
            guess_axis="y",
            log_y=True,
        )
