"""A table or figure with everything needed to print or draw it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdqviz.experiments.paper.plan import PUBLISHED, PUBLISHED_NETS, SOURCE, Cell, Target
from sdqviz.explore.tables import markdown
from sdqviz.strict_json import write_json
from sdqviz.version import __version__

Figures = Mapping[str, Any]
"""What a cell gave: its numbers by name, or why there are none, in a few words and in a sentence."""


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

    @property
    def alt(self) -> str:
        """First and last number of every line in words, for those who cannot see the plot."""
        parts = []
        for line in self.lines:
            sizes = [n for n in self.sizes if line.values.get(n)]
            if sizes and line.kind != "bits":
                first, last = sizes[0], sizes[-1]
                parts.append(
                    f"{line.label}: {line.cell_text(first)} at N = {first}, {line.cell_text(last)} at N = {last}"
                )
        return f"{self.title}. " + "; ".join(parts) + "."

    def to_markdown(self) -> str:
        """Return the table and its notes as Markdown."""
        header, *rows = self.table()
        body = markdown(header, rows)
        return "\n".join([f"## {self.title}", "", body, "", *(f"- {note}" for note in self.notes), ""])

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
        text = write_json(self.to_dict(), 1)
        (folder / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")


def result_of(target: Target, nets: int, cells_of: Mapping[Cell, Figures]) -> Result:
    """Return a table or figure from the figures of its cells."""
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
        cells = {n: [cells_of[Cell(target.network, s, n, rule, step)] for s in range(nets)] for n in target.sizes}
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
            cells = {n: [cells_of[Cell(target.network, s, n, rule, step)] for s in range(nets)] for n in target.sizes}
            stored = {n: tuple(c["bits_per_weight"] for c in row if "refused" not in c) for n, row in cells.items()}
            name = f"δ = {step:g}" if rule is None else rule
            lines.append(Line(f"bits per original weight, {name}", False, stored, {}, {}, "bits"))
            exact += [100 * cell["float_accuracy"] for row in cells.values() for cell in row if "refused" not in cell]
        if exact:
            notes.insert(0, f"Networks in float: {np.mean(exact):.2f} % on the 10,000 test images, mean of {nets}.")
    older = [one["version"] for _, one in cells_of.items() if "version" in one]
    if older:
        notes.append(
            f"{len(older)} cells were computed by sdqviz {' and '.join(sorted(set(older)))} and stand as they were."
        )
    notes.append("In brackets: standard deviation over the networks, n−1 in the denominator for ours.")
    return Result(target.name, target.title, target.sizes, tuple(lines), tuple(notes), nets)


def _line(label: str, name: str, step: float | None, cells: Mapping[int, Sequence[Figures]]) -> Line:
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


def _bits_text(cells: Mapping[int, Sequence[Figures]]) -> str:
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
