"""The formulas behind the pictures of the Network page, with the numbers of a run put in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdqviz.bounds.statement import CZAJA_NA
from sdqviz.explore.formula import Formula
from sdqviz.explore.network.changed import Flips
from sdqviz.explore.network.feedback import Feedback
from sdqviz.explore.network.table import PART_NAMES
from sdqviz.explore.network.words import accuracy, rounding_text
from sdqviz.explore.rounding_beside import Comparison
from sdqviz.explore.weight_vector import Vector
from sdqviz.explore.what_if import Answer
from sdqviz.explore.wording import number, percent, size
from sdqviz.report import LayerReport

if TYPE_CHECKING:  # the page must not load torch before it computes
    from sdqviz.compression.speed import LayerSpeed


def errors(found: Comparison) -> Formula:
    """Return the errors of a layer, and what was spent on them."""
    spent = (
        r"b",
        "bits per original weight of this choice, and of the rounding beside",
        f"{number(found.report.bits_per_weight)} and {number(found.rounding.best.bits_per_weight)}",
    )
    source = (
        f"Rounding, {rounding_text(found.rounding)}. Compared by the error of the layers: every alphabet, with a step "
        "per layer, neuron or 128, 64, 32 inputs, in 32 or 16 bits, fitted to the largest weight or square error (mse)."
    )
    if not found.report.inputs:
        return Formula(r"\|W-Q\|_F/\|W\|_F", [spent], source)
    inputs = ("z", "inputs of the layer in the original network, calibration inputs", f"{found.report.inputs:,}")
    return Formula(
        r"\frac{\|(W-Q)z\|_F}{\|Wz\|_F}\quad\text{(same input)},\qquad"
        r"\frac{\|Wz-Q\tilde z\|_F}{\|Wz\|_F}\quad\text{(propagated)}",
        [inputs, (r"\tilde z", "its inputs in the compressed network", ""), spent],
        source,
    )


def stored(found: Comparison) -> Formula:
    """Return how bits per original weight are counted."""
    report = found.report
    return Formula(
        r"\text{bits per original weight}=\frac{8S}{n},\qquad S=\sum_iS_i",
        [
            ("S", "everything stored", f"{report.bytes:,} bytes"),
            ("n", "original numbers", f"{8 * report.bytes / report.bits_per_weight:,.0f}"),
            (r"8S/n", "bits per original weight", number(report.bits_per_weight)),
            *(
                (f"S_{{{place}}}", PART_NAMES.get(kind, kind), f"{v:,.0f} bytes")
                for place, (kind, v) in enumerate(found.parts.items(), start=1)
            ),
        ],
        "A layer of frame coefficients costs N·⌈log₂ 2K⌉ bits a column, scales 32 bits each, and its frame's "
        "family, N and seed 72 bits.",
    )


def feedback(found: Feedback) -> Formula:
    """Return the step of a calibrated walk."""
    return Formula(
        r"v_n=y_n+\sum_{k<n}U_{kn}(y_k-q_k),\qquad EHE^{\mathsf T}+\lambda I=UDU^{\mathsf T}",
        [("N", "steps", str(found.size))],
        "Computed anew from the inputs that the compressed network gives this layer.",
        text="calibrated-frames",
    )


def weight_error(row: LayerReport) -> Formula:
    """Return the error of a layer's weights."""
    return Formula(
        r"\|W-Q\|_F/\|W\|_F",
        [
            (r"\|W-Q\|_F/\|W\|_F", "error of the weights", percent(row.weight_error)),
            (r"\delta", "largest step", number(row.step)),
            ("2K", "size of the alphabet", str(row.levels)),
        ],
        "Counts on a logarithmic axis; an empty bin has no bar.",
    )


def predictions(asked: Answer, changed: Flips) -> Formula:
    """Return what a prediction is, and how many changed."""
    count = len(changed.index)
    return Formula(
        r"\hat y(x)=\arg\max_k f_k(x)",
        [
            (r"f", "accuracy before", accuracy(asked.comparison.report.accuracy_before)),
            (r"f_Q", "accuracy after", accuracy(asked.comparison.report.accuracy_after)),
            (r"\hat y\ne\hat y_Q", "predictions that changed", f"{count:,} of {changed.total:,}"),
        ],
        "All test inputs are run through both networks.",
    )


def spread(count: int) -> Formula:
    """Return mean and standard deviation over seeds."""
    return Formula(
        r"\bar x=\frac1n\sum_{i=1}^nx_i,\quad s=\sqrt{\frac1{n-1}\sum_{i=1}^n(x_i-\bar x)^2}",
        [("n", "seeds", str(count)), (r"x_i", "accuracy or relative output error with one seed", "")],
        "A seed decides the draws of the quantizer and the calibration inputs.",
    )


def frame_domain(large: LayerSpeed) -> Formula:
    """Return why one transform serves all neurons, with the bytes of one layer."""
    return Formula(
        r"\langle E^{\mathsf T}q_j,x\rangle=\langle q_j,Ex\rangle",
        [
            ("N", "levels of a neuron", "one transform serves all neurons"),
            (
                r"\text{bytes}",
                "float32, 8 bits, frame",
                ", ".join(size(v) for v in (large.float32_bytes, large.int8_bytes, large.frame_bytes)),
            ),
        ],
        "E x is rounded to 8 bits; then whole numbers only. No dense weight is formed.",
    )


def walk(found: Vector, largest: float) -> Formula:
    """Return the recursion of ΣΔ with the numbers of one vector."""
    delta, steps = found.step, 0 if found.states is None else len(found.states)
    return Formula(
        r"q_n=Q(u_{n-1}+x_n),\quad u_n=u_{n-1}+x_n-q_n,\qquad "
        r"|x_n|\le(K-\tfrac12)\delta\ \Rightarrow\ |u_n|\le\delta/2",
        [
            (r"\delta", "step", number(delta)),
            (r"\max_n|u_n|", "largest state", number(largest)),
            ("N", "steps", str(steps)),
            (r"\|w-q\|/\|w\|", f"error of this {found.kind}", percent(found.relative_error)),
        ],
        f"{CZAJA_NA}, Definition 3.1",
        text="vector-bound",
    )
