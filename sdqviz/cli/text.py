"""Reports and sweeps as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdqviz.experiments.sweep import Sweep
    from sdqviz.report import Report


def report_text(report: Report) -> str:
    """Return a report as text: the whole network first, then one line a layer."""
    method = dict(report.method)
    head = [("network", report.network), ("method", f"{method.pop('name')} ({_settings(method)})")]
    if report.accuracy_before is not None and report.accuracy_after is not None:
        head.append(("test accuracy", f"{report.accuracy_before:.2%} → {report.accuracy_after:.2%}"))
        head.append(("predictions changed", f"{report.changed_predictions:,}"))
    if report.inputs:
        head.append(("relative output error", f"{report.relative_output_error:.3g}"))
        head.append((f"worst output error of {report.inputs} inputs", f"{report.output_error:.3g}"))
        verdict = "holds" if report.output_bound_holds else "does not hold"
        head.append(("bound on it", f"{report.output_bound:.3g}, {verdict}: {report.output_bound_because}"))
    head.append(("bits per original weight", f"{report.bits_per_weight:.3f}"))
    head.append(("bytes", f"{report.bytes:,} (was {report.original_bytes:,})"))
    if not math.isnan(report.macs):  # versions before 0.2 did not count them
        head.append(("MACs of one input", f"{report.macs:,.0f} (was {report.original_macs:,.0f})"))
        head.append(("BOPs of one input", f"{report.bops:,.0f}, {report.relative_bops:.2%} of 32 × 32 bits"))
        head.append(("parameters", f"{report.parameters:,} (was {report.original_parameters:,})"))
    head.append(("seconds", f"{report.seconds:.2f}"))
    measured = report.layers[0].error_name if report.layers else "‖W−Q‖₂"
    rows: list[Sequence[str]] = [
        ("layer", "shape", "N", "levels", "δ", "bits/weight", "rel. error", "propagated", measured, "bound", "overload")
    ]
    for layer in report.layers:
        numbers = [layer.step, layer.bits_per_weight, layer.relative_error, layer.propagated_error, layer.error]
        texts = [f"{number:.3g}" for number in numbers]
        bound = f"{layer.bound:.3g}" + ("" if layer.bound_holds else " (unmet)")
        shape = "×".join(map(str, layer.shape))
        rows.append((layer.name, shape, str(layer.size), str(layer.levels), *texts, bound, str(layer.overload)))
    left = [f"left as it was: {line}" for line in report.left_alone]
    return "\n".join([*aligned(head), "", *aligned(rows), *left])


def sweep_text(result: Sweep) -> str:
    """Return a sweep as text: one line a run, then what failed and why, then the counts."""
    rows: list[Sequence[str]] = [
        ("network", "run", "seed", "inputs", "accuracy", "bits/weight", "sparsity", "rel. error", "seconds")
    ]
    for run in result.runs:
        if run.report is not None:
            one, accuracy = run.report, run.report.accuracy_after
            numbers = [one.bits_per_weight, one.sparsity, one.relative_output_error, run.seconds]
            network = f"{run.network['name']} {run.network.get('seed', 0)}"
            tested = "–" if accuracy is None else f"{accuracy:.2%}"
            texts = [f"{number:.3g}" for number in numbers]
            rows.append((network, run.label, str(run.seed), str(run.calibration), tested, *texts))
    failed = [f"failed: {run.network['name']}, {run.label}: {run.problem}" for run in result.failures]
    counts = f"{len(result.runs)} runs: {result.computed} done now in {result.seconds:.1f} s, "
    counts += f"{result.reused} from the store, {len(failed)} failed"
    return "\n".join([*(aligned(rows) if len(rows) > 1 else []), *failed, counts])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with the columns of ``rows`` under one another."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _settings(method: dict[str, Any]) -> str:
    shown = [f"{key}={value}" for key, value in method.items() if value is not None and value != {}]
    return ", ".join(shown)
