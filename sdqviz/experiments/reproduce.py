"""Recomputes the tables and figures of Czaja & Na, *Frame Quantization of Neural Networks* (arXiv 2404.08131).

Every cell (one network, one N, one rule) is written to disk as it is finished, so a run that was
killed goes on where it was. Published numbers stand beside ours and are marked as such.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.quantizers.alphabet import MAXIMUM_BITS
from sdqviz.version import __version__

if TYPE_CHECKING:
    from sdqviz.array import Array
    from sdqviz.networks.network import Network

SOURCE = "Czaja & Na, arXiv 2404.08131"
FNN, RESIDUAL = "mnist-fnn", "mnist-residual"
RULES = ("norm-global", "norm-layer", "range-layer", "range-column")
ONE_BIT_SIZES = (1000, 2000, 3000, 4000, 5000, 6000, 7000)
GRID_SIZES = (256, 320, 384, 448, 512)
FIGURE_SIZES = (320, 384, 448, 512, 640, 768, 896, 1024)
STEPS = (1.0, 0.5, 0.25, 0.125, 0.0625)

PUBLISHED: Mapping[str, Mapping[int, tuple[float, float]]] = {
    "table3": dict(
        zip(
            ONE_BIT_SIZES,
            [(36.18, 7.65), (74.09, 4.71), (88.47, 1.82), (94.62, 0.44), (96.04, 0.82), (96.83, 0.36), (97.29, 0.25)],
            strict=True,
        )
    ),
    "table4": dict(
        zip(
            ONE_BIT_SIZES,
            [(14.12, 2.52), (31.52, 6.56), (66.93, 5.69), (86.47, 4.04), (92.88, 1.44), (95.28, 0.64), (96.30, 0.50)],
            strict=True,
        )
    ),
}
"""Mean accuracy and standard deviation in percent over 10 networks, as printed."""

PUBLISHED_NETS = 10

TRAINING = 40.0
"""Seconds one training run takes, roughly: beside the weights of the cells it makes the estimate of the time left."""

LEFT_OPEN = (
    "The paper does not print the widths or the training: ours are 784-256-256-10 without biases (for the residual "
    "network two blocks of width 256 between an input and an output layer) and the recipe of `sdqviz train`.",
)
STEP_OPEN = (
    "Nor is the step printed: the paper's rule is taken, for each network, at the smallest δ its condition (9) allows, "
    "2·max‖w_j‖ over all columns of all layers.",
)
GRID_OPEN = (
    "The steps δ are our choice: the paper's are not known to us.",
    "The levels are 2K, the smallest power of two with (K−½)δ ≥ max‖w_j‖, so that no value overloads.",
)
UNKNOWN = ("The accuracies of the published table are not known to us either, so nothing stands beside ours.",)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network compressed once and tested on all test images.

    Attributes
    ----------
    network : str
        Name in the catalogue.
    seed : int
        Which training run.
    size : int
        N, the same in every layer.
    rule : str or None
        Step rule at 1 bit; None where ``step`` is given.
    step : float or None
        δ by hand, with as many bits as stability needs.
    """

    network: str
    seed: int
    size: int
    rule: str | None
    step: float | None

    @property
    def key(self) -> str:
        """Everything the result depends on, as text: a change of version or recipe makes a new cell."""
        values = dataclasses.asdict(self) | {
            "recipe": NETWORKS[self.network].recipe.to_json(),
            "version": __version__,
        }
        return json.dumps(values, sort_keys=True)

    @property
    def weight(self) -> float:
        """Seconds the cell takes, roughly: the estimate of the time left needs only their ratios."""
        return 0.4 + self.size / 5000


@dataclasses.dataclass(frozen=True)
class Target:
    """A table or a figure: which network, which N, and one line for each rule or step."""

    name: str
    title: str
    network: str
    sizes: tuple[int, ...]
    rules: tuple[str, ...] = ()
    steps: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[tuple[str | None, float | None], ...]:
        """Rule and step of each line."""
        return tuple((rule, None) for rule in self.rules) + tuple((None, step) for step in self.steps)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to recompute, over how many networks."""

    targets: tuple[Target, ...]
    nets: int

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, each once, network by network."""
        cells = {
            Cell(target.network, seed, size, rule, step)
            for target in self.targets
            for rule, step in target.lines
            for size in target.sizes
            for seed in range(self.nets)
        }
        return tuple(sorted(cells, key=lambda c: (c.network, c.seed, c.size, c.rule or "", -(c.step or 0.0))))


_GRID_NOTES = LEFT_OPEN + GRID_OPEN
_CATALOGUE = {
    target.name: target
    for target in (
        Target("table1", "Table 1: accuracy, 3 layers", FNN, GRID_SIZES, (), STEPS, _GRID_NOTES + UNKNOWN),
        Target(
            "table2", "Table 2: accuracy, 2 residual blocks", RESIDUAL, GRID_SIZES, (), STEPS, _GRID_NOTES + UNKNOWN
        ),
        Target("table3", "Table 3: accuracy at 1 bit, 3 layers", FNN, ONE_BIT_SIZES, RULES, (), LEFT_OPEN + STEP_OPEN),
        Target(
            "table4",
            "Table 4: accuracy at 1 bit, 2 residual blocks",
            RESIDUAL,
            ONE_BIT_SIZES,
            RULES,
            (),
            LEFT_OPEN + STEP_OPEN,
        ),
        Target("figure1", "Figure 1: max‖f(x)−f_Q(x)‖ over the test images", FNN, FIGURE_SIZES, (), STEPS, _GRID_NOTES),
        Target("figure2", "Figure 2: log(mean error) − log δ + log N", FNN, FIGURE_SIZES, (), STEPS, _GRID_NOTES),
    )
}
NAMES = tuple(_CATALOGUE)


def plan(
    what: str = "all", *, nets: int = 3, sizes: Sequence[int] | None = None, steps: Sequence[float] | None = None
) -> Plan:
    """Choose what to recompute.

    Parameters
    ----------
    what : str
        ``table1`` … ``table4``, ``figure1``, ``figure2`` or ``all``.
    nets : int
        Networks, seeds 0 … nets−1; 0, 1 and 2 are shipped, others are trained when first needed.
    sizes : sequence of int, optional
        N in place of the usual ones.
    steps : sequence of float, optional
        δ in place of the usual ones, for tables 1 and 2 and the figures.

    Raises
    ------
    InputError
        If a name is unknown or a number is not positive.
    """
    if what != "all" and what not in _CATALOGUE:
        raise InputError(f"what to reproduce must be one of {', '.join(NAMES)} or all, got {what!r}")
    if nets < 1:
        raise InputError(f"nets must be at least 1, got {nets}")
    for name, values in (("sizes", sizes), ("steps", steps)):
        if values is not None and not all(math.isfinite(value) and value > 0 for value in values):
            raise InputError(f"{name} must be positive, got {', '.join(f'{value:g}' for value in values)}")
    chosen = _CATALOGUE.values() if what == "all" else [_CATALOGUE[what]]
    targets = []
    for target in chosen:
        changes: dict[str, Any] = {} if sizes is None else {"sizes": tuple(sorted(set(sizes)))}
        if steps is not None and target.steps:
            changes["steps"] = tuple(sorted(set(steps), reverse=True))
        targets.append(dataclasses.replace(target, **changes))
    return Plan(tuple(targets), nets)


# -- running ------------------------------------------------------------------------------------------


class Store:
    """Finished cells on disk: one line of JSON each, written through before the next cell begins.

    Parameters
    ----------
    path : Path
        The file; a last line that a kill cut short is dropped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, dict[str, Any]] = dict(self._read())

    def __contains__(self, cell: Cell) -> bool:
        """Whether the cell is finished."""
        return cell.key in self._found

    def __getitem__(self, cell: Cell) -> dict[str, Any]:
        """Return the figures of a finished cell."""
        return self._found[cell.key]

    def add(self, cell: Cell, figures: dict[str, Any]) -> None:
        """Keep the figures of a cell, on disk first."""
        line = json.dumps({"key": cell.key, "figures": figures}) + "\n"
        with self._path.open("a+b") as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # the end of a line that was cut short
                    line = "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self._found[cell.key] = figures

    def _read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if not self._path.is_file():
            return
        for line in self._path.read_text("utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                yield row["key"], dict(row["figures"])
            except (ValueError, KeyError, TypeError):
                continue


def run(
    chosen: Plan, output: Path, progress: Progress | None = None, should_stop: ShouldStop | None = None
) -> tuple[Result, ...]:
    """Compute every cell that is not on disk yet, and return the tables and figures.

    Parameters
    ----------
    chosen : Plan
        From `plan`.
    output : Path
        Folder; finished cells are kept there in ``cells.jsonl``.
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
        store = Store(output / "cells.jsonl")
        todo = [cell for cell in chosen.cells if cell not in store]
        training = {network: TRAINING for network in {(c.network, c.seed) for c in todo} if not _trained(*network)}
        total = sum(cell.weight for cell in todo) + sum(training.values())
        done = 0.0
        bench: _Bench | None = None
        for count, cell in enumerate(todo):
            stop_if(should_stop)
            message = f"cell {count + 1} of {len(todo)}: {cell.network} {cell.seed}, N={cell.size}, {_line_name(cell)}"
            report(progress, done, total, message)
            if bench is None or not bench.fits(cell):
                share = training.get((cell.network, cell.seed), 0.0)
                bench = _Bench(cell, _part(progress, done, share, total), should_stop)
                done += share
            store.add(cell, bench.figures(cell, should_stop))
            done += cell.weight
        report(progress, total, total, "done")
    except OSError as error:
        raise InputError(f"output must be a folder that can be written, got {output}: {error}") from None
    return tuple(_result(target, chosen.nets, store) for target in chosen.targets)


def _trained(network: str, seed: int) -> bool:
    """Whether the weights are there already, shipped or in the cache folder."""
    from sdqviz.networks import training

    choice = NETWORKS[network](seed=seed)
    return choice.shipped or (training.cache_folder() / training.file_name(choice)).is_file()


def _part(progress: Progress | None, begin: float, share: float, total: float) -> Progress | None:
    """Map the progress of one piece of the work onto the whole."""
    if progress is None or not share:
        return None
    return lambda done, end, message: progress(begin + share * done / max(end, 1), total, message)


class _Bench:
    """A trained network with its outputs on the test images, kept while its cells are computed."""

    def __init__(self, cell: Cell, progress: Progress | None, should_stop: ShouldStop | None) -> None:
        from sdqviz.networks.layer import to_vectors

        self._name, self._seed = cell.network, cell.seed
        choice = NETWORKS[cell.network](seed=cell.seed)
        self._network: Network = choice.load(progress=progress, should_stop=should_stop)
        data = self._network.dataset
        if data is None:
            raise InputError(f"network must come with test images, got {cell.network}")
        self._inputs, self._labels = data.test()
        self._outputs = self._run(self._network)
        vectors = [to_vectors(layer.weight, layer.groups, "columns") for layer in self._network.layers]
        self._dimensions = sorted({columns.shape[1] for columns in vectors})
        self._norm = max(float(np.linalg.norm(columns, axis=1).max()) for columns in vectors)

    def fits(self, cell: Cell) -> bool:
        """Whether the cell is about this network."""
        return (cell.network, cell.seed) == (self._name, self._seed)

    def _run(self, network: Network) -> Array:
        return np.asarray(network.outputs(self._inputs), float)

    def figures(self, cell: Cell, should_stop: ShouldStop | None) -> dict[str, Any]:
        """Compress and test; a choice that makes no frame or no alphabet becomes the reason for it."""
        from sdqviz.compression.compress import compress

        try:
            for dimension in self._dimensions:
                FRAMES["harmonic"](dimension=dimension, size=cell.size)
        except InputError as error:
            return {"refused": str(error), "short": "not a frame"}
        settings: dict[str, Any] = {"name": "frame", "frame": "harmonic", "size": cell.size}
        try:
            if cell.step is None:
                settings |= {"bits": 1, "step_rule": cell.rule}
            else:
                settings |= {"bits": bits_needed(self._norm, cell.step), "step": cell.step}
            method = METHODS.from_dict(settings)
            result = compress(self._network, method, calibration=0, should_stop=should_stop)
        except InputError as error:
            return {"refused": str(error), "short": "refused"}
        outputs = self._run(result.network)
        errors = np.linalg.norm(outputs - self._outputs, axis=1)
        return {
            "accuracy": float((outputs.argmax(1) == self._labels).mean()),
            "float_accuracy": float((self._outputs.argmax(1) == self._labels).mean()),
            "worst_error": float(errors.max()),
            "mean_error": float(errors.mean()),
            "bits": settings["bits"],
            "bits_per_weight": result.report.bits_per_weight,
            "largest_step": max(layer.step for layer in result.report.layers),
            "unstable": sum(layer.unstable for layer in result.report.layers),
        }


def bits_needed(norm: float, step: float) -> int:
    """Return the fewest bits with (K−½)δ ≥ ``norm``, K = 2^(bits−1): then no value overloads.

    Raises
    ------
    InputError
        If that takes more than 16 bits.

    Examples
    --------
    >>> bits_needed(0.5, 1.0), bits_needed(0.51, 1.0), bits_needed(1.5, 1.0), bits_needed(1.51, 1.0)
    (1, 2, 2, 3)
    """
    for bits in range(1, MAXIMUM_BITS + 1):
        if (2 ** (bits - 1) - 0.5) * step >= norm:
            return bits
    raise InputError(f"step must be at least {norm / (2 ** (MAXIMUM_BITS - 1) - 0.5):.3g} for 16 bits, got {step:g}")


def _line_name(cell: Cell) -> str:
    return f"δ={cell.step:g}" if cell.rule is None else cell.rule


# -- results ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a table, or one curve of a figure.

    Attributes
    ----------
    label : str
        What it is.
    published : bool
        Whether the numbers are the paper's.
    values : mapping of int to tuple of float
        By N, one number per network (for published numbers the mean alone); empty where refused.
    spread : mapping of int to float
        Standard deviation by N: the printed one, or ours (n−1 in the denominator; NaN for one network).
    refused : mapping of int to (str, str)
        Why there is no number, by N: in a few words, and in one sentence.
    kind : str
        ``accuracy`` (percent), ``bits`` (per original weight) or ``error`` (no unit).
    """

    label: str
    published: bool
    values: Mapping[int, tuple[float, ...]]
    spread: Mapping[int, float]
    refused: Mapping[int, tuple[str, str]]
    kind: str

    def mean(self, size: int) -> float:
        """Return the mean over the networks; NaN where refused."""
        values = self.values.get(size, ())
        return float(np.mean(values)) if values else float("nan")

    def cell_text(self, size: int) -> str:
        """Return the cell as printed in a table: mean and, in brackets, the standard deviation."""
        if size in self.refused:
            return self.refused[size][0]
        if not self.values.get(size):
            return "–"
        spread = self.spread.get(size, float("nan"))
        digits = 3 if self.kind == "error" else 2
        deviation = f" ({spread:.{digits}f})" if math.isfinite(spread) else ""
        return f"{self.mean(size):.{digits}f}{deviation}"


@dataclasses.dataclass(frozen=True)
class Result:
    """A table or figure with everything needed to print or draw it.

    Attributes
    ----------
    name, title : str
        ``table3`` and what is in it.
    sizes : tuple of int
        N of each column.
    lines : tuple of Line
        Published first.
    notes : tuple of str
        Choices of ours, reasons for missing cells, fitted slopes.
    nets : int
        Networks behind each of our numbers.
    """

    name: str
    title: str
    sizes: tuple[int, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    nets: int

    def table(self) -> list[list[str]]:
        """Return the printed table, header first."""
        rows = [["N", *(str(size) for size in self.sizes)]]
        return rows + [[line.label, *(line.cell_text(size) for size in self.sizes)] for line in self.lines]

    def to_markdown(self) -> str:
        """Return the table and its notes as Markdown."""
        header, *rows = self.table()
        body = ["| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]]
        return "\n".join([f"## {self.title}", "", *body, "", *(f"- {note}" for note in self.notes), ""])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        lines = [
            {
                "label": line.label,
                "published": line.published,
                "kind": line.kind,
                "mean": {str(n): line.mean(n) for n in self.sizes if line.values.get(n)},
                "std": {str(n): s for n, s in line.spread.items() if math.isfinite(s)},
                "values": {str(n): list(v) for n, v in line.values.items()},
                "refused": {str(n): sentence for n, (_, sentence) in line.refused.items()},
            }
            for line in self.lines
        ]
        return {
            "name": self.name,
            "title": self.title,
            "source": SOURCE,
            "version": __version__,
            "nets": self.nets,
            "sizes": list(self.sizes),
            "lines": lines,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Result:
        """Rebuild a result from `to_dict`."""
        lines = tuple(
            Line(
                line["label"],
                line["published"],
                {int(n): tuple(row) for n, row in line["values"].items()},
                {int(n): spread for n, spread in line["std"].items()},
                {int(n): ("refused", sentence) for n, sentence in line["refused"].items()},
                line["kind"],
            )
            for line in values["lines"]
        )
        return cls(
            values["name"], values["title"], tuple(values["sizes"]), lines, tuple(values["notes"]), values["nets"]
        )

    def write(self, folder: Path) -> None:
        """Write ``<name>.md`` and ``<name>.json`` into the folder."""
        (folder / f"{self.name}.md").write_text(self.to_markdown(), encoding="utf-8")
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")


def _result(target: Target, nets: int, store: Store) -> Result:
    lines = []
    published = PUBLISHED.get(target.name, {})
    shown = {n: published[n] for n in target.sizes if n in published}
    if shown:
        means = {n: (mean,) for n, (mean, _) in shown.items()}
        spread = {n: deviation for n, (_, deviation) in shown.items()}
        label = f"published ({SOURCE}), {PUBLISHED_NETS} networks"
        lines.append(Line(label, True, means, spread, {}, "accuracy"))
    who = f"{nets} network{'s' if nets > 1 else ''}"
    for rule, step in target.lines:
        cells = {n: [store[Cell(target.network, s, n, rule, step)] for s in range(nets)] for n in target.sizes}
        label = f"ours, {_bits_text(cells)}, δ = {step:g}" if rule is None else f"ours, {rule}"
        if rule == "norm-global":
            label += " (the paper's rule)"
        lines.append(_line(f"{label}, {who}", target.name, step, cells))
    notes = [*target.notes, *_reasons(lines)]
    if target.name == "figure2":
        notes.append(_slopes(target, lines))
    if not target.name.startswith("figure"):
        exact: list[float] = []
        for rule, step in dict.fromkeys([target.lines[0], target.lines[-1]]):
            cells = {n: [store[Cell(target.network, s, n, rule, step)] for s in range(nets)] for n in target.sizes}
            stored = {n: tuple(c["bits_per_weight"] for c in row if "refused" not in c) for n, row in cells.items()}
            name = f"δ = {step:g}" if rule is None else rule
            lines.append(Line(f"bits per original weight, {name}", False, stored, {}, {}, "bits"))
            exact += [100 * cell["float_accuracy"] for row in cells.values() for cell in row if "refused" not in cell]
        if exact:
            notes.insert(0, f"Networks in float: {np.mean(exact):.2f} % on the 10,000 test images, mean of {nets}.")
    notes.append("In brackets: standard deviation over the networks, n−1 in the denominator for ours.")
    return Result(target.name, target.title, target.sizes, tuple(lines), tuple(notes), nets)


def _line(label: str, name: str, step: float | None, cells: Mapping[int, Sequence[Mapping[str, Any]]]) -> Line:
    refused = {n: (c["short"], c["refused"]) for n, row in cells.items() for c in row if "refused" in c}
    kept = {n: row for n, row in cells.items() if n not in refused}
    if name == "figure1":
        values = {n: tuple(cell["worst_error"] for cell in row) for n, row in kept.items()}
    elif name == "figure2" and step is not None:
        values = {
            n: tuple(math.log(c["mean_error"]) - math.log(step) + math.log(n) for c in row) for n, row in kept.items()
        }
    else:
        values = {n: tuple(100 * cell["accuracy"] for cell in row) for n, row in kept.items()}
    spread = {n: float(np.std(row, ddof=1)) if len(row) > 1 else float("nan") for n, row in values.items()}
    return Line(label, False, values, spread, refused, "error" if name.startswith("figure") else "accuracy")


def _bits_text(cells: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    bits = sorted({cell["bits"] for row in cells.values() for cell in row if "bits" in cell})
    if not bits:
        return "no bits"
    return f"{bits[0]} bits" if len(bits) == 1 else f"{bits[0]}–{bits[-1]} bits"


def _reasons(lines: Sequence[Line]) -> list[str]:
    found: dict[str, None] = {}
    for line in lines:
        for size, (short, sentence) in line.refused.items():
            found[f"N = {size}, {short}: {sentence}."] = None
    return list(found)


def _slopes(target: Target, lines: Sequence[Line]) -> str:
    """Fit log(mean error) against log N for each δ: −1 is the rate of the theorem."""
    texts = []
    for line, (_, step) in zip(lines, target.lines, strict=True):
        sizes = [n for n in target.sizes if line.values.get(n)]
        if len(sizes) > 1 and step is not None:
            # the curve is log(mean error) − log δ + log N, so its own slope is 1 larger
            slope = np.polyfit(np.log(sizes), [line.mean(n) for n in sizes], 1)[0] - 1
            texts.append(f"{slope:+.2f} at δ = {step:g}")
    return (
        "Slope of log(mean error) against log N: " + (", ".join(texts) or "needs two sizes") + " (the bound gives −1)."
    )
