"""Rounding to nearest: each weight goes to the closest level, on its own. The baseline beside everything else."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds import layer as bound
from sdqviz.choice import PerLayer, field, field_of
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.glance import layer_rows
from sdqviz.methods.calibrated.path_following import BIASES, PathFollowing, decode_layer
from sdqviz.methods.calibrated.scale import AUTO, FITS, SHRINKS, Neurons, Scale, ScaleFit, candidates, fitted
from sdqviz.methods.coded_layer import coded_layer
from sdqviz.methods.method import CompressedLayer, MethodChoice, Task, check_layer_names, layer_vectors, split_bias
from sdqviz.methods.pieces import Cut
from sdqviz.networks.layer import Layer, from_vectors
from sdqviz.progress import report, stop_if
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import ALPHABETS, Grid
from sdqviz.storage import codes as coding
from sdqviz.storage.bits import Packed

AT_ONCE = 1 << 22
"""Numbers of a layer's error that exist at once."""

PIECE = 1 << 18
"""Weights of a piece of a layer, where it is compressed in pieces."""


@METHODS.register
@dataclasses.dataclass(frozen=True)
class RoundToNearest(MethodChoice):
    """Memoryless rounding: every weight goes to the nearest level of its neuron, its layer or its group of inputs.

    Notes
    -----
    With ``fit="max"`` nothing is clipped, so every error is at most δ/2: the range Kδ of a midrise alphabet, or the
    last level of another, is the largest weight. With ``fit="mse"`` the scale is the one of 99 candidates with the
    smallest square error; weights further than δ/2 beyond the last level are clipped and counted. Of alphabets, auto
    takes the one with the least error of the layer on a few of the calibration inputs (of the weights where there are
    none); four times the square error are worth a bit.
    """

    name = "round-to-nearest"
    title = "Rounding to nearest"
    short = "Rounding"

    bits: int = field_of(PathFollowing, "bits")
    alphabet: str = field_of(PathFollowing, "alphabet")
    scale: str = field_of(PathFollowing, "scale")
    step_bits: str = field_of(PathFollowing, "step_bits")
    fit: str = field(
        "max",
        label="Scale fitted to",
        help="The largest weight (nothing is clipped), or the smallest mean square error (outliers are clipped).",
        options={name: FITS[name] for name in ("max", "mse")},
    )
    biases: str = field_of(
        PathFollowing,
        "biases",
        options={name: BIASES[name] for name in ("float", "quantized")},
        help="Kept in float (32 bits each, counted), or rounded together with the weights.",
    )
    bits_by_layer: PerLayer = field_of(PathFollowing, "bits_by_layer")

    def check(self) -> None:
        """Refuse an alphabet that has no levels at the bits."""
        for bits in (self.bits, *(int(bits) for _, bits in self.bits_by_layer)):
            candidates(self.alphabet, bits)

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer]:
        """Round every layer."""
        bits_by_layer = check_layer_names("bits_by_layer", self.bits_by_layer, task.layers)
        rows: Mapping[str, Array] = {}
        if self.alphabet == AUTO and task.network is not None and task.inputs is not None:
            rows = layer_rows(task.network, task.inputs, task.layers)
        for number, layer in enumerate(task.layers):
            stop_if(task.should_stop)
            report(task.progress, number, len(task.layers), layer.name)
            try:
                yield self._rounded(layer, int(bits_by_layer.get(layer.name, self.bits)), rows.get(layer.name))
            except InputError as error:
                raise InputError(f"layer {layer.name}: {error}") from None

    def cut(self, shape: tuple[int, ...]) -> Cut | None:
        """Return how a layer without groups can be cut in pieces: neurons, unless all share one step."""
        if self.scale == "per-layer":
            return None
        return Cut("rows", max(1, PIECE // math.prod(shape[1:])), one_step=True)

    def look(self, piece: Layer, seed: int) -> tuple[Look, ...]:
        """Return what each alphabet would do to a piece of a layer."""
        bits = int(dict(self.bits_by_layer).get(piece.name, self.bits))
        neurons = self._neurons(piece)
        return tuple(
            Look(one.scale.alphabet, bits, row_errors(neurons - one.rounded), one.scale.zero_bits, neurons.size,
                 int((one.rounded == 0).sum()))
            for one in self._tried(neurons, bits, None)
        )  # fmt: skip

    def settled(self, looks: Sequence[tuple[Look, ...]], seed: int) -> Callable[[Layer], CompressedLayer]:
        """Return what compresses a layer's pieces with the alphabet that is best for all of them together."""
        merged = [Look.together(of_one) for of_one in zip(*looks, strict=True)]
        best = min(merged, key=lambda look: look.cost)
        own = dataclasses.replace(self, alphabet=best.alphabet)
        mapped = best.count < best.bits * best.zeros  # a bit for each weight against the bits of the zeros
        return lambda piece: own._rounded(piece, best.bits, None, mapped)

    def error(self, layer: Layer, rows: Array | None) -> float:
        """Return ‖X(W − Q)ᵀ‖² of a layer once it is rounded, or ‖W − Q‖² without rows.

        Parameters
        ----------
        layer : Layer
            The layer.
        rows : ndarray or None, shape (groups, n, N)
            X of each group, as of `sdqviz.methods.calibrated.glance.layer_rows`.
        """
        bits = int(dict(self.bits_by_layer).get(layer.name, self.bits))
        return min(self._tried(self._neurons(layer), bits, rows), key=lambda one: one.cost).error

    def _tried(self, neurons: Array, bits: int, rows: Array | None) -> list[_Rounded]:
        """Return what each alphabet makes of neurons."""
        return [self._with(name, neurons, bits, rows) for name in candidates(self.alphabet, bits)]

    def _neurons(self, layer: Layer) -> Array:
        return layer_vectors(layer, "rows", biases=self.biases == "quantized")

    def _rounded(self, layer: Layer, bits: int, rows: Array | None, mapped: bool | None = None) -> CompressedLayer:
        begun = time.perf_counter()
        with_bias = self.biases == "quantized" and layer.bias is not None
        neurons = self._neurons(layer)
        best = min(self._tried(neurons, bits, rows), key=lambda one: one.cost)
        clipped = QUANTIZERS["nearest"]().overloaded(neurons.T, best.grid.spread(neurons.shape[1])).T
        coded = coding.encode(best.rounded, best.grid, step_bits=int(self.step_bits), mapped=mapped)
        step = best.grid.spread(neurons.shape[1]).step
        each = np.sqrt((step**2).mean(axis=0)) if step.ndim == 2 else step  # ½√N of it bounds a neuron's error
        return coded_layer(
            layer,
            best.rounded,
            coded,
            with_bias=with_bias,
            step=best.grid.widest,
            overload=clipped.sum(axis=1),
            begun=begun,
            bounds=(bound.memoryless_layer_bound(each, neurons.shape[1], not clipped.any()),),
        )

    def _with(self, alphabet: str, neurons: Array, bits: int, rows: Array | None) -> _Rounded:
        """Return neurons rounded to an alphabet; a midrise one that clips nothing ends δ/2 before the largest."""
        half = 2.0 ** (bits - 1)
        stretch = (half - 0.5) / half if alphabet == "midrise" and self.fit == "max" else 1.0
        how = ScaleFit(self.scale, self.fit, stretch=stretch, step_bits=int(self.step_bits))
        scale = fitted(Neurons(neurons, np.ones(neurons.shape, bool)), alphabet, bits, how)
        grid = scale.grid()
        rounded = grid.spread(neurons.shape[1]).nearest(neurons.T).T
        return _Rounded(scale, grid, rounded, layer_error(neurons - rounded, rows))

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long the rounding takes; fitting to the square error tries every candidate scale."""
        each = 20e-9 + 0.7e-9 * len(SHRINKS) * (self.fit == "mse")
        alphabets = len(ALPHABETS) if self.alphabet == AUTO else 1
        return each * alphabets * sum(math.prod(shape) for shape in shapes)

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return the weights that the stored levels and steps describe."""
        if "coding" in parameters:
            return decode_layer(stored, parameters, shape, groups)
        # files of before there was a choice of alphabets: midrise levels, one code for each weight
        levels = stored["levels"]
        step = stored["step"].values.astype(float).reshape(-1, 1)
        if levels.values.ndim != 2 or len(levels.values) != shape[0] or len(step) not in (1, shape[0]):
            raise InputError(f"levels must have a row, and a step, for each of {shape[0]} neurons, got others")
        vectors = (levels.values.astype(float) - 2 ** (levels.bits - 1) + 0.5) * step
        bias = None
        if parameters["bias"]:
            vectors, bias = split_bias(vectors, groups, "rows")
        return from_vectors(vectors, shape, groups, "rows"), bias


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """What an alphabet would do to some neurons.

    Attributes
    ----------
    alphabet : str
        Its name.
    bits : int
        Bits of a level.
    errors : ndarray
        ‖w − q‖² of each neuron.
    zero_bits, count, zeros : int
        Bits of its zero points; weights, and how many of them become zero.
    """

    alphabet: str
    bits: int
    errors: Array
    zero_bits: int
    count: int
    zeros: int

    @classmethod
    def together(cls, looks: Sequence[Look]) -> Look:
        """Return the look at the neurons of all of them."""
        errors = np.concatenate([look.errors for look in looks])
        zero_bits, count, zeros = (
            sum(values) for values in zip(*((one.zero_bits, one.count, one.zeros) for one in looks), strict=True)
        )
        return cls(looks[0].alphabet, looks[0].bits, errors, zero_bits, count, zeros)

    @property
    def cost(self) -> float:
        """The square error; four times as much is worth a bit a weight."""
        return math.fsum(self.errors) * 4.0 ** (self.zero_bits / self.count)


def row_errors(difference: Array) -> Array:
    """Return the square norm of every row: their exact sum is the same however the rows were cut."""
    return np.asarray((difference**2).sum(axis=1))


@dataclasses.dataclass(frozen=True, eq=False)
class _Rounded:
    """Neurons rounded to one alphabet."""

    scale: Scale
    grid: Grid
    rounded: Array
    error: float

    @property
    def cost(self) -> float:
        """The square error; four times as much is worth a bit a weight."""
        return self.error * 4.0 ** (self.scale.zero_bits / self.rounded.size)


def layer_error(difference: Array, rows: Array | None) -> float:
    """Return ‖X(W − Q)ᵀ‖² of a layer on rows of its inputs, or ‖W − Q‖² where there are none.

    Parameters
    ----------
    difference : ndarray, shape (M, N) or (M, N + 1)
        W − Q, a row per neuron, perhaps with the biases' as a last column.
    rows : ndarray or None, shape (groups, n, N)
        X of each group.
    """
    if rows is None:
        return math.fsum(row_errors(difference))
    groups, count, width = rows.shape
    parts = difference.reshape(groups, -1, difference.shape[1])
    total, together = 0.0, max(1, AT_ONCE // count)
    for x, part in zip(rows, parts, strict=True):
        for start in range(0, len(part), together):
            some = part[start : start + together]
            moved = x @ some[:, :width].T + (some[:, width] if some.shape[1] > width else 0.0)
            total += float((moved**2).sum())
    return total
