"""What a compression method is given, and what it hands back for each layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from sdqviz.array import FLOAT_BITS, Array
from sdqviz.bounds.statement import Bound
from sdqviz.choice import Choice
from sdqviz.error import InputError
from sdqviz.frames.walk import Walk
from sdqviz.path_following.row_product import FrameRows
from sdqviz.progress import Progress, ShouldStop
from sdqviz.quantizers.quantizer import Grid
from sdqviz.storage.bits import Packed

if TYPE_CHECKING:  # layers live above torch; naming their type must not load it
    from sdqviz.networks.layer import Layer
    from sdqviz.networks.learned_quantizer import LearnedQuantizer
    from sdqviz.networks.network import Network
    from sdqviz.pruning.removal import Cut


class Whole(Protocol):
    """What all parts of some work share, told apart from what is each part's own."""

    def same(self, other: Any, /) -> bool:
        """Whether this is what another one is, so that it need not be sent again."""

    def without(self, part: Any, /) -> Any:
        """Return a part without what is shared, to be sent."""

    def with_own(self, part: Any, /) -> Any:
        """Return a part with what is shared, to be worked on."""


class Spread(Protocol):
    """Does the work of many parts of a layer at once, elsewhere."""

    @property
    def blocks(self) -> int:
        """Into how many parts a layer is best divided."""

    def map(self, shared: Whole, parts: Sequence[tuple[Any, Callable[[Any], Any]]]) -> list[Any]:
        """Do each part's work on it, put together with what all share; results in order."""


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """One run: the layers to compress, in the order of the network.

    Attributes
    ----------
    layers : tuple of Layer
        Names, weights and biases, float64.
    seed : int
        The only source of randomness.
    progress, should_stop : callable or None
        To be passed on and polled.
    network : Network or None
        The network the layers are of; methods that calibrate need it.
    inputs : ndarray, tensor, tuple, dict, list of batches, or None
        Calibration inputs of the network; None where none were given.
    finished : mapping of str to callable
        Layers that an earlier run has compressed, and what gives their weights and, where these were compressed, their
        biases; methods that go layer by layer take them as they are and hand them over no more.
    spread : Spread or None
        What walks blocks of neurons elsewhere; None walks them here.
    """

    layers: tuple[Layer, ...]
    seed: int
    progress: Progress | None = None
    should_stop: ShouldStop | None = None
    network: Network | None = None
    inputs: Any = None
    finished: Mapping[str, Callable[[], tuple[Array, Array | None]]] = dataclasses.field(default_factory=dict)
    spread: Spread | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class PathRecord:
    """What path following saw of a layer, for bounds and pictures; groups follow one another.

    Attributes
    ----------
    input_norms : ndarray, shape (groups, N)
        ‖X̃_t‖ of each input.
    samples : int
        m, the rows that were looked at.
    patches : float
        Share of a convolution's positions that were looked at.
    target_norms, errors, alignment_errors : ndarray, shape (out,)
        ‖Xw‖, ‖Xw − X̃q‖ and ‖û‖ = ‖Xw − X̃w̃‖ of each neuron; where weights stay real numbers, what storing them as
        float32 may add to the error is part of the last.
    aligned_range : ndarray, shape (out,)
        ‖w̃‖_∞ of each neuron.
    quantizer : dict
        The operator, as its choice's ``to_dict``.
    error_limit : ndarray, shape (out,)
        M of the operator for each neuron: |T(z) − z| ≤ M in range.
    scaling : float
        C.
    damping : float
        λ added to the diagonal of H; 0 where there is none.
    finite : bool
        Whether the alphabet ends, so that values can be clipped; False for an operator that only prunes.
    grid : Grid or None
        The alphabets of the neurons.
    largest_errors : ndarray or None, shape (out,)
        ‖Xw − X̃q‖_∞ of each neuron over the rows looked at; None unless a second pass was asked for.
    """

    input_norms: Array
    samples: int
    patches: float
    target_norms: Array
    errors: Array
    alignment_errors: Array
    aligned_range: Array
    quantizer: Mapping[str, Any]
    error_limit: Array
    scaling: float
    damping: float
    finite: bool
    largest_errors: Array | None = None
    grid: Grid | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class OutputRecord:
    """What a method saw of a layer's output on the calibration inputs; the layer's bounds are then about ``error``.

    Attributes
    ----------
    error : float
        ‖X̃(T − Q)ᵀ‖_F/√m: how far the layer's output is from what was aimed at, per sample; T = W unless aligned.
    damped : float
        The same with λ‖T − Q‖_F²/m added under the root, as the identity Σ_t D_t‖v_t − q_t‖² gives it.
    samples : int
        m, the rows that were looked at.
    damping : float
        The largest λ added, in units of the Gram matrix.
    plain : bool
        Whether T = W and the biases are as they were: then ``error`` is all that the layer itself adds to its output.
    """

    error: float
    damped: float
    samples: int
    damping: float
    plain: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class LeftAlone:
    """A layer that a method did not compress.

    Attributes
    ----------
    name : str
        The layer.
    because : str
        Why, as the end of a sentence.
    """

    name: str
    because: str


@dataclasses.dataclass(frozen=True, eq=False)
class NewTensors:
    """Tensors of a module that changed and stay real numbers: statistics estimated anew, biases trained further.

    Attributes
    ----------
    name : str
        Path of the module.
    tensors : mapping of str to ndarray
        Name of the parameter or buffer to its values, in the shape it had.
    """

    name: str
    tensors: Mapping[str, Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Reduction:
    """What a method changes about the network itself, once all layers are done: a method yields it last.

    Attributes
    ----------
    cut : Cut
        Channels to cut out; they are zero in the layers that were handed over.
    input_quantizers : mapping of str to LearnedQuantizer
        By layer: what its input is quantized with from now on.
    """

    cut: Cut
    input_quantizers: Mapping[str, LearnedQuantizer]


class States(Protocol):
    """Gives the walk through a frame that quantized some of a layer's vectors, and its states u_n, shape (M, N)."""

    def __call__(self, rows: slice = ...) -> tuple[Walk, Array]:
        """Rebuild them from what was stored."""


@dataclasses.dataclass(frozen=True, eq=False)
class CompressedLayer:
    """What a method did to one layer.

    Attributes
    ----------
    layer : Layer
        The layer as it was.
    weight : ndarray
        New weights, in the shape of the old ones; exactly what decoding the stored parts gives.
    bias : ndarray or None
        New biases; None when they are kept in float.
    stored : mapping of str to Packed
        Everything that must be stored, apart from ``parameters``.
    parameters : mapping
        The few JSON-able numbers and names decoding needs (frame, N, seed, axis).
    parameter_bits : int
        What ``parameters`` are counted as.
    bounds : tuple of Bound
        Bounds on ‖W−Q‖₂ (on ‖[W b]−[Q c]‖₂ when biases are compressed).
    step : ndarray
        δ of each vector, or one for all.
    levels, size : int
        Size of the alphabet; levels stored per vector.
    overload, unstable : int
        Values outside the quantizer's range; vectors that break the stability condition.
    seconds : float
        Time spent.
    path : PathRecord or None
        What path following saw; None for other methods.
    output : OutputRecord or None
        What the bounds are about, where that is the output on the calibration inputs instead of ‖W−Q‖₂.
    weight_bits : int
        Bits of the whole numbers that the weights are, apart from a scale for each neuron or the layer: arithmetic
        could run on these. 32 where weights are real numbers, whatever their storage takes.
    note : str
        What whoever reads the report must know of this layer; part of a sentence, empty for nothing.
    axis : {"rows", "columns"}
        Which vectors of the layer's matrix were quantized.
    states : States or None
        Gives what ΣΔ left behind in them; None for a method that is not ΣΔ.
    """

    layer: Layer
    weight: Array
    bias: Array | None
    stored: Mapping[str, Packed]
    parameters: Mapping[str, Any]
    parameter_bits: int
    bounds: tuple[Bound, ...]
    step: Array
    levels: int
    size: int
    overload: int
    unstable: int
    seconds: float
    path: PathRecord | None = None
    weight_bits: int = FLOAT_BITS
    note: str = ""
    output: OutputRecord | None = None
    axis: str = "rows"
    states: States | None = None

    @property
    def bits(self) -> int:
        """Everything stored for this layer; packed arrays end on whole bytes."""
        return 8 * sum(item.byte_count for item in self.stored.values()) + self.parameter_bits

    @property
    def weight_count(self) -> int:
        """Original numbers that ``bits`` accounts for."""
        biases = 0 if self.bias is None or self.layer.bias is None else self.layer.bias.size
        return int(self.layer.weight.size + biases)


@dataclasses.dataclass(frozen=True)
class MethodChoice(Choice):
    """A compression method: how each layer's weights become something smaller."""

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer | LeftAlone | NewTensors | Reduction]:
        """Compress the layers one after the other."""
        raise NotImplementedError

    @property
    def stochastic(self) -> bool:
        """Whether levels are drawn at random, so that another seed gives other weights."""
        return False

    @property
    def trains(self) -> bool:
        """Whether it trains, which nobody but a visitor's own Run may start."""
        return False

    @property
    def spreads(self) -> bool:
        """Whether the work of a layer can be spread over processes, block of neurons by block."""
        return False

    @property
    def beyond_layer(self) -> str:
        """The setting that makes a layer's levels depend on other layers, such as a step for all; empty for none."""
        return ""

    @property
    def numbers_held(self) -> tuple[float, float, float]:
        """What a layer takes at most, in numbers of 64 bits: by N², by NM, and by N for each neuron walked at once.

        With H and its companions; what a weight's level means, itself and that in 32 bits in the two networks, its
        code, and maps of the zeros; weights as they are, aligned and in the order of the walk, what is aimed at, what
        levels mean in either order, and errors.
        """
        return 4, 2.5, 7

    def for_layer(self, name: str) -> Self:
        """Return this choice with those of its values by layer that are of one layer."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        own = {
            key: tuple(pair for pair in value if pair[0] == name)
            for key, value in values.items()
            if key.endswith("_by_layer")
        }
        return dataclasses.replace(self, **own)

    def estimated_seconds(self, shapes: Sequence[tuple[int, ...]]) -> float:
        """Return roughly how long layers with weights of these shapes take, in seconds; infinite if it is not known.

        A page runs at once what takes under a second, and asks before it starts anything longer.
        """
        return math.inf

    @classmethod
    def decode(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[Array, Array | None]:
        """Return (weight, bias or None) from what was stored, bit for bit as `compress_layers` gave them."""
        raise NotImplementedError

    @classmethod
    def rows_in_frame(
        cls, stored: Mapping[str, Packed], parameters: Mapping[str, Any], shape: tuple[int, ...], groups: int
    ) -> tuple[tuple[FrameRows, ...], Array | None] | None:
        """Return what `decode` decodes still in its frame, group by group, and the biases; None of other methods."""
        return None


def check_layer_names(field: str, pairs: tuple[tuple[str, float], ...], layers: tuple[Layer, ...]) -> dict[str, float]:
    """Return per-layer values as a dict; refuse names that the network does not have."""
    names = [layer.name for layer in layers]
    for name, _ in pairs:
        if name not in names:
            raise InputError(f"{field} must name layers of the network ({', '.join(names)}), got {name!r}")
    return dict(pairs)


def layer_vectors(layer: Layer, axis: str, *, biases: bool) -> Array:
    """Return the vectors of a layer, shape (M, d), its biases among them where they are compressed like weights."""
    vectors = layer.vectors(axis)
    return join_bias(vectors, layer.bias, layer.groups, axis) if biases else vectors


def join_bias(vectors: Array, bias: Array | None, groups: int, axis: str) -> Array:
    """Append the biases to the vectors of a layer: one more column a group, or one more coordinate a row."""
    if bias is None:
        return vectors
    if axis == "columns":
        return np.concatenate([vectors, bias.reshape(groups, -1)])
    return np.concatenate([vectors, bias[:, None]], axis=1)


def split_bias(vectors: Array, groups: int, axis: str) -> tuple[Array, Array]:
    """Invert `join_bias`: return the weight vectors and the biases."""
    if axis == "columns":
        return vectors[:-groups], vectors[-groups:].reshape(-1)
    return vectors[:, :-1], vectors[:, -1]
