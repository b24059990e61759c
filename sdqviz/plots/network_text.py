"""What the Network page says in words, and its table: accuracy, verdicts on bounds and rounding, counts, downloads."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.comparison import Comparison, Rounding, mean_weight_error
from sdqviz.explore.wording import number, percent
from sdqviz.methods import METHODS
from sdqviz.plots import theme
from sdqviz.plots.theme import Look
from sdqviz.report import LayerReport, Report


def accuracy(value: float | None) -> str:
    """Write a test accuracy, which a network without data does not have."""
    return "not tested" if value is None else f"{100 * value:.1f} %"


def bits_text(rounding: Rounding) -> str:
    """Write the bits of plain rounding."""
    return f"{rounding.bits} bit{'' if rounding.bits == 1 else 's'}"


def error_headline(report: Report) -> tuple[str, str, str, str]:
    """Return label, value, note and help of the headline about the error.

    That is the error of the output, or where none is measured (weights alone) that of the weights.
    """
    if report.inputs:
        return (
            "Relative output error",
            percent(report.relative_output_error),
            verdict(report),
            "‖f − f_Q‖_F/‖f‖_F over the calibration inputs; the bound is on the largest ‖f(x) − f_Q(x)‖ of them.",
        )
    held = sum(row.bound_holds and row.error <= row.bound * (1 + 1e-9) for row in report.layers)
    worst = max(report.layers, key=lambda row: row.weight_error)
    return (
        "Largest error of the weights",
        percent(worst.weight_error),
        f"in layer {worst.name}; bound on {report.layers[0].error_name} holds in {held} of {len(report.layers)} layers",
        "‖W − Q‖_F/‖W‖_F of the layer where it is largest. Without a forward pass there is no output to compare.",
    )


def accuracy_note(found: Comparison) -> str:
    """Say what the accuracy was, how many predictions changed, and what rounding keeps."""
    report, best = found.report, found.rounding.best
    if report.accuracy_before is None:
        return "this network comes without test data"
    return (
        f"before {accuracy(report.accuracy_before)}, {report.changed_predictions:,} predictions changed; rounding at "
        f"{bits_text(found.rounding)}: {accuracy(best.accuracy_after)}"
    )


def verdict(report: Report) -> str:
    """Say whether the bound on the output holds, from its computed hypotheses and the measured error."""
    if not report.output_bound_holds:
        return "bound " + report.output_bound_because[:1].lower() + report.output_bound_because[1:]
    kept = report.output_error <= report.output_bound * (1 + 1e-9)
    sign = "≤" if kept else ">"
    told = f"measured {number(report.output_error)} {sign} {number(report.output_bound)}"
    return f"bound holds: yes, {told}" if kept else f"bound holds: no, {told}: a defect, please report the link"


def verdict_on_rounding(found: Comparison) -> str | None:
    """Say so, in one sentence, when plain rounding at no more bits leaves less error or keeps more accuracy."""
    mine, best = found.report, found.rounding.best
    spent, less = number(mine.bits_per_weight), number(best.bits_per_weight)
    error, other = percent(mine.relative_output_error), percent(best.relative_output_error)
    if found.rounding_wins and not mine.inputs:
        error, other = (percent(mean_weight_error(one)) for one in (mine, best))
        return (
            f"Plain rounding wins here: with {less} bits a weight it leaves the weights {other} of error, this choice "
            f"spends {spent} bits for {error} (averages over all weights)."
        )
    tested = mine.accuracy_after is not None and best.accuracy_after is not None
    if found.rounding_wins:
        return (
            f"Plain rounding wins here: with {less} bits a weight it leaves {other} output error"
            + (f" and {accuracy(best.accuracy_after)} accuracy" if tested else "")
            + f"; this choice spends {spent} bits for {error}"
            + (f" and {accuracy(mine.accuracy_after)}." if tested else ".")
        )
    if found.rounding.affordable and (best.accuracy_after or 0.0) > (mine.accuracy_after or 0.0):
        return (
            f"Plain rounding keeps more accuracy here, {accuracy(best.accuracy_after)} with {less} bits a weight "
            f"against {accuracy(mine.accuracy_after)} with {spent}, though its output error is larger, "
            f"{other} against {error}."
        )
    return None


def counts(report: Report) -> list[str]:
    """Say how many values overloaded the quantizer, which vectors broke the stability condition, and dead inputs."""

    def listed(field: str) -> str:
        rows = [(row.name, getattr(row, field)) for row in report.layers if getattr(row, field)]
        return ", ".join(f"{name} {count:,}" for name, count in rows) or "none"

    told = [
        f"Overload (values outside the quantizer's range): {listed('overload')}.",
        f"Unstable vectors (their coefficients break the stability condition): {listed('unstable')}.",
    ]
    if report.inputs:
        told.append(f"Dead inputs (zero on every calibration input): {listed('dead_inputs')}.")
    return told


def table(report: Report) -> dict[str, Array]:
    """Return the report's rows as columns."""
    names = [field.name for field in dataclasses.fields(LayerReport)]
    rows = [dataclasses.asdict(row) | {"shape": "×".join(map(str, row.shape))} for row in report.layers]
    return {name: np.array([row[name] for row in rows]) for name in names}


def table_csv(report: Report) -> bytes:
    """Return the report's rows as CSV, UTF-8."""
    out = io.StringIO()
    columns = table(report)
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    return out.getvalue().encode()


def report_json(report: Report) -> str:
    """Return the whole report as JSON; what has no value is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [plain(entry) for entry in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return json.dumps(plain(report.to_dict()), indent=1, ensure_ascii=False)


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
    return {title: [_rounded(value) for value in columns[name].tolist()] for name, title in titles.items()}


def error_name(report: Report) -> str:
    """Name what the layers' bounds are about; a method has one kind of bound."""
    return report.layers[0].error_name if report.layers else SHOWN["error"]


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else float(f"{value:.3g}")


def look_of(report: Report) -> Look:
    """Return how the run's method is drawn; rounding beside itself takes the colour of what is compressed."""
    name = report.method["name"]
    return theme.COMPRESSED if name == "round-to-nearest" else theme.METHODS.get(name, theme.COMPRESSED)


def title_of(report: Report) -> str:
    """Return what people call the run's method."""
    return METHODS[report.method["name"]].title
