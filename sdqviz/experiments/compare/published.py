"""Printed figures of the papers as reference marks beside measured runs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from sdqviz.experiments.compare.entry import Entry
from sdqviz.report import Report

PAPER = "Czaja & Na, arXiv 2404.08131"


@dataclasses.dataclass(frozen=True)
class Published:
    """A printed figure.

    Attributes
    ----------
    size : int
        N.
    bits : float
        Levels per original weight with the widths of our network.
    accuracy, deviation : float
        Mean and standard deviation over the paper's networks, 0 … 1.
    """

    size: int
    bits: float
    accuracy: float
    deviation: float


def published(points: Sequence[Entry], network: str) -> tuple[Published, ...]:
    """Return the accuracies that Czaja and Na print for one bit, placed at the bits our layers would cost at their N.

    Parameters
    ----------
    points : sequence of Entry
        Some run of the network: its layers give the shapes.
    network : str
        Name of the network.
    """
    from sdqviz.experiments.paper.plan import FNN, PUBLISHED, RESIDUAL

    table = PUBLISHED.get({FNN: "table3", RESIDUAL: "table4"}.get(network, ""), {})
    reports = (run.report for one in points if one.network == network for run in one.runs)
    report = next((found for found in reports if found is not None and found.layers), None)
    if report is None:
        return ()
    return tuple(
        Published(size, one_bit_cost(report, size), mean / 100, deviation / 100)
        for size, (mean, deviation) in table.items()
    )


def one_bit_cost(report: Report, size: int) -> float:
    """Return the bits per original weight of N one-bit levels for each column of each layer."""
    columns = sum(math.prod(row.shape[1:]) for row in report.layers)
    return size * columns / sum(math.prod(row.shape) for row in report.layers)
