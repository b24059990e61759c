"""What is said of a layer along its path: verdicts on bounds, their table, advice on the range."""

from __future__ import annotations

import math

from sdqviz.explore.layer_walks import walk as walks
from sdqviz.explore.layer_walks.walk import WalkRun
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
    lines = [
        "| bound | value | stated with | runs above | median / bound | largest / bound | applies |",
        "|---|---|---|---|---|---|---|",
    ]
    for one, verdict in zip(run.bounds, run.verdicts, strict=True):
        applies = "yes" if one.holds else f"not applicable: {one.reason}.".replace("|", "\\|")
        lines.append(
            f"| {one.title} | {number(one.value)} | ≥ {percent(one.probability)} | {verdict.failures} of "
            f"{verdict.seeds} | {number(verdict.median)} | {number(verdict.largest)} | {applies} |"
        )
    return "\n".join(lines)


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
