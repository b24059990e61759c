"""What if this network were compressed that way: one run, plain rounding beside it, and the last answers kept."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from sdqviz.array import FLOAT_BITS, Array, Index
from sdqviz.bounds.ladder import Ladder
from sdqviz.bounds.vector import Bound
from sdqviz.compression.compress import Compression, compress
from sdqviz.compression.guarantee import a_posteriori, output_bound
from sdqviz.compression.measurement import _input_norms as input_norms
from sdqviz.compression.packing import kept_tensors
from sdqviz.error import InputError
from sdqviz.methods.frame_quantization import walk_states
from sdqviz.methods.method import CompressedLayer, MethodChoice
from sdqviz.methods.round_to_nearest import RoundToNearest
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.layer import find_layers
from sdqviz.networks.network import Network
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.recent import Recent
from sdqviz.report import Report

AT_ONCE = 1.0
"""Seconds of estimated work that are spent without being asked for."""

LADDER_INPUTS = 256
"""Inputs the a-posteriori ladder is measured on, at most."""

LADDER_RESTRICTED = 16
"""Inputs its tightest rung looks at: that one needs a singular value for each layer and input."""

SEEDS = 10
"""The most seeds that are run one after the other."""

FITS = ("max", "mse")
"""How the scale of the rounding beside is fitted; both are run."""


class Kept:
    """What was computed last. The process has one; a session has its own for networks that are nobody else's.

    Parameters
    ----------
    answers : int
        The most answers.
    weight : float
        Bytes they may keep alive.
    """

    def __init__(self, answers: int = 24, weight: float = 768e6) -> None:
        self.networks: Recent[NetworkChoice, Network] = Recent(6)
        self.dataless: Recent[NetworkChoice, Network] = Recent(6)
        self.outlines: Recent[NetworkChoice, tuple[LayerOutline, ...]] = Recent(32)
        self.roundings: Recent[Hashable, Rounding] = Recent(answers, weight / 3)
        self.answers: Recent[Question, Answer] = Recent(answers, weight)
        self.seeds: Recent[Question, tuple[float, float]] = Recent(512)


SHARED = Kept()
"""Of the whole process: networks that anybody can load."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked: a network, a method, and the inputs the errors are measured on.

    Attributes
    ----------
    network, method : NetworkChoice, MethodChoice
        The choices.
    calibration : int
        How many calibration inputs.
    seed : int
        Seed of the run.
    """

    network: NetworkChoice
    method: MethodChoice
    calibration: int = 512
    seed: int = 0

    @property
    def ready(self) -> bool:
        """Whether the network is at hand; otherwise it has to be trained first."""
        return self.network.ready

    def estimated_seconds(self, kept: Kept | None = None) -> float:
        """Return a rough estimate of the work, infinite where the method does not say."""
        training = 0.0 if self.ready else self.network.estimated_training_seconds
        testing = 3 * self.network.testing_seconds  # the network, what becomes of it, and the rounding beside
        shapes = [row.shape for row in outline(self.network, kept or SHARED)]
        rounding = sum(RoundToNearest(fit=fit).estimated_seconds(shapes) for fit in FITS)
        return training + testing + rounding + self.method.estimated_seconds(shapes)


@dataclasses.dataclass(frozen=True)
class LayerOutline:
    """A layer that will be compressed, before anything is loaded: its name, torch class and weight shape."""

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Rounding:
    """Plain rounding with the most bits that cost no more than the run it stands beside.

    Attributes
    ----------
    bits : int
        Bits per weight.
    scale : str
        One step per neuron, or per layer where the run leaves no room for more.
    affordable : bool
        False if even one bit costs more than the run.
    reports : dict of str to Report
        By how the scale was fitted, see `FITS`; only the better fit is run over the test set.
    parts : dict of str to float
        Bytes by what they hold.
    weights : dict of str to ndarray
        Rounded weights of each layer, float32, by the better fit; empty in a stored comparison.
    """

    bits: int
    scale: str
    affordable: bool
    reports: Mapping[str, Report]
    parts: Mapping[str, float]
    weights: Mapping[str, Array] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def best_fit(self) -> str:
        """The fit with the smaller output error; with the smaller error of the weights where no output is measured."""
        return min(self.reports, key=lambda fit: _errors(self.reports[fit]))

    @property
    def best(self) -> Report:
        """The report of the better fit."""
        return self.reports[self.best_fit]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The report of a run with plain rounding beside it: numbers only, so that they can be stored.

    Attributes
    ----------
    report : Report
        The run.
    parts : dict of str to float
        Its bytes by what they hold; they add up to ``report.bytes``.
    rounding : Rounding
        The baseline.
    """

    report: Report
    parts: Mapping[str, float]
    rounding: Rounding

    @property
    def rounding_wins(self) -> bool:
        """Whether plain rounding costs no more and leaves a smaller error of the output, or of weights alone."""
        return self.rounding.affordable and _errors(self.rounding.best) < _errors(self.report)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the times as plain JSON types, NaN as None; `from_dict` inverts it."""
        return {
            "report": _timeless(self.report),
            "parts": dict(self.parts),
            "rounding": {
                "bits": self.rounding.bits,
                "scale": self.rounding.scale,
                "affordable": self.rounding.affordable,
                "reports": {fit: _timeless(one) for fit, one in self.rounding.reports.items()},
                "parts": dict(self.rounding.parts),
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Comparison:
        """Rebuild a comparison from `to_dict`."""
        other = dict(values["rounding"])
        other["reports"] = {fit: _from_timeless(one) for fit, one in other["reports"].items()}
        return cls(_from_timeless(values["report"]), dict(values["parts"]), Rounding(**other))


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What came of a question.

    Attributes
    ----------
    question : Question
        What was asked.
    compression : Compression
        The run.
    comparison : Comparison
        Its report with plain rounding beside it.
    seconds : float
        Time it took, testing and rounding included, loading or training the network not.
    """

    question: Question
    compression: Compression
    comparison: Comparison
    seconds: float

    @functools.cached_property
    def bound(self) -> Bound:
        """The a-priori bound on the output error, with its hypotheses."""
        norms = input_norms(self.compression.inputs)
        return output_bound(self.compression.original, self.compression.layers, norms)

    @functools.cached_property
    def changed(self) -> Index:
        """Test inputs whose predicted class changed: first those that became wrong, then right, then the rest."""
        before, after = self.compression.original.predictions(), self.compression.network.predictions()
        dataset = self.compression.original.dataset
        changed = np.flatnonzero(before != after)
        if dataset is None:
            return changed
        labels = dataset.test_labels[changed]
        kind = np.where(before[changed] == labels, 0, np.where(after[changed] == labels, 1, 2))
        return changed[np.argsort(kind, kind="stable")]

    def layer(self, name: str) -> CompressedLayer:
        """Return one compressed layer by name."""
        return next(item for item in self.compression.layers if item.layer.name == name)

    def packed(self) -> bytes:
        """Return the packed file, as `Compression.save` writes it."""
        return self.compression.to_bytes()


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """The same question asked with several seeds.

    Attributes
    ----------
    seeds : ndarray of int, shape (n,)
        The seeds, one after the other.
    accuracies : ndarray, shape (n,)
        Test accuracy with each, 0 … 1; NaN without test data.
    errors : ndarray, shape (n,)
        Relative output error with each.
    """

    seeds: Index
    accuracies: Array
    errors: Array

    @property
    def tested(self) -> bool:
        """Whether there are accuracies."""
        return not bool(np.isnan(self.accuracies).any())

    @staticmethod
    def told(values: Array) -> tuple[float, float]:
        """Return mean and standard deviation (n − 1 in the denominator; NaN for a single value)."""
        return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan


@dataclasses.dataclass(frozen=True, eq=False)
class Vector:
    """One vector of a layer, as the method saw it.

    Attributes
    ----------
    index : int
        Which one.
    kind : str
        ``"column"`` (the weights that leave one input) or ``"neuron"`` (those that enter one output).
    before, after, rounded : ndarray, shape (d,)
        Its weights; ``rounded`` by the plain rounding beside.
    step : float
        δ.
    states : ndarray, shape (N,), or None
        u_n along the walk, where the method has one.
    stable : bool
        Whether all states stay in ±δ/2.
    """

    index: int
    kind: str
    before: Array
    after: Array
    rounded: Array
    step: float
    states: Array | None
    stable: bool

    @property
    def relative_error(self) -> float:
        """‖w − q‖/‖w‖; NaN for a zero vector."""
        norm = float(np.linalg.norm(self.before))
        return float(np.linalg.norm(self.before - self.after)) / norm if norm > 0 else math.nan


def network(
    choice: NetworkChoice, progress: Progress | None = None, should_stop: ShouldStop | None = None, kept: Kept = SHARED
) -> Network:
    """Load a network, or find it among the last few; it is shared and never changed."""
    found = kept.networks.get(choice)
    return kept.networks.put(choice, choice.load(progress, should_stop)) if found is None else found


def outline(choice: NetworkChoice, kept: Kept = SHARED) -> tuple[LayerOutline, ...]:
    """Return the layers of a network without loading or training it."""
    found = kept.outlines.get(choice)
    if found is None:
        given = kept.networks.get(choice)  # else the data need not be at hand for this
        layers = find_layers(choice.build()) if given is None else given.layers
        found = kept.outlines.put(choice, tuple(LayerOutline(one.name, one.kind, one.weight.shape) for one in layers))
    return found


def known(question: Question, kept: Kept = SHARED) -> Answer | None:
    """Return the answer if it is still kept."""
    return kept.answers.get(question)


def answer(
    question: Question, progress: Progress | None = None, should_stop: ShouldStop | None = None, kept: Kept = SHARED
) -> Answer:
    """Compress, measure and test, with plain rounding beside; the last answers are kept.

    Parameters
    ----------
    question : Question
        What is asked.
    progress, should_stop : callable, optional
        As everywhere.
    kept : Kept
        Where what is computed is looked for and kept.

    Raises
    ------
    InputError
        If the choices do not fit the network.
    Stopped
        If asked to stop.
    """
    found = kept.answers.get(question)
    if found is not None:
        return found
    share = 0.0 if question.ready else 0.6
    given = network(question.network, _part(progress, 0.0, share), should_stop, kept)
    begun = time.perf_counter()
    calibration = None if given.dataset is None else question.calibration
    run = compress(
        given, question.method, calibration, question.seed, _part(progress, share, 0.75 - 0.35 * share), should_stop
    )
    beside = _rounding(given, run, question, calibration, _part(progress, 0.75, 1.0), should_stop, kept)
    result = Answer(question, run, Comparison(run.report, parts(run), beside), time.perf_counter() - begun)
    report(progress, 100, 100, "done")
    return kept.answers.put(question, result, _weight(run))


def over_seeds(
    question: Question, count: int, progress: Progress | None = None, should_stop: ShouldStop | None = None,
    kept: Kept = SHARED,
) -> Spread:  # fmt: skip
    """Compress, measure and test with ``count`` seeds, from the question's own upwards; what is known is not run again.

    A seed decides everything that is drawn, the calibration inputs too, so each value is what `answer` reports for it.

    Parameters
    ----------
    question : Question
        What is asked.
    count : int
        How many seeds, 1 to `SEEDS`.
    progress, should_stop : callable, optional
        As everywhere.
    kept : Kept
        As for `answer`.

    Raises
    ------
    InputError
        If the count is out of range, or the choices do not fit the network.
    Stopped
        If asked to stop; finished seeds are kept.
    """
    if not 1 <= count <= SEEDS:
        raise InputError(f"seeds must be between 1 and {SEEDS}, got {count}")
    seeds = np.arange(question.seed, question.seed + count)
    found = []
    for place, seed in enumerate(seeds.tolist()):
        stop_if(should_stop)
        part = _part(progress, place / count, (place + 1) / count, f"seed {seed}: ")
        found.append(_of_seed(dataclasses.replace(question, seed=seed), part, should_stop, kept))
    report(progress, 100, 100, "done")
    accuracies, errors = np.array(found).T
    return Spread(seeds, accuracies, errors)


def _of_seed(
    question: Question, progress: Progress | None, should_stop: ShouldStop | None, kept: Kept
) -> tuple[float, float]:
    """Return (accuracy, relative output error) of a question; the run itself is not kept."""
    found = kept.seeds.get(question)
    if found is not None:
        return found
    before = known(question, kept)
    if before is None:
        given = network(question.network, None, should_stop, kept)
        calibration = None if given.dataset is None else question.calibration
        one = compress(given, question.method, calibration, question.seed, progress, should_stop).report
    else:
        one = before.comparison.report
    accuracy = math.nan if one.accuracy_after is None else one.accuracy_after
    return kept.seeds.put(question, (accuracy, one.relative_output_error))


def ladder(asked: Answer, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Ladder:
    """Evaluate the a-posteriori bounds of an answer on its first calibration inputs."""
    stop_if(should_stop)
    report(progress, 0, 1, f"measuring every layer on {min(LADDER_INPUTS, len(asked.compression.inputs))} inputs")
    run = asked.compression
    return a_posteriori(run.original, run.network, run.layers, run.inputs[:LADDER_INPUTS], LADDER_RESTRICTED)


def parts(run: Compression) -> dict[str, float]:
    """Return the bytes of a compressed network by what they hold; they add up to ``run.report.bytes``."""
    found: dict[str, float] = {}
    for item in run.layers:
        for key, packed in item.stored.items():
            found[key] = found.get(key, 0.0) + packed.byte_count
        found["parameters"] = found.get("parameters", 0.0) + item.parameter_bits / 8
    found["kept"] = run.report.bytes - sum(found.values())
    return found


def rounding_bits_per_weight(run: Compression, bits: int, scale: str) -> float:
    """Return what plain rounding of the same layers would cost, biases kept, everything counted."""
    kept = kept_tensors(run.original, tuple(dataclasses.replace(item, bias=None) for item in run.layers))
    total = 8 * sum(value.nbytes for value in kept.values())
    for item in run.layers:
        total += 8 * (-(-item.weight.size * bits // 8))
        total += FLOAT_BITS * (len(item.weight) if scale == "per-neuron" else 1)
    return total / (sum(item.weight.size for item in run.layers) + sum(value.size for value in kept.values()))


def vector(asked: Answer, name: str, which: str = "worst") -> Vector:
    """Return one vector of a layer: the one with the worst, the median or the best error.

    Parameters
    ----------
    asked : Answer
        The answer.
    name : str
        The layer.
    which : {"worst", "median", "best"}
        By ‖w − q‖.
    """
    from sdqviz.networks.layer import to_vectors

    item = asked.layer(name)
    layer, axis = item.layer, item.parameters.get("axis", "rows")
    before, after = (to_vectors(weight, layer.groups, axis) for weight in (layer.weight, item.weight))
    rounded = to_vectors(asked.comparison.rounding.weights[name].astype(float), layer.groups, axis)
    order = np.argsort(np.linalg.norm(before - after, axis=1), kind="stable")
    index = int(order[{"worst": -1, "median": len(order) // 2, "best": 0}[which]])
    step = float(item.step[index if len(item.step) > 1 else 0])
    states = walk_states(item, slice(index, index + 1))[1][0] if "frame" in item.parameters else None
    return Vector(
        index=index,
        kind="column" if axis == "columns" else "neuron",
        before=before[index],
        after=after[index],
        rounded=rounded[index],
        step=step,
        states=states,
        stable=states is None or bool(np.abs(states).max() <= step / 2 * (1 + 1e-9)),
    )


def _rounding(
    given: Network,
    run: Compression,
    question: Question,
    calibration: int | None,
    progress: Progress | None,
    should_stop: ShouldStop | None,
    kept: Kept = SHARED,
) -> Rounding:
    limit = run.report.bits_per_weight * (1 + 1e-12)
    most = RoundToNearest.specs()["bits"].maximum or 1
    options = [
        (bits, scale)
        for bits in range(min(int(most), max(1, math.floor(limit))), 0, -1)
        for scale in ("per-neuron", "per-layer")
        if rounding_bits_per_weight(run, bits, scale) <= limit
    ]
    bits, scale = options[0] if options else (1, "per-layer")
    key = (question.network, bits, scale, calibration, question.seed)
    found = kept.roundings.get(key)
    if found is None:
        runs = {}
        untested = _untested(question.network, given, kept)
        for place, fit in enumerate(FITS):
            report(progress, place, len(FITS), f"plain rounding, {fit}")
            method = RoundToNearest(bits=bits, scale=scale, fit=fit)
            runs[fit] = compress(untested, method, run.inputs, question.seed, None, should_stop)
        reports = {fit: one.report for fit, one in runs.items()}
        found = Rounding(bits, scale, True, reports, parts(runs["max"]))
        best = runs[found.best_fit]
        if given.dataset is not None:
            reports[found.best_fit] = _tested(best, given)
        weights = {item.layer.name: item.weight.astype(np.float32) for item in best.layers}
        size = float(sum(value.nbytes for value in weights.values()))
        found = kept.roundings.put(key, dataclasses.replace(found, weights=weights), size)
    return dataclasses.replace(found, affordable=bool(options))


def _untested(choice: NetworkChoice, given: Network, kept: Kept) -> Network:
    """Return the same network without data: compressing it measures errors but does not run the test set."""
    if given.dataset is None:
        return given
    found = kept.dataless.get(choice)
    if found is None:
        bare = Network(given.module, given.example_input, name=given.name, seed=given.seed, choice=given.choice)
        found = kept.dataless.put(choice, bare)
    return found


def _tested(run: Compression, given: Network) -> Report:
    """Return the report of a run on the network without data, with the figures of the test."""
    weights = {item.layer.name: item.weight for item in run.layers}
    rounded = given.replaced(weights, {item.layer.name: item.bias for item in run.layers if item.bias is not None})
    return dataclasses.replace(
        run.report,
        accuracy_before=given.accuracy(),
        accuracy_after=rounded.accuracy(),
        changed_predictions=int((given.predictions() != rounded.predictions()).sum()),
    )


def _part(progress: Progress | None, begin: float, end: float, of: str = "") -> Progress | None:
    """Return a progress that fills a part of another; ``of`` is put before its messages."""
    if progress is None:
        return None
    return lambda done, total, message: progress(
        round(100 * (begin + (end - begin) * done / max(total, 1e-12))), 100, of + message
    )


def _weight(run: Compression) -> float:
    """Return about how many bytes of memory a run keeps alive."""
    stored = sum(packed.values.nbytes for item in run.layers for packed in item.stored.values())
    return float(stored + 4 * sum(item.weight.nbytes for item in run.layers))


def mean_weight_error(one: Report) -> float:
    """Return ‖W−Q‖_F/‖W‖_F, averaged over the layers by their weights."""
    total = sum(row.weights for row in one.layers)
    return math.fsum(row.weight_error * row.weights for row in one.layers) / max(total, 1)


def _errors(one: Report) -> tuple[float, float]:
    return _or_infinite(one.relative_output_error), _or_infinite(mean_weight_error(one))


def _or_infinite(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _timeless(one: Report) -> dict[str, Any]:
    layers = tuple(dataclasses.replace(row, seconds=0.0) for row in one.layers)
    values = dataclasses.replace(one, seconds=0.0, layers=layers).to_dict()
    values["layers"] = [_without_nan(row) for row in values["layers"]]
    return _without_nan(values)


def _from_timeless(values: Mapping[str, Any]) -> Report:
    """Undo `_timeless`; the figures of the test may be None by themselves."""
    tested = ("accuracy_before", "accuracy_after", "changed_predictions")
    rest = {name: math.nan if value is None and name not in tested else value for name, value in values.items()}
    rest["layers"] = [{k: math.nan if v is None else v for k, v in row.items()} for row in values["layers"]]
    return Report.from_dict(rest)


def _without_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in values.items()}
