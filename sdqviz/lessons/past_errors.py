"""Lesson 6: methods that make up for the past."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.explore.layer_walks import link
from sdqviz.explore.wording import percent
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Claim, Lesson, OneOf, Reveal, Series

METHODS = {"round-to-nearest": "rounding", "gptq": "GPTQ", "gpfq": "GPFQ", "spfq": "SPFQ"}


@LESSONS.register
@dataclasses.dataclass(frozen=True)
class PastErrors(Lesson):
    """The errors of four methods along one layer, and 500 runs against a bound."""

    name = "past-errors"
    title = "Make up for the past"
    place = 6
    question = (
        "A neuron's 128 weights become four-bit numbers, one after the other, while the inputs have changed a little "
        "because earlier layers were quantized. Rounding looks at each weight alone. GPTQ, GPFQ and SPFQ let the "
        "weights still to come make up for what went wrong, SPFQ with dice. **Which leaves the smallest error?**"
    )
    guess = OneOf("The smallest error has", METHODS)
    why = (
        "GPFQ compares with what the **original** inputs would have given, so it also makes up for the changed inputs; "
        "GPTQ looks at the changed ones alone. SPFQ's dice cost some error, but they make errors independent and right "
        "on average, and for that a bound can be proved that holds with a stated probability."
    )
    proof = "path-following"
    break_it = "Set the change of the inputs to 0. Which method loses its lead?"

    def reveal(self) -> Reveal:
        """Walk once with each, and 500 times with the random operator."""
        choices = {
            "source": "gaussian", "samples": 32, "inputs": 128, "neurons": 8, "drift": 0.2,
            "operator": "quantize", "bits": 4, "scaling": 1.0, "order": 1, "room": 1.5, "seeds": 500,
            "norm": "infinity", "seed": 0,
        }  # fmt: skip
        run = link.build(choices)
        error = {name: run.relative_error(name) for name in METHODS}
        best = min(error, key=lambda name: error[name])
        steps = np.arange(1, run.choice.inputs + 1)
        looks = {"round-to-nearest": "rounding", best: "ours"}
        return Reveal(
            best,
            f"{METHODS[best]} leaves {percent(error[best])} error, rounding {percent(error['round-to-nearest'])}. "
            f"Of {run.verdict.seeds} runs with dice {run.verdict.failures} break the bound, which may fail in "
            f"{percent(1 - run.verdict.probability)} of them.",
            (
                Claim("the best is better than rounding", error[best], "<", error["round-to-nearest"]),
                Claim(
                    "no more runs than promised break the bound",
                    run.verdict.failures,
                    "≤",
                    run.verdict.seeds * (1 - run.verdict.probability),
                ),
            ),
            tuple(
                Series(METHODS[name], steps, np.median(run.path(name).state, axis=1), looks.get(name, "original"))
                for name in METHODS
            ),
            "weights done",
            "median over the neurons of ‖error‖",
            "path-following",
            choices,
        )
