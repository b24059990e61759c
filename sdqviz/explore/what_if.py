"""What if this network were compressed that way: one run, plain rounding beside it, and the last answers kept."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Hashable

import numpy as np

from sdqviz.array import Index
from sdqviz.bounds.ladder import Ladder
from sdqviz.bounds.statement import Bound
from sdqviz.compression.compress import Compression
from sdqviz.compression.ladder import a_posteriori
from sdqviz.compression.question import Question
from sdqviz.explore.rounding_beside import Comparison, Rounding, parts
from sdqviz.explore.rounding_choice import FITS, Cost, best_of, comparing_seconds, tried
from sdqviz.methods.method import CompressedLayer
from sdqviz.methods.round_to_nearest import RoundToNearest
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.layer import find_layers
from sdqviz.networks.network import Network
from sdqviz.progress import Progress, ShouldStop, part, report, stop_if
from sdqviz.recent import Recent
from sdqviz.report import Report

AT_ONCE = 1.0
"""Seconds of estimated work that are spent without being asked for."""

LADDER_INPUTS = 256
"""Inputs the a-posteriori ladder is measured on, at most."""

LADDER_RESTRICTED = 16
"""Inputs its tightest rung looks at: that one needs a singular value for each layer and input."""


class Kept:
    """What was computed last. The process has one; a session has its own for networks that are nobody else's.

    Parameters
    ----------
    answers : int
        The most answers.
    weight : float
        Bytes they may keep alive.
    """

    def __init__(self, answers: int = 24, weight: float = 96e6) -> None:
        self.networks: Recent[NetworkChoice, Network] = Recent(6)
        self.dataless: Recent[NetworkChoice, Network] = Recent(6)
        self.outlines: Recent[NetworkChoice, tuple[LayerOutline, ...]] = Recent(32)
        self.rounding_errors: Recent[Hashable, dict[tuple[str, ...], dict[RoundToNearest, float]]] = Recent(answers)
        self.roundings: Recent[Hashable, Rounding] = Recent(answers, weight / 3)
        self.answers: Recent[Question, Answer] = Recent(answers, weight)
        self.seeds: Recent[Question, tuple[float, float]] = Recent(512)


SHARED = Kept()
"""Of the whole process: networks that anybody can load."""


@dataclasses.dataclass(frozen=True)
class LayerOutline:
    """A layer that will be compressed, before anything is loaded: its name, torch class and weight shape."""

    name: str
    kind: str
    shape: tuple[int, ...]


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

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The bounds on the output error, with their hypotheses; none where no error was measured."""
        return self.compression.output_bounds

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


def estimated_seconds(question: Question, kept: Kept = SHARED) -> float:
    """Return a rough estimate of the work of an answer, infinite where the method does not say.

    Plain roundings are compared and run anew only where none has been for this network and these inputs.
    """
    training = 0.0 if question.ready else question.network.estimated_training_seconds
    testing = 3 * question.network.testing_seconds  # the network, what becomes of it, and the rounding beside
    shapes = [row.shape for row in outline(question.network, kept)]
    rounding = 0.0
    if kept.rounding_errors.get(_same_rounding(question)) is None:
        rounding = sum(RoundToNearest(fit=fit).estimated_seconds(shapes) for fit in FITS) + comparing_seconds(shapes)
    return training + testing + rounding + question.method.estimated_seconds(shapes)


def known(question: Question, kept: Kept = SHARED) -> Answer | None:
    """Return the answer if it is still kept."""
    return kept.answers.get(question)


def answer(
    question: Question, progress: Progress | None = None, should_stop: ShouldStop | None = None, kept: Kept = SHARED,
    first: Callable[[Report], None] | None = None,
) -> Answer:  # fmt: skip
    """Compress, measure and test, with plain rounding beside; the last answers are kept.

    Parameters
    ----------
    question : Question
        What is asked.
    progress, should_stop : callable, optional
        As everywhere.
    kept : Kept
        Where what is computed is looked for and kept.
    first : callable, optional
        Given the run's report as soon as it is measured, before plain rounding is: that may take longer than the run.

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
    given = network(question.network, part(progress, 0.0, share), should_stop, kept)
    begun = time.perf_counter()
    run = question.compress(given, part(progress, share, 0.75 - 0.35 * share), should_stop)
    if first is not None:
        first(run.report)
    beside = rounding_beside(question, run, part(progress, 0.75, 1.0), should_stop, kept)
    result = Answer(question, run, Comparison(run.report, parts(run), beside), time.perf_counter() - begun)
    report(progress, 100, 100, "done")
    return kept.answers.put(question, result, _weight(run))


def ladder(asked: Answer, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Ladder:
    """Evaluate the a-posteriori bounds of an answer on its first calibration inputs."""
    stop_if(should_stop)
    report(progress, 0, 1, f"measuring every layer on {min(LADDER_INPUTS, len(asked.compression.inputs))} inputs")
    run = asked.compression
    inputs = run.inputs[:LADDER_INPUTS]
    return a_posteriori(run.original, run.network, run.layers, inputs, LADDER_RESTRICTED, calibrated=True)


def rounding_beside(
    question: Question,
    run: Compression,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    kept: Kept = SHARED,
) -> Rounding:
    """Return the best plain rounding that costs no more than a run, measured on the same inputs.

    Parameters
    ----------
    question : Question
        What was asked.
    run : Compression
        The run; its report says what may be spent.
    progress, should_stop, kept
        As for `answer`.
    """
    given = run.original
    methods = Cost(run).within(run.report.bits_per_weight * (1 + 1e-12))
    report(progress, 0, 3, "comparing plain roundings")
    least = RoundToNearest(bits=1, alphabet="midrise", scale="per-layer")  # where nothing is cheap enough
    same, layers = _same_rounding(question), tuple(item.layer.name for item in run.layers)
    errors = kept.rounding_errors.put(same, kept.rounding_errors.get(same) or {}).setdefault(layers, {})
    chosen = best_of(methods or (least,), run, should_stop, errors)
    key = (*same, layers, *chosen.values())
    found = kept.roundings.get(key)
    if found is None:
        untested = _untested(question.network, given, kept)
        runs = {}
        for place, (fit, method) in enumerate(chosen.items(), start=1):
            report(progress, place, 3, f"plain rounding, {fit}")
            asked = dataclasses.replace(question, method=method)
            runs[fit] = asked.compress(untested, None, should_stop, run.inputs)
        reports = {fit: one.report for fit, one in runs.items()}
        found = Rounding(True, reports, {})
        best = runs[found.best_fit]
        if given.dataset is not None:
            reports[found.best_fit] = _tested(best, given)
        weights = {item.layer.name: item.weight.astype(np.float32) for item in best.layers}
        size = float(sum(value.nbytes for value in weights.values()))
        found = dataclasses.replace(found, parts=parts(best), weights=weights)
        kept.roundings.put(key, found, size)
    return dataclasses.replace(found, affordable=bool(methods), tried=tried(methods))


def _same_rounding(question: Question) -> tuple[Hashable, ...]:
    """Return what a plain rounding of a network, and its error, depend on."""
    return question.network, question.calibration, question.seed


def _untested(choice: NetworkChoice, given: Network, kept: Kept) -> Network:
    """Return the same network without data: compressing it measures errors but does not run the test set."""
    if given.dataset is None:
        return given
    found = kept.dataless.get(choice)
    if found is None:
        bare = given.with_data(None)
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


def _weight(run: Compression) -> float:
    """Return about how many bytes of memory a run keeps alive."""
    stored = sum(packed.values.nbytes for item in run.layers for packed in item.stored.values())
    return float(stored + 4 * sum(item.weight.nbytes for item in run.layers))
