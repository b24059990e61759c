"""What is said of a layer along its path: verdicts on bounds, their table, advice on the range."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sdqviz.explore.layer_walks import walk as walks
from sdqviz.explore.layer_walks.bands import Band
from sdqviz.explore.layer_walks.grains import Pieces, WeightWalk
from sdqviz.explore.layer_walks.walk import WalkRun
from sdqviz.explore.tables import markdown
from sdqviz.explore.wording import number, percent

SHORT = {
    "round-to-nearest": "rounding",
    "gptq": "GPTQ",
    "gpfq": "GPFQ",
    "spfq": "SPFQ",
    "unified": "unified",
}
"""The methods' names on a plot."""


def bound_verdict(run: WalkRun) -> tuple[str, str]:
    """Say in a word whether the sharpest bound holds, and in a line what the cloud says about it."""
    stated, verdict = run.sharpest, run.verdict
    if not stated.holds:
        return "Not applicable", f"{stated.reason}."
    if not stated.informative:
        return "Says nothing", "its stated probability is not positive"
    told = (
        f"with probability ≥ {percent(stated.probability)}: {verdict.failures} of {verdict.seeds} runs above it, the "
        f"largest at {percent(verdict.largest)} of it"
    )
    return ("Yes", told) if verdict.consistent() else ("Violated", f"{told}: a defect, please report the link")


def bound_table(run: WalkRun) -> str:
    """Write all bounds against the cloud as a Markdown table."""
    head = ("bound", "value", "stated with", "runs above", "median / bound", "largest / bound", "applies")
    rows = [
        (
            one.title,
            number(one.value),
            f"≥ {percent(one.probability)}",
            f"{verdict.failures} of {verdict.seeds}",
            number(verdict.median),
            number(verdict.largest),
            "yes" if one.holds else f"not applicable: {one.reason}.",
        )
        for one, verdict in zip(run.bounds, run.verdicts, strict=True)
    ]
    return markdown(head, rows)


def range_advice(run: WalkRun) -> str | None:
    """Say what keeps one bit in range, or how many values were clipped; None where there is nothing to say."""
    needed = walks.one_bit_scaling(run)
    clipped = int(run.cloud.overload.sum())
    share = clipped / (run.cloud.seeds * run.data.weights.size)
    if needed is not None:
        if not math.isfinite(needed.value):
            return "One bit has no room here: the scale s must be larger than the largest weight. Widen the range."
        return (
            f"One bit provably stays in range, with probability {percent(1 - run.choice.failure)}, for C ≥ "
            f"{number(needed.value)}; C = {number(run.choice.scaling)} clipped {percent(share)} of the values."
        )
    if clipped:
        return (
            f"{percent(share)} of all values lay beyond the last level, where T is no longer right on average: widen "
            "the range, take a larger C, or let C multiply the largest norm."
        )
    return None


def where_seen(walk: WeightWalk) -> str:
    """Say in what space the residual of a neuron is drawn."""
    samples = walk.residual.shape[1]
    if samples == 2:
        return "a vector of two numbers, one for each sample"
    if samples == 3:
        return "a vector in space, one number for each of the three samples"
    return f"seen in the plane that holds {percent(walk.shown)} of its squared length (with m ≤ 3 samples all of it)"


def least_and_most(pieces: Pieces, place: int) -> str:
    """Name the method that leaves least of a piece, and the one that leaves most."""
    errors = {name: float(values[place]) for name, values in pieces.errors.items()}
    least, most = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    return f"{SHORT[least]} leaves {percent(errors[least])}, {SHORT[most]} {percent(errors[most])}"


def cloud_told(run: WalkRun) -> str:
    """Say of how many runs the bounds speak, and how many are above the sharpest."""
    stated, verdict = run.sharpest, run.verdict
    if not stated.holds:
        return f"No bound applies: {stated.reason}. Lines are faded."
    highest = max(one.value for one in run.bounds if math.isfinite(one.value))
    return (
        f"The runs in order of their error. All bounds are stated for {percent(1 - run.choice.failure)} of them, left "
        f"of the dotted line, and all neurons at once; {verdict.failures} of {verdict.seeds} runs "
        f"are above the lowest. The papers' form is {number(highest / stated.value)} times as high as the lowest."
    )


def paths_told(run: WalkRun, found: Mapping[str, Band]) -> str:
    """Say whether handing errors on helps, from the ends of the medians that are drawn."""
    last = {name: float(band.median[-1]) for name, band in found.items()}
    told = (
        "Rounding lets its errors pile up; the others hand each error on to the weights still to come. At the end "
        "stands the error of the layer. Bands hold 80 % of the neurons; grey are the others."
        if last["round-to-nearest"] > max(last["gpfq"], last["spfq"])
        else "Here handing errors on does not help every method: at the end rounding is no worse than some. Bands hold "
        "80 % of the neurons."
    )
    if run.choice.operator == "quantize" and run.choice.scaling == 1 and run.choice.placement == "own":
        told += " Without pruning and with C = 1 the unified framework is SPFQ: their curves lie on each other."
    return told


def paths_alt(run: WalkRun, found: Mapping[str, Band]) -> str:
    """Write where the medians end."""
    last = {name: float(band.median[-1]) for name, band in found.items()}
    ends = ", ".join(f"{SHORT[name]} {percent(value)}" for name, value in last.items())
    length, neurons = run.data.weights.shape
    return (
        f"Norm of the state over the norm of the output along {length} steps, median over {neurons} neurons. At the "
        f"end: {ends}. Smallest: {SHORT[min(last, key=last.__getitem__)]}."
    )


def operator_told(run: WalkRun, end: float) -> str:
    """Say what is drawn of the operator, up to values of ``end``, and which values were larger."""
    finite = bool(run.grid.count) and run.quantizer.rounds
    widest = float(np.abs(run.values).max())
    sentences = ["Marks are single draws, the blue line their mean: in range T is right on average."]
    if run.cut > 0:
        sentences.append("In the shaded zone values become 0 or ±c.")
    sentences.append("Below, the values the walk gave it" + ("; dotted, the last levels." if finite else "."))
    if widest > end:
        sentences.append(f"Values as large as {number(widest)} are counted in the outermost bars.")
    return " ".join(sentences)
