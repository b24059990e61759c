"""Finds the smallest size that keeps an accuracy: tries choices of methods on a network, and tells all it tried."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from sdqviz.compression.question import Question, attempt
from sdqviz.error import InputError
from sdqviz.experiments.run import Run, fingerprint, question_key
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.progress import Progress, ShouldStop, report, stop_if

HELD_OUT = 5000
"""Inputs of the calibration pool, beside the calibration inputs, that the search decides on."""

BITS = tuple(range(1, 9))


@dataclasses.dataclass(frozen=True)
class Line:
    """Choices of one method that differ in one field, by growing size.

    Attributes
    ----------
    field : str
        The field that decides the size.
    values : tuple
        Its values, by growing size.
    fixed : mapping
        The other fields that are set.
    """

    field: str
    values: tuple[Any, ...]
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_PATH = tuple(Line("bits", BITS, {"fit": "mse", "scale": scale}) for scale in ("per-neuron", "per-layer"))
_SPREAD = {"frame": "half-frequency", "signs": True, "order": 0, "step_bits": "16"}
_RATIOS = (0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.35, 0.2)

LINES: Mapping[str, tuple[Line, ...]] = {
    "round-to-nearest": tuple(
        Line("bits", BITS, {"fit": fit, "scale": scale})
        for scale in ("per-neuron", "per-layer")
        for fit in ("mse", "max")
    ),
    "frame": (
        *(
            Line("bits", BITS[:5], {"redundancy": 1.0, "step_rule": rule, **_SPREAD})
            for rule in ("fitted", "range-column")
        ),
        Line("bits", BITS[:5], {"redundancy": 1.02, "step_rule": "range-column"}),
        Line("redundancy", (1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0), {"bits": 1, "step_rule": "range-column"}),
    ),
    "frame-calibrated": (
        Line("bits", BITS),
        Line("redundancy", (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0), {"bits": 1}),
    ),
    "frame-columns": (Line("bits", BITS[1:]), Line("redundancy", (2.0, 3.0, 4.0, 6.0), {"bits": 1})),
    "frame-coded": (Line("rate", (1.5, 1.0, 0.75, 0.55, 0.4, 0.3, 0.2, 0.1, 0.05)),),
    "gpfq": _PATH,
    "spfq": _PATH,
    "gptq": _PATH,
    "qronos": _PATH,
    "unified": (
        Line("bits", BITS[1:], {"fit": "mse", "pruning_ratio": 0.5}),
        Line("pruning_ratio", _RATIOS, {"fit": "mse", "bits": 3}),
        Line("bits", BITS[1:], {"fit": "mse", "operator": "quantize"}),
    ),
    "magnitude-pruning": tuple(Line("pruning_ratio", _RATIOS, {"bits": bits}) for bits in (3, 4, 6)),
    "geta": (),
}
"""What is searched by method; a method that is not listed is searched over its ``bits``, if it has the field."""

TRAINS = "it trains the network for minutes each time, which a search cannot do"


@dataclasses.dataclass(frozen=True)
class Aim:
    """What is looked for.

    Attributes
    ----------
    network : NetworkChoice
        The network.
    accuracy : float
        Test accuracy to keep, 0 … 1.
    methods : tuple of str
        Methods to search.
    calibration, seed : int
        Of every run.
    held_out : int
        Inputs the search decides on.
    """

    network: NetworkChoice
    accuracy: float
    methods: tuple[str, ...]
    calibration: int = 512
    seed: int = 0
    held_out: int = HELD_OUT

    def __post_init__(self) -> None:
        """Refuse what cannot be searched for."""
        if not (math.isfinite(self.accuracy) and 0 < self.accuracy <= 1):
            raise InputError(f"accuracy must be above 0 and at most 1, got {self.accuracy}")
        if not self.methods:
            raise InputError("methods must name at least one method, got none")
        for name in self.methods:
            METHODS[name]
        if self.calibration < 1 or self.held_out < 1:
            raise InputError(f"calibration and held_out must be at least 1, got {self.calibration}, {self.held_out}")


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """What a search found, and everything it tried.

    Attributes
    ----------
    aim : Aim
        What was looked for.
    trials : tuple of Run
        In the order they were tried; see `held_out`.
    needed : float
        Accuracy on the held-out inputs that counts as enough: that of the network in float, less what the aim allows
        to lose on the test inputs.
    best : Run or None
        The smallest that was enough.
    skipped : mapping of str to str
        Methods that were not searched, and why.
    complete : bool
        Whether every line was searched to its end.
    """

    aim: Aim
    trials: tuple[Run, ...]
    needed: float
    best: Run | None
    skipped: Mapping[str, str]
    complete: bool = True

    @property
    def met(self) -> bool:
        """Whether the best keeps the accuracy on the test inputs too."""
        report = None if self.best is None else self.best.report
        return report is not None and (report.accuracy_after or 0.0) >= self.aim.accuracy

    def enough(self, trial: Run) -> bool:
        """Whether a trial keeps enough on the held-out inputs."""
        return held_out(trial) >= self.needed


Memory = MutableMapping[str, Run]
"""Trials by the key of their run and the number of held-out inputs: what a search goes on from."""


def held_out(trial: Run) -> float:
    """Return the accuracy on the held-out inputs; NaN if the run failed. Nothing is decided on that of the report."""
    return trial.measured.get("held_out", math.nan)


def size(trial: Run) -> float:
    """Return the bits per original weight; infinite if the run failed."""
    return math.inf if trial.report is None else trial.report.bits_per_weight


def lines(method: str) -> tuple[Line, ...]:
    """Return what is searched of a method; nothing if it has no ``bits`` and is not listed."""
    fallback = (Line("bits", BITS),) if "bits" in METHODS[method].specs() else ()
    return LINES.get(method, fallback)


def most_runs(aim: Aim) -> int:
    """Return the most runs a search can take: a bisection of every line."""
    return sum(math.ceil(math.log2(len(line.values) + 1)) for name in aim.methods for line in lines(name))


def find(
    aim: Aim,
    memory: Memory | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    so_far: Callable[[Search], None] | None = None,
) -> Search:
    """Search the smallest size that keeps an accuracy.

    Every line of every method is bisected: of choices by growing size the middle one is run, then the middle of those
    that are still smaller than the best found and not yet too lossy. That supposes that accuracy grows along a line;
    where it does not, a smaller choice that would do can be missed. So the result is the smallest of what was tried.

    Decided is on inputs of the calibration pool that no run calibrates with. The network was trained on them, hence
    what counts there is the accuracy it *loses* against float; the accuracy on the test inputs is only reported.

    Parameters
    ----------
    aim : Aim
        What is looked for.
    memory : mutable mapping, optional
        Trials of earlier searches, which are not run again; new ones are added as soon as they are finished, so that a
        search that was stopped goes on where it was.
    progress, should_stop : callable, optional
        As everywhere.
    so_far : callable, optional
        Given, after every trial, what the search would return if it ended now.

    Raises
    ------
    InputError
        If the network has no data, or is worse in float than the accuracy asked for.
    Stopped
        If asked to stop; finished trials are in ``memory``, and what they say was given to ``so_far``.
    """
    found = {} if memory is None else memory
    report(progress, 0, 1, "loading the network")
    bench = _Bench(aim, should_stop)
    total, trials = most_runs(aim), dict[str, Run]()
    best: Run | None = None
    skipped = {
        name: TRAINS if name in LINES else "it has no bits to search over" for name in aim.methods if not lines(name)
    }
    for name, line in _every_line(aim):
        low, high = 0, len(line.values)
        while low < high:
            middle = (low + high) // 2
            stop_if(should_stop)
            report(progress, min(len(trials), total - 1), total, f"{name}, {line.field} {line.values[middle]}")
            trial = bench.trial(name, line, middle, found, should_stop)
            trials[trial.key] = trial
            enough = held_out(trial) >= bench.needed
            if enough and (best is None or size(trial) < size(best)):
                best = trial
            larger = best is not None and trial is not best and size(best) <= size(trial) < math.inf
            low, high = (low, middle) if enough or larger else (middle + 1, high)
            if so_far is not None:
                so_far(Search(aim, tuple(trials.values()), bench.needed, best, skipped, complete=False))
    report(progress, total, total, "done")
    return Search(aim, tuple(trials.values()), bench.needed, best, skipped)


def among(aim: Aim, runs: Iterable[Run]) -> Run | None:
    """Return the smallest stored run that keeps the accuracy, of the methods that a search does not run.

    It is judged by its accuracy on the test inputs, for nothing else of it is known.
    """
    asked = aim.network.to_dict()
    unsearched = {name for name in aim.methods if not lines(name)}
    fitting = [
        run
        for run in runs
        if run.method.get("name") in unsearched and dict(run.network) == asked and run.report is not None
        and (run.report.accuracy_after or 0.0) >= aim.accuracy
    ]  # fmt: skip
    return min(fitting, key=size, default=None)


def fill(
    aim: Aim,
    bits: Iterable[float],
    memory: Memory,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> int:
    """Run, on every line of every method, the largest choices that cost at most so many bits per original weight.

    Parameters
    ----------
    aim : Aim
        Network, methods, calibration inputs and seed; its accuracy does not matter.
    bits : iterable of float
        What may be spent, one after the other.
    memory : mutable mapping
        Trials that are not run again; new ones are added as soon as they are finished.
    progress, should_stop : callable, optional
        As everywhere.

    Returns
    -------
    int
        How many trials were run now.

    Raises
    ------
    InputError
        If the network has no data.
    Stopped
        If asked to stop; finished trials are in ``memory``.
    """
    before, budgets = len(memory), tuple(bits)
    bench = _Bench(dataclasses.replace(aim, accuracy=1e-9), should_stop)
    places = [(limit, name, line) for limit in budgets for name, line in _every_line(aim)]
    for place, (limit, name, line) in enumerate(places):
        low, high = 0, len(line.values)
        while low < high:
            middle = (low + high) // 2
            stop_if(should_stop)
            report(progress, place, len(places), f"{name}, {line.field} {line.values[middle]}")
            fits = size(bench.trial(name, line, middle, memory, should_stop)) <= limit
            low, high = (middle + 1, high) if fits else (low, middle)
    report(progress, len(places), len(places), "done")
    return len(memory) - before


def _every_line(aim: Aim) -> Iterator[tuple[str, Line]]:
    for name in aim.methods:
        for line in lines(name):
            yield name, line


class _Bench:
    """The network in float with its accuracy on held-out inputs, and how a trial is made."""

    def __init__(self, aim: Aim, should_stop: ShouldStop | None) -> None:
        from sdqviz.explore import what_if
        from sdqviz.networks.dataset import Dataset

        self._aim = aim
        self._network = what_if.network(aim.network, None, should_stop)
        data = self._network.dataset
        if data is None:
            raise InputError(f"network must come with data to search on, got {aim.network.name}")
        in_float = self._network.accuracy(should_stop=should_stop)
        if aim.accuracy > in_float:
            raise InputError(
                f"accuracy must be at most {in_float:.4f}, that of {aim.network.name} in float, got {aim.accuracy:g}"
            )
        held = data.held_out(aim.held_out, aim.seed, aim.calibration)
        self._held = Dataset("held out", *held, *held)
        self._weights = fingerprint(aim.network)
        allowed = in_float - aim.accuracy
        self.needed = self._network.with_data(self._held).accuracy(should_stop=should_stop) - allowed

    def trial(self, name: str, line: Line, place: int, memory: Memory, should_stop: ShouldStop | None) -> Run:
        """Return the trial of one choice of a line, from the memory or run now."""
        aim = self._aim
        method = METHODS[name](**{**line.fixed, line.field: line.values[place]})
        asked = Question(aim.network, method, aim.calibration, aim.seed, "target")
        known = f"{question_key(asked, self._weights)} {aim.held_out}"
        if known not in memory:
            tried = attempt(asked, self._network, None, should_stop)
            accuracy = math.nan
            if tried.compression is not None:
                accuracy = tried.compression.network.with_data(self._held).accuracy(should_stop=should_stop)
            memory[known] = Run.of(tried, self._weights, held_out=accuracy)
        return memory[known]
