"""What methods that walk in a frame's coordinates share: live inputs, aims, and what is stored beside the levels."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import FLOAT_BITS, Array
from sdqviz.bounds.statement import Bound
from sdqviz.choice import field, field_of
from sdqviz.error import InputError
from sdqviz.methods.calibrated.path_following import BIASES, PathFollowing
from sdqviz.methods.method import CompressedLayer, MethodChoice, OutputRecord
from sdqviz.networks.layer import Layer, from_vectors
from sdqviz.path_following.factor import factorize
from sdqviz.path_following.gram import Gram, Moments, squared_lengths
from sdqviz.storage.bits import Packed

PARAMETER_BITS = 8 + 32 + 32
"""What names a layer's frame: a family code, N and the seed."""

ALIGNMENTS = {"least-squares": "To the given network's outputs", "none": "None"}
ALIGNMENT_DAMPING, FINE_ALIGNMENT_DAMPING = 0.01, 1e-4
"""Keeps the aligned weights near the given ones, as a share of the mean of H's diagonal: at few bits, and at more."""


@dataclasses.dataclass(frozen=True)
class InFrame(MethodChoice):
    """The fields that these methods share."""

    alignment: str = field(
        "least-squares",
        label="Alignment",
        help="What the walk aims at: the weights that make the layer's output that of the original network, whatever "
        "has become of its inputs; or the weights themselves.",
        options=ALIGNMENTS,
    )
    biases: str = field(
        "float",
        label="Biases",
        help="Kept in float; or kept in float and moved by the mean error on the calibration data.",
        options={"float": BIASES["float"], "corrected": BIASES["corrected"]},
        advanced=True,
    )
    keep_dead: bool = field(
        False,
        label="Keep dead inputs",
        help="Inputs that are 0 on all calibration data are left out, and their weights are lost (become 0): at no "
        "cost on such data. This keeps them.",
        advanced=True,
    )
    batch_norm: str = field_of(PathFollowing, "batch_norm")
    patches: float = field_of(PathFollowing, "patches")
    device: str = field_of(PathFollowing, "device")

    @property
    def numbers_held(self) -> tuple[float, float, float]:
        """All neurons are walked at once; H and its companions are of live inputs, and in the frame, beside all."""
        return 8, 14, 0


@dataclasses.dataclass(frozen=True, eq=False)
class LiveGroup:
    """One group of a layer, without its dead inputs; columns are neurons.

    Attributes
    ----------
    part : slice
        Which of the layer's neurons these are.
    live : ndarray of bool, shape (inputs,)
        Which inputs are used, d of them.
    gram : Gram
        Of those.
    weights, target : ndarray, shape (d, M)
        The neurons, and what is aimed at.
    aimed : ndarray or None, shape (d, M)
        X̃ᵀXw, with all of the original inputs; None where X̃ is X.
    moments : Moments
        Sums over the inputs, for biases.
    """

    part: slice
    live: Array
    gram: Gram
    weights: Array
    target: Array
    aimed: Array | None
    moments: Moments

    def errors(self, quantized: Array) -> Array:
        """Return ‖Xw − X̃q‖² of every neuron, shape (M,), for q of shape (d, M)."""
        return self.gram.error(self.weights, quantized, self.aimed)


def live_groups(
    choice: InFrame, layer: Layer, moments: Sequence[Moments], damping: float = ALIGNMENT_DAMPING
) -> list[LiveGroup]:
    """Leave out the dead inputs of every group, and align what is aimed at."""
    rows = layer.rows
    size = len(rows) // layer.groups
    found = []
    for group, sums in enumerate(moments):
        part = slice(group * size, (group + 1) * size)
        whole = rows[part].T
        corrected = choice.biases == "corrected" and layer.bias is not None
        gram = sums.centred(whole) if corrected else sums.plain()
        live = np.ones(len(whole), bool) if choice.keep_dead else gram.alive
        aimed = None if gram.cross is None else gram.aimed(whole)[live]
        inputs, cross, weights = gram.inputs, gram.cross, whole
        if not live.all():
            inputs = np.ascontiguousarray(inputs[np.ix_(live, live)])
            cross = None if cross is None else cross[live]
            weights = np.ascontiguousarray(whole[live])
        target = weights
        if choice.alignment == "least-squares" and aimed is not None and live.any():
            target = _aligned(inputs, weights, aimed, damping)
        found.append(
            LiveGroup(part, live, Gram(inputs, cross, gram.target, gram.samples), weights, target, aimed, sums)
        )
    return found


def _aligned(inputs: Array, weights: Array, aimed: Array, damping: float) -> Array:
    """Return w̃ that minimises ‖Xw − X̃w̃‖² + ε‖w̃ − w‖²."""
    from scipy.linalg import solve

    factor = factorize(inputs, damping)  # only to learn how much damping makes it definite
    damped = inputs + factor.damping * np.eye(len(inputs))
    return np.asarray(weights + solve(damped, aimed - inputs @ weights, assume_a="pos", check_finite=False))


def output_record(
    groups: Sequence[LiveGroup], found: Sequence[Array], damping: Sequence[float], moved: Array | None,
    missed: Sequence[Array | None],
) -> OutputRecord:  # fmt: skip
    """Measure how far quantized neurons, shape (M, d) of each group, are from what was aimed at.

    ``missed`` are the square errors of each group's neurons where a walk summed them up.
    """
    samples = groups[0].gram.samples
    plain = damped = 0.0
    for group, neurons, added, known in zip(groups, found, damping, missed, strict=True):
        error = np.subtract(group.target.T, neurons).T
        own = float((squared_lengths(group.gram.inputs, error) if known is None else known).sum())
        plain += own
        damped += own + added * float(np.square(error, out=error).sum())
    return OutputRecord(
        float(np.sqrt(plain / samples)),
        float(np.sqrt(damped / samples)),
        samples,
        float(max(damping, default=0.0)),
        moved is None and all(group.target is group.weights for group in groups),
    )


def finished(
    choice: InFrame, layer: Layer, groups: Sequence[LiveGroup], neurons: Sequence[Array], begun: float, *,
    stored: Mapping[str, Packed], parameters: Mapping[str, Any], parameter_bits: int, bounds: tuple[Bound, ...],
    damping: Sequence[float], step: Array, levels: int, size: int, overload: int, unstable: int, note: str,
    missed: Sequence[Array | None] | None = None,
) -> CompressedLayer:  # fmt: skip
    """Put the groups of a layer together, with the map of dead inputs and the biases."""
    whole = neurons[0]  # as often
    if len(groups) > 1 or not groups[0].live.all():
        whole = np.zeros((layer.shape[0], math.prod(layer.shape[1:])))
        for group, own in zip(groups, neurons, strict=True):
            whole[group.part, group.live] = own
    dead = np.stack([~group.live for group in groups])
    parts = dict(stored)
    if dead.any():
        parts["dead"] = Packed.flags(dead)
    bias = None
    if choice.biases == "corrected" and layer.bias is not None:
        bias = np.array(layer.bias)
        rows = layer.rows
        for group in groups:
            bias[group.part] += group.moments.mean_error(rows[group.part].T, whole[group.part].T)
        bias = bias.astype(np.float32).astype(float)
        parts["bias"] = Packed(bias.astype(np.float32), FLOAT_BITS)
    return CompressedLayer(
        layer=layer,
        weight=from_vectors(whole, layer.shape, layer.groups, "rows"),
        bias=bias,
        stored=parts,
        parameters=parameters,
        parameter_bits=parameter_bits,
        bounds=bounds,
        step=step,
        levels=levels,
        size=size,
        overload=overload,
        unstable=unstable,
        seconds=time.perf_counter() - begun,
        note=note,
        output=output_record(groups, neurons, damping, bias, missed or [None] * len(groups)),
    )


def live_inputs(stored: Mapping[str, Packed], groups: int, width: int) -> Array:
    """Return which inputs a stored layer uses, bool of shape (groups, width)."""
    if "dead" not in stored:
        return np.ones((groups, width), bool)
    dead = stored["dead"].values.astype(bool)
    if dead.shape != (groups, width):
        raise InputError(f"dead inputs must be marked for {groups} groups of {width}, got shape {dead.shape}")
    return ~dead


def stored_bias(stored: Mapping[str, Packed]) -> Array | None:
    """Return the biases that were moved, or None."""
    return stored["bias"].values.astype(float) if "bias" in stored else None
