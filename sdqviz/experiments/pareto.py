"""The best that each method reaches at a few sizes: settings tuned on training images, accuracy on test images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sdqviz.compression.question import Question, attempt
from sdqviz.error import InputError
from sdqviz.experiments.pareto_settings import LINES
from sdqviz.experiments.pareto_table import BUDGETS, HELD_OUT, NETWORK, SLACK, TUNED_ON, Cell, Table
from sdqviz.experiments.run import Run, fingerprint, run_key
from sdqviz.experiments.run_store import RunStore
from sdqviz.experiments.sweep_plan import describe
from sdqviz.methods.method import MethodChoice
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.progress import Progress, ShouldStop, report, stop_if

if TYPE_CHECKING:
    from sdqviz.networks.network import Network

CALIBRATION = 1024
"""Inputs that calibrated methods see, tuning and in the end."""


def run(
    store: RunStore,
    *,
    lines: Sequence[str] | None = None,
    settings: Mapping[str, Callable[[], Iterable[MethodChoice]]] | None = None,
    budgets: Sequence[float] = BUDGETS,
    nets: int = 3,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Table:
    """Tune every method for every budget and test what was chosen; runs that the store has are not done again.

    Parameters
    ----------
    store : RunStore
        Where runs are kept, those of tuning too.
    lines : sequence of str, optional
        Keys of ``settings``; all of them if left out.
    settings : mapping of str to callable, optional
        What is tried for each line of the table; `LINES` if left out.
    budgets : sequence of float
        Bits per original weight.
    nets : int
        Training runs of the network, seeds 0 … nets − 1; also the seeds of the compression.
    progress, should_stop : callable, optional
        Told how many runs are done; asked whether to stop.

    Raises
    ------
    InputError
        If a line is unknown, a budget is not positive, or there is no network.
    Stopped
        If asked to stop; finished runs are kept.
    """
    settings = LINES if settings is None else settings
    for line in lines or ():
        if line not in settings:
            raise InputError(f"line must be one of {', '.join(settings)}, got {line!r}")
    if not budgets or not all(math.isfinite(budget) and budget > 0 for budget in budgets):
        raise InputError(f"budgets must be positive, got {', '.join(f'{budget:g}' for budget in budgets) or 'none'}")
    if nets < 1:
        raise InputError(f"nets must be at least 1, got {nets}")
    chosen = {line: tuple(dict.fromkeys(settings[line]())) for line in lines or settings}
    tried = sum(map(len, chosen.values()))
    bench = _Bench(store, tried + len(chosen) * len(budgets) * nets, progress, should_stop)
    tuned = {line: [bench.run(method, TUNED_ON, held_out=True) for method in found] for line, found in chosen.items()}
    picks = {(line, budget): _pick(chosen[line], tuned[line], budget + SLACK) for line in chosen for budget in budgets}
    tests: dict[tuple[MethodChoice, int], Run] = {}
    for seed in range(nets):  # network by network: one is in memory at a time
        for method, _ in picks.values():
            if method is not None:
                tests[method, seed] = bench.run(method, seed, held_out=False)
    cells = []
    for (line, budget), (method, accuracy) in picks.items():
        if method is None:
            cells.append(Cell(line, budget, None))
            continue
        reports = [found.report for seed in range(nets) if (found := tests[method, seed]).report is not None]
        accuracies = tuple(one.accuracy_after for one in reports if one.accuracy_after is not None)
        cells.append(Cell(line, budget, method, accuracy, accuracies, tuple(one.bits_per_weight for one in reports)))
    exact = tuple(bench.network(seed, False).accuracy() for seed in range(nets))
    return Table(tuple(cells), exact, tried)


def _pick(methods: Sequence[MethodChoice], runs: Sequence[Run], most: float) -> tuple[MethodChoice | None, float]:
    """Return the settings with the highest accuracy that cost at most so many bits; of equal ones the smaller."""
    fitting = [
        (one.report.accuracy_after or 0.0, -one.report.bits_per_weight, -place)
        for place, one in enumerate(runs)
        if one.report is not None and one.report.bits_per_weight <= most
    ]
    if not fitting:
        return None, math.nan
    accuracy, _, place = max(fitting)
    return methods[-place], accuracy


class _Bench:
    """Runs settings one after the other, on the held-out training images or on the test images."""

    def __init__(
        self, store: RunStore, total: int, progress: Progress | None, should_stop: ShouldStop | None
    ) -> None:  # fmt: skip
        self._store, self._total, self._done = store, total, 0
        self._progress, self._should_stop = progress, should_stop
        self._prints: dict[int, str] = {}
        self._loaded: tuple[int, bool, Network] | None = None

    def run(self, method: MethodChoice, seed: int, *, held_out: bool) -> Run:
        """Return the run, from the store if it is there."""
        stop_if(self._should_stop)
        self._done += 1
        report(self._progress, self._done - 1, self._total, f"{NETWORK} {seed}, {describe(method)}")
        choice = NETWORKS[NETWORK](seed=seed)
        if seed not in self._prints:
            if not choice.ready:
                choice.load(self._progress, self._should_stop)
            self._prints[seed] = fingerprint(choice)
        asked = Question(choice, method, CALIBRATION, seed, describe(method))
        named = choice.to_dict() | ({"judged": "held-out"} if held_out else {})
        key = run_key(named, method.to_dict(), CALIBRATION, seed, self._prints[seed])
        found = self._store.get(key)
        if found is None:  # settings that do not fit the network take no part, with their reason
            tried = attempt(asked, lambda: self.network(seed, held_out), None, self._should_stop)
            found = dataclasses.replace(Run.of(tried, self._prints[seed]), key=key, network=named)
            self._store.put(found)
        return found

    def network(self, seed: int, held_out: bool) -> Network:
        """Load a network, or give the last one again; held out: with training images in place of the test images."""
        if self._loaded is None or self._loaded[:2] != (seed, held_out):
            network = NETWORKS[NETWORK](seed=seed).load(self._progress, self._should_stop)
            self._loaded = (seed, held_out, judged_on_training_images(network) if held_out else network)
        return self._loaded[2]


def judged_on_training_images(network: Network) -> Network:
    """Return a network whose test images are training images that calibration does not see."""
    from sdqviz.networks.dataset import Dataset

    data = network.dataset
    if data is None:
        raise InputError(f"network must come with images, got {network.name}")
    images, labels = data.calibration_inputs, data.calibration_labels
    split = Dataset(
        f"{data.name}, held out", images[:-HELD_OUT], labels[:-HELD_OUT], images[-HELD_OUT:], labels[-HELD_OUT:]
    )
    return network.with_data(split)
