"""One layer followed along its path: the walk of every method, many seeds against the bounds, alignment, and width."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.bounds import path as path_bound
from sdqviz.bounds.path import PLACEMENTS, Operator, PathLayer, ProbabilisticBound
from sdqviz.choice import Choice, field
from sdqviz.error import InputError
from sdqviz.explore import monte_carlo
from sdqviz.explore.monte_carlo import Cloud, Verdict
from sdqviz.kernels import draws
from sdqviz.methods import METHODS
from sdqviz.methods.calibrated.path_following import PathFollowing
from sdqviz.methods.unified import OPERATORS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.path_following import walk as recursion
from sdqviz.path_following.alignment import align, least_squares
from sdqviz.path_following.feedback import path_gain
from sdqviz.path_following.gram import Gram
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice
from sdqviz.storage import codes as coding
from sdqviz.storage.bits import step_up

COMPARED = ("round-to-nearest", "gptq", "gpfq", "spfq", "unified")
"""Methods whose walks are shown."""

NORMS = ("infinity", "euclidean")

LAYER = "layer"
"""The name random numbers are drawn under; run k of a cloud is a compression of a layer so called with seed + k."""

MOST_WORK = 6e9
"""Seeds × neurons × N² of a cloud above which it is refused: about a second on two cores."""

ORDERS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
"""Orders r at which alignment is shown."""

EARLIER_BITS = 4
"""Bits the layers before the chosen one are rounded to, so that its inputs differ from the original ones."""

WIDTHS = (256, 362, 512, 724, 1024)
"""Widths of the experiment with Gaussian weights."""

NOMINAL = 3.0
"""The largest of Gaussian weights, as it is taken for δ and c, in standard deviations."""

WIDTH_SAMPLES, WIDTH_NEURONS = 64, 48
"""Samples m and neurons of that experiment: N has to be several times m for the error to settle, and fewer samples
leave the bound nothing to say about ‖Xw‖."""


@dataclasses.dataclass(frozen=True)
class WalkChoice(Choice):
    """A layer, the random operator T it is quantized with, and how often.

    The layer is Gaussian, with inputs X̃ that differ a little from the original X, or one of a shipped network with
    calibration images, whose earlier layers have been rounded.
    """

    name = "walk"
    title = "One layer along its path"

    source: str = field(
        "gaussian",
        label="Data",
        help="Gaussian inputs and weights (they follow the seed), or a layer of a trained network and what calibration "
        "images look like in front of it.",
        options=("gaussian", "network"),
    )
    network: str = field(
        "mnist-fnn", label="Network", help="A shipped network.", options=lambda: tuple(sorted(NETWORKS))
    )
    layer: int = field(2, label="Layer", help="Counted from the input.", minimum=1, maximum=6)
    samples: int = field(
        32,
        label="Samples m",
        help="Rows of X: calibration samples, for a convolution patches of them.",
        minimum=2,
        maximum=256,
    )
    inputs: int = field(
        128, label="Inputs N", help="Weights of a neuron, and steps of its walk.", minimum=2, maximum=1024
    )
    neurons: int = field(
        8, label="Neurons", help="How many neurons take part; of a layer with fewer, all.", minimum=1, maximum=64
    )
    drift: float = field(
        0.2,
        label="Change of the inputs",
        help="X̃ = X + this times Gaussian noise: what quantizing the earlier layers has done. With 0 there is nothing "
        "to align.",
        minimum=0.0,
        maximum=1.0,
    )
    operator: str = field(
        "quantize-prune",
        label="Operator T",
        help="What the unified framework does to each value: round it at random to a level above or below, prune it "
        "below c at random, do both, or keep one random sign. All are right on average.",
        options=OPERATORS,
    )
    bits: int = field(
        4,
        label="Bits per weight",
        help="2^bits − 1 levels with a zero in the middle; 2 levels for one bit.",
        minimum=1,
        maximum=8,
    )
    threshold: float = field(
        0.15,
        label="Pruning threshold c",
        help="As a share of the largest weight. Values below c become 0 or ±c at random.",
        minimum=0.0,
        maximum=1.0,
    )
    scaling: float = field(
        1.0,
        label="Scaling C",
        help="Divides the feedback of earlier errors in the unified framework. C = 1 is SPFQ; a larger C keeps the "
        "values in range, as one bit needs, and lets more error stay.",
        minimum=1.0,
        maximum=100.0,
    )
    order: int = field(
        1,
        label="Order r",
        help="Sweeps of the alignment that first fits the weights to the changed inputs; more come closer to least "
        "squares.",
        minimum=1,
        maximum=64,
    )
    room: float = field(
        1.5,
        label="Range of the alphabet",
        help="The largest level as a multiple of the largest weight. Feedback makes values larger than the weights; "
        "what lies beyond the last level is clipped, and then no bound applies.",
        minimum=0.1,
        maximum=10.0,
    )
    seeds: int = field(
        500, label="Seeds", help="Runs of the cloud, each with its own random numbers.", minimum=1, maximum=5000
    )
    norm: str = field(
        "infinity",
        label="Error measured as",
        help="infinity: the largest error over the samples. euclidean: the length of the error. Of the worst neuron.",
        options=NORMS,
    )
    failure: float = field(
        0.01,
        label="Failure probability γ",
        help="The bounds are stated with probability 1 − γ, for all neurons at once.",
        minimum=0.0001,
        maximum=0.5,
        advanced=True,
    )
    finite: bool = field(
        True,
        label="Finite alphabet",
        help="Off: the levels go on for ever, as the theorems assume at first; one bit always ends.",
        advanced=True,
    )
    placement: str = field(
        "own",
        label="C multiplies",
        help="The squared norm of each input, or the largest of all.",
        options=PLACEMENTS,
        advanced=True,
    )

    def check(self) -> None:
        """Refuse one bit where a zero is needed, and pruning below 0."""
        if self.operator == "quantize-prune" and self.bits == 1:
            raise InputError(
                "bits must be at least 2 for the operator quantize-prune, got 1: one bit has no room for a zero "
                "between two signs; use the operator one-bit"
            )
        if self.operator == "prune" and self.threshold == 0:
            raise InputError("threshold must be above 0 for the operator prune, got 0: nothing would be pruned")

    @property
    def prunes(self) -> bool:
        """Whether the operator has a threshold."""
        return self.operator in ("prune", "quantize-prune")

    @property
    def alphabet(self) -> str:
        """Midtread where there is room for a zero."""
        return "midrise" if self.level_bits == 1 else "midtread"

    @property
    def level_bits(self) -> int:
        """Bits of the alphabet: 1 for the one-bit operator whatever ``bits`` says."""
        return 1 if self.operator == "one-bit" else self.bits

    def grid(self, largest: float) -> Grid:
        """Return the alphabet that reaches ``room`` times the largest weight."""
        unit = Grid.finite(self.alphabet, self.level_bits, 1.0)
        step = step_up(np.atleast_1d(self.room * largest / unit.radius))
        if self.finite or self.operator == "one-bit":
            return Grid.finite(self.alphabet, self.level_bits, step)
        return Grid.infinite(self.alphabet, step)

    def quantizer(self, threshold: float) -> QuantizerChoice:
        """Return T with c = ``threshold``, in the units of the weights."""
        if self.prunes:
            return QUANTIZERS.from_dict({"name": self.operator, "threshold": threshold})
        return QUANTIZERS["stochastic" if self.operator == "quantize" else "one-bit"]()

    def method(self, name: str) -> PathFollowing:
        """Return one of the compared methods as the library has it, with this alignment, C and alphabet."""
        given: dict[str, dict[str, Any]] = {
            "gpfq": {"order": self.order},
            "spfq": {"order": self.order},
            "gptq": {"visit": "as-is"},
            "unified": {
                "order": self.order,
                "operator": self.operator,
                "scaling": self.scaling,
                "placement": self.placement,
            },
        }
        built = METHODS.from_dict({"name": name, "bits": self.bits, "alphabet": self.alphabet, **given[name]})
        if not isinstance(built, PathFollowing):
            raise InputError(f"method must be one of path following, got {name}")
        return built


@dataclasses.dataclass(frozen=True, eq=False)
class LayerData:
    """A layer's weights and inputs.

    Attributes
    ----------
    title : str
        What it is.
    original, inputs : ndarray, shape (m, N)
        X and X̃.
    weights : ndarray, shape (N, M)
        w, a column per neuron.
    agree : bool
        Whether X̃ is X.
    """

    title: str
    original: Array
    inputs: Array
    weights: Array
    agree: bool

    @functools.cached_property
    def gram(self) -> Gram:
        """H, G and ‖Xw‖²."""
        return Gram.of(self.inputs, self.weights, None if self.agree else self.original)

    @functools.cached_property
    def norms(self) -> Array:
        """‖Xw‖ of each neuron, shape (M,)."""
        return np.sqrt(self.gram.target)


def layer_data(choice: WalkChoice, seed: int) -> LayerData:
    """Return the layer a choice describes; the last ones are kept.

    Raises
    ------
    InputError
        If the network has no such layer, or all its inputs are zero.
    """
    if choice.source == "gaussian":
        return _gaussian(choice.samples, choice.inputs, choice.neurons, choice.drift, seed)
    return _of_network(choice.network, choice.layer, choice.samples, choice.neurons, seed)


@functools.lru_cache(maxsize=8)
def _gaussian(samples: int, inputs: int, neurons: int, drift: float, seed: int) -> LayerData:
    rng = np.random.default_rng([seed, 2])
    original = rng.standard_normal((samples, inputs))
    weights = np.random.default_rng([seed, 3]).standard_normal((neurons, inputs)).T.copy()
    changed = original + drift * rng.standard_normal((samples, inputs)) if drift > 0 else original
    return LayerData(f"Gaussian layer, {neurons} neurons", original, changed, weights, drift == 0)


@functools.lru_cache(maxsize=8)
def _of_network(name: str, place: int, samples: int, neurons: int, seed: int) -> LayerData:
    from sdqviz.networks.layer import to_vectors

    network = NETWORKS[name]().load()
    layers = network.layers
    if not 1 <= place <= len(layers):
        raise InputError(f"layer must be between 1 and {len(layers)} for {name}, got {place}")
    layer = layers[place - 1]
    rounded = {}
    for earlier in layers[: place - 1]:
        rows = earlier.weight.reshape(len(earlier.weight), -1).T
        grid = Grid.finite("midrise", EARLIER_BITS, np.abs(rows).max(axis=0) / (2 ** (EARLIER_BITS - 1) - 0.5))
        rounded[earlier.name] = grid.nearest(rows).T.reshape(earlier.weight.shape)
    if network.dataset is None:
        raise InputError(f"network {name} must come with calibration images, got none")
    images = network.dataset.calibration(samples, seed)
    # of a convolution only some patches are kept, the same ones in both networks
    original = _rows_before(network, layer.name, images, samples, seed)
    inputs = _rows_before(network.replaced(rounded), layer.name, images, samples, seed) if rounded else original
    rows = to_vectors(layer.weight, layer.groups, "rows")[: len(layer.weight) // layer.groups]
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(neurons, len(rows))).round().astype(int))
    title = f"{name}, layer {layer.name}, {len(chosen)} of {len(layer.weight)} neurons"
    data = LayerData(title, original, inputs, np.ascontiguousarray(rows[chosen].T), not rounded)
    if not data.gram.alive.any():
        raise InputError(f"inputs of layer {layer.name} must not all be zero, got zeros on {samples} samples")
    return data


def _rows_before(network: object, name: str, images: Array, count: int, seed: int) -> Array:
    """Return ``count`` rows that a layer's weight matrix multiplies (the first group's), float64."""
    import torch

    from sdqviz.networks.layer import input_rows
    from sdqviz.networks.network import Network

    if not isinstance(network, Network):
        raise InputError(f"network must be a Network, got {type(network).__name__}")
    module = network.shadow()
    seen: list[torch.Tensor] = []
    part = module.get_submodule(name)
    handle = part.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach()))
    try:
        with torch.no_grad():
            module(torch.from_numpy(np.ascontiguousarray(images)))
    finally:
        handle.remove()
    rows = np.concatenate([piece[0].cpu().numpy() for piece in input_rows(part, seen[0])])
    if len(rows) > count:
        rows = rows[np.sort(np.random.default_rng([seed, 4]).choice(len(rows), count, replace=False))]
    return rows


# -- the walks ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """The walk of one method.

    Attributes
    ----------
    name : str
        The method's, as in `sdqviz.methods`.
    quantized : ndarray, shape (N, M)
        q.
    state : ndarray, shape (N, M)
        ‖u_t‖ with u_t = Σ_{j≤t}(w_jX_j − q_jX̃_j): what the first t inputs leave behind; at the end the error.
    overload : int
        Values clipped.
    """

    name: str
    quantized: Array
    state: Array
    overload: int


@dataclasses.dataclass(frozen=True, eq=False)
class WalkRun:
    """What came of one layer.

    Attributes
    ----------
    choice : WalkChoice
        What was asked for.
    data : LayerData
        The layer.
    grid : Grid
        The alphabet, one step for all neurons.
    quantizer : QuantizerChoice
        T.
    aligned : ndarray, shape (N, M)
        w̃ of order r.
    paths : tuple of Path
        In the order of `COMPARED`.
    values : ndarray, shape (N, M)
        v_t that T was given, of the unified framework.
    plain_values : ndarray, shape (N, M)
        v_t of SPFQ.
    bits_per_weight : float
        Of the unified framework's result as stored: codes, the map of zeros, and the step.
    cloud : Cloud
        The unified framework with many seeds; the first one is that of the walk.
    bounds : tuple of ProbabilisticBound
        On the error of the chosen norm, the widest neuron's.
    verdicts : tuple of Verdict
        The cloud against each.
    """

    choice: WalkChoice
    data: LayerData
    grid: Grid
    quantizer: QuantizerChoice
    aligned: Array
    paths: tuple[Path, ...]
    values: Array
    plain_values: Array
    bits_per_weight: float
    cloud: Cloud
    bounds: tuple[ProbabilisticBound, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def step(self) -> float:
        """δ."""
        return float(self.grid.step[0])

    @property
    def cut(self) -> float:
        """The threshold c, in the units of the weights."""
        return self.quantizer.cut

    @property
    def zeros(self) -> float:
        """Share of the unified framework's weights that are zero."""
        return float((self.path("unified").quantized == 0).mean())

    @property
    def measured(self) -> Array:
        """The error of the worst neuron in the chosen norm, shape (seeds,)."""
        return self.cloud.worst(self.choice.norm)

    def path(self, name: str) -> Path:
        """Return the walk of a method."""
        return next(path for path in self.paths if path.name == name)

    def relative_error(self, name: str) -> float:
        """Return ‖Xw − X̃q‖/‖Xw‖ of a method, over all neurons together."""
        return float(np.linalg.norm(self.path(name).state[-1]) / max(float(np.linalg.norm(self.data.norms)), 1e-300))

    @property
    def sharpest(self) -> ProbabilisticBound:
        """The smallest bound that applies with probability 1 − γ; the smallest of all if none does."""
        return path_bound.sharpest(self.bounds, 1 - self.choice.failure)

    @property
    def verdict(self) -> Verdict:
        """The cloud against the sharpest bound."""
        return self.verdicts[self.bounds.index(self.sharpest)]


def run(choice: WalkChoice, seed: int) -> WalkRun:
    """Follow the path with every method, and with the unified framework many times.

    Parameters
    ----------
    choice : WalkChoice
        The layer, the operator and the number of runs.
    seed : int
        Of the data and of the random numbers; the runs of the cloud have this seed and the following ones.

    Raises
    ------
    InputError
        If the layer does not exist, the weights are all zero, or the cloud would take too long.
    """
    data = layer_data(choice, seed)
    length, neurons = data.weights.shape
    most = int(MOST_WORK / (length**2 * neurons))
    if choice.seeds > max(most, 1):
        raise InputError(
            f"seeds must be at most {max(most, 1)} for {neurons} neurons of {length} inputs, got {choice.seeds}: "
            "take fewer seeds or neurons"
        )
    gram = data.gram
    largest = float(np.abs(data.weights[gram.alive]).max(initial=0.0))
    if largest == 0:
        raise InputError("weights must not all be zero, got zeros only: there is nothing to quantize")
    grid = choice.grid(largest)
    quantizer = choice.quantizer(float(np.float32(choice.threshold * largest)))
    keys = draws.neuron_keys(draws.layer_key(seed, LAYER), neurons)
    own = dataclasses.replace(grid, step=np.repeat(grid.step, neurons))
    paths: list[Path] = []
    fed: dict[str, Array] = {}
    for name in COMPARED:
        if name == "round-to-nearest":
            kept = np.where(gram.alive[:, None], grid.nearest(data.weights), 0.0)
            clipped = int(QUANTIZERS["nearest"]().overloaded(data.weights, grid).sum())
            paths.append(Path(name, kept, _states(data, kept), clipped))
            continue
        method = choice.method(name)
        start = method.prepared(gram, data.weights, None)
        rule = {"spfq": QUANTIZERS["stochastic"](), "unified": quantizer}.get(name, QUANTIZERS["nearest"]())
        walk = recursion.walk(
            start.base, start.feedback, start.gain, rule, own, keys, reference=start.reference, alive=gram.alive
        )
        fed[name] = start.base + start.gain[:, None] * (np.tril(start.feedback, -1) @ walk.error)
        paths.append(Path(name, walk.quantized, _states(data, walk.quantized), int(walk.overload.sum())))
        if name == "unified":
            aligned, unified = start.aligned, walk.quantized
    if not quantizer.rounds:
        unified = unified.astype(np.float32).astype(float)
    coded = coding.encode(unified.T, own if quantizer.rounds else None, quantizer.cut, ~gram.alive[None])
    bits = coded.parameter_bits + sum(part.bit_count for part in coded.stored.values())
    cloud = monte_carlo.run_layer(
        data.inputs, data.weights, quantizer, grid, seeds=choice.seeds, scaling=choice.scaling,
        placement=choice.placement, original=None if data.agree else data.original, aligned=aligned, name=LAYER,
        first_seed=seed,
    )  # fmt: skip
    stated = path_bound.layer_bounds(cloud.layer, choice.failure, cloud.sensitivity(data.inputs))
    bounds = tuple(one for one in stated if choice.norm in one.name)
    measured = cloud.worst(choice.norm)
    return WalkRun(
        choice, data, grid, quantizer, aligned, tuple(paths), fed["unified"], fed["spfq"], bits / unified.size, cloud,
        bounds, tuple(monte_carlo.compare(measured, one) for one in bounds),
    )  # fmt: skip


def _states(data: LayerData, quantized: Array) -> Array:
    """Return ‖Σ_{j≤t}(w_jX_j − q_jX̃_j)‖ for every step and neuron, shape (N, M)."""
    state = np.zeros((len(data.inputs), quantized.shape[1]))
    norms = np.empty_like(quantized)
    for t, (weight, level) in enumerate(zip(data.weights, quantized, strict=True)):
        state += np.outer(data.original[:, t], weight) - np.outer(data.inputs[:, t], level)
        norms[t] = np.sqrt(np.einsum("im,im->m", state, state))
    return norms


def one_bit_scaling(result: WalkRun) -> ProbabilisticBound | None:
    """Return the smallest C with which one bit provably stays in range, our form; None for other operators."""
    if result.choice.operator != "one-bit":
        return None
    layer = result.cloud.layer
    return path_bound.one_bit_scaling_hoeffding(
        float(np.abs(result.aligned).max()), float(result.grid.radius[0]), layer.inputs, result.choice.failure,
        ratio=layer.ratio, scaling=layer.scaling, neurons=layer.neurons,
    )  # fmt: skip


# -- alignment ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class AlignmentRun:
    """What alignment of growing order leaves behind, relative to ‖Xw‖, over all neurons together.

    Attributes
    ----------
    orders : ndarray of int, shape (k,)
        r.
    residual : ndarray, shape (k,)
        ‖Xw − X̃w̃‖ of each order.
    least : float
        That of least squares: no order gets below it.
    error : ndarray, shape (k,)
        ‖Xw − X̃q‖ of the unified framework after alignment of each order.
    """

    orders: Index
    residual: Array
    least: float
    error: Array


def alignment(choice: WalkChoice, seed: int) -> AlignmentRun | None:
    """Align with growing order and quantize after it; None where the inputs agree and nothing is to be aligned."""
    data = layer_data(choice, seed)
    if data.agree:
        return None
    gram, whole = data.gram, max(float(np.linalg.norm(data.norms)), 1e-300)
    largest = float(np.abs(data.weights[gram.alive]).max(initial=0.0))
    quantizer = choice.quantizer(float(np.float32(choice.threshold * largest)))
    neurons = data.weights.shape[1]
    grid = choice.grid(largest)
    keys = draws.neuron_keys(draws.layer_key(seed, LAYER), neurons)
    gain = path_gain(gram, choice.scaling, choice.placement)
    target = data.original @ data.weights

    def left(weights: Array) -> float:
        return float(np.linalg.norm(target - data.inputs @ weights) / whole)

    orders = np.union1d(ORDERS, [choice.order])
    aligned = _sweeps(data, tuple(orders.tolist()))
    count = len(orders)
    many = dataclasses.replace(grid, step=np.repeat(grid.step, count * neurons))
    base = np.concatenate(aligned, axis=1)  # one walk for all orders: its time hardly grows with the columns
    walk = recursion.walk(base, gram.inputs, gain, quantizer, many, np.tile(keys, count), alive=gram.alive)
    errors = [left(quantized) for quantized in np.split(walk.quantized, count, axis=1)]
    least = left(least_squares(gram, data.weights))
    return AlignmentRun(orders, np.array([left(w) for w in aligned]), least, np.array(errors))


@functools.lru_cache(maxsize=4)
def _sweeps(data: LayerData, orders: tuple[int, ...]) -> tuple[Array, ...]:
    return tuple(align(data.gram, data.weights, order) for order in orders)


# -- Gaussian weights ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class WidthRun:
    """The error of layers with Gaussian weights against their width, with the same δ, c and C for all.

    Attributes
    ----------
    widths : ndarray of int, shape (k,)
        N.
    samples, neurons : int
        m, and neurons of each width.
    errors : ndarray, shape (k, neurons)
        ‖Xw − Xq‖²/‖Xw‖² of each neuron.
    bound : ndarray, shape (k,)
        What it keeps below with probability 1 − γ, for all neurons; infinite where nothing is known.
    slope, interval : float
        Of log(mean error) against log N by least squares, and half of its 95 % interval.
    reach : ndarray, shape (k,)
        max|v_t| over the neurons.
    step : float
        δ, in standard deviations of the weights.
    far : ndarray of int, shape (j,)
        Widths of the curve of bits.
    bits, far_bits : ndarray
        log2(2K+1) that held all values, measured at ``widths``, and that suffice with probability 1 − γ, at ``far``.
        Empty for operators without an endless alphabet.
    """

    widths: Index
    samples: int
    neurons: int
    errors: Array
    bound: Array
    slope: float
    interval: float
    reach: Array
    step: float
    far: Index
    bits: Array
    far_bits: Array


def width_experiment(choice: WalkChoice, seed: int) -> WidthRun:
    """Quantize ever wider layers of Gaussian weights with the operator, the levels, c and C of a choice.

    The largest weight, from which δ and c follow, is taken as `NOMINAL` standard deviations at every width. The
    inputs are Gaussian too, their columns scaled to one norm; m is fixed, since the error settles only when N is
    several times m.
    """
    step = float(dataclasses.replace(choice, finite=False).grid(NOMINAL).step[0])
    cut = float(np.float32(choice.threshold * NOMINAL)) if choice.prunes else 0.0
    return _widths(choice.operator, choice.level_bits, step, cut, choice.scaling, choice.failure, seed)


@functools.lru_cache(maxsize=16)
def _widths(operator: str, bits: int, step: float, cut: float, scaling: float, failure: float, seed: int) -> WidthRun:
    # the cut is given, so the choice only names the operator
    quantizer = WalkChoice(operator=operator).quantizer(cut)
    one_bit = operator == "one-bit"
    steps = np.full(WIDTH_NEURONS, step)
    grid = Grid.finite("midrise", 1, steps) if one_bit else Grid.infinite("midtread" if bits > 1 else "midrise", steps)
    keys = draws.neuron_keys(draws.layer_key(seed, "widths"), WIDTH_NEURONS)
    errors, bounds, reach = np.empty((len(WIDTHS), WIDTH_NEURONS)), np.empty(len(WIDTHS)), np.empty(len(WIDTHS))
    limit = Operator.of(quantizer, grid) if quantizer.error_limit(grid).max() > 0 else None
    for k, (weights, gram, lower, sizes) in enumerate(_gaussian_layers(seed)):
        gain = path_gain(gram, scaling)
        walk = recursion.walk(weights, gram.inputs, gain, quantizer, grid, keys)
        errors[k] = gram.error(weights, walk.quantized) / gram.target
        reach[k] = np.abs(weights + gain[:, None] * (lower @ walk.error)).max()
        clipping = path_bound.measured_clipping(int(walk.overload.sum()), weights.size)
        bounds[k] = math.inf
        if limit is not None:
            layer = PathLayer.of_norms(
                np.sqrt(gram.squares), WIDTH_SAMPLES, limit, scaling=scaling, neurons=WIDTH_NEURONS, clipping=clipping
            )
            stated = path_bound.gaussian_layer(layer, *sizes, failure)
            bounds[k] = stated.value if stated.holds else math.inf
    slope, interval = fitted_slope(np.array(WIDTHS, float), errors.mean(axis=1))
    far = 2 ** np.arange(6, 41, 2) if quantizer.rounds and not one_bit and limit is not None else np.zeros(0, int)
    far_bits = [_bits_needed(int(width), limit, scaling, failure, step) for width in far if limit is not None]
    needed = np.log2(2 * np.maximum(np.ceil(reach / step), 1) + 1) if len(far) else np.zeros(0)
    return WidthRun(
        np.array(WIDTHS), WIDTH_SAMPLES, WIDTH_NEURONS, errors, bounds, slope, interval, reach, step, far, needed,
        np.array(far_bits),
    )  # fmt: skip


@functools.lru_cache(maxsize=2)
def _gaussian_layers(seed: int) -> tuple[tuple[Array, Gram, Array, tuple[float, float]], ...]:
    """Return of each width w, its Gram matrices, H strictly below the diagonal, and (‖X‖_F, ‖XᵀX‖_F); 50 MB."""
    layers = []
    for width in WIDTHS:
        rng = np.random.default_rng([seed, 5, width])
        x = rng.standard_normal((WIDTH_SAMPLES, width))
        x *= math.sqrt(WIDTH_SAMPLES) / np.linalg.norm(x, axis=0)
        weights = rng.standard_normal((width, WIDTH_NEURONS))
        gram = Gram.of(x, weights)
        sizes = float(np.linalg.norm(x)), float(np.linalg.norm(x @ x.T))
        layers.append((weights, gram, np.tril(gram.inputs, -1), sizes))
    return tuple(layers)


def _bits_needed(width: int, operator: Operator, scaling: float, failure: float, step: float) -> float:
    layer = PathLayer(WIDTH_SAMPLES, width, 1.0, 1.0, operator, scaling, neurons=WIDTH_NEURONS)
    return math.log2(2 * path_bound.levels_needed(path_bound.gaussian_range(layer, failure), step) + 1)


def fitted_slope(x: Array, y: Array) -> tuple[float, float]:
    """Fit log y = a + s log x; return s and half of its 95 % interval (t distribution, at least 3 points).

    Where y has zeros, both are NaN.

    Examples
    --------
    >>> slope, interval = fitted_slope(np.array([1.0, 2.0, 4.0, 8.0]), np.array([8.0, 4.0, 2.0, 1.0]))
    >>> round(slope, 9), round(interval, 9)
    (-1.0, 0.0)
    """
    from scipy.special import stdtrit

    if len(x) < 3 or not (y > 0).all():
        return math.nan, math.nan
    u, v = np.log(x), np.log(y)
    centred = u - u.mean()
    slope = float(centred @ v / (centred @ centred))
    rest = v - v.mean() - slope * centred
    error = math.sqrt(float(rest @ rest) / (len(x) - 2) / float(centred @ centred))
    return slope, float(stdtrit(len(x) - 2, 0.975)) * error
