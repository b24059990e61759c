"""The ladder of a-posteriori bounds P0 to P4: each rung uses more of what was measured, and is tighter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array, spectral_norm
from sdqviz.bounds.network import Dense, Residual, Stage, propagate
from sdqviz.bounds.statement import Bound, Hypothesis, bound, condition
from sdqviz.error import InputError

REFERENCE = "proved in our docs: a-posteriori"


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


@dataclasses.dataclass(frozen=True, eq=False)
class Rung:
    """One bound of the ladder, evaluated for every sample.

    Attributes
    ----------
    bound : Bound
        Names, reasons and formula; its value is the largest over the samples.
    values : ndarray, shape (n,)
        The bound on ‖f(x) − f_Q(x)‖ for each sample x (fewer for P4, see `ladder`).
    uses : str
        What of the measured is used.
    unseen : bool
        Whether it is also valid for inputs that were not measured.
    """

    bound: Bound
    values: Array
    uses: str
    unseen: bool

    @property
    def maximum(self) -> float:
        """The largest value over the samples."""
        return float(self.values.max())

    @property
    def mean(self) -> float:
        """The mean over the samples."""
        return float(self.values.mean())


@dataclasses.dataclass(frozen=True, eq=False)
class Ladder:
    """The rungs from the loosest to the tightest."""

    rungs: tuple[Rung, ...]

    def __getitem__(self, name: str) -> Rung:
        """Return the rung with this name, "p0" to "p4"."""
        for rung in self.rungs:
            if rung.bound.name == name:
                return rung
        raise InputError(f"rung must be one of {', '.join(r.bound.name for r in self.rungs)}, got {name!r}")

    def summary(self) -> list[dict[str, Any]]:
        """Return one flat row a rung: name, title, maximum, mean, samples, holds, because, uses."""
        return [
            {
                "name": rung.bound.name,
                "title": rung.bound.title,
                "maximum": rung.maximum,
                "mean": rung.mean,
                "samples": len(rung.values),
                "holds": rung.bound.holds,
                "because": rung.bound.because,
                "uses": rung.uses,
            }
            for rung in self.rungs
        ]


class _Measured:
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


def _stages(nodes: Sequence[Node], dense: Callable[[LadderLayer], Dense]) -> list[Stage]:
    return [
        dense(node) if isinstance(node, LadderLayer) else Residual(dense(node.inner), dense(node.outer), node.lipschitz)
        for node in nodes
    ]


def ladder(nodes: Sequence[Node], restricted_samples: int | None = None) -> Ladder:
    """Evaluate P0 to P4 for a chain of dense layers and residual blocks.

    Parameters
    ----------
    nodes : sequence of LadderLayer or LadderBlock
        From input to output; the first layer receives the same input in both networks.
    restricted_samples : int, optional
        How many samples, from the first, P4 is evaluated for (all by default): it needs the norm of
        a submatrix per layer and sample, some milliseconds each for a layer of width 256.

    Returns
    -------
    Ladder
        P0 only where every layer has a bound from its states.

    Raises
    ------
    InputError
        If there is no node or the samples do not match.

    Notes
    -----
    With ΔW = W − Q, and z̃ the measured inputs of the compressed network (biases appended):
    P0 puts ‖W−Q‖ ≤ ‖FH‖₂‖U‖₂ (order 1: (d/N)‖ΔE‖₂‖U‖₂) into the a-priori recursion; P1 the measured ‖ΔW‖ and ‖Q‖;
    P2 replaces the product of the norms before a layer by ‖z̃‖; P3 replaces ‖ΔW‖‖z̃‖ by ‖ΔW z̃‖;
    P4 replaces ‖W‖ by the norm of the columns that meet a non-zero input in either network.
    """
    layers = _flat(nodes)
    counts = {len(layer.inputs) for layer in layers}
    if len(counts) != 1 or 0 in counts:
        raise InputError(f"all layers must have inputs for the same samples, got {sorted(counts)}")
    samples = counts.pop()
    limited = samples if restricted_samples is None else min(samples, restricted_samples)
    if limited < 1:
        raise InputError(f"restricted_samples must be at least 1, got {restricted_samples}")
    measured = {id(layer): _Measured(layer) for layer in layers}
    first = nodes[0].inner if isinstance(nodes[0], LadderBlock) else nodes[0]
    start = np.linalg.norm(np.asarray(first.inputs, float), axis=1)
    same = bool(np.array_equal(first.inputs, first.compressed_inputs))
    begins = condition(
        "inputs", "both networks receive the same inputs", same, "the two networks receive different inputs"
    )

    def norms_only(layer: LadderLayer) -> Dense:
        values = measured[id(layer)]
        return values.dense(values.error, values.quantized_norm)

    rungs = [
        *_from_states(nodes, layers, measured, start, begins),
        _rung(
            "p1",
            "P1: measured layer errors",
            propagate(_stages(nodes, norms_only), start)[1],
            (begins,),
            "‖x‖, ‖W‖, ‖Q‖ and ‖W − Q‖ of every layer",
            r"\|x\|\sum_iL^{n-i}\Bigl(\prod_{j>i}\|W_j\|\Bigr)\|\Delta W_i\|\prod_{j<i}L\|Q_j\|",
            unseen=True,
        ),
        _rung(
            "p2",
            "P2: measured input norms",
            _accumulate(nodes, lambda layer: _norm(measured, layer), lambda layer: _by_norm(measured, layer)),
            (begins, _for_given(samples)),
            "‖W‖, ‖W − Q‖ and the norm of the input of every layer",
            r"\sum_iL^{n-i}\Bigl(\prod_{j>i}\|W_j\|\Bigr)\|\Delta W_i\|\,\|\tilde z_{i-1}\|",
        ),
        _rung(
            "p3",
            "P3: measured local errors",
            _accumulate(nodes, lambda layer: _norm(measured, layer), lambda layer: measured[id(layer)].local),
            (begins, _for_given(samples)),
            "‖W‖ and the error (W − Q)z̃ every layer adds",
            r"\sum_iL^{n-i}\Bigl(\prod_{j>i}\|W_j\|\Bigr)\|\Delta W_i\tilde z_{i-1}\|",
        ),
        _rung(
            "p4",
            "P4: only the live inputs",
            _accumulate(
                nodes,
                lambda layer: (
                    measured[id(layer)].restricted_norms(limited) if layer is not first else np.zeros(limited)
                ),
                lambda layer: measured[id(layer)].local[:limited],
            ),
            (begins, _for_given(limited)),
            "the columns of W that meet a non-zero input, and the error (W − Q)z̃ every layer adds",
            r"e_i=L_i\bigl(\|W_i[:,S]\|e_{i-1}+\|\Delta W_i\tilde z_{i-1}\|\bigr),\quad"
            r" S=\{k:z_k\ne0\text{ or }\tilde z_k\ne0\}",
        ),
    ]
    return Ladder(tuple(rungs))


def _flat(nodes: Sequence[Node]) -> list[LadderLayer]:
    if not nodes:
        raise InputError("nodes must contain at least one layer, got none")
    flat: list[LadderLayer] = []
    for node in nodes:
        flat.extend((node,) if isinstance(node, LadderLayer) else (node.inner, node.outer))
    return flat


def _norm(measured: dict[int, _Measured], layer: LadderLayer) -> float:
    return measured[id(layer)].norm


def _by_norm(measured: dict[int, _Measured], layer: LadderLayer) -> Array:
    values = measured[id(layer)]
    return values.error * values.input_norm


def _for_given(samples: int) -> Hypothesis:
    return condition("given", f"a statement about the {samples} given inputs, not about unseen ones", True)


def _accumulate(
    nodes: Sequence[Node],
    norm: Callable[[LadderLayer], float | Array],
    local: Callable[[LadderLayer], Array],
) -> Array:
    """Run e ← L(‖W‖e + local error) through the nodes, for every sample at once."""

    def step(layer: LadderLayer, error: Array | float) -> Array:
        return np.asarray(layer.lipschitz * (norm(layer) * error + local(layer)))

    error: Array | float = 0.0
    for node in nodes:
        if isinstance(node, LadderLayer):
            error = step(node, error)
        else:
            error = node.lipschitz * (error + step(node.outer, step(node.inner, error)))
    return np.asarray(error)


def _from_states(
    nodes: Sequence[Node],
    layers: Sequence[LadderLayer],
    measured: dict[int, _Measured],
    start: Array,
    begins: Hypothesis,
) -> list[Rung]:
    errors: dict[int, float] = {}
    frames = condition("states", "what every layer's states bound is verified", True)
    for layer in layers:
        if layer.from_states is None:
            return []
        errors[id(layer)] = layer.from_states.value
        failing = [one for one in layer.from_states.hypotheses if not one.met]
        frames = failing[0] if failing else frames

    def dense(layer: LadderLayer) -> Dense:
        return measured[id(layer)].dense(errors[id(layer)], None)

    values = propagate(_stages(nodes, dense), start)[1]
    return [
        _rung(
            "p0",
            "P0: stored states, no data",
            values,
            (begins, frames),
            "‖x‖, ‖W‖ and the states the ΣΔ walks left behind",
            r"e_i=L_i(\|W_i\|e_{i-1}+B_ir_{i-1}),\quad B_i=\|F_iH_i\|_2\|U_i\|_2",
            unseen=True,
        )
    ]


def _rung(
    name: str,
    title: str,
    values: Array,
    hypotheses: Sequence[Hypothesis],
    uses: str,
    formula: str,
    *,
    unseen: bool = False,
) -> Rung:
    values = np.array(values, float)
    values.setflags(write=False)
    worst = float(values.max()) if np.isfinite(values).all() else math.nan
    summary = bound(
        name,
        title,
        worst,
        hypotheses,
        reference=REFERENCE,
        text="a-posteriori",
        formula=formula,
        substituted=rf"\max_{{x}}\text{{ over {len(values)} inputs}}",
    )
    return Rung(summary, values, uses, unseen)
