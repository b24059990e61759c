"""Draws one layer along its path: ‖u_t‖ of all methods, the operator T, the cloud and its bounds, order and width."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.path import SPFQ, UNIFIED
from sdqviz.explore import layer_walks as walks
from sdqviz.explore.layer_walks import AlignmentRun, WalkChoice, WalkRun, WidthRun
from sdqviz.explore.stored import chosen
from sdqviz.explore.wording import number, percent
from sdqviz.plots import theme
from sdqviz.plots.panel import Formula, Panel
from sdqviz.plots.theme import Ink

SHORT = {
    "round-to-nearest": "rounding",
    "gptq": "GPTQ",
    "gpfq": "GPFQ",
    "spfq": "SPFQ",
    "unified": "unified",
}
"""The methods' names on a plot."""

BAND = (0.1, 0.9)
"""Quantiles over the neurons between which a walk's band lies."""

DRAWS = 450
"""Points at which the operator is drawn."""

WIDEST = 1.6
"""How far beyond its last levels the operator is drawn, as a multiple of them."""

BINS = 48
"""Bars of the histogram of values."""

LEAST = 1e-16
"""What is drawn of a residual that is 0 but for rounding."""


def build(choices: Mapping[str, Any]) -> WalkRun:
    """Run what the parameters of the page's link describe."""
    return walks.run(chosen(WalkChoice, choices), int(choices.get("seed", 0)))


def align(choices: Mapping[str, Any]) -> AlignmentRun | None:
    """Align the layer that the parameters of the page's link describe with growing order."""
    return walks.alignment(chosen(WalkChoice, choices), int(choices.get("seed", 0)))


def widen(choices: Mapping[str, Any]) -> WidthRun:
    """Run the experiment with Gaussian weights at the steps that the parameters of the page's link give."""
    return walks.width_experiment(chosen(WalkChoice, choices), int(choices.get("seed", 0)))


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link."""
    run = build(choices)
    errors = {f"relative_error_{SHORT[name].lower()}": run.relative_error(name) for name in walks.COMPARED[:-1]}
    return {
        "bits_per_weight": run.bits_per_weight,
        "relative_error": run.relative_error("unified"),
        **errors,
        "zeros": run.zeros,
        "bound": run.sharpest.value,
        "probability": run.sharpest.probability,
        "bound_holds": run.sharpest.holds and run.verdict.consistent(),
        "failures": run.verdict.failures,
        "largest_ratio": run.verdict.largest,
    }


# -- info: numbers and words only ---------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Band:
    """‖u_t‖ over ‖Xw‖ of one method along the walk, over the neurons; each of shape (N,)."""

    median: Array
    low: Array
    high: Array


def bands(run: WalkRun) -> dict[str, Band]:
    """Compute the band of every method; neurons whose output is zero take no part."""
    alive = run.data.norms > 0
    found = {}
    for path in run.paths:
        ratio = path.state[:, alive] / run.data.norms[alive]
        low, median, high = np.quantile(ratio, (BAND[0], 0.5, BAND[1]), axis=1)
        found[path.name] = Band(median, low, high)
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """The operator at a row of values.

    Attributes
    ----------
    value, drawn, mean, nearest : ndarray, shape (k,)
        z, one draw of T(z), E T(z) and the level nearest to z.
    """

    value: Array
    drawn: Array
    mean: Array
    nearest: Array


def operator_info(run: WalkRun) -> Drawn:
    """Draw T once at each of many values, and average it over equally likely random numbers."""
    reach = float(np.abs(run.values).max())
    if run.grid.count and run.quantizer.rounds:
        radius = float(run.grid.radius[0])
        reach = min(max(reach, radius), WIDEST * radius)
    value = np.linspace(-1.08 * reach, 1.08 * reach, DRAWS)
    uniform = np.random.default_rng(0).random(DRAWS)[:, None]
    column = value[:, None]
    everything = (np.arange(128) + 0.5) / 128
    mean = run.quantizer.apply(np.repeat(column, 128, axis=1), run.grid, everything).mean(axis=1)
    drawn = run.quantizer.apply(column, run.grid, uniform)[:, 0]
    return Drawn(value, drawn, mean, run.grid.nearest(column)[:, 0])


def bound_verdict(run: WalkRun) -> tuple[str, str]:
    """Say in a word whether the sharpest bound holds, and in a line what the cloud says about it."""
    stated, verdict = run.sharpest, run.verdict
    if not stated.holds:
        return "Not applicable", stated.because.removeprefix("Not applicable: ")
    if not stated.informative:
        return "Says nothing", "its stated probability is not positive"
    told = (
        f"with probability ≥ {percent(stated.probability)}: {verdict.failures} of {verdict.seeds} runs above it, the "
        f"largest at {percent(verdict.largest)} of it"
    )
    return ("Yes", told) if verdict.consistent() else ("Violated", f"{told}: a defect, please report the link")


def bound_table(run: WalkRun) -> str:
    """Write all bounds against the cloud as a Markdown table."""
    lines = [
        "| bound | value | stated with | runs above | median / bound | largest / bound | applies |",
        "|---|---|---|---|---|---|---|",
    ]
    for one, verdict in zip(run.bounds, run.verdicts, strict=True):
        applies = "yes" if one.holds else (one.because[0].lower() + one.because[1:]).replace("|", "\\|")
        lines.append(
            f"| {one.title} | {number(one.value)} | ≥ {percent(one.probability)} | {verdict.failures} of "
            f"{verdict.seeds} | {number(verdict.median)} | {number(verdict.largest)} | {applies} |"
        )
    return "\n".join(lines)


def range_advice(run: WalkRun) -> str | None:
    """Say what keeps one bit in range, or how many values were clipped; None where there is nothing to say."""
    needed = walks.one_bit_scaling(run)
    clipped = int(run.cloud.overload.sum())
    share = clipped / (run.cloud.seeds * run.data.weights.size)
    if needed is not None:
        if not math.isfinite(needed.value):
            return "One bit has no room here: the scale s must be larger than the largest weight. Widen the range."
        return (
            f"One bit provably stays in range, with probability {percent(1 - run.choice.failure)}, for C ≥ "
            f"{number(needed.value)}; C = {number(run.choice.scaling)} clipped {percent(share)} of the values."
        )
    if clipped:
        return (
            f"{percent(share)} of all values lay beyond the last level, where T is no longer right on average: widen "
            "the range, take a larger C, or let C multiply the largest norm."
        )
    return None


def code(choices: Mapping[str, Any], run: WalkRun) -> str:
    """Return the lines that compute the page's numbers."""
    values = run.choice.to_dict()
    values.pop("name")
    default = WalkChoice()
    given = ", ".join(f"{name}={value!r}" for name, value in values.items() if value != getattr(default, name))
    return f"""from sdqviz.explore import layer_walks as walks
from sdqviz.path_following.alignment import align
from sdqviz.path_following.feedback import path_gain

run = walks.run(walks.WalkChoice({given}), seed={int(choices.get("seed", 0))})
run.relative_error("unified")      # {run.relative_error("unified"):.6g}
run.bits_per_weight                # {run.bits_per_weight:.6g}
run.sharpest.value, run.sharpest.probability, run.verdict.failures   # the bound, and how many runs are above it

# the walk itself: q_t = T(w̃_t + ⟨X̃_t, ũ_(t−1)⟩/(C‖X̃_t‖²)), from the Gram matrix alone
gram = run.data.gram
aligned = align(gram, run.data.weights, order={run.choice.order})
gain = path_gain(gram, scaling={run.choice.scaling!r}, placement={run.choice.placement!r})"""


# -- draw ---------------------------------------------------------------------------------------------


def draw_paths(run: WalkRun, ink: Ink) -> Panel:
    """Draw ‖u_t‖/‖Xw‖ along the walk, median and band over the neurons, for all methods."""
    found = bands(run)
    length = len(run.data.weights)
    steps = np.arange(1, length + 1)
    figure = theme.figure(ink, x="step t of the walk", y="‖u_t‖ / ‖Xw‖", height=400)
    drawn = length
    for name, band in found.items():
        look = theme.METHODS[name]
        kept = theme.decimate(band.median, theme.DRAWN // 2)
        drawn = min(drawn, len(kept))
        x = steps[kept]
        outline = np.concatenate([band.high[kept], band.low[kept][::-1]]).astype(np.float32)
        if run.data.weights.shape[1] > 1:
            figure.add_scatter(
                x=np.concatenate([x, x[::-1]]), y=outline, mode="lines", line={"width": 0}, fill="toself",
                fillcolor=_faded(look.colour(ink)), hoverinfo="skip", showlegend=False, legendgroup=name,
            )  # fmt: skip
        figure.add_scatter(
            x=x, y=band.median[kept].astype(np.float32), name=SHORT[name], mode="lines", legendgroup=name,
            line=look.line(ink, 2), hovertemplate="t = %{x}: %{y:.4f}<extra>" + SHORT[name] + "</extra>",
        )  # fmt: skip
    figure.update_yaxes(rangemode="tozero", zeroline=False)
    theme.mark_decimation(figure, length, drawn, ink)
    ends = ", ".join(f"{SHORT[name]} {percent(float(band.median[-1]))}" for name, band in found.items())
    last = {name: float(band.median[-1]) for name, band in found.items()}
    best = min(last, key=lambda name: last[name])
    told = (
        "Rounding lets its errors pile up; the others hand each error on to the weights still to come. At the end "
        "stands the error of the layer; bands hold 80 % of the neurons."
        if last["round-to-nearest"] > max(last["gpfq"], last["spfq"])
        else "Here handing errors on does not help every method: at the end rounding is no worse than some. Bands hold "
        "80 % of the neurons."
    )
    if run.choice.operator == "quantize" and run.choice.scaling == 1 and run.choice.placement == "own":
        told += " Without pruning and with C = 1 the unified framework is SPFQ: their curves lie on each other."
    return Panel(
        name="walk",
        title=f"What is left behind along the walk: {run.data.title}",
        look=told,
        alt=f"Norm of the state over the norm of the output along {length} steps, median over "
        f"{run.data.weights.shape[1]} neurons. At the end: {ends}. Smallest: {SHORT[best]}.",
        figure=figure,
        formulas=[
            Formula(
                r"v_t=\tilde w_t+\frac{\langle\tilde X_t,\tilde u_{t-1}\rangle}{C\|\tilde X_t\|^2},\quad q_t=\mathcal "
                r"T(v_t),\quad \tilde u_t=\tilde u_{t-1}+(\tilde w_t-q_t)\tilde X_t",
                [
                    ("C", "1 for GPFQ and SPFQ, for the unified framework", number(run.choice.scaling)),
                    (r"\delta", "step between levels", number(run.step)),
                    (r"\mathcal T", "nearest level (GPFQ), random level (SPFQ), or", run.quantizer.title.lower()),
                ],
                f"{SPFQ}; {UNIFIED}",
                "",
                "path-following",
            ),
            Formula(
                r"u_t=\sum_{j\le t}\bigl(w_jX_j-q_j\tilde X_j\bigr),\qquad u_N=Xw-\tilde Xq",
                [("m, N", "samples, steps", f"{len(run.data.inputs)}, {length}")],
                "What is drawn, for every method the same. Rounding and GPTQ do not look at X. GPTQ may leave much "
                "behind on the way, since it counts on the weights still to come.",
            ),
        ],
        table=lambda: {
            "t": steps,
            **{
                f"{SHORT[name]}_{part}": getattr(band, part)
                for name, band in found.items()
                for part in ("median", "low", "high")
            },
        },
    )


def _faded(colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.13)"


def draw_operator(run: WalkRun, ink: Ink) -> Panel:
    """Draw output against input of T with its randomness, and below it which values the walk gave it."""
    info = operator_info(run)
    rounds = run.quantizer.rounds
    finite = bool(run.grid.count) and rounds
    shapes: list[dict[str, Any]] = []
    if run.cut > 0:
        zone = {"type": "rect", "x0": -run.cut, "x1": run.cut, "fillcolor": ink.faint, "line": {"width": 0}}
        shapes.append(zone | {"layer": "below"})
    if finite:
        radius = float(run.grid.radius[0])
        line = {"type": "line", "line": {"color": ink.text, "width": 1, "dash": "dot"}}
        shapes += [line | {"x0": end, "x1": end} for end in (-radius, radius)]
    figure = theme.figure(
        ink,
        height=460,
        x="z, in the units of the weights",
        y="T(z)",
        shapes=[shape | {"yref": "paper", "y0": 0, "y1": 1} for shape in shapes],
    )
    below = figure.layout.yaxis.to_plotly_json()
    below["title"]["text"] = "share of values"
    figure.update_layout(
        margin={"t": 66},
        xaxis={"zeroline": False, "anchor": "y2"},
        yaxis={"zeroline": False, "domain": [0.36, 1]},
        yaxis2=below | {"domain": [0, 0.3], "tickformat": ".0%", "rangemode": "tozero", "anchor": "x"},
    )
    figure.add_scatter(
        x=info.value, y=info.value, mode="lines", name="z itself", line=theme.ORIGINAL.line(ink, 1.5),
        hoverinfo="skip",
    )  # fmt: skip
    if rounds:
        figure.add_scatter(
            x=info.value.astype(np.float32), y=info.nearest.astype(np.float32), mode="lines", name="nearest level",
            line=theme.ROUNDING.line(ink, 1.5) | {"shape": "hvh"}, hoverinfo="skip",
        )  # fmt: skip
    figure.add_scatter(
        x=info.value.astype(np.float32), y=info.drawn.astype(np.float32), mode="markers", name="T(z), drawn once",
        marker={"color": theme.COMPRESSED.colour(ink), "size": 4, "opacity": 0.75},
        hovertemplate="z = %{x:.3f}<br>T(z) = %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=info.value.astype(np.float32), y=info.mean.astype(np.float32), mode="lines", name="its mean",
        line={"color": ink.text, "width": 1.5, "dash": "dash"}, hoverinfo="skip",
    )  # fmt: skip
    edges = np.linspace(info.value[0], info.value[-1], BINS + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    counts = {}
    for name, values in (("spfq", run.plain_values), ("unified", run.values)):
        inside = np.clip(values[run.data.gram.alive], edges[0], edges[-1])
        counts[name] = np.histogram(inside, edges)[0] / max(inside.size, 1)
        look = theme.METHODS[name]  # without its dash, which a staircase makes illegible
        figure.add_scatter(
            x=middle, y=counts[name].astype(np.float32), mode="lines", name=f"values of {SHORT[name]}", yaxis="y2",
            line=look.line(ink, 2) | {"shape": "hvh", "dash": "solid"}, fill="tozeroy" if name == "unified" else None,
            fillcolor=_faded(look.colour(ink)),
            hovertemplate="z near %{x:.3f}: %{y:.1%}<extra>" + SHORT[name] + "</extra>",
        )  # fmt: skip
    widest = float(np.abs(run.values).max())
    plain = float(np.abs(run.plain_values).max())
    sentences = ["Blue marks are single draws, the dashed line their mean: in range T is right on average."]
    if run.cut > 0:
        sentences.append("In the shaded zone values become 0 or ±c.")
    sentences.append("Below, the values the walk gave it" + ("; dotted, the last levels." if finite else "."))
    if widest > info.value[-1]:
        sentences.append(f"Values as large as {number(widest)} are counted in the outermost bars.")
    return Panel(
        name="operator",
        title="The operator T and what it is given",
        look=" ".join(sentences),
        alt=f"{run.quantizer.title} with step {number(run.step)} and threshold {number(run.cut)}: one random output "
        f"at each of {DRAWS} inputs, the mean, and a histogram of the walk's values. The largest value is "
        f"{number(widest)}, in SPFQ {number(plain)}.",
        figure=figure,
        formulas=[
            Formula(
                r"\mathbb E\,\mathcal T(z)=z,\qquad |\mathcal T(z)-z|\le M",
                [
                    ("M", "the furthest it goes", number(float(run.quantizer.error_limit(run.grid).max()))),
                    (r"\delta", "step between levels", number(run.step)),
                    ("c", "pruning threshold", number(run.cut)),
                    (r"\max_t|v_t|", "largest value it was given", number(widest)),
                    ("", "share of weights that are zero", percent(run.zeros)),
                ],
                UNIFIED,
                "",
                "unified",
            )
        ],
        table=lambda: {
            "z": info.value,
            "drawn": info.drawn,
            "mean": info.mean,
            "nearest": info.nearest,
            "bin": middle,
            **{f"share_{name}": values for name, values in counts.items()},
        },
    )


DASHES = ("dot", "dash", "solid")
"""Line styles of the bounds, the papers' form first, the sharpest last."""


def draw_cloud(run: WalkRun, ink: Ink) -> Panel:
    """Draw the error of every seed under the bounds, with the probability they are stated with."""
    measured = run.measured
    kept = theme.decimate(measured, theme.DRAWN)
    infinity = run.choice.norm == "infinity"
    name = "‖Xw − X̃q‖∞" if infinity else "‖Xw − X̃q‖₂"
    figure = theme.figure(ink, x="run of the cloud", y=f"{name} of the worst neuron", height=460)
    above = measured > run.sharpest.value
    for where, look, label in (
        (~above, theme.COMPRESSED, "measured, one mark a run"),
        (above, theme.ERROR, "above the sharpest bound"),
    ):
        chosen_runs = kept[where[kept]]
        if len(chosen_runs):
            figure.add_scatter(
                x=chosen_runs + 1, y=measured[chosen_runs].astype(np.float32), mode="markers", name=label,
                marker={"color": look.colour(ink), "size": 4, "opacity": 0.7, "symbol": look.symbol},
                hovertemplate="seed %{x}: %{y:.4g}<extra></extra>",
            )  # fmt: skip
    titles = {"paper": "paper", "hoeffding": "Hoeffding", "per-sample": "per sample", "trace": "trace"}
    for k, one in enumerate(run.bounds):
        label = next(short for part, short in titles.items() if one.name.endswith(part))
        figure.add_scatter(
            x=[1, len(measured)], y=[one.value] * 2, mode="lines", name=f"{label}{'' if one.holds else ' (n/a)'}",
            line={"color": ink.text, "width": 1.8, "dash": DASHES[min(k, 2)] if one.holds else "longdashdot"},
            hovertemplate=f"{one.title}: %{{y:.4g}}<extra></extra>", opacity=1.0 if one.holds else 0.5,
        )  # fmt: skip
    values = [one.value for one in run.bounds if math.isfinite(one.value)]
    smallest = max(float(measured.min()), 1e-300)
    figure.update_yaxes(theme.log_axis(smallest / 1.4, max(*values, float(measured.max())) * 1.4))
    figure.update_xaxes(zeroline=False)
    figure.update_layout(margin={"t": 66, "l": 76})
    theme.mark_decimation(figure, len(measured), len(kept), ink)
    stated, verdict = run.sharpest, run.verdict
    if stated.holds:
        told = (
            f"All lines are stated for {percent(1 - run.choice.failure)} of the runs and all neurons at once; "
            f"{verdict.failures} of {verdict.seeds} runs are above the lowest. The papers' form is "
            f"{number(max(values) / stated.value)} times as high as the lowest."
        )
    else:
        told = f"No bound applies: {stated.because.removeprefix('Not applicable: ').rstrip('.')}. Lines are faded."
    return Panel(
        name="cloud",
        title=f"{len(measured)} runs against the bounds",
        look=told,
        alt=f"Error of the worst neuron in {len(measured)} runs: median {number(float(np.median(measured)))}, largest "
        f"{number(float(measured.max()))}. Bounds: "
        + ", ".join(f"{one.title} {number(one.value)}" for one in run.bounds)
        + f". Runs above the sharpest: {verdict.failures}.",
        figure=figure,
        formulas=[
            Formula(
                one.formula,
                [
                    ("p", "stated probability", percent(one.probability)),
                    ("", "runs above it", f"{v.failures} of {v.seeds}"),
                    ("", "largest measured over bound", number(v.largest)),
                ],
                f"{one.title}. {one.reference}. {one.because}",
                one.substituted,
                one.text,
            )
            for one, v in zip(run.bounds, run.verdicts, strict=True)
        ],
        table=lambda: {
            "seed": np.arange(len(measured)),
            "error": measured,
            **{one.name: np.full(len(measured), one.value) for one in run.bounds},
            "zeros": run.cloud.zeros,
            "overload": run.cloud.overload.sum(axis=1),
        },
    )


def draw_alignment(run: WalkRun, info: AlignmentRun, ink: Ink) -> Panel:
    """Draw what alignment of growing order leaves behind, least squares, and the error after quantizing."""
    figure = theme.figure(ink, x="order r of the alignment", y="relative error", height=360)
    figure.update_layout(margin={"l": 76})
    residual, least = np.maximum(info.residual, LEAST), max(info.least, LEAST)
    perfect = info.least < 1e-10
    figure.add_scatter(
        x=info.orders, y=residual, name="alignment ‖Xw − X̃w̃‖", mode="lines+markers",
        line=theme.COMPRESSED.line(ink, 2), marker=theme.COMPRESSED.marker(ink, 6),
    )  # fmt: skip
    figure.add_scatter(
        x=info.orders, y=info.error, name="after T ‖Xw − X̃q‖", mode="lines+markers",
        line=theme.ERROR.line(ink, 2), marker=theme.ERROR.marker(ink, 6),
    )  # fmt: skip
    lowest = float(residual.min())
    if not perfect:
        figure.add_scatter(
            x=info.orders[[0, -1]], y=[least] * 2, name="least squares", mode="lines",
            line={"color": ink.text, "dash": "dash", "width": 1.5},
        )  # fmt: skip
        lowest = min(lowest, least)
    lowest = max(lowest, 1e-9 if perfect else lowest)
    at = int(np.flatnonzero(info.orders == run.choice.order)[0])
    figure.add_vline(x=run.choice.order, line={"color": ink.faint, "width": 6}, layer="below")
    figure.update_yaxes(theme.log_axis(lowest / 2, float(max(residual.max(), info.error.max())) * 2))
    figure.update_xaxes(theme.log_axis(0.9, float(info.orders[-1]) * 1.1))
    floor = "0: the samples are few enough to be fitted exactly" if perfect else percent(info.least)
    return Panel(
        name="alignment",
        title="More sweeps of alignment",
        look=f"Each sweep fits the weights better to the changed inputs, down to least squares ({floor}). What T adds "
        "soon outweighs it. Shaded: the order in use.",
        alt=f"Alignment of order {run.choice.order} leaves {percent(float(info.residual[at]))}, of order "
        f"{info.orders[-1]} {percent(float(info.residual[-1]))}, least squares {percent(info.least)}; after T the "
        f"error is {percent(float(info.error[at]))}.",
        figure=figure,
        formulas=[
            Formula(
                r"\operatorname{tril}(H)\,\tilde w^{(k+1)}=Gw-\operatorname{triu}(H,1)\,\tilde w^{(k)},\quad "
                r"H=\tilde X^{\mathsf T}\tilde X,\ G=\tilde X^{\mathsf T}X",
                [
                    (r"r", "sweeps in use", str(run.choice.order)),
                    (r"\|Xw-\tilde X\tilde w\|/\|Xw\|", "left at this order", percent(float(info.residual[at]))),
                    ("", "left by least squares", percent(info.least)),
                ],
                f"{SPFQ}; from the second sweep on it is Gauss–Seidel on the normal equations",
                "",
                "path-following",
            )
        ],
        table=lambda: {
            "order": info.orders,
            "alignment": info.residual,
            "quantized": info.error,
            "least_squares": np.full(len(info.orders), info.least),
        },
    )


def draw_width(info: WidthRun, ink: Ink) -> Panel:
    """Draw the relative square error against the width for Gaussian weights, with the fitted slope."""
    figure = theme.figure(ink, x="width N", y="‖Xw − Xq‖² / ‖Xw‖²", height=360)
    figure.update_layout(margin={"l": 76})
    mean = info.errors.mean(axis=1)
    spread = np.repeat(info.widths, info.neurons)
    figure.add_scatter(
        x=spread, y=info.errors.ravel().astype(np.float32), mode="markers", name="neurons",
        marker={"color": theme.METHODS["unified"].colour(ink), "size": 4, "opacity": 0.45},
        hovertemplate="N = %{x}: %{y:.3g}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=info.widths, y=mean, mode="markers", name="mean", marker=theme.ERROR.marker(ink, 9),
        hovertemplate="N = %{x}: %{y:.4g}<extra>mean</extra>",
    )  # fmt: skip
    logarithm = np.log(info.widths)
    told = f"{info.slope:.2f} ± {info.interval:.2f}"
    if math.isfinite(info.slope):
        fitted = np.exp(np.log(mean).mean() + info.slope * (logarithm - logarithm.mean()))
        figure.add_scatter(
            x=info.widths, y=fitted, mode="lines", name=f"slope {told}", line=theme.ERROR.line(ink, 2), hoverinfo="skip"
        )
    stated = np.isfinite(info.bound)
    if stated.any():
        figure.add_scatter(
            x=info.widths[stated], y=info.bound[stated], mode="lines", name="bound", line=theme.BOUND.line(ink, 1.8)
        )
    low, high = float(info.errors.min()), float(info.errors.max())
    high = max(high, float(info.bound[stated].max())) if stated.any() else high
    figure.update_yaxes(theme.log_axis(low / 1.5, high * 1.5))
    figure.update_xaxes(
        theme.log_axis(info.widths[0] / 1.1, info.widths[-1] * 1.1)
        | {"tickvals": info.widths[::2].tolist(), "ticktext": [str(n) for n in info.widths[::2]]}
    )
    close = abs(info.slope + 1) <= max(0.15, info.interval)
    worst = float((info.errors.max(axis=1) / info.bound).max()) if stated.any() else math.nan
    return Panel(
        name="width",
        title="Gaussian weights: wider layers, smaller errors",
        look=(
            "Twice the width, half the square error: the feedback keeps the error bounded while the output grows."
            if close
            else "The slope is not −1 here: T has not settled at these widths, or its alphabet clips."
        )
        + f" {info.samples} samples, {info.neurons} neurons; the operator, levels and C "
        "of this page.",
        alt=f"Relative square error of Gaussian layers from width {info.widths[0]} to {info.widths[-1]} on "
        f"logarithmic axes: fitted slope {told}; mean {number(float(mean[0]))} falls to {number(float(mean[-1]))}.",
        figure=figure,
        formulas=[
            Formula(
                r"\frac{\|Xw-Xq\|_2^2}{\|Xw\|_2^2}\le\frac{B^2}{\sigma^2(\|X\|_F^2-2\|X^{\mathsf T}X\|_F\sqrt t)}"
                r"\approx\frac{m\delta^2}{4\sigma^2N}",
                [
                    (r"\delta/\sigma", "step over the deviation of the weights", number(info.step)),
                    ("", "fitted slope with its 95 % interval", told),
                    ("", "largest measured over bound", number(worst) if stated.any() else "n/a"),
                ],
                f"Proved in our docs; the form m(log N)^(L+1)/N of a whole network is from {SPFQ}",
                "",
                "gaussian-weights",
            )
        ],
        table=lambda: {
            "N": info.widths,
            "mean": mean,
            "bound": info.bound,
            **{f"neuron_{k + 1}": info.errors[:, k] for k in range(info.neurons)},
        },
    )


def draw_bits(info: WidthRun, ink: Ink) -> Panel:
    """Draw how many bits keep the alphabet from clipping, measured and sufficient, against the width."""
    figure = theme.figure(ink, x="width N", y="bits a weight, log2(2K + 1)", height=360)
    form = 0.5 * np.log2(np.log2(info.far))
    form += info.far_bits[-1] - form[-1]
    figure.add_scatter(
        x=info.far, y=info.far_bits, mode="lines", name="sufficient", line=theme.BOUND.line(ink, 1.8) | {"shape": "hv"}
    )
    figure.add_scatter(x=info.far, y=form, mode="lines", name="½ log log N, a form", line=theme.ORIGINAL.line(ink, 1.5))
    figure.add_scatter(
        x=info.widths, y=info.bits, mode="markers", name="measured", marker=theme.COMPRESSED.marker(ink, 8)
    )
    figure.update_xaxes(theme.log_axis(float(info.far[0]) / 1.5, float(info.far[-1]) * 1.5))
    figure.update_yaxes(
        range=[max(min(info.bits.min(), form.min()) - 0.5, 0), float(max(info.far_bits.max(), form.max())) + 0.5]
    )
    growth = float(info.far_bits[-1] - info.far_bits[0])
    return Panel(
        name="bits",
        title="Bits that keep a wide layer from clipping",
        look=f"From {info.far[0]} to {number(float(info.far[-1]))} inputs a provably wide enough alphabet grows by "
        f"{number(growth)} bits: log log N hardly grows at all. The grey curve shows the form, its height means "
        "nothing.",
        alt=f"Bits against the width on a logarithmic axis: sufficient {number(float(info.far_bits[0]))} at "
        f"{info.far[0]} inputs and {number(float(info.far_bits[-1]))} at {number(float(info.far[-1]))}; measured "
        f"{number(float(info.bits.min()))} to {number(float(info.bits.max()))}.",
        figure=figure,
        formulas=[
            Formula(
                r"\max_t|v_t|\le\Bigl(\sigma+\frac{\omega\kappa}{2\sqrt{2C-1}}\Bigr)\sqrt{2\log(4N/\gamma)}"
                r"\ \Rightarrow\ \log_2(2K+1)\approx\tfrac12\log_2\log N",
                [
                    (r"\delta/\sigma", "step over the deviation of the weights", number(info.step)),
                    (r"\kappa", "all inputs have one norm", "1"),
                ],
                f"Proved in our docs; after {SPFQ}",
                "",
                "gaussian-weights",
            )
        ],
        table=lambda: {
            "N": info.widths,
            "measured_bits": info.bits,
            "far_N": info.far,
            "sufficient_bits": info.far_bits,
            "form": form,
        },
    )


def panels(run: WalkRun, aligned: AlignmentRun | None, widths: WidthRun, ink: Ink) -> list[Panel]:
    """Return the page's panels after the first, those that have something to show."""
    drawn = [draw_operator(run, ink), draw_cloud(run, ink)]
    if aligned is not None:
        drawn.append(draw_alignment(run, aligned, ink))
    drawn.append(draw_width(widths, ink))
    if len(widths.far):
        drawn.append(draw_bits(widths, ink))
    return drawn
