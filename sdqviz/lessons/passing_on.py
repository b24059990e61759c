"""Lesson 1: rounding piles its errors up, ΣΔ hands each one on."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.explore import sigma_delta
from sdqviz.explore.wording import number
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Claim, Lesson, Number, Reveal, Series


@LESSONS.register
@dataclasses.dataclass(frozen=True)
class PassingOn(Lesson):
    """The running sum of the errors of both, along 256 coefficients."""

    name = "passing-on"
    title = "Passing the rest on"
    place = 1
    question = (
        "A slow signal of 256 numbers is stored with **two levels only**, ±δ/2. Add the errors up as you go: "
        "how far from zero does the running sum get when each number is simply rounded? "
        "(ΣΔ adds what is left over to the next number before it rounds.)"
    )
    guess = Number("Largest running sum of rounding, in steps δ", 0, 60, 1)
    why = (
        "Rounding makes the same error again and again while the signal hardly moves, and equal errors add up. "
        "ΣΔ keeps the sum itself, its state $u_n=u_{n-1}+x_n-q_n$, and chooses $q_n$ so that it returns. As long as "
        "$|x_n|\\le(K-\\frac12)\\delta$, with $2K$ levels, $|u_n|\\le\\delta/2$ for ever."
    )
    proof = "vector-bound"
    break_it = "Make the frame longer: does the state grow? Then set δ by hand, smaller and smaller."

    def reveal(self) -> Reveal:
        """Run both on the coefficients of four numbers in a harmonic frame: two waves and their sum."""
        choices = {
            "input": "gaussian", "dimension": 4, "frame": "harmonic", "size": 256, "bits": 1, "step_rule": "range",
            "permutation": "identity", "seed": 0,
        }  # fmt: skip
        run = sigma_delta.build(choices)
        steps = np.arange(1, run.frame.size + 1)
        rounded, state = run.rounded.state / run.step, run.trace.state / run.step
        far, near = float(np.abs(rounded).max()), float(np.abs(state).max())
        return Reveal(
            far,
            f"The sum of rounding's errors wanders {number(far)} steps away; ΣΔ's never leaves the band of half a "
            f"step, its largest is {number(near)}.",
            (
                Claim("rounding's sum leaves the band", far, ">", 0.5),
                Claim("ΣΔ's stays in it", near, "≤", 0.5 + 1e-9),
            ),
            (
                Series("ΣΔ", steps, state, "ours"),
                Series("rounding", steps, rounded, "rounding"),
            ),
            "step n",
            "running sum of the errors, in δ",
            "sigma-delta",
            choices,
            guess_axis="y",
        )
