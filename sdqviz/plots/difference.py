"""Draws the difference of two runs layer by layer: errors, bits, the settings that differ."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.experiments.compare.entry import Entry, changed_fields
from sdqviz.experiments.compare.figures import FIGURES
from sdqviz.experiments.run import Run
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number, percent, size
from sdqviz.plots import theme
from sdqviz.plots.compare import look_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink
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
        about |= {"method": run.method.get("name", "")}
        about |= {f"method {name}": value for name, value in changed_fields(run.method).items()}
        tables.append(about | {"calibration inputs": run.calibration, "seed": run.seed, "version": run.version})
    names = dict.fromkeys([*tables[0], *tables[1]])
    usual = "by default" if first.method.get("name") == second.method.get("name") else "–"
    found = [(name, tables[0].get(name, usual), tables[1].get(name, usual)) for name in names]
    return tuple((name.removesuffix(" name"), str(a), str(b)) for name, a, b in found if a != b)


def sentence(info: Difference) -> str:
    """Say in one sentence what B changes against A."""
    values = {name: (a, b) for name, a, b in info.figures}
    parts = []
    for name in ("bits", "accuracy", "error"):
        a, b = values[name]
        if not math.isnan(a + b):
            text = FIGURES[name].text
            parts.append(f"{FIGURES[name].title} {text(a)} in A, {text(b)} in B")
    same = sum(1 for row in info.rows if None not in row)
    shared = "" if same == len(info.rows) else f" Only {same} of {len(info.rows)} layers are in both."
    return "; ".join(parts) + "." + shared


def draw_errors(info: Difference, ink: Ink) -> Panel:
    """Draw the errors of every layer, A beside B, same input and propagated."""
    figure = theme.figure(ink, y="relative error", height=340)
    drawn: list[float] = []
    for field, name, style in (
        ("relative_error", "same input", {}),
        ("propagated_error", "propagated", {"opacity": 0.9}),
    ):
        for which, letter in enumerate("AB"):
            values = info.column(field, which)
            drawn += values[np.isfinite(values) & (values > 0)].tolist()
            if field == "relative_error":
                figure.add_bar(
                    x=list(info.layers), y=values, name=f"{letter}: {_method(info, which)}, {name}",
                    marker=_bar(info, which, ink), offsetgroup=letter, hovertemplate="%{x}: %{y:.3g}<extra></extra>",
                )  # fmt: skip
            else:
                figure.add_scatter(
                    x=list(info.layers), y=values, name=f"{letter}, {name}", mode="markers",
                    marker={"symbol": ("triangle-left-open", "triangle-right-open")[which], "size": 11,
                            "color": ink.text, "line": {"width": 1.6}},
                    hovertemplate="%{x}: %{y:.3g}<extra></extra>", **style,
                )  # fmt: skip
    axis = theme.log_axis(min(drawn) / 1.6, max(drawn) * 1.6) if drawn else {}
    figure.update_layout(yaxis=axis, barmode="group", bargap=0.35, margin={"t": 88, "b": 46})
    return Panel(
        name="difference-errors",
        title="Error of each layer, A beside B",
        look=_worse(info),
        alt=_alt(info, "relative_error", "same-input error"),
        figure=figure,
        formulas=[
            Formula(
                r"\frac{\lVert(W-Q)z\rVert_F}{\lVert Wz\rVert_F}\ \text{(same input)},\quad"
                r"\frac{\lVert Wz-Q\tilde z\rVert_F}{\lVert Wz\rVert_F}\ \text{(propagated)}",
                [
                    (r"z,\ \tilde z", "inputs of the layer in the original and in the compressed network", ""),
                    ("m", "calibration inputs of A and of B", f"{info.first.calibration}, {info.second.calibration}"),
                ],
            )
        ],
        table=lambda: table(info),
    )


def draw_bits(info: Difference, ink: Ink) -> Panel:
    """Draw the bits per weight of every layer, A beside B."""
    figure = theme.figure(ink, y="bits per weight of the layer", height=340)
    for which, letter in enumerate("AB"):
        figure.add_bar(
            x=list(info.layers), y=info.column("bits_per_weight", which), name=f"{letter}: {_method(info, which)}",
            marker=_bar(info, which, ink), offsetgroup=letter, hovertemplate="%{x}: %{y:.3g} bits<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="group", bargap=0.35, margin={"t": 88, "b": 46}, yaxis={"rangemode": "tozero"})
    a, b = (dict((name, pair) for name, *pair in info.figures)["bytes"][which] for which in (0, 1))
    return Panel(
        name="difference-bits",
        title="What each layer costs, A beside B",
        look=f"Everything stored for a layer per original number of it; whole network: {size(a)} in A, "
        f"{size(b)} in B.",
        alt=_alt(info, "bits_per_weight", "bits per weight"),
        figure=figure,
        formulas=[
            Formula(
                r"b_\ell=\frac{\text{bits stored for layer }\ell}{\text{its original numbers}}",
                [("b", "bits per original weight of the whole network, A and B",
                  ", ".join(number(value) for value in dict((n, p) for n, *p in info.figures)["bits"]))],
            )
        ],
        table=lambda: table(info),
    )  # fmt: skip


def _method(info: Difference, which: int) -> str:
    return str((info.first, info.second)[which].method.get("name", ""))


def _bar(info: Difference, which: int, ink: Ink) -> dict[str, Any]:
    """Return the look of a bar: the method's colour; B is hatched, since both may be the same method."""
    colour = look_of(_method(info, which)).colour(ink)
    outline = {"line": {"color": ink.text, "width": 0.5}}
    if which == 0:
        return {"color": colour, **outline}
    return {
        "color": colour,
        "pattern": {"shape": "/", "fgcolor": ink.text, "size": 7, "solidity": 0.18, "fillmode": "overlay"},
        **outline,
    }


def _worse(info: Difference) -> str:
    a, b = info.column("relative_error", 0), info.column("relative_error", 1)
    known = np.flatnonzero(np.isfinite(a) & np.isfinite(b) & (a > 0))
    if not len(known):
        return "No layer has an error in both runs."
    ratios = b[known] / a[known]
    widest = known[int(np.argmax(np.abs(np.log(np.maximum(ratios, 1e-300)))))]
    return (
        f"Largest difference at {info.layers[widest]}: {percent(a[widest])} in A, {percent(b[widest])} in B, "
        f"ratio {number(b[widest] / a[widest])}. Bars: same input; triangles: with the errors of the layers before."
    )


def _alt(info: Difference, field: str, what: str) -> str:
    a, b = info.column(field, 0), info.column(field, 1)
    parts = [f"{name} {number(x)} against {number(y)}" for name, x, y in zip(info.layers, a, b, strict=True)]
    return f"{what}, A against B, for {len(parts)} layers: " + ", ".join(parts[:12]) + "."


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
            shown[part] = _rounded(columns[part])
    shown["error B/A"] = _rounded(columns[f"{TABLE['relative_error']}, B/A"])
    return shown


def _rounded(values: Array) -> list[float | None]:
    return [float(f"{value:.3g}") if math.isfinite(value) else None for value in values.tolist()]


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
