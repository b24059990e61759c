"""From the link of Path following to its runs, and the lines that compute them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdqviz.explore.layer_walks import alignment, grains, width
from sdqviz.explore.layer_walks import walk as walks
from sdqviz.explore.layer_walks.alignment import AlignmentRun
from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.explore.layer_walks.grains import Pieces, WeightWalk
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.layer_walks.width import WidthRun
from sdqviz.explore.layer_walks.words import SHORT
from sdqviz.explore.stored import chosen
from sdqviz.recent import Recent

_runs: Recent[tuple[WalkChoice, int], WalkRun] = Recent(4)
"""What one page asks for several times: the walk itself, and the walk taken apart."""


def build(choices: Mapping[str, Any]) -> WalkRun:
    """Run what the parameters of the page's link describe."""
    choice, seed = chosen(WalkChoice, choices), int(choices.get("seed", 0))
    known = _runs.get((choice, seed))
    return _runs.put((choice, seed), walks.run(choice, seed)) if known is None else known


def step(choices: Mapping[str, Any]) -> WeightWalk | Pieces:
    """Take the walk that the parameters of the page's link describe apart, at the grain they name."""
    grain, seed = choices["grain"], int(choices.get("seed", 0))
    if grain == "layer":
        return grains.layers(chosen(WalkChoice, choices), seed)
    run = build(choices)
    return grains.neurons(run) if grain == "neuron" else grains.weight_walk(run, int(choices["neuron"]))


def align(choices: Mapping[str, Any]) -> AlignmentRun | None:
    """Align the layer that the parameters of the page's link describe with growing order."""
    return alignment.alignment(chosen(WalkChoice, choices), int(choices.get("seed", 0)))


def widen(choices: Mapping[str, Any]) -> WidthRun:
    """Run the experiment with Gaussian weights at the steps that the parameters of the page's link give."""
    return width.width_experiment(chosen(WalkChoice, choices), int(choices.get("seed", 0)))


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link."""
    run = build(choices)
    errors = {f"relative_error_{SHORT[name].lower()}": run.relative_error(name) for name in walks.COMPARED[:-1]}
    return {
        "bits_per_weight": run.bits_per_weight,
        "relative_error": run.relative_error("unified"),
        **errors,
        "zeros": run.zeros,
        "bound": run.sharpest.value,
        "probability": run.sharpest.probability,
        "bound_holds": run.sharpest.holds and run.verdict.consistent(),
        "failures": run.verdict.failures,
        "largest_ratio": run.verdict.largest,
    }


def code(choices: Mapping[str, Any], run: WalkRun) -> str:
    """Return the lines that compute the page's numbers."""
    values = run.choice.to_dict()
    values.pop("name")
    default = WalkChoice()
    given = ", ".join(f"{name}={value!r}" for name, value in values.items() if value != getattr(default, name))
    return f"""from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.explore.layer_walks.walk import run as follow
from sdqviz.path_following.alignment import align
from sdqviz.path_following.feedback import path_gain

run = follow(WalkChoice({given}), seed={int(choices.get("seed", 0))})
run.relative_error("unified")      # {run.relative_error("unified"):.6g}
run.bits_per_weight                # {run.bits_per_weight:.6g}
run.sharpest.value, run.sharpest.probability, run.verdict.failures   # the bound, and how many runs are above it

# the walk itself: q_t = T(w̃_t + ⟨X̃_t, ũ_(t−1)⟩/(C‖X̃_t‖²)), from the Gram matrix alone
gram = run.data.gram
aligned = align(gram, run.data.weights, order={run.choice.order})
gain = path_gain(gram, scaling={run.choice.scaling!r}, placement={run.choice.placement!r})"""
