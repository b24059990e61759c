"""The figures and tables of the paper on frame quantization: shipped results first, or computed anew."""

from __future__ import annotations

import functools
from pathlib import Path

from sdqviz import asset
from sdqviz.experiments.paper import plan as paper
from sdqviz.experiments.paper import reproduce
from sdqviz.experiments.paper.plan import Plan
from sdqviz.experiments.paper.result import Result
from sdqviz.networks import training
from sdqviz.progress import Progress, ShouldStop
from sdqviz.strict_json import read_json

SHOWN = ("figure1", "figure2", "table3", "table4")
"""What the page offers; tables 1 and 2 have no published numbers known to us, and no law to look at."""


NETS = 3
"""Networks behind each of our numbers: those whose weights are shipped."""


def plan(name: str) -> Plan:
    """Return what has to be computed for a figure or table."""
    return paper.plan(name, nets=NETS)


def seconds(name: str) -> float:
    """Return roughly how long computing it takes from nothing."""
    return sum(cell.weight for cell in plan(name).cells)


@functools.cache
def shipped(name: str) -> Result:
    """Return the shipped result of a figure or table.

    Raises
    ------
    InputError
        If the file is missing.
    """
    return Result.from_dict(
        read_json(asset.path(f"figures/{name}.json").read_bytes(), f"asset figures/{name}.json must be")
    )


def compute(name: str, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Result:
    """Compute a figure or table; finished cells are kept in the user's cache folder, so that a stopped run goes on."""
    return reproduce.run(plan(name), folder(), progress, should_stop)[0]


def folder() -> Path:
    """Return where finished cells are kept."""
    return training.cache_folder() / "reproduced"
