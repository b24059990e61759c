"""The table of layers, as shown and as downloaded."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.network.words import bits_text
from sdqviz.explore.rounding_beside import Comparison
from sdqviz.explore.tables import csv_text, rounded
from sdqviz.report import LayerReport, Report
from sdqviz.strict_json import write_json


def table(report: Report) -> dict[str, Array]:
    """Return the report's rows as columns."""
    names = [field.name for field in dataclasses.fields(LayerReport)]
    rows = [dataclasses.asdict(row) | {"shape": "×".join(map(str, row.shape))} for row in report.layers]
    return {name: np.array([row[name] for row in rows]) for name in names}


def table_csv(report: Report) -> bytes:
    """Return the report's rows as CSV, UTF-8."""
    return csv_text(table(report))


def report_json(report: Report) -> str:
    """Return the whole report as JSON; what has no value is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [plain(entry) for entry in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return write_json(plain(report.to_dict()), indent=1)


SHOWN = {
    "name": "layer",
    "kind": "kind",
    "shape": "shape",
    "relative_error": "error, same input",
    "propagated_error": "error, propagated",
    "weight_error": "error of weights",
    "error": "‖W−Q‖₂",
    "bound": "bound",
    "bound_holds": "bound holds",
    "bits_per_weight": "bits per weight",
    "sparsity": "zeros",
    "step": "δ",
    "levels": "levels",
    "size": "N",
    "overload": "overload",
    "unstable": "unstable",
    "dead_inputs": "dead inputs",
    "seconds": "seconds",
}
"""Columns of the table on the page, with what people read; the CSV has every figure under its own name."""


def shown_table(report: Report) -> dict[str, list[Any]]:
    """Return the table on the page, three significant digits."""
    columns = table(report)
    titles = SHOWN | {"error": error_name(report)}
    return {title: [rounded(value) for value in columns[name].tolist()] for name, title in titles.items()}


def error_name(report: Report) -> str:
    """Name what the layers' bounds are about; a method has one kind of bound."""
    return report.layers[0].error_name if report.layers else SHOWN["error"]


PART_NAMES = {"levels": "levels", "step": "scales δ", "parameters": "frame parameters", "kept": "kept tensors"}
"""What people read for the parts of a packed file; other parts keep their own name."""


def bytes_info(found: Comparison) -> dict[str, dict[str, float]]:
    """Return the bytes of the original, the run and the rounding by what they hold."""
    report = found.report
    return {
        "original": {"float32": float(report.original_bytes)},
        report.method["name"]: dict(found.parts),
        f"rounded, {bits_text(found.rounding)}": dict(found.rounding.parts),
    }
