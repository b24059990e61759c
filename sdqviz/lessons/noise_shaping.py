"""Lesson 2: where the error of ΣΔ goes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from sdqviz.explore import sigma_delta
from sdqviz.explore.wording import number
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Claim, Curve, Lesson, Reveal, Series

BANDS = (0.05, 0.15, 0.25, 0.35, 0.45)
"""Middles of the five bands, in cycles per step."""

HALF = 0.05
"""Half the width of a band."""


@LESSONS.register
@dataclasses.dataclass(frozen=True)
class NoiseShaping(Lesson):
    """The spectrum of both errors, sketched in five bands."""

    name = "noise-shaping"
    title = "Where the noise goes"
    place = 2
    question = (
        "The errors $x_n-q_n$ of ΣΔ are as large as those of rounding, yet the vector comes back far better. "
        "Take the errors as a sound, in decibels over the power $\\delta^2/12$ of errors that know nothing of each "
        "other (0 dB). **How much noise does ΣΔ have at low and at high frequencies?**"
    )
    guess = Curve("Noise of ΣΔ, dB", BANDS, "cycles per step", -30.0, 20.0, 1.0)
    why = (
        "$x_n-q_n=u_n-u_{n-1}$ is a difference, and differences are small for what changes slowly: the spectrum of "
        "the state is multiplied by $|2\\sin\\pi f|^2$. The frame's vectors change slowly along the walk, so they "
        "listen to the low frequencies, where little is left."
    )
    break_it = "Take the order *random*: the frame vectors no longer change slowly. What happens to the error?"

    def reveal(self) -> Reveal:
        """Average over five bands; compare those below a sixth and above a third of a cycle per step."""
        choices = {
            "input": "sine", "dimension": 16, "frame": "harmonic", "size": 1024, "bits": 2, "step_rule": "range",
            "permutation": "identity", "seed": 0,
        }  # fmt: skip
        found = sigma_delta.spectrum_info(sigma_delta.build(choices))
        low, high = found.frequency <= 1 / 6, found.frequency > 1 / 3
        ours = float(found.sigma_delta[low].mean()), float(found.sigma_delta[high].mean())
        rise = ours[1] - ours[0]
        power = 10 ** (found.sigma_delta / 10)
        truth = tuple(
            10 * math.log10(float(power[np.abs(found.frequency - at) <= HALF].mean())) for at in BANDS
        )  # of the mean power: the mean of decibels would count its dips
        return Reveal(
            truth,
            f"From the lowest third of the frequencies to the highest, ΣΔ's noise rises by {number(rise)} dB; at the "
            f"lowest ones it lies {number(found.low_gap)} dB below rounding's.",
            (
                Claim("the noise rises by more than 3 dB", rise, ">", 3.0),
                Claim("below rounding at low frequencies", found.low_gap, ">", 0.0),
            ),
            (
                Series("ΣΔ", found.frequency, found.sigma_delta, "ours"),
                Series("rounding", found.frequency, found.rounding, "rounding"),
                Series("|2 sin πf|²", found.frequency, found.model, "bound"),
            ),
            "frequency, cycles per step",
            "power in dB over δ²/12",
            "sigma-delta",
            choices,
        )
