"""What the Start page stores and says of its examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.bounds.statement import CZAJA_NA
from sdqviz.explore import sigma_delta as lab
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number, percent

DIGITS = 5
"""Decimal places of stored weights: finer than anything a plot can show."""


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page stores of one example: the ΣΔ Lab's numbers, and the weights themselves."""
    run = lab.build(choices)
    weights = {
        "original": run.vector,
        "sigma_delta": run.reconstruction,
        "rounding": run.rounded_reconstruction,
    }
    return lab.summary(choices) | {
        "size": run.frame.size,
        "dimension": run.frame.dimension,
        "step": run.step,
        **{name: np.round(values, DIGITS).tolist() for name, values in weights.items()},
    }


def verdict_on_rounding(result: Mapping[str, Any]) -> str | None:
    """Say so, in one sentence, where rounding the weights themselves costs no more bits and errs less."""
    plain, ours = result["relative_error_plain"], result["relative_error"]
    if not plain < ours:
        return None
    return (
        f"Plain rounding wins here: with no more bits, rounding the weights themselves leaves {percent(plain)} "
        f"error, ΣΔ {percent(ours)}. What ΣΔ buys is levels this coarse with a proved error."
    )


def tile_numbers(result: Mapping[str, Any]) -> str:
    """Write a preset's stored headline numbers in one line."""
    parts = []
    if "relative_error" in result:
        parts += [f"error {percent(result['relative_error'])}", f"{number(result['bits_per_weight'])} bits a weight"]
    if "variation" in result:
        parts += [f"σ = {number(result['variation'])}", f"coherence {number(result['coherence'])}"]
    if "accuracy_after" in result:
        parts.append(f"accuracy {percent(result['accuracy_after'])}")
    if "smallest_ratio" in result:
        parts += [f"slope {number(result['slope'])}", f"closest bound {number(result['smallest_ratio'])} × measured"]
    return " · ".join(parts)


def formula(result: Mapping[str, Any]) -> Formula:
    """Return ΣΔ against rounding with the stored numbers of one neuron."""
    count, size, error = len(result["original"]), result["size"], result["relative_error"]
    return Formula(
        r"q_n=Q(u_{n-1}+x_n),\quad u_n=u_{n-1}+x_n-q_n\qquad\text{against}\qquad q_n=Q(x_n)",
        [
            ("d", "weights", str(count)),
            ("N", "stored levels", str(size)),
            (r"\delta", "step between levels", number(result["step"])),
            (r"\|x-\tilde x\|/\|x\|", "error of ΣΔ", percent(error)),
        ],
        f"{CZAJA_NA}, Definition 3.1. The ΣΔ Lab computes the same numbers live.",
    )
