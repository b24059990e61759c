"""The table of runs on the Compare page: a row a point, in the units people read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.experiments.compare.entry import Entry
from sdqviz.experiments.compare.figures import FIGURES
from sdqviz.experiments.compare.front import Pareto
from sdqviz.explore.tables import rounded


def shown_table(points: Sequence[Entry]) -> dict[str, list[Any]]:
    """Return the table on the page, a row a point; failed runs tell their reason."""
    columns: dict[str, list[Any]] = {
        "method": [one.called for one in points],
        "settings": [one.settings for one in points],
        "bits per weight": [rounded(one.values["bits"], 4) for one in points],
        "accuracy, %": [rounded(100 * one.values["accuracy"], 5) for one in points],
        "error, %": [rounded(100 * one.values["error"], 4) for one in points],
        "zeros, %": [rounded(100 * one.values["zeros"], 4) for one in points],
        "KiB": [rounded(one.values["bytes"] / 1024, 4) for one in points],
        "seconds": [rounded(one.values["seconds"], 3) for one in points],
        "network": [one.network for one in points],
        "runs": [len(one.runs) for one in points],
        "seed": [one.run.seed if len(one.runs) == 1 else None for one in points],
        "bound holds": [_bound(one) for one in points],
        "from": [one.origin for one in points],
        "key": [one.key[:6] for one in points],
    }
    if any(one.failed for one in points):
        columns["problem"] = [one.run.problem for one in points]
    return columns


def _bound(one: Entry) -> str:
    """Say in how many of the runs the bound on the output applies and is kept."""
    reports = [run.report for run in one.runs if run.report is not None]
    kept = sum(found.output_bound_holds and found.output_error <= found.output_bound * (1 + 1e-9) for found in reports)
    broken = sum(found.output_bound_holds for found in reports) - kept
    if broken:
        return f"violated in {broken}"
    return "yes" if kept and kept == len(reports) else "not applicable" if not kept else f"in {kept} of {len(reports)}"


def front_table(info: Pareto) -> dict[str, Array]:
    """Return everything that is drawn of a front, a row a point."""
    on_front = set(info.front.tolist())
    columns: dict[str, Array] = {
        "method": np.array([one.method for one in info.points]),
        "settings": np.array([one.settings for one in info.points]),
        "network": np.array([one.network for one in info.points]),
        "runs": np.array([len(one.runs) for one in info.points]),
        "on_front": np.array([index in on_front for index in range(len(info.points))]),
    }
    for name in FIGURES:
        columns[name] = np.array([one.values[name] for one in info.points])
        columns[f"{name}_deviation"] = np.array([one.spread(name) for one in info.points])
    return columns
