"""The ladder of a-posteriori bounds P0 to P4: each rung uses more of what was measured, and is tighter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.ladder_layer import LadderLayer, Measured, Node, flat
from sdqviz.bounds.network import Dense, Residual, Stage, propagate
from sdqviz.bounds.statement import Bound, Hypothesis, bound, condition
from sdqviz.error import InputError

REFERENCE = "proved in our docs: a-posteriori"


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
    summed : bool
        Whether the value bounds not only each error but the root of the sum of their squares.
    """

    bound: Bound
    values: Array
    uses: str
    unseen: bool
    summed: bool = False

    @property
    def maximum(self) -> float:
        """The largest value over the samples."""
        return float(self.values.max())

    @property
    def mean(self) -> float:
        """The mean over the samples; a bound on the root of n squares is √n times one on their mean."""
        return float(self.values.mean()) / (math.sqrt(len(self.values)) if self.summed else 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Ladder:
    """The rungs from the loosest to the tightest."""

    rungs: tuple[Rung, ...]

    def __getitem__(self, name: str) -> Rung:
        """Return the rung with this name, "p0" to "p4", or "c"."""
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


class _Chain:
    """The nodes with all that was measured of them."""

    def __init__(self, nodes: Sequence[Node], restricted_samples: int | None) -> None:
        self.nodes, self.layers = nodes, flat(nodes)
        counts = {len(layer.inputs) for layer in self.layers}
        if len(counts) != 1 or 0 in counts:
            raise InputError(f"all layers must have inputs for the same samples, got {sorted(counts)}")
        self.samples = counts.pop()
        self.limited = self.samples if restricted_samples is None else min(self.samples, restricted_samples)
        if self.limited < 1:
            raise InputError(f"restricted_samples must be at least 1, got {restricted_samples}")
        self._measured = {id(layer): Measured(layer) for layer in self.layers}
        self.first = self.layers[0]
        self.start = np.linalg.norm(np.asarray(self.first.inputs, float), axis=1)
        same = bool(np.array_equal(self.first.inputs, self.first.compressed_inputs))
        self.begins = condition(
            "inputs", "both networks receive the same inputs", same, "the two networks receive different inputs"
        )

    def of(self, layer: LadderLayer) -> Measured:
        """Return what was measured of a layer."""
        return self._measured[id(layer)]

    def stages(self, dense: Callable[[LadderLayer], Dense]) -> list[Stage]:
        """Describe every node to the recursion."""
        return [
            dense(node)
            if isinstance(node, LadderLayer)
            else Residual(dense(node.inner), dense(node.outer), node.lipschitz)
            for node in self.nodes
        ]

    def accumulate(self, norm: Callable[[LadderLayer], float | Array], local: Callable[[LadderLayer], Array]) -> Array:
        """Run e ← L(‖W‖e + local error) through the nodes, for every sample at once."""

        def step(layer: LadderLayer, error: Array | float) -> Array:
            return np.asarray(layer.lipschitz * (norm(layer) * error + local(layer)))

        error: Array | float = 0.0
        for node in self.nodes:
            if isinstance(node, LadderLayer):
                error = step(node, error)
            else:
                error = node.lipschitz * (error + step(node.outer, step(node.inner, error)))
        return np.asarray(error)

    def given(self, samples: int) -> tuple[Hypothesis, ...]:
        """Return what a statement about measured inputs rests on."""
        return self.begins, condition(
            "given", f"a statement about the {samples} given inputs, not about unseen ones", True
        )


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
        P0 only where every layer has a bound from its states, C only where every layer has one on its calibration
        inputs.

    Raises
    ------
    InputError
        If there is no node or the samples do not match.

    Notes
    -----
    With ΔW = W − Q, and z̃ the measured inputs of the compressed network (biases appended):
    C puts Σ_x ‖ΔW z̃‖² ≤ mC² into the recursion for the root of the sum of squares over the calibration inputs;
    P0 puts ‖W−Q‖ ≤ ‖FH‖₂‖U‖₂ (order 1: (d/N)‖ΔE‖₂‖U‖₂) into the a-priori recursion; P1 the measured ‖ΔW‖ and ‖Q‖;
    P2 replaces the product of the norms before a layer by ‖z̃‖; P3 replaces ‖ΔW‖‖z̃‖ by ‖ΔW z̃‖;
    P4 replaces ‖W‖ by the norm of the columns that meet a non-zero input in either network.
    """
    chain = _Chain(nodes, restricted_samples)
    after = _from_states(chain) + _from_calibration(chain)
    return Ladder((*after, _layer_errors(chain), _input_norms(chain), _local_errors(chain), _live(chain)))


def _from_states(chain: _Chain) -> list[Rung]:
    errors: dict[int, float] = {}
    frames = condition("states", "what every layer's states bound is verified", True)
    for layer in chain.layers:
        if layer.from_states is None:
            return []
        errors[id(layer)] = layer.from_states.value
        failing = [one for one in layer.from_states.hypotheses if not one.met]
        frames = failing[0] if failing else frames

    def dense(layer: LadderLayer) -> Dense:
        return chain.of(layer).dense(errors[id(layer)], None)

    values = propagate(chain.stages(dense), chain.start)[1]
    return [
        _rung(
            "p0",
            "P0: stored states, no data",
            values,
            (chain.begins, frames),
            "‖x‖, ‖W‖ and the states the ΣΔ walks left behind",
            r"e_i=L_i(\|W_i\|e_{i-1}+B_ir_{i-1}),\quad B_i=\|F_iH_i\|_2\|U_i\|_2",
            unseen=True,
        )
    ]


def _from_calibration(chain: _Chain) -> list[Rung]:
    stated = {id(layer): layer.from_calibration for layer in chain.layers}
    values = {key: one.value for key, one in stated.items() if one is not None}
    if len(values) < len(stated):
        return []
    failing = [one for found in stated.values() if found is not None for one in found.hypotheses if not one.met]
    whole = chain.accumulate(lambda layer: chain.of(layer).norm, lambda layer: np.array(values[id(layer)]))
    seen = condition("given", "a statement on the calibration inputs, not about unseen ones", True)
    one = _rung(
        "c",
        "C: every layer's theorem, on the calibration inputs",
        np.full(chain.samples, float(whole)),
        (chain.begins, failing[0] if failing else condition("layers", "C1 or C2 holds in every layer", True), seen),
        "‖W‖, and the pivots and steps of every layer's walk on the calibration inputs",
        r"\Bigl(\sum_xe_i(x)^2\Bigr)^{1/2}\le L_i\Bigl(\|W_i\|\Bigl(\sum_xe_{i-1}(x)^2\Bigr)^{1/2}+\sqrt m\,C_i\Bigr)",
    )
    return [dataclasses.replace(one, summed=True)]


def _layer_errors(chain: _Chain) -> Rung:
    def norms_only(layer: LadderLayer) -> Dense:
        values = chain.of(layer)
        return values.dense(values.error, values.quantized_norm)

    return _rung(
        "p1",
        "P1: measured layer errors",
        propagate(chain.stages(norms_only), chain.start)[1],
        (chain.begins,),
        "‖x‖, ‖W‖, ‖Q‖ and ‖W − Q‖ of every layer",
        r"\|x\|\sum_iL^{n-i}\Bigl(\prod_{j>i}\|W_j\|\Bigr)\|\Delta W_i\|\prod_{j<i}L\|Q_j\|",
        unseen=True,
    )


def _input_norms(chain: _Chain) -> Rung:
    return _rung(
        "p2",
        "P2: measured input norms",
        chain.accumulate(
            lambda layer: chain.of(layer).norm, lambda layer: chain.of(layer).error * chain.of(layer).input_norm
        ),
        chain.given(chain.samples),
        "‖W‖, ‖W − Q‖ and the norm of the input of every layer",
        r"\sum_iL^{n-i}\Bigl(\prod_{j>i}\|W_j\|\Bigr)\|\Delta W_i\|\,\|\tilde z_{i-1}\|",
    )


def _local_errors(chain: _Chain) -> Rung:
    return _rung(
        "p3",
        "P3: measured local errors",
        chain.accumulate(lambda layer: chain.of(layer).norm, lambda layer: chain.of(layer).local),
        chain.given(chain.samples),
        "‖W‖ and the error (W − Q)z̃ every layer adds",
        r"\sum_iL^{n-i}\Bigl(\prod_{j>i}\|W_j\|\Bigr)\|\Delta W_i\tilde z_{i-1}\|",
    )


def _live(chain: _Chain) -> Rung:
    count = chain.limited

    def norm(layer: LadderLayer) -> Array:
        return np.zeros(count) if layer is chain.first else chain.of(layer).restricted_norms(count)

    return _rung(
        "p4",
        "P4: only the live inputs",
        chain.accumulate(norm, lambda layer: chain.of(layer).local[:count]),
        chain.given(count),
        "the columns of W that meet a non-zero input, and the error (W − Q)z̃ every layer adds",
        r"e_i=L_i\bigl(\|W_i[:,S]\|e_{i-1}+\|\Delta W_i\tilde z_{i-1}\|\bigr),\quad"
        r" S=\{k:z_k\ne0\text{ or }\tilde z_k\ne0\}",
    )


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
