"""Draws what a compression did to a network: errors, bounds, bytes, one layer closely, and the images that flipped."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sdqviz import preset, what_if
from sdqviz.array import Array, Index
from sdqviz.bound import CZAJA_NA, Bound
from sdqviz.choice import PerLayer
from sdqviz.guarantee import PATH_ERROR, path_layer_bound
from sdqviz.ladder import Ladder
from sdqviz.methods import METHODS
from sdqviz.network_choice import NetworkChoice
from sdqviz.networks import NETWORKS
from sdqviz.plots import theme
from sdqviz.plots.panel import Formula, Panel
from sdqviz.plots.stored import picked
from sdqviz.plots.theme import Ink, Look, number, percent
from sdqviz.report import LayerReport, Report
from sdqviz.what_if import Answer, Comparison, LayerOutline, Question, Rounding, Vector

ADDRESS = "network"
"""The page's address."""

DEFAULTS: dict[str, Any] = {"network": "mnist-fnn", "method": "frame", "calibration": 512, "seed": 0}
"""What the page shows at first, where it does not ask the choices' own defaults."""

DRAWN_IMAGES = 24
"""Test images drawn; the page says how many there are."""

TILES = 8
"""Images in a row."""

BINS = 81
"""Bins of a histogram."""

PART_NAMES = {"levels": "levels", "step": "scales δ", "parameters": "frame parameters", "kept": "kept tensors"}
"""What people read for the parts of a packed file; other parts keep their own name."""


# -- from the link to the run -----------------------------------------------------------------------


def question(choices: Mapping[str, Any]) -> Question:
    """Read the parameters of the page's link as a question.

    Raises
    ------
    InputError
        If the choices do not go together.
    """
    name = str(choices.get("method", DEFAULTS["method"]))
    values = dict(choices)
    for field, kind in METHODS[name].kinds().items():
        if kind == PerLayer:
            values[field] = by_layer(choices, field)
    return Question(
        network=picked(NETWORKS, values, "network", DEFAULTS["network"], "network_"),
        method=picked(METHODS, values, "method", name),
        calibration=int(choices.get("calibration", DEFAULTS["calibration"])),
        seed=int(choices.get("seed", DEFAULTS["seed"])),
    )


def by_layer(choices: Mapping[str, Any], field: str) -> PerLayer:
    """Collect the parameters ``field.layer`` of a link."""
    start = f"{field}."
    return tuple(
        (key.removeprefix(start), value)
        for key, value in choices.items()
        if key.startswith(start) and value is not None
    )


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers the page shows for the parameters of its link: the headlines, and the whole comparison."""
    found = what_if.answer(question(choices))
    report = found.comparison.report
    return {
        "bits_per_weight": report.bits_per_weight,
        "relative_error": report.relative_output_error,
        "accuracy_before": report.accuracy_before,
        "accuracy_after": report.accuracy_after,
        "bound_holds": report.output_bound_holds and report.output_error <= report.output_bound,
        "comparison": found.comparison.to_dict(),
    }


def outline(network: NetworkChoice) -> tuple[LayerOutline, ...]:
    """Return the layers of a network, from a stored result where there is one: that needs no torch."""
    for one in preset.of_page(ADDRESS).values():
        if one.choices.get("network", DEFAULTS["network"]) == network.name:
            rows = one.result["comparison"]["report"]["layers"]
            return tuple(LayerOutline(row["name"], row["kind"], tuple(row["shape"])) for row in rows)
    return what_if.outline(network)


def stored_comparison(asked: Question) -> Comparison | None:
    """Return the stored result of the preset that asks the same question, if there is one."""
    for one in preset.of_page(ADDRESS).values():
        if question(one.choices) == asked:
            return Comparison.from_dict(one.result["comparison"])
    return None


def code(asked: Question, found: Comparison) -> str:
    """Return the lines that compute the page's numbers, with the numbers."""
    report, beside = found.report, found.rounding
    method = {key: value for key, value in asked.method.to_dict().items() if value not in (None, {})}
    network = asked.network.to_dict()
    more = f"calibration={asked.calibration}, seed={asked.seed}"
    return f"""import sdqviz as sq

network = sq.NETWORKS[{network.pop("name")!r}]({_arguments(network)}).load()
method = sq.METHODS[{method.pop("name")!r}]({_arguments(method)})
result = sq.compress(network, method, {more})

report = result.report
report.bits_per_weight         # {report.bits_per_weight:.6g}
report.accuracy_after          # {report.accuracy_after}
report.relative_output_error   # {report.relative_output_error:.6g}
report.output_bound            # {report.output_bound:.6g}
result.save("compressed.sdq")

# plain rounding beside it
for fit in {tuple(beside.reports)!r}:
    method = sq.METHODS["round-to-nearest"](bits={beside.bits}, scale={beside.scale!r}, fit=fit)
    print(sq.compress(network, method, {more}).report.relative_output_error)
# {", ".join(f"{one.relative_output_error:.6g}" for one in beside.reports.values())}"""


def _arguments(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())


# -- sentences --------------------------------------------------------------------------------------


def accuracy(value: float | None) -> str:
    """Write a test accuracy, which a network without data does not have."""
    return "not tested" if value is None else f"{100 * value:.1f} %"


def _bits(rounding: Rounding) -> str:
    return f"{rounding.bits} bit{'' if rounding.bits == 1 else 's'}"


def accuracy_note(found: Comparison) -> str:
    """Say what the accuracy was, how many predictions changed, and what rounding keeps."""
    report, best = found.report, found.rounding.best
    if report.accuracy_before is None:
        return "this network comes without test data"
    return (
        f"before {accuracy(report.accuracy_before)}, {report.changed_predictions:,} predictions changed; rounding at "
        f"{_bits(found.rounding)}: {accuracy(best.accuracy_after)}"
    )


def verdict(report: Report) -> str:
    """Say whether the bound on the output holds, from its computed hypotheses and the measured error."""
    if not report.output_bound_holds:
        return "bound " + report.output_bound_because[:1].lower() + report.output_bound_because[1:]
    kept = report.output_error <= report.output_bound * (1 + 1e-9)
    sign = "≤" if kept else ">"
    told = f"measured {number(report.output_error)} {sign} {number(report.output_bound)}"
    return f"bound holds: yes, {told}" if kept else f"bound holds: no, {told}: a defect, please report the link"


def verdict_on_rounding(found: Comparison) -> str | None:
    """Say so, in one sentence, when plain rounding at no more bits leaves less error or keeps more accuracy."""
    mine, best = found.report, found.rounding.best
    spent, less = number(mine.bits_per_weight), number(best.bits_per_weight)
    error, other = percent(mine.relative_output_error), percent(best.relative_output_error)
    tested = mine.accuracy_after is not None and best.accuracy_after is not None
    if found.rounding_wins:
        return (
            f"Plain rounding wins here: with {less} bits a weight it leaves {other} output error"
            + (f" and {accuracy(best.accuracy_after)} accuracy" if tested else "")
            + f"; this choice spends {spent} bits for {error}"
            + (f" and {accuracy(mine.accuracy_after)}." if tested else ".")
        )
    if found.rounding.affordable and (best.accuracy_after or 0.0) > (mine.accuracy_after or 0.0):
        return (
            f"Plain rounding keeps more accuracy here, {accuracy(best.accuracy_after)} with {less} bits a weight "
            f"against {accuracy(mine.accuracy_after)} with {spent}, though its output error is larger, "
            f"{other} against {error}."
        )
    return None


def counts(report: Report) -> list[str]:
    """Say how many values overloaded the quantizer, which vectors broke the stability condition, and dead inputs."""

    def listed(field: str) -> str:
        rows = [(row.name, getattr(row, field)) for row in report.layers if getattr(row, field)]
        return ", ".join(f"{name} {count:,}" for name, count in rows) or "none"

    return [
        f"Overload (values outside the quantizer's range): {listed('overload')}.",
        f"Unstable vectors (their coefficients break the stability condition): {listed('unstable')}.",
        f"Dead inputs (zero on every calibration input): {listed('dead_inputs')}.",
    ]


def table(report: Report) -> dict[str, Array]:
    """Return the report's rows as columns."""
    names = [field.name for field in dataclasses.fields(LayerReport)]
    rows = [dataclasses.asdict(row) | {"shape": "×".join(map(str, row.shape))} for row in report.layers]
    return {name: np.array([row[name] for row in rows]) for name in names}


def table_csv(report: Report) -> bytes:
    """Return the report's rows as CSV, UTF-8."""
    out = io.StringIO()
    columns = table(report)
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    return out.getvalue().encode()


def report_json(report: Report) -> str:
    """Return the whole report as JSON; what has no value is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [plain(entry) for entry in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return json.dumps(plain(report.to_dict()), indent=1, ensure_ascii=False)


SHOWN = {
    "name": "layer",
    "kind": "kind",
    "shape": "shape",
    "relative_error": "error, same input",
    "propagated_error": "error, propagated",
    "weight_error": "error of weights",
    "error": "‖W−Q‖₂",
    "bound": "bound",
    "bound_holds": "bound holds",
    "bits_per_weight": "bits per weight",
    "sparsity": "zeros",
    "step": "δ",
    "levels": "levels",
    "size": "N",
    "overload": "overload",
    "unstable": "unstable",
    "dead_inputs": "dead inputs",
    "seconds": "seconds",
}
"""Columns of the table on the page, with what people read; the CSV has every figure under its own name."""


def shown_table(report: Report) -> dict[str, list[Any]]:
    """Return the table on the page, three significant digits."""
    columns = table(report)
    titles = SHOWN | {"error": _error_name(report)}
    return {title: [_rounded(value) for value in columns[name].tolist()] for name, title in titles.items()}


def _error_name(report: Report) -> str:
    """Name what the layers' bounds are about; a method has one kind of bound."""
    return report.layers[0].error_name if report.layers else SHOWN["error"]


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else float(f"{value:.3g}")


# -- per-layer errors -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """Errors of all layers by one way of storing them.

    Attributes
    ----------
    name : str
        For the legend.
    look : Look
        Its colour, marker and dash.
    pattern : str
        Hatch of its bars, where two share a colour.
    same_input, propagated : ndarray, shape (layers,)
        Relative errors.
    """

    name: str
    look: Look
    pattern: str
    same_input: Array
    propagated: Array


def errors_info(found: Comparison) -> list[Series]:
    """Return the errors per layer: the run, and plain rounding with both fits."""

    def series(report: Report, name: str, look: Look, pattern: str) -> Series:
        return Series(
            name,
            look,
            pattern,
            np.array([row.relative_error for row in report.layers]),
            np.array([row.propagated_error for row in report.layers]),
        )

    beside = found.rounding
    return [
        series(found.report, found.report.method["name"], look_of(found.report), ""),
        *(
            series(one, f"rounding, {_bits(beside)}, {fit}", theme.ROUNDING, "" if place == 0 else "/")
            for place, (fit, one) in enumerate(beside.reports.items())
        ),
    ]


def look_of(report: Report) -> Look:
    """Return how the run's method is drawn; rounding beside itself takes the colour of what is compressed."""
    name = report.method["name"]
    return theme.COMPRESSED if name == "round-to-nearest" else theme.METHODS.get(name, theme.COMPRESSED)


def _title(report: Report) -> str:
    return METHODS[report.method["name"]].title


def draw_errors(found: Comparison, ink: Ink, selected: str = "") -> Panel:
    """Draw the errors of every layer, same-input as bars and propagated as rings, plain rounding beside."""
    names = [row.name for row in found.report.layers]
    info = errors_info(found)
    figure = theme.figure(ink, y="relative error", height=400, barmode="group", scattermode="group", bargap=0.25)
    for place, series in enumerate(info):
        colour = series.look.colour(ink)
        figure.add_bar(
            x=names, y=series.same_input, name=series.name, offsetgroup=str(place), legendgroup=str(place),
            marker={"color": colour, "pattern": {"shape": series.pattern, "fillmode": "overlay", "fgcolor": ink.page}},
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
            hovertemplate="%{x}: %{y:.3g}, same input<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=names, y=series.propagated, offsetgroup=str(place), legendgroup=str(place), mode="markers",
            marker={"symbol": "diamond", "size": 10, "color": ink.page, "line": {"width": 2, "color": colour}},
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
            name="propagated", showlegend=False, hovertemplate="%{x}: %{y:.3g}, propagated<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=[None], y=[None], mode="markers", name="propagated",
        marker={"symbol": "diamond", "size": 10, "color": ink.page, "line": {"width": 2, "color": ink.text}},
    )  # fmt: skip
    values = np.concatenate([np.concatenate([s.same_input, s.propagated]) for s in info])
    figure.update_layout(margin={"t": 58})  # on a narrow screen the legend takes two lines
    figure.update_yaxes(**_positive_axis(values))
    figure.update_xaxes(**_categories(names) | {"tickangle": 0 if len(names) <= 12 else -35})
    if selected in names:
        at = names.index(selected)
        figure.add_vrect(at - 0.5, at + 0.5, fillcolor=ink.faint, opacity=0.6, line_width=0, layer="below")
    mine, best = info[0], info[1 + [*found.rounding.reports].index(found.rounding.best_fit)]
    worst = int(np.nanargmax(mine.same_input)) if np.isfinite(mine.same_input).any() else 0
    rows = "; ".join(
        f"{name} {number(a)} and {number(b)}, rounding {number(c)}"
        for name, a, b, c in zip(names, mine.same_input, mine.propagated, best.same_input, strict=True)
    )
    return Panel(
        name="layers",
        title="What each layer loses",
        look=f"A bar is the error a layer adds to right inputs, a diamond what it passes on with the inputs it "
        f"really gets. "
        f"{names[worst]} adds most. Orange is plain rounding at "
        f"{_bits(found.rounding)}. Click a bar to look into its layer below.",
        alt=f"Relative error per layer, same input and propagated. {rows}.",
        figure=figure,
        formulas=[
            Formula(
                r"\frac{\|(W-Q)z\|_F}{\|Wz\|_F}\quad\text{(same input)},\qquad"
                r"\frac{\|Wz-Q\tilde z\|_F}{\|Wz\|_F}\quad\text{(propagated)}",
                [
                    (
                        "z",
                        "inputs of the layer in the original network, calibration inputs",
                        f"{found.report.inputs:,}",
                    ),
                    (r"\tilde z", "its inputs in the compressed network", ""),
                    (
                        r"b",
                        "bits per original weight of this choice, and of the rounding beside",
                        f"{number(found.report.bits_per_weight)} and {number(found.rounding.best.bits_per_weight)}",
                    ),
                ],
                "Rounding: the largest bit depth that costs no more, at least 1; scale per neuron, or per layer "
                "where only "
                "that fits; fitted to the largest weight (max) and to the smallest square error (mse).",
            )
        ],
        table=lambda: {
            "layer": np.array(names),
            **{
                f"{series.name}, {kind}": values
                for series in info
                for kind, values in (("same input", series.same_input), ("propagated", series.propagated))
            },
        },
    )


def _positive_axis(values: Array) -> dict[str, Any]:
    """Return a logarithmic axis that holds the positive values; bars grow from its lower end."""
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        return {"range": [0, 1]}
    low, high = float(positive.min()), float(positive.max())
    axis = theme.log_axis(low / 2.5, high * 1.6)
    return axis | {"ticktext": [f"1e{math.log10(t):.0f}" if t >= 1e4 else number(t) for t in axis["tickvals"]]}


# -- bounds -----------------------------------------------------------------------------------------


def draw_layer_bounds(report: Report, ink: Ink, bounds: Sequence[Bound] = ()) -> Panel:
    """Draw, on a logarithmic axis, bound against measured for every layer.

    Parameters
    ----------
    report : Report
        The figures.
    ink : Ink
        Colours.
    bounds : sequence of Bound
        All bounds of the chosen layer, for the formulas.
    """
    rows = report.layers
    names = [row.name for row in rows]
    symbol = r"\max\|Xw-\tilde Xq\|_2" if _error_name(report) == PATH_ERROR else r"\|W-Q\|_2"
    figure = theme.figure(ink, y=_error_name(report).replace("−", " − "), height=340)
    for holds in (True, False):
        chosen = [row for row in rows if row.bound_holds is holds and math.isfinite(row.bound)]
        if chosen:
            figure.add_scatter(
                x=[row.name for row in chosen], y=[row.bound for row in chosen], mode="markers",
                name="tightest bound" if holds else "bound, not applicable",
                marker=_dashes(ink) if holds else {"symbol": "circle-open-dot", "size": 9, "color": ink.text},
                customdata=[row.bound_name for row in chosen],
                hovertemplate="%{x}: %{y:.3g}<br>%{customdata}<extra></extra>",
            )  # fmt: skip
    figure.add_scatter(
        x=names, y=[row.error for row in rows], mode="markers", name="measured", marker=theme.ERROR.marker(ink, 10),
        hovertemplate="%{x}: %{y:.3g} measured<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(**_positive_axis(np.array([[row.error, row.bound] for row in rows])))
    figure.update_xaxes(**_categories(names))
    ratios = [row.error / row.bound for row in rows if row.bound_holds and row.bound > 0]
    unmet = [f"{row.name}: {row.bound_because}" for row in rows if not row.bound_holds]
    if ratios:
        told = f"The layer that comes closest reaches {percent(max(ratios))} of its bound."
    else:
        told = "No bound applies in any layer."
    if unmet and ratios:
        told += f" In {len(unmet)} of {len(rows)} layers no bound applies."
    return Panel(
        name="layer-bounds",
        title="Proved and measured, layer by layer",
        look=f"A cross must lie below its dash. {told}",
        alt=f"Measured {_error_name(report)} and the bound on it, layer by layer: "
        + ", ".join(f"{row.name} {number(row.error)} and {number(row.bound)}" for row in rows)
        + f". {told}",
        figure=figure,
        formulas=_explained(bounds) or [Formula(symbol, [], " ".join(unmet))],
        table=lambda: {
            "layer": np.array(names),
            "measured": np.array([row.error for row in rows]),
            "bound": np.array([row.bound for row in rows]),
            "holds": np.array([row.bound_holds for row in rows]),
            "which": np.array([row.bound_name for row in rows]),
            "because": np.array([row.bound_because for row in rows]),
        },
    )


def draw_output_bounds(report: Report, ink: Ink, whole: Bound | None = None, ladder: Ladder | None = None) -> Panel:
    """Draw the bounds on the output against the measured error: a priori, and rung by rung what was measured.

    Parameters
    ----------
    report : Report
        The figures.
    ink : Ink
        Colours.
    whole : Bound, optional
        The a-priori bound, for its formula.
    ladder : Ladder, optional
        The a-posteriori bounds.
    """
    marks, measured = _output_marks(report, ladder), report.output_error
    figure = theme.figure(ink, y="max ‖f(x) − f_Q(x)‖" if marks else "", height=340)
    if marks:
        figure.add_scatter(
            x=[*marks], y=[*marks.values()], mode="markers", name="bound", marker=_dashes(ink),
            hovertemplate="%{x}: %{y:.3g}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[*marks], y=[measured] * len(marks), mode="lines+markers", name="measured",
            marker=theme.ERROR.marker(ink, 10), line=theme.ERROR.line(ink, 1),
            hovertemplate="%{y:.3g} measured<extra></extra>",
        )  # fmt: skip
        figure.update_yaxes(**_positive_axis(np.array([measured, *marks.values()])))
        figure.update_xaxes(**_categories([*marks]))
    else:
        figure.add_annotation(
            text="<br>".join(_wrapped(report.output_bound_because, 44)), xref="paper", yref="paper", x=0.5, y=0.5,
            showarrow=False, font={"size": 14, "color": ink.text},
        )  # fmt: skip
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
    if not marks:
        look = f"Measured: {number(measured)}. {report.output_bound_because}"
    elif ladder is None:
        look = "Through the layers the gaps multiply. The ladder at the left measures more and promises less too much."
    else:
        look = "Each rung uses more of what was measured; P0 and P1 hold for unseen inputs too, the others for these."
    table: dict[str, Array] = {
        "bound": np.array([*marks, "measured"]),
        "value": np.array([*marks.values(), measured]),
    }
    return Panel(
        name="output-bounds",
        title="Proved and measured, at the output",
        look=look,
        alt=f"Largest output error over {report.inputs} inputs: measured {number(measured)}. "
        + (f"Bounds: {', '.join(f'{k} {number(v)}' for k, v in marks.items())}." if marks else look),
        figure=figure,
        formulas=_explained(
            [
                *([] if whole is None else [whole]),
                *([] if ladder is None else [rung.bound for rung in ladder.rungs]),
            ]
        )
        or [Formula(r"\max_x\|f(x)-f_Q(x)\|", [], report.output_bound_because)],
        table=lambda: table,
    )


def _explained(bounds: Sequence[Bound]) -> list[Formula]:
    return [
        Formula(one.formula, [], f"{one.title}. {one.reference + '. ' if one.reference else ''}{one.because}",
                one.substituted, one.text)
        for one in bounds
        if one.formula
    ]  # fmt: skip


def _categories(names: Sequence[str]) -> dict[str, Any]:
    """Return an axis of names, slanted where they would touch."""
    crowded = sum(len(name) + 2 for name in names) > 60
    return {
        "type": "category",
        "showgrid": False,
        "categoryorder": "array",
        "categoryarray": list(names),
        "tickangle": -35 if crowded else 0,
    }


def _output_marks(report: Report, ladder: Ladder | None) -> dict[str, float]:
    """Return the bounds on the output by short name, from the loosest to the tightest."""
    marks: dict[str, float] = {}
    if report.output_bound_holds:
        marks["a priori"] = report.output_bound
    for rung in () if ladder is None else ladder.rungs:
        if rung.bound.holds:
            marks[rung.bound.name.upper()] = rung.maximum
    return marks


def _dashes(ink: Ink) -> dict[str, Any]:
    return {"symbol": "line-ew-open", "size": 26, "color": ink.text, "line": {"width": 2.5, "color": ink.text}}


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _dress(figure: go.Figure, base: go.Figure, ink: Ink) -> None:
    """Give subplots the house style, their titles included."""
    titled = figure.layout.annotations
    figure.update_layout(base.layout)
    figure.update_layout(annotations=titled)
    figure.update_annotations(font={"size": 13, "color": ink.text})
    figure.update_xaxes(base.layout.xaxis.to_plotly_json())
    figure.update_yaxes(base.layout.yaxis.to_plotly_json())
    figure.update_layout(legend={"y": 1.1}, margin={"t": 62})


# -- bytes ------------------------------------------------------------------------------------------


def bytes_info(found: Comparison) -> dict[str, dict[str, float]]:
    """Return the bytes of the original, the run and the rounding by what they hold."""
    report = found.report
    return {
        "original": {"float32": float(report.original_bytes)},
        report.method["name"]: dict(found.parts),
        f"rounded, {_bits(found.rounding)}": dict(found.rounding.parts),
    }


def draw_bytes(found: Comparison, ink: Ink) -> Panel:
    """Draw the real size: stacked bars of what is stored, beside the original and plain rounding."""
    info = bytes_info(found)
    rows = list(info)
    kinds = list(dict.fromkeys(part for parts in info.values() for part in parts))
    ground = (theme.ORIGINAL, look_of(found.report), theme.ROUNDING)
    pattern = {"float32": "", "levels": "", "step": "/", "parameters": "x", "kept": "."}
    figure = theme.figure(ink, height=230, barmode="stack", bargap=0.35)
    for kind in kinds:
        values = np.array([info[row].get(kind, 0.0) for row in rows])
        if values.any():
            colours = [(theme.ORIGINAL if kind == "kept" else one).colour(ink) for one in ground]
            figure.add_bar(
                y=rows, x=values, orientation="h", name=PART_NAMES.get(kind, kind),
                marker={
                    "color": colours, "line": {"width": 0.5, "color": ink.page},
                    "pattern": {"shape": pattern.get(kind, "+"), "fillmode": "overlay", "fgcolor": ink.page},
                },
                customdata=[theme.size(value) for value in values],
                hovertemplate="%{y}: %{customdata}<extra>%{fullData.name}</extra>",
            )  # fmt: skip
    totals = {row: sum(parts.values()) for row, parts in info.items()}
    largest = max(totals.values())
    for row, total in totals.items():
        figure.add_annotation(
            x=total, y=row, text=theme.size(total), xanchor="left", xshift=6, showarrow=False, font={"color": ink.text}
        )
    unit = 1 << (20 if largest >= 1 << 21 else 10)
    ticks = _round_ticks(largest / unit)
    figure.update_xaxes(
        range=[0, 1.18 * largest],
        tickvals=[t * unit for t in ticks],
        ticktext=[f"{number(t)} {'MiB' if unit > 1024 else 'KiB'}" for t in ticks],
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", automargin=False)
    figure.update_layout(margin={"l": 20 + 8 * max(map(len, rows))})  # automargin cuts the names of stacked bars
    report = found.report
    kept = f"; {', '.join(report.left_alone)} kept as they are" if report.left_alone else ""
    ratio = report.original_bytes / report.bytes
    listed = ", ".join(f"{PART_NAMES.get(kind, kind)} {theme.size(v)}" for kind, v in found.parts.items() if v > 0)
    return Panel(
        name="bytes",
        title="Real size",
        look=f"{theme.size(report.original_bytes)} become {theme.size(report.bytes)}, {number(ratio)} times less. "
        f"Everything "
        f"a decoder needs is counted{kept}. The packed file adds only its header.",
        alt=f"Sizes: original {theme.size(report.original_bytes)}, compressed {theme.size(report.bytes)} "
        f"({listed}), rounding "
        f"at {_bits(found.rounding)} {theme.size(found.rounding.best.bytes)}.",
        figure=figure,
        formulas=[
            Formula(
                r"\text{bits per original weight}=\frac{8S}{n},\qquad S=\sum_iS_i",
                [
                    ("S", "everything stored", f"{report.bytes:,} bytes"),
                    ("n", "original numbers", f"{8 * report.bytes / report.bits_per_weight:,.0f}"),
                    (r"8S/n", "bits per original weight", number(report.bits_per_weight)),
                    *(
                        (f"S_{{{place}}}", PART_NAMES.get(kind, kind), f"{v:,.0f} bytes")
                        for place, (kind, v) in enumerate(found.parts.items(), start=1)
                    ),
                ],
                "A layer of frame coefficients costs N·⌈log₂ 2K⌉ bits a column, scales 32 bits each, and its frame's "
                "family, N and seed 72 bits.",
            )
        ],
        table=lambda: {
            "stored as": np.array(rows),
            **{PART_NAMES.get(k, k): np.array([info[row].get(k, 0.0) for row in rows]) for k in kinds},
        },
    )


def _round_ticks(largest: float) -> list[float]:
    rough = largest / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    return [step * k for k in range(int(largest / step) + 1)]


# -- one layer ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of a layer's weights in common bins.

    Attributes
    ----------
    edges : ndarray, shape (BINS + 1,)
        Bin edges.
    before, after, rounded : ndarray of int, shape (BINS,)
        Weights in each bin.
    """

    edges: Array
    before: Index
    after: Index
    rounded: Index


def histogram_info(asked: Answer, name: str) -> Histogram:
    """Count the weights of a layer before, after, and after plain rounding, in the same bins."""
    item = asked.layer(name)
    rounded = asked.comparison.rounding.weights[name]
    reach = float(max(np.abs(item.layer.weight).max(), np.abs(item.weight).max(), np.abs(rounded).max(), 1e-12))
    edges = np.linspace(-reach, reach, BINS + 1) * (1 + 1e-6)
    before, after, beside = (np.histogram(w, edges)[0] for w in (item.layer.weight, item.weight, rounded))
    return Histogram(edges, before, after, beside)


def draw_histograms(asked: Answer, name: str, ink: Ink) -> Panel:
    """Draw the distribution of a layer's weights before, after and after plain rounding, on shared axes."""
    info = histogram_info(asked, name)
    report = asked.comparison.report
    row = next(one for one in report.layers if one.name == name)
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, shared_yaxes="all", vertical_spacing=0.05)
    _dress(figure, theme.figure(ink, height=430), ink)
    figure.update_layout(showlegend=False, margin={"t": 8}, bargap=0)
    centres = (info.edges[:-1] + info.edges[1:]) / 2
    beside = asked.comparison.rounding
    for place, (values, title, one) in enumerate(
        (
            (info.before, "original", theme.ORIGINAL),
            (info.after, _title(report), look_of(report)),
            (info.rounded, f"rounding, {_bits(beside)}, {beside.best_fit}", theme.ROUNDING),
        ),
        start=1,
    ):
        figure.add_bar(
            x=centres, y=values, name=title, marker={"color": one.colour(ink), "line": {"width": 0}},
            hovertemplate="near %{x:.3g}: %{y} weights<extra></extra>", row=place, col=1,
        )  # fmt: skip
        figure.add_annotation(
            text=title, xref="x domain", yref="y domain", x=0.01, y=1, yanchor="top", xanchor="left", showarrow=False,
            font={"size": 13, "color": ink.text}, row=place, col=1,
        )  # fmt: skip
    most = max(int(part.max()) for part in (info.before, info.after, info.rounded))
    figure.update_yaxes(**theme.log_axis(0.5, 1.6 * most))
    figure.update_yaxes(title_text="weights", row=2, col=1)
    figure.update_xaxes(title_text="value of the weight", row=3, col=1)
    return Panel(
        name="histogram",
        title=f"{name}: weights before and after",
        look="The same bins and axes for all three: look at the tails, and at the gap rounding leaves at zero.",
        alt=f"Histograms of the {row.weights:,} weights of layer {name}: original, compressed, and rounded to "
        f"{2**beside.bits} levels. The compressed weights differ from the original by {percent(row.weight_error)}.",
        figure=figure,
        formulas=[
            Formula(
                r"\|W-Q\|_F/\|W\|_F",
                [
                    (r"\|W-Q\|_F/\|W\|_F", "error of the weights", percent(row.weight_error)),
                    (r"\delta", "largest step", number(row.step)),
                    ("2K", "size of the alphabet", str(row.levels)),
                ],
                "Counts on a logarithmic axis; an empty bin has no bar.",
            )
        ],
        table=lambda: {
            "from": info.edges[:-1],
            "to": info.edges[1:],
            "original": info.before,
            "compressed": info.after,
            "rounded": info.rounded,
        },
    )


def overview(found: Comparison, asked: Answer | None, layer: str, ladder: Ladder | None, ink: Ink) -> list[Panel]:
    """Return the panels below the first: bounds and bytes."""
    bounds: tuple[Bound, ...] = ()
    whole = None if asked is None else asked.bound
    if asked is not None:
        item = asked.layer(layer)
        bounds = item.bounds if item.path is None else (path_layer_bound(item),)
    return [
        draw_layer_bounds(found.report, ink, bounds),
        draw_output_bounds(found.report, ink, whole, ladder),
        draw_bytes(found, ink),
    ]


def closely(asked: Answer, layer: str, which: str, ink: Ink) -> list[Panel]:
    """Return the panels that look into one layer, and the images whose prediction changed."""
    flips = draw_flips(asked, ink)
    panels = [draw_histograms(asked, layer, ink), draw_vector(asked, layer, which, ink)]
    return panels if flips is None else [*panels, flips]


def draw_vector(asked: Answer, name: str, which: str, ink: Ink) -> Panel:
    """Draw one vector of a layer: its state walk inside the band where the method has one, else its weights."""
    found = what_if.vector(asked, name, which)
    return (
        _draw_weights(asked, name, which, found, ink) if found.states is None else _draw_walk(name, which, found, ink)
    )


def _draw_walk(name: str, which: str, found: Vector, ink: Ink) -> Panel:
    states = np.zeros(0) if found.states is None else found.states
    steps = np.arange(1, len(states) + 1)
    delta = found.step
    figure = theme.figure(ink, x="step n along the walk", y="state uₙ", height=430)
    at = theme.decimate(states)
    figure.add_hrect(-delta / 2, delta / 2, fillcolor=ink.faint, line_width=0)
    for edge in (-delta / 2, delta / 2):
        figure.add_hline(edge, line=theme.BOUND.line(ink, 1))
    figure.add_scatter(
        x=steps[at], y=states[at].astype(np.float32), mode="lines", line=theme.COMPRESSED.line(ink, 1),
        showlegend=False,
        hovertemplate="step %{x}: %{y:.3g}<extra></extra>",
    )  # fmt: skip
    theme.mark_decimation(figure, len(states), len(at), ink)
    largest = float(np.abs(states).max(initial=0.0))
    figure.update_yaxes(range=[-1.15 * max(largest, delta / 2), 1.15 * max(largest, delta / 2)])
    told = "stays inside its band" if found.stable else f"leaves its band: it reaches {number(largest / delta)} δ"
    return Panel(
        name="walk",
        title=f"{name}: state of {found.kind} {found.index}, the {which}",
        look=f"The {found.kind} whose error is the {which} in this layer ({percent(found.relative_error)} of its "
        f"length). Its state {told}"
        + (
            ". The dashed lines are ±δ/2."
            if found.stable
            else ": δ is too small for its coefficients, and no bound applies."
        ),
        alt=f"State of {found.kind} {found.index} of layer {name} over {len(states)} steps: largest {number(largest)}, "
        f"the band is plus or minus {number(delta / 2)}. It {told}.",
        figure=figure,
        formulas=[
            Formula(
                r"q_n=Q(u_{n-1}+x_n),\quad u_n=u_{n-1}+x_n-q_n,\qquad "
                r"|x_n|\le(K-\tfrac12)\delta\ \Rightarrow\ |u_n|\le\delta/2",
                [
                    (r"\delta", "step", number(delta)),
                    (r"\max_n|u_n|", "largest state", number(largest)),
                    ("N", "steps", str(len(states))),
                    (r"\|w-q\|/\|w\|", f"error of this {found.kind}", percent(found.relative_error)),
                ],
                f"{CZAJA_NA}, Definition 3.1",
                "",
                "vector-bound",
            )
        ],
        table=lambda: {"n": steps, "state": states},
    )


def _draw_weights(asked: Answer, name: str, which: str, found: Vector, ink: Ink) -> Panel:
    """Draw the weights of one vector before and after; for methods without a walk."""
    report = asked.comparison.report
    index = np.arange(len(found.before))
    figure = theme.figure(ink, x=f"entry of the {found.kind}", y="weight", height=430)
    mode = "lines+markers" if len(index) <= 96 else "lines"
    at = np.unique(np.concatenate([theme.decimate(found.before), theme.decimate(found.after)]))
    for values, title, one in (
        (found.before, "original", theme.ORIGINAL),
        (found.rounded, f"rounding, {_bits(asked.comparison.rounding)}", theme.ROUNDING),
        (found.after, _title(report), look_of(report)),
    ):
        figure.add_scatter(
            x=index[at],
            y=values[at].astype(np.float32),
            name=title,
            mode=mode,
            line=one.line(ink, 1.2),
            marker=one.marker(ink),
        )
    theme.mark_decimation(figure, len(index), len(at), ink)
    return Panel(
        name="vector",
        title=f"{name}: {found.kind} {found.index}, the {which}",
        look=f"The {found.kind} whose error is the {which} in this layer: {percent(found.relative_error)} of its "
        "length. This method has no state to walk.",
        alt=f"The {len(index)} weights of {found.kind} {found.index} of layer {name} before and after; relative error "
        f"{percent(found.relative_error)}.",
        figure=figure,
        formulas=[Formula(r"\|w-q\|/\|w\|", [("w-q", "error", percent(found.relative_error))])],
        table=lambda: {"original": found.before, "compressed": found.after, "rounded": found.rounded},
    )


# -- images -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Flips:
    """Test images whose predicted class changed.

    Attributes
    ----------
    index, label, before, after : ndarray of int, shape (n,)
        Position in the test set, true class, and both predictions; all that changed.
    images : ndarray, shape (k, height, width) or (k, height, width, 3)
        The first k, values in [0, 1]; k is 0 where inputs are not images.
    total : int
        Size of the test set.
    """

    index: Index
    label: Index
    before: Index
    after: Index
    images: Array
    total: int

    @property
    def lost(self) -> int:
        """How many were right and became wrong."""
        return int((self.before == self.label).sum())

    @property
    def won(self) -> int:
        """How many were wrong and became right."""
        return int((self.after == self.label).sum())


def flips_info(asked: Answer) -> Flips | None:
    """Collect the changed predictions and the first images; None for a network without test data."""
    dataset = asked.compression.original.dataset
    if dataset is None:
        return None
    index = asked.changed
    inputs = dataset.test_inputs[index[:DRAWN_IMAGES]]
    images = np.zeros((0, 1, 1))
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3):
        images = inputs[:, 0] if inputs.shape[1] == 1 else inputs.transpose(0, 2, 3, 1)
        low, high = (float(images.min()), float(images.max())) if images.size else (0.0, 1.0)
        images = (images - low) / max(high - low, 1e-12)
    before, after = asked.compression.original.predictions(), asked.compression.network.predictions()
    return Flips(index, dataset.test_labels[index], before[index], after[index], images, dataset.test_size)


def draw_flips(asked: Answer, ink: Ink) -> Panel | None:
    """Draw the test images whose prediction changed, each with its true class and both predictions."""
    info = flips_info(asked)
    if info is None:
        return None
    count, shown = len(info.index), len(info.images)
    rows = max(1, -(-shown // TILES))
    figure = theme.figure(ink, height=10 + 136 * rows if shown else 120)
    if shown:
        height, width = info.images.shape[1:3]
        tall, wide = height + 11, width + 4
        canvas = np.full((rows * tall, TILES * wide, *info.images.shape[3:]), np.nan)
        for place, image in enumerate(info.images):
            top, left = tall * (place // TILES), wide * (place % TILES)
            canvas[top : top + height, left : left + width] = image
        if canvas.ndim == 2:
            figure.add_heatmap(
                z=(canvas * 255).astype(np.float32), zmin=0, zmax=255, colorscale="Greys", reversescale=True,
                showscale=False, hoverinfo="skip", hoverongaps=False,
            )  # fmt: skip
        else:
            ground = np.array([23, 22, 20] if ink.dark else [255, 255, 255], float)
            filled = np.where(np.isnan(canvas), ground, canvas * 255)
            figure.add_image(z=filled.astype(np.uint8), hoverinfo="skip")
        for place in range(shown):
            right_before = info.before[place] == info.label[place]
            right_after = info.after[place] == info.label[place]
            one = theme.ERROR if right_before else theme.COMPRESSED if right_after else theme.ORIGINAL
            figure.add_annotation(
                x=wide * (place % TILES) + width / 2 - 0.5, y=tall * (place // TILES) + height + 4.5, showarrow=False,
                text=f"<b>{info.label[place]}</b>: {info.before[place]} → {info.after[place]}",
                font={"size": 13, "color": one.colour(ink)},
            )  # fmt: skip
        figure.update_xaxes(visible=False, range=[-0.5, TILES * wide - 4.5], fixedrange=True)
        figure.update_yaxes(
            visible=False,
            range=[rows * tall - 0.5, -0.5],
            fixedrange=True,
            scaleanchor="x",
            constrain="domain",
            constraintoward="top",
        )
    else:
        text = (
            "No prediction changed."
            if not count
            else "The inputs of this network are not images; the table lists them."
        )
        figure.add_annotation(
            text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 14, "color": ink.text}
        )
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
    figure.update_layout(margin={"t": 4, "b": 4, "l": 4, "r": 4})
    other = count - info.lost - info.won
    drawn = f" The first {shown} of {count:,} are drawn." if 0 < shown < count else ""
    return Panel(
        name="changed",
        title=f"Test images whose prediction changed: {count:,} of {info.total:,}",
        look=f"True class in bold, then the prediction before → after. {info.lost:,} became wrong (vermillion), "
        f"{info.won:,} became right (blue), {other:,} went from one wrong class to another (grey).{drawn}",
        alt=f"{count} of {info.total} predictions changed: {info.lost} became wrong, {info.won} became right, "
        f"{other} from wrong to wrong. "
        + ", ".join(
            f"a {label} was taken for {before}, now for {after}"
            for label, before, after in zip(info.label[:6], info.before[:6], info.after[:6], strict=True)
        ),
        figure=figure,
        formulas=[
            Formula(
                r"\hat y(x)=\arg\max_k f_k(x)",
                [
                    (r"f", "accuracy before", accuracy(asked.comparison.report.accuracy_before)),
                    (r"f_Q", "accuracy after", accuracy(asked.comparison.report.accuracy_after)),
                    (r"\hat y\ne\hat y_Q", "predictions that changed", f"{count:,} of {info.total:,}"),
                ],
                "All test inputs are run through both networks.",
            )
        ],
        table=lambda: {
            "test image": info.index,
            "true class": info.label,
            "before": info.before,
            "after": info.after,
        },
    )
