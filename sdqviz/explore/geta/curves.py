"""A recorded run as curves over its steps, and what is said of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array
from sdqviz.explore.wording import number, percent
from sdqviz.methods.geta.recording import Moment, Recording

SCRUBBED = 120
"""The most moments the slider stops at, evenly chosen."""

AVERAGED = 9
"""Moments over which the loss is averaged: that of one batch jumps."""


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """A run as arrays, one entry a recorded moment.

    Attributes
    ----------
    step, loss, redundant, zero, relative_bops : ndarray, shape (moments,)
        As recorded.
    tested, accuracy : ndarray
        The steps at which the network was tested, and what came out.
    layers : tuple of str
        Layers with quantizers, in the order of the network.
    weight_bits, activation_bits : ndarray, shape (moments, layers)
        NaN where a layer has no such quantizer.
    """

    step: Array
    loss: Array
    redundant: Array
    zero: Array
    relative_bops: Array
    tested: Array
    accuracy: Array
    layers: tuple[str, ...]
    weight_bits: Array
    activation_bits: Array

    @property
    def has_activations(self) -> bool:
        """Whether any activation is quantized."""
        return bool(np.isfinite(self.activation_bits).any())


def curves(run: Recording) -> Curves:
    """Return what was recorded as arrays."""
    layers = tuple(dict.fromkeys(name for one in run.moments for name in (*one.weight_bits, *one.activation_bits)))

    def column(field: str) -> Array:
        return np.array([getattr(one, field) for one in run.moments], dtype=float)

    def bits(field: str) -> Array:
        rows = [[getattr(one, field).get(name, np.nan) for name in layers] for one in run.moments]
        return np.array(rows, dtype=float).reshape(len(run.moments), len(layers))

    tested = [one for one in run.moments if one.accuracy is not None]
    return Curves(
        step=column("step"),
        loss=column("loss"),
        redundant=column("redundant"),
        zero=column("zero"),
        relative_bops=column("relative_bops"),
        tested=np.array([one.step for one in tested], dtype=float),
        accuracy=np.array([one.accuracy for one in tested], dtype=float),
        layers=layers,
        weight_bits=bits("weight_bits"),
        activation_bits=bits("activation_bits"),
    )


def average(values: Array, width: int = AVERAGED) -> Array:
    """Return the mean of each value and up to ``width − 1`` before it, passing over what is not finite.

    Examples
    --------
    >>> average(np.array([np.nan, 2.0, 4.0, 6.0]), 2).tolist()
    [nan, 2.0, 3.0, 5.0]
    """
    known = np.isfinite(values)
    total = np.cumsum(np.where(known, values, 0.0))
    count = np.cumsum(known)
    total[width:], count[width:] = total[width:] - total[:-width], count[width:] - count[:-width]
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def scrubbed(count: int) -> list[int]:
    """Return the positions of the moments the slider stops at: all, or evenly chosen, the last one always.

    Examples
    --------
    >>> scrubbed(3), len(scrubbed(1000)), scrubbed(1000)[-1]
    ([0, 1, 2], 120, 999)
    """
    return np.unique(np.linspace(0, count - 1, min(count, SCRUBBED)).round().astype(int)).tolist()


def reading(moment: Moment, steps: int) -> str:
    """Say in two lines what a moment was like."""
    loss = f"   loss {number(moment.loss)}" if np.isfinite(moment.loss) else ""
    accuracy = "" if moment.accuracy is None else f"   accuracy {percent(moment.accuracy)}"
    ascents = f"   steps uphill {moment.ascents}" if moment.ascents else ""
    return (
        f"<b>step {moment.step:,} of {steps:,}: {moment.stage}</b>{loss}{accuracy}<br>"
        f"redundant {percent(moment.redundant)}   zero {percent(moment.zero)}   "
        f"BOPs {percent(moment.relative_bops)}{ascents}"
    )


def table(run: Recording) -> dict[str, Array]:
    """Return every moment as columns: figures first, then the bits of each layer."""
    info = curves(run)
    columns: dict[str, Array] = {
        "step": info.step.astype(int),
        "stage": np.array([one.stage for one in run.moments]),
        "loss": info.loss,
        "accuracy": np.array([np.nan if one.accuracy is None else one.accuracy for one in run.moments]),
        "redundant": info.redundant,
        "zero": info.zero,
        "relative_bops": info.relative_bops,
        "ascents": np.array([one.ascents for one in run.moments]),
    }
    for place, name in enumerate(info.layers):
        columns[f"weight_bits.{name}"] = info.weight_bits[:, place]
        if np.isfinite(info.activation_bits[:, place]).any():
            columns[f"activation_bits.{name}"] = info.activation_bits[:, place]
    return columns


def look(run: Recording) -> str:
    """Say what the stages do, and what there is to look at."""
    told = (
        "Warm-up finds its feet, projection narrows the bits, the joint stage drives the least useful units to zero "
        "while the bits give way, and cool-down repairs what is left. "
    )
    if run.finished:
        return (
            told + "Drag the slider: at the right stand every layer's bits at that step. Along the way accuracy is "
            "measured on part of the test inputs, at the end on all."
        )
    return told + "The run is still growing; the right side shows its latest step."


def told(info: Curves, last: Moment) -> str:
    """Say what the last moment was like."""
    parts = [f"At step {last.step}, in {last.stage}"]
    if np.isfinite(last.loss):
        parts.append(f"loss {number(last.loss)}")
    if len(info.accuracy):
        parts.append(f"accuracy {percent(float(info.accuracy[-1]))}, lowest {percent(float(info.accuracy.min()))}")
    parts.append(f"{percent(last.zero)} of the prunable units zero, relative BOPs {percent(last.relative_bops)}")
    told = ", ".join(parts) + ". "
    bits = [f"{name} {number(value)}" for name, value in last.weight_bits.items()]
    listed = ", ".join(bits[:12]) + (f" and {len(bits) - 12} more layers" if len(bits) > 12 else "")
    return told + (f"Weight bits: {listed}." if bits else "")
