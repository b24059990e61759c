"""What the ladder of a-posteriori bounds knows of one layer of both networks, and norms that several rungs share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.network import Dense
from sdqviz.bounds.statement import Bound
from sdqviz.error import InputError
from sdqviz.kernels.spectral_norm import spectral_norm


@dataclasses.dataclass(frozen=True, eq=False)
class LadderLayer:
    """One layer of both networks with what came into it.

    Attributes
    ----------
    weight, quantized : ndarray, shape (m, k)
        W and Q.
    inputs, compressed_inputs : ndarray, shape (n, k)
        z and z̃: what the layer receives for each of n samples in the original and the compressed
        network.
    bias, quantized_bias : ndarray, shape (m,), optional
        b, and the bias of the compressed network (b itself if it is not given).
    lipschitz : float
        L of the activation that follows, 1 where none does.
    from_states : Bound, optional
        Bound on ‖W − Q‖₂ (on ‖[W b] − [Q c]‖₂ where the bias is quantized) from the states the walks left behind;
        needed for P0.
    from_calibration : Bound, optional
        Bound on (Σ_x ‖(W − Q)z̃ + b − c‖²)^½ over the calibration inputs, of which the samples are some; needed for C.
    name : str
        Shown in messages.
    """

    weight: Array
    quantized: Array
    inputs: Array
    compressed_inputs: Array
    bias: Array | None = None
    quantized_bias: Array | None = None
    lipschitz: float = 1.0
    from_states: Bound | None = None
    from_calibration: Bound | None = None
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        rows, columns = np.shape(self.weight)
        if np.shape(self.quantized) != (rows, columns):
            raise InputError(
                f"quantized must have the shape of weight {(rows, columns)}, got {np.shape(self.quantized)}"
            )
        if np.ndim(self.inputs) != 2 or np.shape(self.inputs)[1] != columns:
            raise InputError(f"inputs must have shape (n, {columns}), got {np.shape(self.inputs)}")
        if np.shape(self.compressed_inputs) != np.shape(self.inputs):
            raise InputError(
                f"compressed_inputs must have the shape of inputs {np.shape(self.inputs)}, "
                f"got {np.shape(self.compressed_inputs)}"
            )
        for what in ("bias", "quantized_bias"):
            value = getattr(self, what)
            if value is not None and np.shape(value) != (rows,):
                raise InputError(f"{what} must have shape ({rows},), got {np.shape(value)}")
        if self.quantized_bias is not None and self.bias is None:
            raise InputError("bias must be given where quantized_bias is, got none")

    @property
    def bias_kind(self) -> str:
        """Whether the layer has no bias, one left in float, or a quantized one."""
        if self.bias is None:
            return "none"
        return "kept" if self.quantized_bias is None else "quantized"

    def joined(self, weight: Array, bias: Array | None) -> Array:
        """Return [W b] where the bias is quantized, W otherwise, in float64."""
        matrix = np.asarray(weight, float)
        if self.bias_kind != "quantized":
            return matrix
        return np.concatenate([matrix, np.asarray(bias, float)[:, None]], axis=1)

    def lifted(self, inputs: Array) -> Array:
        """Return (z, 1) where the bias is quantized, z otherwise."""
        z = np.asarray(inputs, float)
        if self.bias_kind != "quantized":
            return z
        return np.concatenate([z, np.ones((len(z), 1))], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class LadderBlock:
    """A residual block x ← x + V ρ(Wx + b) + c; the inputs of ``outer`` are the values after ρ.

    Attributes
    ----------
    inner, outer : LadderLayer
        W and V; ``inner.lipschitz`` is that of ρ.
    lipschitz : float
        L of the activation after the sum, 1 for none or ReLU.
    """

    inner: LadderLayer
    outer: LadderLayer
    lipschitz: float = 1.0


Node = LadderLayer | LadderBlock


class Measured:
    """The norms of one layer that several rungs share."""

    def __init__(self, layer: LadderLayer) -> None:
        self.layer = layer
        self.weight = np.asarray(layer.weight, float)
        compressed_bias = layer.bias if layer.quantized_bias is None else layer.quantized_bias
        joined = layer.joined(layer.weight, layer.bias)
        compressed = layer.joined(layer.quantized, compressed_bias)
        difference = joined - compressed
        lifted = layer.lifted(layer.compressed_inputs)
        self.norm = spectral_norm(self.weight)
        self.joint_norm = spectral_norm(joined)
        self.quantized_norm = spectral_norm(compressed)
        self.error = spectral_norm(difference)
        self.bias_norm = 0.0 if layer.bias is None else float(np.linalg.norm(np.asarray(layer.bias, float)))
        self.input_norm = np.linalg.norm(lifted, axis=1)  # ‖z̃‖, or ‖(z̃, 1)‖ where the bias is quantized
        self.local = np.linalg.norm(lifted @ difference.T, axis=1)  # ‖ΔW z̃ + Δb‖

    def dense(self, error: float, quantized_norm: float | None) -> Dense:
        """Describe the layer to the recursion, with this bound on ‖W − Q‖."""
        return Dense(
            norm=self.norm,
            error=error,
            lipschitz=self.layer.lipschitz,
            bias=self.layer.bias_kind,
            bias_norm=self.bias_norm,
            joint_norm=self.joint_norm,
            quantized_norm=quantized_norm,
            name=self.layer.name,
        )

    def restricted_norms(self, count: int) -> Array:
        """‖W[:, S]‖₂ of the first ``count`` samples, S where z or z̃ is not 0; shape (count,)."""
        z, compressed = self.layer.inputs[:count], self.layer.compressed_inputs[:count]
        live = (np.asarray(z) != 0) | (np.asarray(compressed) != 0)
        if live.all():
            return np.full(len(live), self.norm)
        return np.array([spectral_norm(self.weight[:, row]) for row in live])


def flat(nodes: Sequence[Node]) -> list[LadderLayer]:
    """Return the layers of nodes in order of application."""
    if not nodes:
        raise InputError("nodes must contain at least one layer, got none")
    layers: list[LadderLayer] = []
    for node in nodes:
        layers.extend((node,) if isinstance(node, LadderLayer) else (node.inner, node.outer))
    return layers
