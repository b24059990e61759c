"""Two runs set side by side: what differs in their settings, their figures and their layers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.experiments.compare.entry import Entry, said_fields
from sdqviz.experiments.compare.figures import FIGURES
from sdqviz.experiments.run import Run
from sdqviz.explore.formula import Formula
from sdqviz.explore.tables import rounded
from sdqviz.explore.wording import number, percent
from sdqviz.methods import METHODS
from sdqviz.report import LayerReport

COMPARED = ("bits", "bytes", "accuracy", "error", "zeros", "seconds")
"""Figures of the whole network that are set side by side."""


@dataclasses.dataclass(frozen=True, eq=False)
class Difference:
    """Two runs, layer by layer.

    Attributes
    ----------
    first, second : Run
        A and B.
    layers : tuple of str
        Names of A's layers, then those only B has.
    rows : tuple of (LayerReport or None, LayerReport or None)
        The layers' rows in A and in B; None where one has no such layer.
    settings : tuple of (str, str, str)
        What differs: name, value in A, value in B.
    figures : tuple of (str, float, float)
        Name of each figure of `COMPARED`, its value in A and in B.
    """

    first: Run
    second: Run
    layers: tuple[str, ...]
    rows: tuple[tuple[LayerReport | None, LayerReport | None], ...]
    settings: tuple[tuple[str, str, str], ...]
    figures: tuple[tuple[str, float, float], ...]

    def figure(self, name: str) -> tuple[float, float]:
        """Return a figure of the whole network in A and in B."""
        return next((a, b) for known, a, b in self.figures if known == name)

    def method(self, which: int) -> str:
        """Return the name of the method of A (0) or B (1)."""
        return str((self.first, self.second)[which].method.get("name", ""))

    def called(self, which: int) -> str:
        """Return what a legend calls the method of A (0) or B (1)."""
        return METHODS.called_shortly(self.method(which))

    def column(self, field: str, which: int) -> Array:
        """Return one figure of every layer of A (0) or B (1); NaN where there is no such layer."""
        return np.array([math.nan if row[which] is None else float(getattr(row[which], field)) for row in self.rows])


def difference_info(first: Run, second: Run) -> Difference:
    """Compare two runs that have reports."""
    tables = [{row.name: row for row in run.report.layers} if run.report is not None else {} for run in (first, second)]
    layers = tuple(dict.fromkeys([*tables[0], *tables[1]]))
    one, other = Entry((first,), ""), Entry((second,), "")
    return Difference(
        first,
        second,
        layers,
        tuple((tables[0].get(name), tables[1].get(name)) for name in layers),
        _differing(first, second),
        tuple((name, one.values[name], other.values[name]) for name in COMPARED),
    )


def _differing(first: Run, second: Run) -> tuple[tuple[str, str, str], ...]:
    tables = []
    for run in (first, second):
        about: dict[str, Any] = {f"network {name}": value for name, value in run.network.items()}
        about |= {"method": METHODS.called(str(run.method.get("name", ""))), **said_fields(run.method)}
        tables.append(about | {"calibration inputs": run.calibration, "seed": run.seed, "version": run.version})
    names = dict.fromkeys([*tables[0], *tables[1]])
    usual = "by default" if first.method.get("name") == second.method.get("name") else "–"
    found = [(name, tables[0].get(name, usual), tables[1].get(name, usual)) for name in names]
    return tuple((name.removesuffix(" name"), str(a), str(b)) for name, a, b in found if a != b)


def sentence(info: Difference) -> str:
    """Say in one sentence what B changes against A."""
    parts = []
    for name in ("bits", "accuracy", "error"):
        a, b = info.figure(name)
        if not math.isnan(a + b):
            text = FIGURES[name].text
            parts.append(f"{FIGURES[name].title} {text(a)} in A, {text(b)} in B")
    same = sum(1 for row in info.rows if None not in row)
    shared = "" if same == len(info.rows) else f" Only {same} of {len(info.rows)} layers are in both."
    return "; ".join(parts) + "." + shared


TABLE = {
    "relative_error": "error, same input",
    "propagated_error": "error, propagated",
    "weight_error": "error of weights",
    "bits_per_weight": "bits per weight",
    "sparsity": "zeros",
    "step": "δ",
    "levels": "levels",
    "overload": "overload",
}
"""Figures of a layer in the table of differences, with what people read."""


def table(info: Difference) -> Mapping[str, Array]:
    """Return every compared figure of every layer: A, B, and B/A."""
    columns: dict[str, Array] = {"layer": np.array(info.layers)}
    for field, title in TABLE.items():
        a, b = info.column(field, 0), info.column(field, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            columns |= {f"{title}, A": a, f"{title}, B": b, f"{title}, B/A": b / a}
    return columns


def shown_table(info: Difference) -> dict[str, list[Any]]:
    """Return the table on the page: errors and bits, three significant digits."""
    columns = table(info)
    fields = [TABLE[name] for name in ("relative_error", "propagated_error", "bits_per_weight", "sparsity", "levels")]
    shown: dict[str, list[Any]] = {"layer": columns["layer"].tolist()}
    for title in fields:
        for part in (f"{title}, A", f"{title}, B"):
            shown[part] = [rounded(value) for value in columns[part].tolist()]
    ratios = columns[f"{TABLE['relative_error']}, B/A"]
    shown["error B/A"] = [rounded(value) for value in ratios.tolist()]
    return shown


def settings_columns(info: Difference) -> dict[str, list[str]]:
    """Return the settings that differ and the headline figures as columns: what, A, B."""
    rows = [*info.settings]
    for name, a, b in info.figures:
        text = FIGURES[name].text
        rows.append((FIGURES[name].title, _figure(text, a), _figure(text, b)))
    return {"": [row[0] for row in rows], "A": [row[1] for row in rows], "B": [row[2] for row in rows]}


def _figure(text: Any, value: float) -> str:
    return "n/a" if math.isnan(value) else str(text(value))


def usable(points: Sequence[Entry]) -> list[Run]:
    """Return the runs that have a report, in the order of the points."""
    return [run for one in points for run in one.runs if run.report is not None]


def widest(info: Difference) -> str:
    """Say at which layer A and B differ most."""
    a, b = info.column("relative_error", 0), info.column("relative_error", 1)
    known = np.flatnonzero(np.isfinite(a) & np.isfinite(b) & (a > 0))
    if not len(known):
        return "No layer has an error in both runs."
    ratios = b[known] / a[known]
    place = known[int(np.argmax(np.abs(np.log(np.maximum(ratios, 1e-300)))))]
    return (
        f"Largest difference at {info.layers[place]}: {percent(a[place])} in A, {percent(b[place])} in B, "
        f"ratio {number(b[place] / a[place])}. Bars: same input; triangles: with the errors of the layers before."
    )


def told(info: Difference, field: str, what: str) -> str:
    """Write one figure of the first layers, A against B."""
    a, b = info.column(field, 0), info.column(field, 1)
    parts = [f"{name} {number(x)} against {number(y)}" for name, x, y in zip(info.layers, a, b, strict=True)]
    return f"{what}, A against B, for {len(parts)} layers: " + ", ".join(parts[:12]) + "."


def error_formula(info: Difference) -> Formula:
    """Return the two errors of a layer."""
    return Formula(
        r"\frac{\lVert(W-Q)z\rVert_F}{\lVert Wz\rVert_F}\ \text{(same input)},\quad"
        r"\frac{\lVert Wz-Q\tilde z\rVert_F}{\lVert Wz\rVert_F}\ \text{(propagated)}",
        [
            (r"z,\ \tilde z", "inputs of the layer in the original and in the compressed network", ""),
            ("m", "calibration inputs of A and of B", f"{info.first.calibration}, {info.second.calibration}"),
        ],
    )


def bits_formula(info: Difference) -> Formula:
    """Return what a layer costs."""
    return Formula(
        r"b_\ell=\frac{\text{bits stored for layer }\ell}{\text{its original numbers}}",
        [("b", "bits per original weight of the whole network, A and B", ", ".join(map(number, info.figure("bits"))))],
    )
