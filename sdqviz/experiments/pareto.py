"""The best that each method reaches at a few sizes: settings tuned on training images, accuracy on test images."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.error import InputError
from sdqviz.experiments.run_store import Run, RunStore, fingerprint, run_key
from sdqviz.experiments.sweep_plan import describe
from sdqviz.methods import METHODS
from sdqviz.methods.method import MethodChoice
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.version import __version__

if TYPE_CHECKING:
    from sdqviz.networks.network import Network

NETWORK = "mnist-fnn"
BUDGETS = (1.0, 1.5, 2.0, 3.0, 4.0)
SLACK = 0.2
"""A budget of x bits per original weight is kept by what costs at most x + 0.2, everything counted."""

CALIBRATION = 1024
"""Inputs that calibrated methods see, tuning and in the end."""

HELD_OUT = 10_000
"""Training images on which settings are judged; calibration inputs are drawn from the other 50,000 meanwhile."""

TUNED_ON = 0
"""The training run of the network whose settings serve the others too."""

CLOSE_TO_D = 1.001
"""A redundancy that gives the smallest N above d."""


# -- what is tried ------------------------------------------------------------------------------------


def _method(name: str, **fields: Any) -> MethodChoice:
    return METHODS.from_dict({"name": name, **fields})


def rounding(fit: str) -> Iterator[MethodChoice]:
    """Plain rounding: midrise, one scale for each neuron."""
    for bits in range(1, 5):
        yield _method("round-to-nearest", bits=bits, fit=fit)


def frames() -> Iterator[MethodChoice]:
    """Frame quantization: N just above d and larger, one to four bits, three families, orders and both axes."""
    redundancies = {1: (CLOSE_TO_D, 1.03, 1.5, 1.95, 2.9, 3.85), 2: (CLOSE_TO_D, 1.45, 1.95), 3: (CLOSE_TO_D, 1.28)}
    for bits, finer in itertools.product(range(1, 5), (False, True)):
        common = {"bits": bits, "step_rule": "range-column"}
        if finer:  # the last layer has one weight in a hundred, and matters most
            common["bits_by_layer"] = {"output": bits + 2}
        for redundancy in redundancies.get(bits, (CLOSE_TO_D,)):
            for family in ("harmonic", "half-frequency", "random"):
                yield _method("frame", frame=family, redundancy=redundancy, **common)
        for permutation in ("nearest-neighbour", "reversed-bits"):
            yield _method("frame", frame="random", redundancy=CLOSE_TO_D, permutation=permutation, **common)
        yield _method("frame", frame="random", redundancy=CLOSE_TO_D, axis="rows", **common)


def following(name: str, **fixed: Any) -> Iterator[MethodChoice]:
    """Path following and error feedback: one to four bits, with and without a zero, finer later layers or not."""
    for bits, finer in itertools.product(range(1, 5), (False, True)):
        by_layer = {"hidden2": bits + 1, "output": bits + 2} if finer else {}
        for alphabet in ("midrise", "midtread")[: 1 if bits == 1 else 2]:
            yield _method(name, bits=bits, alphabet=alphabet, bits_by_layer=by_layer, **fixed)


def gpfq() -> Iterator[MethodChoice]:
    """GPFQ, dense and with thresholds."""
    yield from following("gpfq")
    for bits, threshold, ratio in itertools.product((2, 3, 4), ("soft", "hard"), (0.5, 0.75)):
        yield _method("gpfq", bits=bits, alphabet="midtread", threshold=threshold, pruning_ratio=ratio)


def unified() -> Iterator[MethodChoice]:
    """Try the operators of the unified framework that quantize."""
    yield from following("unified", operator="quantize")
    yield _method("unified", operator="one-bit")
    for bits, ratio in itertools.product((2, 3, 4), (0.5, 0.75)):
        yield _method("unified", bits=bits, pruning_ratio=ratio)


def magnitude() -> Iterator[MethodChoice]:
    """Magnitude pruning with rounded and with exact survivors."""
    for bits, ratio in itertools.product((1, 2, 3, 4, None), (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)):
        if bits is not None or ratio >= 0.9:
            yield _method("magnitude-pruning", bits=bits, pruning_ratio=ratio, scope="network")


def geta() -> Iterator[MethodChoice]:
    """Joint pruning and quantization: it trains the network anew for every setting, so only a few are tried."""
    for sparsity in (0.35, 0.5, 0.65):
        yield _method("geta", sparsity=sparsity)


LINES: Mapping[str, Callable[[], Iterable[MethodChoice]]] = {
    "rounding, max": lambda: rounding("max"),
    "rounding, MSE": lambda: rounding("mse"),
    "frame quantization": frames,
    "GPFQ": gpfq,
    "SPFQ": lambda: following("spfq"),
    "unified framework": unified,
    "GPTQ": lambda: following("gptq"),
    "Qronos": lambda: following("qronos"),
    "magnitude pruning": magnitude,
    "GETA (trained)": geta,
}
"""Each line of the table, and the settings that are tried for it."""

ROUNDINGS, FRAME = ("rounding, max", "rounding, MSE"), "frame quantization"


# -- results ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a method reaches within a budget.

    Attributes
    ----------
    line : str
        The method, a key of `LINES`.
    budget : float
        Bits per original weight, to be kept up to `SLACK`.
    method : MethodChoice or None
        The settings with the highest accuracy on the held-out training images; None if none keeps the budget.
    tuned : float
        That accuracy, 0 … 1.
    accuracies, bits : tuple of float
        Test accuracy and bits per original weight of each training run of the network.
    """

    line: str
    budget: float
    method: MethodChoice | None
    tuned: float = math.nan
    accuracies: tuple[float, ...] = ()
    bits: tuple[float, ...] = ()

    @property
    def mean(self) -> float:
        """Mean test accuracy."""
        return float(np.mean(self.accuracies)) if self.accuracies else math.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of the test accuracy over the training runs, n − 1 in the denominator."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types; NaN as None."""
        return {
            "line": self.line,
            "budget": self.budget,
            "method": None if self.method is None else self.method.to_dict(),
            "tuned": None if math.isnan(self.tuned) else self.tuned,
            "accuracies": list(self.accuracies),
            "bits": list(self.bits),
        }


@dataclasses.dataclass(frozen=True)
class Table:
    """The table: a cell for each method and budget.

    Attributes
    ----------
    cells : tuple of Cell
        Method by method, within a method by budget.
    exact : tuple of float
        Test accuracy of each training run before compression.
    tried : int
        Settings that were tried, over all methods.
    """

    cells: tuple[Cell, ...]
    exact: tuple[float, ...]
    tried: int

    def cell(self, line: str, budget: float) -> Cell:
        """Return one cell."""
        return next(cell for cell in self.cells if (cell.line, cell.budget) == (line, budget))

    @property
    def lines(self) -> tuple[str, ...]:
        """The methods."""
        return tuple(dict.fromkeys(cell.line for cell in self.cells))

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets."""
        return tuple(dict.fromkeys(cell.budget for cell in self.cells))

    def to_markdown(self) -> str:
        """Return the table, what it says, and the settings that were chosen."""
        best = {budget: self._best(budget) for budget in self.budgets}
        head = ["method", *(f"budget {budget:g}" for budget in self.budgets)]
        rows = [
            [line, *(_text(self.cell(line, budget), best[budget] == line) for budget in self.budgets)]
            for line in self.lines
        ]
        notes = [
            f"Test accuracy in percent on {NETWORK}, mean ± standard deviation of {len(self.exact)} training runs "
            f"(in float {100 * np.mean(self.exact):.2f}); in brackets the bits per original weight, everything "
            f"counted, scales as 32-bit floats. A budget of x bits allows x + {SLACK:g}. The best of a column is bold.",
            f"{self.tried} settings were judged by the accuracy on {HELD_OUT:,} training images with the network of "
            f"seed {TUNED_ON}; test images took no part.",
            *self._verdicts(),
        ]
        chosen = [
            f"- {cell.line}, {cell.budget:g}: {describe(cell.method)}" for cell in self.cells if cell.method is not None
        ]
        table = [" | ".join(cells) for cells in [head, ["---"] * len(head), *rows]]
        title = f"## Accuracy against size, {NETWORK}"
        return "\n".join(
            [
                title,
                "",
                *(f"| {row} |" for row in table),
                "",
                *(f"{note}\n" for note in notes),
                "Settings:",
                "",
                *chosen,
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        return {
            "network": NETWORK,
            "version": __version__,
            "slack": SLACK,
            "exact": list(self.exact),
            "tried": self.tried,
            "cells": [cell.to_dict() for cell in self.cells],
        }

    def write(self, folder: Path) -> None:
        """Write ``pareto.md`` and ``pareto.json``."""
        (folder / "pareto.md").write_text(self.to_markdown() + "\n", encoding="utf-8")
        (folder / "pareto.json").write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n", "utf-8")

    def _best(self, budget: float) -> str:
        return max(self.lines, key=lambda line: _or_nothing(self.cell(line, budget).mean))

    def _verdicts(self) -> Iterator[str]:
        """Say where frame quantization wins and loses against plain rounding."""
        if FRAME not in self.lines or not set(ROUNDINGS) & set(self.lines):
            return
        for budget in self.budgets:
            frame = self.cell(FRAME, budget)
            other = max(
                (self.cell(line, budget) for line in ROUNDINGS if line in self.lines),
                key=lambda cell: _or_nothing(cell.mean),
            )
            if frame.accuracies and other.accuracies:
                verb = "beats" if frame.mean > other.mean else "loses to"
                spread = max(_or_nothing(frame.deviation), _or_nothing(other.deviation))
                within = ", a difference within the spread" if abs(frame.mean - other.mean) < spread else ""
                best = self._best(budget)
                first = "" if best == FRAME else f" The best of all is {best}: {_percent(self.cell(best, budget))}."
                yield (
                    f"At a budget of {budget:g} frame quantization {verb} plain rounding: {_percent(frame)} against "
                    f"{_percent(other)} ({other.line}){within}.{first}"
                )


def _percent(cell: Cell) -> str:
    return f"{100 * cell.mean:.2f}"


def _or_nothing(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _text(cell: Cell, best: bool) -> str:
    if cell.method is None:
        return "none fits"
    spread = "" if math.isnan(cell.deviation) else f" ± {100 * cell.deviation:.2f}"
    number = f"{_percent(cell)}{spread}"
    return f"{f'**{number}**' if best else number} ({np.mean(cell.bits):.2f})"


# -- running ------------------------------------------------------------------------------------------


def run(
    store: RunStore,
    *,
    lines: Sequence[str] | None = None,
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
        Keys of `LINES`; all of them if left out.
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
    for line in lines or ():
        if line not in LINES:
            raise InputError(f"line must be one of {', '.join(LINES)}, got {line!r}")
    if not budgets or not all(math.isfinite(budget) and budget > 0 for budget in budgets):
        raise InputError(f"budgets must be positive, got {', '.join(f'{budget:g}' for budget in budgets) or 'none'}")
    if nets < 1:
        raise InputError(f"nets must be at least 1, got {nets}")
    chosen = {line: tuple(dict.fromkeys(LINES[line]())) for line in lines or LINES}
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
        asked = (choice.to_dict() | ({"judged": "held-out"} if held_out else {}), method.to_dict(), CALIBRATION, seed)
        key = run_key(*asked, self._prints[seed])
        found = self._store.get(key)
        if found is None:
            found = self._computed(key, asked, method, held_out)
            self._store.put(found)
        return found

    def _computed(
        self, key: str, asked: tuple[dict[str, Any], dict[str, Any], int, int], method: MethodChoice, held_out: bool
    ) -> Run:  # fmt: skip
        from sdqviz.compression.compress import compress

        network, begun, label = self.network(asked[3], held_out), time.perf_counter(), describe(method)
        try:
            found = compress(network, method, CALIBRATION, asked[3], None, self._should_stop).report
        except InputError as error:  # settings that do not fit the network take no part
            return Run(key, *asked, None, str(error), time.perf_counter() - begun, label=label)
        return Run(key, *asked, found, "", time.perf_counter() - begun, label=label)

    def network(self, seed: int, held_out: bool) -> Network:
        """Load a network, or give the last one again; held out: with training images in place of the test images."""
        if self._loaded is None or self._loaded[:2] != (seed, held_out):
            network = NETWORKS[NETWORK](seed=seed).load(self._progress, self._should_stop)
            self._loaded = (seed, held_out, _judged_on_training_images(network) if held_out else network)
        return self._loaded[2]


def _judged_on_training_images(network: Network) -> Network:
    """Return a network whose test images are training images that calibration does not see."""
    from sdqviz.networks.dataset import Dataset
    from sdqviz.networks.network import Network

    data = network.dataset
    if data is None:
        raise InputError(f"network must come with images, got {network.name}")
    images, labels = data.calibration_inputs, data.calibration_labels
    split = Dataset(
        f"{data.name}, held out", images[:-HELD_OUT], labels[:-HELD_OUT], images[-HELD_OUT:], labels[-HELD_OUT:]
    )
    return Network(network.module, network.example_input, split, name=network.name, seed=network.seed)
