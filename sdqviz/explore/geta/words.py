"""What is said of a run of joint pruning and quantization: notes, verdict, costs, and the code that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdqviz.explore.geta.run import baseline, figures
from sdqviz.explore.tables import markdown
from sdqviz.explore.wording import number, percent, size
from sdqviz.methods.geta.recording import Recording


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
    return unbroken(markdown(("", "before", "after", "after / before"), rows, "---:"))


def unbroken(table: str) -> str:
    """Return a table in which no number is parted from its unit."""
    return table.replace(" %", "\u00a0%").replace(" KiB", "\u00a0KiB").replace(" MiB", "\u00a0MiB")


def _count(value: float) -> str:
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{number(value / scale)} {unit}"
    return f"{value:,.0f}"
