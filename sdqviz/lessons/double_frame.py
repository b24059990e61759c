"""Lesson 5: what twice as many vectors buy."""

from __future__ import annotations

import dataclasses

from sdqviz.explore.bounds import link
from sdqviz.explore.wording import number
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Claim, Lesson, OneOf, Reveal, Series


@LESSONS.register
@dataclasses.dataclass(frozen=True)
class DoubleFrame(Lesson):
    """Error and bound against N, with their slopes."""

    name = "double-frame"
    title = "Double the frame"
    place = 5
    question = (
        "Twice as many frame vectors cost twice as many bits. **By how much does the error of ΣΔ fall** when N is "
        "doubled, in a harmonic frame with two bits a level?"
    )
    guess = OneOf(
        "With twice the vectors the error",
        {
            "same": "stays about the same",
            "root": "falls to 1/√2, as averages do",
            "half": "halves",
            "more": "falls to less than half",
        },
    )
    why = (
        "Rounding each coefficient on its own averages independent errors: $1/\\sqrt N$. ΣΔ's bound "
        "$\\frac{\\delta d}{2N}(\\sigma+1)$ halves, for σ stays below $2\\pi(d+1)$ however long the frame is. And it "
        "is a bound: the state is no worst case at every step, so what is measured falls faster still."
    )
    proof = "harmonic-frames"
    break_it = "Sweep the same with the order *random*: which slope is left?"

    def reveal(self) -> Reveal:
        """Fit both slopes over nine sizes."""
        choices = {"subject": "vector", "sweep": "size", "bits": 2, "dimension": 16, "seed": 0}
        curve = link.build(choices)
        measured, proved = 2**curve.fit.slope, 2**curve.bound_fit.slope
        truth = min({"same": 1.0, "root": 2**-0.5, "half": 0.5}.items(), key=lambda one: abs(one[1] - measured))[0]
        if measured < 0.45:
            truth = "more"
        return Reveal(
            truth,
            f"With every doubling of N the error falls to {number(measured)} of what it was; the bound promises "
            f"{number(proved)}. Of {curve.comparisons:,} runs {len(curve.violations)} lie above a bound.",
            (
                Claim("what is measured falls at least as fast as the bound", measured, "≤", proved),
                Claim("no run lies above a bound", len(curve.violations), "=", 0),
                Claim("less than half is left", measured, "<", 0.5),
            ),
            (
                Series("measured, median", curve.x, curve.median, "ours"),
                Series("proved", curve.x, curve.tightest, "bound"),
            ),
            "frame size N",
            "error of a unit vector",
            "bounds",
            choices,
            log_x=True,
            log_y=True,
        )
