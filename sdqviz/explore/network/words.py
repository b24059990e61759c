"""What the Network page says: accuracy, verdicts on bounds and rounding, counts."""

from __future__ import annotations

from sdqviz.compression.question import Question
from sdqviz.explore.rounding_beside import Comparison, Rounding, mean_weight_error
from sdqviz.explore.wording import number, percent
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.scale import AUTO
from sdqviz.report import Report


def accuracy(value: float | None) -> str:
    """Write a test accuracy, which a network without data does not have."""
    return "not tested" if value is None else f"{100 * value:.1f} %"


def choice_text(asked: Question) -> str:
    """Name a choice: the method with its bits, and the network."""
    bits = getattr(asked.method, "bits", None)
    spent = "" if bits is None else f" at {bits} bit{'' if bits == 1 else 's'}"
    return f"{METHODS[asked.method.name].title}{spent} on {asked.network.name}"


def bits_text(rounding: Rounding, fit: str | None = None) -> str:
    """Write the bits of plain rounding, of the better fit unless another is named."""
    bits = rounding.bits if fit is None else int(rounding.reports[fit].method["bits"])
    return f"{bits} bit{'' if bits == 1 else 's'}"


def rounding_text(rounding: Rounding) -> str:
    """Name the rounding beside by all that was chosen, and say how many were tried."""
    method = rounding.best.method
    shared = method["scale"].removeprefix("per-")
    grain = f"{shared} inputs of a neuron" if shared.isdecimal() else shared
    alphabet = "the best alphabet of each layer" if method["alphabet"] == AUTO else f"alphabet {method['alphabet']}"
    fit = {"max": "largest weight", "mse": "square error"}[rounding.best_fit]
    told = (
        f"{bits_text(rounding)} with {alphabet} and a {method['step_bits']}-bit step per {grain}, fitted to the {fit}"
    )
    if not rounding.affordable:
        return f"{told}: even that costs more"
    return f"{told}: the best of {rounding.tried} that cost no more" if rounding.tried else told


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


def accuracy_note(report: Report, beside: Rounding | None) -> str:
    """Say what the accuracy was, how many predictions changed, and what rounding keeps, or that it is under way."""
    if report.accuracy_before is None:
        return "this network comes without test data"
    told = f"before {accuracy(report.accuracy_before)}, {report.changed_predictions:,} predictions changed; rounding"
    if beside is None:
        return f"{told} beside it: being computed"
    return f"{told} at {bits_text(beside)}: {accuracy(beside.best.accuracy_after)}"


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


def title_of(report: Report) -> str:
    """Return what people call the run's method."""
    return METHODS[report.method["name"]].title
