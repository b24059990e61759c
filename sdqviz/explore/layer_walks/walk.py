"""One layer followed along its path: the walk of every method, and many seeds against the bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds import path as path_bound
from sdqviz.bounds.path import ProbabilisticBound
from sdqviz.error import InputError
from sdqviz.explore import monte_carlo
from sdqviz.explore.layer_walks.choice import WalkChoice
from sdqviz.explore.layer_walks.data import LayerData, layer_data
from sdqviz.explore.monte_carlo import Cloud, Verdict
from sdqviz.kernels import draws
from sdqviz.path_following import walk as recursion
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice
from sdqviz.storage import codes as coding

COMPARED = ("round-to-nearest", "gptq", "gpfq", "spfq", "unified")
"""Methods whose walks are shown."""


LAYER = "layer"
"""The name random numbers are drawn under; run k of a cloud is a compression of a layer so called with seed + k."""


MOST_WORK = 6e9
"""Seeds × neurons × N² of a cloud above which it is refused: about a second on two cores."""


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


TOGETHER = 1 << 18
"""Numbers of the states that are taken in one step."""


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


def run(choice: WalkChoice, seed: int, compared: Sequence[str] = COMPARED) -> WalkRun:
    """Follow the path with every method, and with the unified framework many times.

    Parameters
    ----------
    choice : WalkChoice
        The layer, the operator and the number of runs.
    seed : int
        Of the data and of the random numbers; the runs of the cloud have this seed and the following ones.
    compared : sequence of str
        The methods to walk with, ``"unified"`` among them; without SPFQ ``plain_values`` are those of the framework.

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
            "take fewer seeds or neurons",
            seeds=max(most, 1),
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
    for name in compared:
        if name == "round-to-nearest":
            kept = np.where(gram.alive[:, None], grid.nearest(data.weights), 0.0)
            clipped = int(QUANTIZERS["nearest"]().overloaded(data.weights, grid).sum())
            paths.append(Path(name, kept, _states(data, kept), clipped))
            continue
        method = choice.method(name)
        start = method.plan().start(gram, data.weights, None)
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
        choice, data, grid, quantizer, aligned, tuple(paths), fed["unified"],
        fed.get("spfq", fed["unified"]), bits / unified.size, cloud,
        bounds, tuple(monte_carlo.compare(measured, one) for one in bounds),
    )  # fmt: skip


def _states(data: LayerData, quantized: Array) -> Array:
    """Return ‖Σ_{j≤t}(w_jX_j − q_jX̃_j)‖ for every step and neuron, shape (N, M)."""
    length, neurons = quantized.shape
    state = np.zeros((len(data.inputs), neurons))
    norms = np.empty_like(quantized)
    together = max(1, TOGETHER // max(state.size, 1))
    for start in range(0, length, together):
        some = slice(start, start + together)
        states = data.original.T[some, :, None] * data.weights[some, None]
        states -= data.inputs.T[some, :, None] * quantized[some, None]
        states[0] += state
        state = np.cumsum(states, axis=0, out=states)[-1]
        norms[some] = np.sqrt(np.einsum("tim,tim->tm", states, states))
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
