"""What the GETA page shows: recordings by name, headline numbers, sentences, the code, and the run beside baselines."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.error import InputError
from sdqviz.explore.wording import number, percent, size
from sdqviz.methods import METHODS
from sdqviz.methods.geta import recording
from sdqviz.methods.geta.recording import Beside, Recording
from sdqviz.plots import geta_formulas, geta_graph, geta_steps, theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink, Look

ADDRESS = "geta"

draw_steps = geta_steps.draw
draw_graph = geta_graph.draw_graph
draw_channels = geta_graph.draw_channels
draw_widths = geta_graph.draw_widths


def names() -> tuple[str, ...]:
    """Return the names of the shipped recordings.

    Raises
    ------
    InputError
        If there is none.
    """
    found = tuple(recording.shipped())
    if not found:
        raise InputError("asset recordings must hold at least one recording, got none: install sdqviz again")
    return found


@functools.lru_cache(maxsize=8)
def load(name: str) -> Recording:
    """Return a shipped recording; it is shared and must not be changed.

    Raises
    ------
    InputError
        If there is none of that name, or its file is damaged.
    """
    files = recording.shipped()
    if name not in files:
        raise InputError(f"recording must be one of {', '.join(files)}, got {name!r}")
    return Recording.load(files[name])


def title(run: Recording) -> str:
    """Name a run in a few words."""
    share = run.method.get("sparsity")
    cut = f", {percent(share)} of the units removed" if isinstance(share, int | float) else ""
    return f"{run.network.get('name', 'a network')}{cut}, {run.steps:,} steps, seed {run.seed}"


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link: those of its recording."""
    run = load(str(choices.get("recording", names()[0])))
    found = figures(run)
    return {key: value for key, value in dataclasses.asdict(found).items() if value is not None}


# -- figures ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a run reached so far.

    Attributes
    ----------
    bits_per_weight : float or None
        Everything stored over the original parameters; None until the run is finished.
    accuracy_before, accuracy_after : float or None
        Test accuracy of the original and, last tested, of the run.
    relative_bops : float
        Over the original at 32 × 32 bits.
    removed, units : int
        Units removed, and prunable ones.
    ascents : int
        Joint steps that went uphill.
    """

    bits_per_weight: float | None
    accuracy_before: float | None
    accuracy_after: float | None
    relative_bops: float
    removed: int
    units: int
    ascents: int


def figures(run: Recording) -> Figures:
    """Return what a run reached: from its report if it is finished, else from its last moment."""
    report = run.report or {}
    last = run.moments[-1] if run.moments else None
    tested = [one.accuracy for one in run.moments if one.accuracy is not None]
    removed, units = geta_formulas.totals(run)
    return Figures(
        bits_per_weight=report.get("bits_per_weight"),
        accuracy_before=report.get("accuracy_before", run.accuracy_before),
        accuracy_after=report.get("accuracy_after", tested[-1] if tested else None),
        relative_bops=geta_formulas.relative_bops(run),
        removed=removed,
        units=units,
        ascents=last.ascents if last else 0,
    )


def baseline(run: Recording) -> Beside | None:
    """Return the baseline to name beside the accuracy: of the fine-tuned ones, or else of all, that of nearest cost."""
    tested = [one for one in run.beside if one.accuracy is not None and one.relative_bops > 0]
    cost = figures(run).relative_bops

    def distance(one: Beside) -> float:
        return abs(math.log(one.relative_bops / cost)) if cost > 0 else 0.0

    return min(tested, key=lambda one: ("fine-tuned" not in one.label, distance(one)), default=None)


# -- sentences ----------------------------------------------------------------------------------------


def accuracy(value: float | None) -> str:
    """Write a test accuracy."""
    return "not tested" if value is None else f"{100 * value:.2f} %"


def size_note(run: Recording) -> str:
    """Say what the smaller network weighs."""
    report = run.report
    if report is None:
        return "counted when the run is finished"
    return f"{size(report['bytes'])} instead of {size(report['original_bytes'])}"


def accuracy_note(run: Recording) -> str:
    """Say what the accuracy is to be held against: the original, and a baseline."""
    before, other = figures(run).accuracy_before, baseline(run)
    told = [] if before is None else [f"before {accuracy(before)}"]
    if other is not None:
        name = "pruned, then fine-tuned" if "fine-tuned" in other.label else other.label
        told.append(f"{name}: {accuracy(other.accuracy)} at {percent(other.relative_bops)} of the BOPs")
    return "; ".join(told)


def removal_note(run: Recording) -> str:
    """Say what was removed."""
    found, report = figures(run), run.report or {}
    told = f"{found.removed:,} of {found.units:,} units removed"
    before, after = report.get("original_parameters"), report.get("parameters")
    return f"{told}, {percent(after / before)} of the parameters left" if before and after else told


def verdict(run: Recording) -> str | None:
    """Say so, in one sentence, where a baseline keeps at least as much accuracy, and at what cost."""
    found = figures(run)
    mine, cost, spent = found.accuracy_after, found.relative_bops, found.bits_per_weight
    if not run.finished or mine is None or spent is None:
        return None
    better = [one for one in run.beside if one.accuracy is not None and one.accuracy >= mine]
    winners = [one for one in better if one.relative_bops <= cost * (1 + 1e-9)]
    if winners:
        best = max(winners, key=lambda one: one.accuracy or 0.0)
        return (
            f"A baseline wins here: {best.label} keeps {accuracy(best.accuracy)} at {percent(best.relative_bops)} of "
            f"the BOPs and {number(best.bits_per_weight)} bits a weight; this run {accuracy(mine)} at {percent(cost)} "
            f"and {number(spent)}."
        )
    if better:
        best = min(better, key=lambda one: one.relative_bops)
        return (
            f"More accuracy is to be had for more arithmetic: {best.label} keeps {accuracy(best.accuracy)} at "
            f"{percent(best.relative_bops)} of the BOPs; this run {accuracy(mine)} at {percent(cost)}."
        )
    return None


def descent(run: Recording) -> str:
    """Say whether every joint step went downhill."""
    joint = next((one for one in run.stages if one.name == "joint"), None)
    taken = 0 if joint is None or not run.moments else max(0, min(run.moments[-1].step, joint.last) - joint.first)
    guarded = run.method.get("safeguard")
    rule = "" if guarded is None else " with the safeguard" if guarded else " with the published rule"
    if taken == 0:
        return f"No joint step has been taken yet{rule and ';' + rule + ' they will be checked one by one'}."
    ascents = figures(run).ascents
    if ascents:
        return f"{ascents:,} of {taken:,} joint steps{rule} had an update of redundant units that goes uphill."
    return f"Every one of the {taken:,} joint steps{rule} went downhill for the redundant units."


def code(run: Recording) -> str:
    """Return the lines that make the run anew, with its numbers."""
    network, method = dict(run.network), dict(run.method)
    found = figures(run)
    numbers = (
        f"report.bits_per_weight         # {number(found.bits_per_weight)}\n"
        if found.bits_per_weight is not None
        else ""
    )
    return f"""import sdqviz as sq

network = sq.NETWORKS[{network.pop("name", "mnist-lenet")!r}]({_arguments(network)}).load()
method = sq.METHODS[{method.pop("name", "geta")!r}](
    {_arguments(method)}
)
result = sq.compress(network, method, seed={run.seed})   # trains for {run.steps:,} steps

report = result.report
{numbers}report.accuracy_after          # {accuracy(found.accuracy_after)}
report.relative_bops           # {number(found.relative_bops)}
result.network.module          # the smaller network, an ordinary torch module
result.save("smaller.sdq")"""


def _arguments(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items() if value not in (None, {}))


def counts(run: Recording) -> str:
    """Return the table of costs before and after, in Markdown; empty until the run is finished."""
    report = run.report
    if report is None:
        return ""
    rows: list[tuple[str, Any, Any, Any]] = []
    for name, before, after, show in (
        ("MACs an input", "original_macs", "macs", _count),
        ("parameters", "original_parameters", "parameters", _count),
        ("stored bytes", "original_bytes", "bytes", size),
    ):
        if report.get(before) and report.get(after) is not None:
            rows.append((name, show(report[before]), show(report[after]), percent(report[after] / report[before])))
    if report.get("original_macs") and report.get("bops"):
        dense = 32 * 32 * report["original_macs"]
        rows.insert(1, ("BOPs an input", _count(dense), _count(report["bops"]), percent(report["bops"] / dense)))
    spent = report["bits_per_weight"]
    rows.append(("bits a weight", "32", number(spent), percent(spent / 32)))
    rows.append(("test accuracy", accuracy(report["accuracy_before"]), accuracy(report["accuracy_after"]), ""))
    lines = ["| | before | after | after / before |", "|---|---:|---:|---:|"]
    return _unbroken([*lines, *(f"| {name} | {a} | {b} | {ratio} |" for name, a, b, ratio in rows)])


def _unbroken(lines: Sequence[str]) -> str:
    """Join the lines of a table; no number is parted from its unit."""
    return "\n".join(lines).replace(" %", "\u00a0%").replace(" KiB", "\u00a0KiB").replace(" MiB", "\u00a0MiB")


def _count(value: float) -> str:
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{number(value / scale)} {unit}"
    return f"{value:,.0f}"


# -- beside the baselines -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Mark:
    """One way of making the network smaller, as a point."""

    label: str
    look: Look
    accuracy: float | None
    relative_bops: float
    bits_per_weight: float
    sparsity: float


def marks(run: Recording) -> list[Mark]:
    """Return the run and its baselines as points, the run first."""
    found, report = figures(run), run.report or {}
    bits = found.bits_per_weight if found.bits_per_weight is not None else float("nan")
    share = found.removed / found.units if found.units else 0.0
    own = Mark("GETA", theme.METHODS["geta"], found.accuracy_after, found.relative_bops, bits, share)
    others = [
        Mark(one.label, _look(one.label), one.accuracy, one.relative_bops, one.bits_per_weight, one.sparsity)
        for one in run.beside
    ]
    before = report.get("accuracy_before", run.accuracy_before)
    return [own, *others, Mark("original", theme.ORIGINAL, before, 1.0, 32.0, 0.0)]


def _look(label: str) -> Look:
    """Return how a baseline is drawn: as its method is everywhere; one without a method as pruning by size is."""
    named = (name for name in METHODS if label.startswith(METHODS[name].title))
    return theme.METHODS.get(next(named, "magnitude-pruning"), theme.ROUNDING)


def draw_beside(run: Recording, ink: Ink) -> Panel:
    """Draw accuracy against relative BOPs: the run, its baselines, and the original."""
    shown = marks(run)
    points = [one for one in shown if one.accuracy is not None]
    figure = theme.figure(ink, x="relative BOPs", y="test accuracy", height=340, showlegend=False)
    for one in points:
        figure.add_scatter(
            x=[one.relative_bops], y=[one.accuracy], mode="markers+text", text=[_short(one.label)],
            name=one.label,
            marker=one.look.marker(ink, 13 if one is points[0] else 10)
            | {"line": {"width": 1.5, "color": one.look.colour(ink)}},
            textposition=_side(one, points), textfont={"size": 11, "color": ink.text}, cliponaxis=False,
            hovertemplate=f"{one.label}: %{{y:.2%}} at %{{x:.3%}} of the BOPs, {number(one.bits_per_weight)} bits a "
            f"weight, {percent(one.sparsity)} pruned<extra></extra>",
        )  # fmt: skip
    low = min(one.relative_bops for one in shown)
    axis = theme.log_axis(0.6 * low, 1.6)
    figure.update_xaxes(axis | {"ticktext": [percent(value) for value in axis["tickvals"]]})
    figure.update_yaxes(tickformat=".1~%")
    figure.update_layout(margin={"t": 14, "l": 70})
    told = "; ".join(f"{one.label} {accuracy(one.accuracy)} at {percent(one.relative_bops)}" for one in shown)
    return Panel(
        name="beside",
        title="What it costs, and what it keeps",
        look="Up is better, left is cheaper. The baselines prune or round the same network; those trained were "
        "trained for as many steps.",
        alt=f"Test accuracy against relative BOPs: {told}.",
        figure=figure,
        formulas=[geta_formulas.bops(run)],
        table=lambda: beside_table(shown),
    )


def _short(label: str) -> str:
    """Return what is done and with how many bits.

    Examples
    --------
    >>> _short("Smallest units removed, fine-tuned, 8 bits, activations 8")
    'Smallest units removed, 8 bits'
    """
    first, *rest = label.split(", ")
    return ", ".join([first, *[part for part in rest if part.endswith(("bit", "bits"))][:1]])


def _side(one: Mark, points: Sequence[Mark]) -> str:
    """Put a label where it does not run out of the picture, and not onto its neighbour's."""
    right = one.relative_bops > 0.15
    near = [
        other for other in points if other is not one and 0.5 < other.relative_bops / max(one.relative_bops, 1e-12) < 2
    ]
    lower = any((other.accuracy or 0.0) > (one.accuracy or 0.0) for other in near)
    return f"{'bottom' if lower else 'top'} {'left' if right else 'right'}"


def beside_table(shown: Sequence[Mark]) -> dict[str, Any]:
    """Return the points as columns."""
    return {
        "what": np.array([one.label for one in shown]),
        "accuracy": np.array([np.nan if one.accuracy is None else one.accuracy for one in shown]),
        "relative_bops": np.array([one.relative_bops for one in shown]),
        "bits_per_weight": np.array([one.bits_per_weight for one in shown]),
        "pruned": np.array([one.sparsity for one in shown]),
    }


def beside_lines(run: Recording) -> str:
    """Return the run and its baselines as a table in Markdown."""
    lines = ["| | accuracy | relative BOPs | bits per weight | pruned |", "|---|---:|---:|---:|---:|"]
    for one in marks(run):
        bits = number(one.bits_per_weight) if np.isfinite(one.bits_per_weight) else "at the end"
        name = one.label.replace("|", "\\|")
        lines.append(
            f"| {name} | {accuracy(one.accuracy)} | {percent(one.relative_bops)} | {bits} | {percent(one.sparsity)} |"
        )
    return _unbroken(lines)
