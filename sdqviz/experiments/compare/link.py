"""The Compare page's link: what its parameters are at first, and the numbers they give."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from sdqviz import asset
from sdqviz.experiments.compare.entry import SHIPPED
from sdqviz.experiments.compare.filters import AVERAGED, Filter, brushed, parse_brush
from sdqviz.experiments.compare.front import pareto_info
from sdqviz.experiments.run import Run
from sdqviz.experiments.run_file import read_runs

ADDRESS = "compare"
"""The page's address."""

SWEEPS = "sweeps"
"""Folder of shipped sweeps below the assets."""

DEFAULTS: dict[str, Any] = {
    "network": "mnist-fnn",
    "methods": "",
    "seeds": AVERAGED,
    "text": "",
    "brush": "",
    "size_axis": "bits",
    "loss_axis": "accuracy",
    "budget": 2.2,
    "published": True,
}
"""What the page shows at first."""


@functools.cache
def shipped() -> tuple[Run, ...]:
    """Return the runs of the shipped sweeps; read once."""
    files = sorted((asset.folder() / SWEEPS).glob("*.json.gz"))
    return tuple(run for file in files for run in read_runs(file))


def filter_of(choices: Mapping[str, Any]) -> Filter:
    """Read the filter from the parameters of the page's link."""
    chosen = DEFAULTS | dict(choices)
    methods = tuple(name for name in str(chosen["methods"]).split(",") if name)
    return Filter(str(chosen["network"]), methods, str(chosen["seeds"]), str(chosen["text"]))


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers the page shows for the parameters of its link, over the shipped runs alone."""
    chosen = DEFAULTS | dict(choices)
    points = filter_of(choices).chosen((run, SHIPPED) for run in shipped())
    points = brushed(points, parse_brush(str(chosen["brush"])))
    info = pareto_info(points, str(chosen["size_axis"]), str(chosen["loss_axis"]), float(chosen["budget"]))
    small, best = info.unharmed, info.best
    return {
        "runs": sum(len(one.runs) for one in points),
        "bits_per_weight": math.nan if small is None else small.values["bits"],
        "unharmed": "" if small is None else small.method,
        "best": "" if best is None else best.method,
        "accuracy_after": math.nan if best is None else best.values["accuracy"],
        "front": len(info.front),
    }
