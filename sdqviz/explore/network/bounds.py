"""What is proved about a compressed network, in short: its marks on a plot, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sdqviz.bounds.ladder import Ladder
from sdqviz.bounds.statement import Bound
from sdqviz.compression.guarantee import PATH_ERROR
from sdqviz.explore.network.table import error_name
from sdqviz.explore.wording import number, percent
from sdqviz.report import Report

WALKS = {"path-joint-original": "all walks", "path-joint-seen": "all walks,<br>norms seen"}
"""Short names of what is stated after path following, with a probability."""


def output_marks(report: Report, whole: Sequence[Bound], ladder: Ladder | None) -> dict[str, float]:
    """Return the bounds on the output by short name, from the loosest to the tightest."""
    walked = {one.name: one.value for one in whole if one.name in WALKS and one.holds}
    marks = {WALKS[name]: value for name, value in walked.items()}
    if report.output_bound_holds and not marks:
        name = WALKS["path-joint-seen"] if error_name(report) == PATH_ERROR else "a priori"
        marks[name] = report.output_bound
    for rung in () if ladder is None else ladder.rungs:
        if rung.bound.holds:
            marks[rung.bound.name.upper()] = rung.maximum
    return marks


def unmet(report: Report) -> list[str]:
    """Return the layers in which no bound applies, each with the hypothesis that fails."""
    return [f"{row.name}: {row.bound_because}" for row in report.layers if not row.bound_holds]


def layers_told(report: Report) -> str:
    """Say how close the layers come to their bounds."""
    rows = report.layers
    ratios = [row.error / row.bound for row in rows if row.bound_holds and row.bound > 0]
    if ratios:
        told = f"The layer that comes closest reaches {percent(max(ratios))} of its bound."
    else:
        told = "No bound applies in any layer."
    without = len(unmet(report))
    if without and ratios:
        told += f" In {without} of {len(rows)} layers no bound applies."
    return told


def output_told(report: Report, marks: Mapping[str, float], ladder: Ladder | None) -> str:
    """Say of which inputs the bounds on the output speak, or why there is none."""
    if not marks:
        return f"Measured: {number(report.output_error)}. {report.output_bound_because}"
    if not {*WALKS.values()}.isdisjoint(marks):
        return (
            "What the walks of all layers promise at once speaks of these inputs, with a probability over the random "
            f"numbers, and together with nothing being clipped{'' if ladder is None else '; P0 and P1 of any inputs'}."
        )
    if ladder is None:
        return "Through the layers the gaps multiply. The ladder at the left measures more and promises less too much."
    return "Each rung uses more of what was measured; P0 and P1 hold for unseen inputs too, the others for these."
