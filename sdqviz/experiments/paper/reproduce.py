"""Recomputes the tables and figures of Czaja & Na, *Frame Quantization of Neural Networks* (arXiv 2404.08131).

Every cell (one network, one N, one rule) is stored as it is finished, so a run that was killed goes on where it
was. Published numbers stand beside ours and are marked as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.compression.question import Question, attempt
from sdqviz.error import InputError
from sdqviz.experiments.paper.plan import TRAINING, Cell, Plan
from sdqviz.experiments.paper.result import Figures, Result, result_of
from sdqviz.experiments.run import Run, fingerprint, question_key
from sdqviz.experiments.run_store import RunStore
from sdqviz.frames import FRAMES
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.strict_json import read_json

if TYPE_CHECKING:  # the page that draws stored results must not load torch
    from sdqviz.networks.network import Network

STORE = "cells.sqlite"
"""Name of the store in the output folder."""

BEFORE = "cells.jsonl"
"""Name of the file in which versions before 0.3 kept finished cells."""


def run(
    chosen: Plan, output: Path, progress: Progress | None = None, should_stop: ShouldStop | None = None
) -> tuple[Result, ...]:
    """Compute every cell that is not stored yet, and return the tables and figures.

    Parameters
    ----------
    chosen : Plan
        From `sdqviz.experiments.paper.plan.plan`.
    output : Path
        Folder; finished cells are kept there in ``cells.sqlite``, and those of version 0.2 in ``cells.jsonl`` are
        taken as they are.
    progress, should_stop : callable, optional
        Told the share of the work done; asked between small pieces whether to stop.

    Raises
    ------
    Stopped
        If asked to stop; finished cells are kept.
    InputError
        If the folder cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with RunStore(output / STORE) as store:
            found = _figures(chosen.cells, store, read_before(output / BEFORE), progress, should_stop)
    except OSError as error:
        raise InputError(f"output must be a folder that can be written, got {output}: {error}") from None
    return tuple(result_of(target, chosen.nets, found) for target in chosen.targets)


def _figures(
    cells: tuple[Cell, ...],
    store: RunStore,
    before: Mapping[Cell, Figures],
    progress: Progress | None,
    should_stop: ShouldStop | None,
) -> dict[Cell, Figures]:
    """Return the figures of every cell: those that are known first, the others network by network."""
    found: dict[Cell, Figures] = {cell: before[cell] for cell in cells if cell in before}
    for network in dict.fromkeys((cell.network, cell.seed) for cell in cells if cell not in found):
        if NETWORKS[network[0]](seed=network[1]).ready:
            bench = _Bench(*network, None, should_stop)
            for cell in cells:
                known = bench.known(cell, store) if cell not in found and bench.fits(cell) else None
                if known is not None:
                    found[cell] = known
    todo = [cell for cell in cells if cell not in found]
    untrained = {(c.network, c.seed) for c in todo if not NETWORKS[c.network](seed=c.seed).ready}
    total = sum(cell.weight for cell in todo) + TRAINING * len(untrained)
    done = 0.0
    current: _Bench | None = None
    for count, cell in enumerate(todo):
        stop_if(should_stop)
        message = f"cell {count + 1} of {len(todo)}: {cell.network} {cell.seed}, N={cell.size}, {cell.line}"
        report(progress, done, total, message)
        if current is None or not current.fits(cell):
            share = TRAINING if (cell.network, cell.seed) in untrained else 0.0
            current = _Bench(cell.network, cell.seed, _part(progress, done, share, total), should_stop)
            done += share
        found[cell] = current.known(cell, store) or current.computed(cell, store, should_stop)
        done += cell.weight
    report(progress, total, total, "done")
    return found


def _part(progress: Progress | None, begin: float, share: float, total: float) -> Progress | None:
    """Map the progress of one piece of the work onto the whole."""
    if progress is None or not share:
        return None
    return lambda done, end, message: progress(begin + share * done / max(end, 1), total, message)


class _Bench:
    """A trained network, and its outputs on the test images once they are needed, while its cells are looked at."""

    def __init__(self, name: str, seed: int, progress: Progress | None, should_stop: ShouldStop | None) -> None:
        from sdqviz.networks.layer import to_vectors

        self._name, self._seed = name, seed
        choice = NETWORKS[name](seed=seed)
        self._network = choice.load(progress=progress, should_stop=should_stop)
        if self._network.dataset is None:
            raise InputError(f"network must come with test images, got {name}")
        self._inputs, _ = self._network.dataset.test()
        self._outputs: Any = None
        self._weights = fingerprint(choice)
        vectors = [to_vectors(layer.weight, layer.groups, "columns") for layer in self._network.layers]
        self._dimensions = sorted({columns.shape[1] for columns in vectors})
        self._norm = max(float(np.linalg.norm(columns, axis=1).max()) for columns in vectors)

    def fits(self, cell: Cell) -> bool:
        """Whether the cell is about this network."""
        return (cell.network, cell.seed) == (self._name, self._seed)

    def known(self, cell: Cell, store: RunStore) -> Figures | None:
        """Return the figures of a cell that is stored, or of one that no run can fill; else None."""
        asked = self._asked(cell)
        if not isinstance(asked, Question):
            return asked
        row = store.get(question_key(asked, self._weights))
        return None if row is None else _read(row)

    def computed(self, cell: Cell, store: RunStore, should_stop: ShouldStop | None) -> Figures:
        """Compress and test, store what came of it, and return the figures."""
        asked = self._asked(cell)
        if not isinstance(asked, Question):
            return asked
        tried, errors = attempt(asked, self._network, None, should_stop), {}
        if tried.compression is not None:
            if self._outputs is None:
                self._outputs = self._run(self._network)
            norms = np.linalg.norm(self._run(tried.compression.network) - self._outputs, axis=1)
            errors = {"worst_error": float(norms.max()), "mean_error": float(norms.mean())}
        row = Run.of(tried, self._weights, **errors)
        store.put(row)
        return _read(row)

    def _run(self, network: Network) -> Any:
        return np.asarray(network.outputs(self._inputs), float)

    def _asked(self, cell: Cell) -> Question | Figures:
        """Return the question of a cell; a choice that makes no frame or no alphabet becomes the reason for it."""
        try:
            for dimension in self._dimensions:
                FRAMES["harmonic"](dimension=dimension, size=cell.size)
        except InputError as error:
            return {"refused": str(error), "short": "not a frame"}
        try:
            return cell.question(self._norm)
        except InputError as error:
            return {"refused": str(error), "short": "refused"}


def _read(row: Run) -> Figures:
    if row.report is None:
        return {"refused": row.problem, "short": "refused"}
    return {
        "accuracy": row.report.accuracy_after,
        "float_accuracy": row.report.accuracy_before,
        "bits": row.method["bits"],
        "bits_per_weight": row.report.bits_per_weight,
        **row.measured,
    }


def read_before(file: Path) -> dict[Cell, Figures]:
    """Read the cells that a version before 0.3 finished: one line of JSON each.

    A line that a kill cut short is passed over, and so is one whose network was trained by another recipe.
    """
    found: dict[Cell, Figures] = {}
    if not file.is_file():
        return found
    for line in file.read_text("utf-8", errors="replace").splitlines():
        try:
            row = read_json(line, "a cell must be")
            told = read_json(row["key"], "its key must be")
            cell = Cell(**{name: told[name] for name in ("network", "seed", "size", "rule", "step")})
            if told["recipe"] == NETWORKS[cell.network].recipe.to_json():
                found[cell] = {**row["figures"], "version": str(told["version"])}
        except (InputError, KeyError, TypeError):
            continue
    return found
