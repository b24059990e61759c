"""Lesson 7: bits of a level are not bits of a weight."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.explore.wording import number, percent
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Claim, Lesson, OneOf, Reveal, Series


@LESSONS.register
@dataclasses.dataclass(frozen=True)
class NothingIsFree(Lesson):
    """One-bit frames against four-bit rounding, on a trained network."""

    name = "nothing-is-free"
    title = "Nothing is free"
    place = 7
    question = (
        "A network for handwritten digits is stored in two ways. **A**: frame quantization with one bit a level, and "
        "N = 1000 levels for each column of 784 or 256 weights. **B**: each weight rounded to four bits. "
        "Which is smaller, and which is more accurate?"
    )
    guess = OneOf(
        "I expect that",
        {
            "both-a": "A is smaller and at least as accurate",
            "both-b": "B is smaller and at least as accurate",
            "small-a": "A is smaller, B more accurate",
            "small-b": "B is smaller, A more accurate",
        },
    )
    why = (
        "A level of one bit is not a weight of one bit: with N levels for d weights it is $N/d$ of them. Redundancy is "
        "what ΣΔ pays with, and what it buys is levels of two values and a proved error. Fewer bits and N near d, or "
        "random signs, change the account."
    )
    break_it = "On the page Network give N as redundancy 1.02 with 2 bits, and look for what rounding needs there."

    def reveal(self) -> Reveal:
        """Compress the shipped network twice and test it on 10,000 images."""
        from sdqviz.compression.compress import compress  # torch: the page opens without it
        from sdqviz.methods.frame_quantization import FrameQuantization
        from sdqviz.methods.round_to_nearest import RoundToNearest
        from sdqviz.networks.catalogue import NETWORKS

        network = NETWORKS["mnist-fnn"]().load()
        choices = {"network": "mnist-fnn", "method": "frame", "size": 1000, "bits": 1, "step_rule": "range-column"}
        ways = {
            "A: one-bit frames": FrameQuantization(size=1000, bits=1, step_rule="range-column"),
            "B: four-bit rounding": RoundToNearest(bits=4),
        }
        reports = [compress(network, method).report for method in ways.values()]
        a, b = (one.bits_per_weight for one in reports)
        good = [float(one.accuracy_after or 0.0) for one in reports]
        small, right = ("a" if a < b else "b"), ("a" if good[0] > good[1] else "b" if good[1] > good[0] else "")
        truth = f"{'both' if right in ('', small) else 'small'}-{small}"
        return Reveal(
            truth,
            f"A takes {number(a)} bits a weight and is right on {percent(good[0])} of the images; B takes {number(b)} "
            f"and is right on {percent(good[1])}.",
            (
                Claim("the smaller one is smaller", min(a, b), "<", max(a, b)),
                Claim("both stay near the original", min(good), ">", 0.97 * float(reports[0].accuracy_before or 1.0)),
            ),
            (
                Series("bits per weight", np.array(list(ways)), np.array([a, b]), "ours"),
                Series("images wrong, %", np.array(list(ways)), 100 * (1 - np.array(good)), "original"),
            ),
            "way of storing",
            "bits a weight, and images wrong in %",
            "network",
            choices,
        )
