"""Lesson 3: how small a step may be."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.explore import sigma_delta
from sdqviz.explore.wording import number
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Claim, Lesson, Number, Reveal, Series

LARGEST, GRAIN = 3.0, 0.05


@LESSONS.register
@dataclasses.dataclass(frozen=True)
class SmallStep(Lesson):
    """The largest state against δ."""

    name = "small-step"
    title = "Too small a step"
    place = 3
    question = (
        "One-bit levels are ±δ/2. A smaller δ means a smaller band for the state and a better bound, but the levels "
        "must reach the numbers. The largest coefficient is 1: **from which δ on does the state stay in its band**, "
        "|u| ≤ δ/2?"
    )
    guess = Number("Smallest δ that works, in units of the largest coefficient", 0.5, LARGEST, GRAIN)
    why = (
        "The theorem needs $|x_n|\\le(K-\\frac12)\\delta$; with one bit $K=1$, so $\\delta\\ge2\\max|x_n|$ is enough "
        "for **every** sequence. One sequence may be kind and survive a little less; just below that, the quantizer is "
        "overloaded, the state leaves its band, and no bound is left."
    )
    proof = "vector-bound"
    break_it = "Set the step rule to *by-hand* and find the breaking point of another seed."

    def reveal(self) -> Reveal:
        """Walk through the same coefficients with sixty steps δ."""
        choices = {
            "input": "gaussian", "dimension": 8, "frame": "harmonic", "size": 64, "bits": 1, "step_rule": "range",
            "permutation": "identity", "seed": 0,
        }  # fmt: skip
        safe = sigma_delta.build(choices)
        largest = float(np.abs(safe.trace.coefficients).max())
        relative = np.arange(0.5, LARGEST + GRAIN / 2, GRAIN)
        runs = [sigma_delta.build({**choices, "step_rule": "by-hand", "step": float(k) * largest}) for k in relative]
        state = np.array([float(np.abs(one.trace.state).max()) / one.step for one in runs])
        stays = state <= 0.5 + 1e-9
        last = int(np.flatnonzero(~stays).max(initial=-1))
        found, enough = float(relative[last + 1]), safe.step / largest
        return Reveal(
            found,
            f"From δ = {number(found)} on the state stays in its band; the theorem asks for {number(enough)}, which is "
            f"enough for every sequence. Just below, at {number(float(relative[last]))}, it reaches "
            f"{number(float(state[last]))} δ.",
            (
                Claim("this walk needs no more than the theorem asks", found, "≤", enough + GRAIN),
                Claim("just below, the state leaves its band", float(state[last]), ">", 0.5),
                Claim("above, it never does", float(state[last + 1 :].max()), "≤", 0.5 + 1e-9),
            ),
            (
                Series("largest state", relative, state, "ours"),
                Series("half a step", relative, np.full(len(relative), 0.5), "bound"),
            ),
            "δ, in units of the largest coefficient",
            "largest |u|, in δ",
            "sigma-delta",
            {**choices, "step_rule": "by-hand", "step": round(float(relative[last]) * largest, 4)},
            guess_axis="x",
            log_y=True,
        )
