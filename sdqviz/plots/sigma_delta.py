"""Draws one ΣΔ walk: levels and state step by step, the error as it grows, its spectrum, and the walk in space."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sdqviz.array import Array, Index
from sdqviz.bounds.vector import CZAJA_NA, number_tex
from sdqviz.explore import vector
from sdqviz.explore.stored import chosen, picked
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import number, percent
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import FrameChoice
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.frames.permutations.permutation import PermutationChoice
from sdqviz.plots import theme
from sdqviz.plots.panel import Formula, Panel
from sdqviz.plots.theme import Ink

LONG = 2000
"""Entries of a pasted vector written out in the code."""

PLAYED = 160
"""The most steps an animation shows, one by one; of longer walks the first ones are shown, and the plot says so."""

BINS = 400
"""Frequencies drawn in a spectrum; neighbours are averaged above it."""

SIGMA_DELTA, PCM = "ΣΔ", "rounding"


def build(choices: Mapping[str, Any]) -> VectorRun:
    """Run what the parameters of the page's link describe."""
    asked, family, walk = _asked(choices)
    seed = int(choices.get("seed", 0))
    frame = family.build(seed)
    order = walk.order(frame, seed)
    step = asked.step if asked.step_rule == "by-hand" else asked.step_rule
    return vector.run(asked.vector(frame.dimension, seed), frame, order, asked.bits, step)


def _asked(choices: Mapping[str, Any]) -> tuple[vector.VectorChoice, FrameChoice, PermutationChoice]:
    asked = chosen(vector.VectorChoice, choices)
    fixed = asked.fixed_dimension
    values = dict(choices) if fixed is None else {**choices, "dimension": fixed}
    family = picked(FRAMES, values, "frame", "harmonic")
    return asked, family, picked(PERMUTATIONS, values, "permutation", "identity", "permutation_")


def summary(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline numbers for the parameters of the page's link."""
    run = build(choices)
    return {
        "bits_per_weight": run.bits_per_weight,
        "relative_error": run.error / run.norm,
        "relative_error_pcm": run.rounded_error / run.norm,
        "relative_error_plain": run.plain_error / run.norm,
        "bound": run.tightest.value / run.norm,
        "bound_holds": run.tightest.holds and run.error <= run.tightest.value,
        "overload": run.overload,
    }


# -- info: numbers only -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """Power spectra of the two error sequences x_n − q_n, in dB over δ²/12.

    Attributes
    ----------
    frequency : ndarray, shape (m,)
        Cycles per step, above 0 up to ½.
    sigma_delta, rounding, model : ndarray, shape (m,)
        Measured for ΣΔ and for rounding, and |2 sin πf|², what white state noise would give.
    """

    frequency: Array
    sigma_delta: Array
    rounding: Array
    model: Array

    @property
    def low_gap(self) -> float:
        """How many dB ΣΔ lies below rounding, averaged over the lowest eighth of the frequencies."""
        low = self.frequency <= 1 / 16
        return float((self.rounding[low] - self.sigma_delta[low]).mean()) if low.any() else float("nan")


def spectrum_info(run: VectorRun) -> Spectrum:
    """Compute the spectra of the errors along the walk; long ones are averaged over neighbours."""
    size = run.frame.size
    frequency = np.fft.rfftfreq(size)[1:]
    white = run.step**2 / 12

    def power(sequence: Array) -> Array:
        raw: Array = np.abs(np.fft.rfft(sequence)[1:]) ** 2 / size / white
        return raw

    measured = np.array(
        [
            power(run.trace.coefficients - run.trace.quantized),
            power(run.rounded.coefficients - run.rounded.quantized),
        ]
    )
    stride = -(-len(frequency) // BINS)
    starts = np.arange(0, len(frequency), stride)
    counts = np.diff([*starts, len(frequency)])
    frequency = np.add.reduceat(frequency, starts) / counts
    measured = np.add.reduceat(measured, starts, axis=1) / counts
    decibel = 10 * np.log10(np.maximum(measured, 1e-12))
    return Spectrum(frequency, decibel[0], decibel[1], 20 * np.log10(2 * np.sin(np.pi * frequency)))


def played_steps(size: int) -> Index:
    """Return the steps an animation stops at, the first ones of a long walk."""
    return np.arange(min(size, PLAYED))


def verdict_on_rounding(run: VectorRun) -> str | None:
    """Say so, in one sentence, when rounding the vector itself beats ΣΔ at the same bits per weight."""
    if run.plain_bits < 1 or run.plain_error >= run.error:
        return None
    return (
        f"Plain rounding wins here: with {run.plain_bits} bits a weight, no more than the "
        f"{number(run.level_bits)} spent "
        f"on ΣΔ's levels, rounding the vector itself leaves {percent(run.plain_error / run.norm)} error; ΣΔ leaves "
        f"{percent(run.error / run.norm)}. What ΣΔ buys is coarser levels with a proved error, not fewer bits."
    )


def code(choices: Mapping[str, Any], run: VectorRun) -> str:
    """Return the lines that compute the page's numbers."""
    asked, chosen_frame, chosen_walk = _asked(choices)
    family, walk = chosen_frame.to_dict(), chosen_walk.to_dict()
    source = {
        "gaussian": f"x = np.random.default_rng([{choices['seed']}, 1]).standard_normal({run.frame.dimension})",
        "sine": f"x = np.sin(4 * np.pi * (np.arange({run.frame.dimension}) + 0.5) / {run.frame.dimension})",
        "weights": f"x = weight_column({asked.network!r}, layer={asked.layer}, column={asked.column})",
        "pasted": f"x = np.array({np.array2string(run.vector, separator=', ', threshold=LONG)})",
    }[asked.input]
    imports = "import numpy as np\nimport sdqviz as sq\n"
    if asked.input == "weights":
        imports += "from sdqviz.explore.vector import weight_column\n"
    return f"""{imports}
{source}
frame = sq.FRAMES[{family.pop("name")!r}]({_arguments(family)}).build(seed={choices["seed"]})
order = sq.PERMUTATIONS[{walk.pop("name")!r}]({_arguments(walk)}).order(frame, seed={choices["seed"]})
trace = sq.SigmaDelta(bits={run.bits}, step={run.step!r}).run(frame.analyze(x)[order])

levels = np.empty(frame.size)
levels[order] = trace.quantized          # back in the order of the frame
error = np.linalg.norm(x - frame.synthesize(levels)) / np.linalg.norm(x)   # {run.error / run.norm:.6g}"""


def _arguments(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in fields.items())


# -- draw ---------------------------------------------------------------------------------------------


def _symbols(run: VectorRun) -> list[tuple[str, str, str]]:
    return [
        (
            "x_n",
            "coefficient at step n, ⟨x, e⟩ with the n-th vector visited; largest",
            number(float(np.abs(run.trace.coefficients).max())),
        ),
        ("q_n", "level chosen at step n, one of", str(2**run.bits)),
        ("u_n", "state after step n; largest", number(float(np.abs(run.trace.state).max()))),
        (r"\delta", "step between levels", number(run.step)),
        ("K", "half the number of levels", str(2 ** (run.bits - 1))),
    ]


def draw_steps(run: VectorRun, ink: Ink) -> Panel:
    """Draw coefficients, levels and state along the walk, with play, slow motion and a slider."""
    size, delta = run.frame.size, run.step
    n = np.arange(1, size + 1)
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, row_heights=[0.08, 0.46, 0.46], vertical_spacing=0.035)
    base = theme.figure(ink, height=510, margin={"l": 62, "r": 12, "t": 62, "b": 50, "autoexpand": False})
    figure.update_layout(base.layout)
    axes = base.layout.xaxis.to_plotly_json(), base.layout.yaxis.to_plotly_json()
    figure.update_xaxes(axes[0])
    figure.update_yaxes(axes[1])
    markers = "lines+markers" if size <= 40 else "lines"
    kept = len(n)

    def add(row: int, values: Array, name: str, look: theme.Look, **more: Any) -> None:
        nonlocal kept
        at = theme.decimate(values)
        kept = min(kept, len(at))
        given: dict[str, Any] = {"mode": markers, "line": look.line(ink), "marker": look.marker(ink)} | more
        figure.add_scatter(x=n[at], y=values[at].astype(np.float32), name=name, row=row, col=1, **given)

    add(2, run.trace.coefficients, "coefficient xₙ", theme.ORIGINAL)
    levels = {"mode": "markers", "marker": theme.COMPRESSED.marker(ink, 5)}
    add(
        2,
        run.rounded.quantized,
        "level by rounding",
        theme.ROUNDING,
        **levels | {"marker": theme.ROUNDING.marker(ink, 4)},
    )
    add(2, run.trace.quantized, "level qₙ of ΣΔ", theme.COMPRESSED, **levels)
    add(3, run.rounded.state, "running error of rounding", theme.ROUNDING, mode="lines")
    add(3, run.trace.state, "state uₙ of ΣΔ", theme.COMPRESSED)
    figure.add_hrect(-delta / 2, delta / 2, row=3, col=1, fillcolor=ink.faint, line_width=0)
    for edge in (-delta / 2, delta / 2):
        figure.add_hline(edge, row=3, col=1, line=theme.BOUND.line(ink, 1))
    over = run.overloaded()
    if len(over):
        shown = over[np.linspace(0, len(over) - 1, min(len(over), 300)).astype(int)]
        figure.add_scatter(
            x=shown + 1, y=run.trace.coefficients[shown], name=f"overload ({len(over)} steps)", mode="markers",
            marker=theme.ERROR.marker(ink, 9), row=2, col=1,
        )  # fmt: skip
    span = max(float(np.abs(run.trace.state).max()), delta / 2)
    drift = float(np.abs(run.rounded.state).max())
    reach = 1.15 * max(span, drift if drift < 6 * span else 4 * span)
    figure.update_yaxes(title_text="coefficient, level", row=2, col=1)
    figure.update_yaxes(title_text="state", range=[-reach, reach], row=3, col=1)
    figure.update_yaxes(visible=False, range=[0, 1], fixedrange=True, row=1, col=1)
    figure.update_xaxes(visible=False, row=1, col=1)
    window = min(size, PLAYED)
    cut = f" (the first {window} of {size:,}; double-click shows all)" if window < size else ""
    figure.update_xaxes(range=[1 - window * 0.01, window * 1.01])
    figure.update_xaxes(title_text=f"step n along the walk{cut}", row=3, col=1)
    if drift > reach:
        figure.add_annotation(
            text=f"rounding leaves the picture: {number(drift / delta)} δ at its farthest", row=3, col=1,
            xref="x domain", yref="y domain", x=0.99, y=0.02, showarrow=False, font={"size": 11, "color": ink.text},
        )  # fmt: skip
    theme.mark_decimation(figure, size, kept, ink)
    _play(figure, run, ink)
    largest = float(np.abs(run.trace.state).max())
    overload = f" The quantizer is overloaded at {run.overload} of {size} steps." if run.overload else ""
    told = (
        "Below: the state is ΣΔ's memory of what rounding has left out. It stays in the band ±δ/2, while the "
        "error of plain "
        "rounding adds up."
        if run.trace.stable
        else "Below: the levels are too small for the coefficients, so the state leaves the band ±δ/2 and runs away."
    )
    relation = r"\le" if run.trace.stable else ">"
    inside = "inside" if largest <= delta / 2 * (1 + 1e-9) else "outside"
    return Panel(
        name="steps",
        title="Step by step",
        look=told + overload,
        alt=f"Coefficients, levels and state over {size} steps. The state of sigma-delta stays {inside} the band of "
        f"plus or minus {number(delta / 2)}: its largest value is {number(largest)}. The running error of plain "
        f"rounding reaches {number(drift)}.{overload}",
        figure=figure,
        formulas=[
            Formula(
                r"q_n=Q(u_{n-1}+x_n),\quad u_n=u_{n-1}+x_n-q_n,\quad u_0=0",
                _symbols(run),
                f"{CZAJA_NA}, Definition 3.1. PCM has no memory: q_n = Q(x_n).",
            ),
            Formula(
                r"|x_n|\le (K-\tfrac12)\delta\ \Rightarrow\ |u_n|\le \delta/2",
                [],
                f"Stability: {run.trace.reason}.",
                rf"{number_tex(float(np.abs(run.trace.coefficients).max()))}"
                rf"\ {relation}\ {number_tex((2 ** (run.bits - 1) - 0.5) * delta)}",
                "vector-bound",
            ),
        ],
        table=lambda: {
            "n": n,
            "frame_vector": run.order,
            "coefficient": run.trace.coefficients,
            "level": run.trace.quantized,
            "state": run.trace.state,
            "level_pcm": run.rounded.quantized,
            "running_error_pcm": run.rounded.state,
        },
    )


def _play(figure: go.Figure, run: VectorRun, ink: Ink) -> None:
    """Add the cursors and the frames that move them: client-side, so stepping asks nothing of the server."""
    x, q, u = run.trace.coefficients, run.trace.quantized, run.trace.state
    steps = played_steps(run.frame.size)
    before = np.concatenate([[0.0], u[:-1]])
    first = len(figure.data)
    ring = {"size": 12, "symbol": "circle-open", "line": {"width": 2.5}}

    def reading(k: int) -> str:
        return f"n = {k + 1}:  u + x = {before[k] + x[k]:.3g}  →  q = {q[k]:.3g},  new u = {u[k]:.3g}"

    figure.add_scatter(
        x=[1], y=[0.5], mode="text", text=["press play, or drag the slider"],
        textposition="middle right", textfont={"color": ink.text, "size": 13}, cliponaxis=False,
        hoverinfo="skip", showlegend=False, row=1, col=1,
    )  # fmt: skip
    for row, value, look in ((2, q[0], theme.COMPRESSED), (3, u[0], theme.COMPRESSED)):
        figure.add_scatter(
            x=[1], y=[float(value)], mode="markers", marker=ring | {"color": look.colour(ink)}, hoverinfo="skip",
            showlegend=False, row=row, col=1,
        )  # fmt: skip
    figure.frames = [
        go.Frame(
            name=str(k + 1),
            data=[{"text": [reading(k)]}, *({"x": [int(k) + 1], "y": [round(float(v[k]), 9)]} for v in (q, u))],
            traces=[first, first + 1, first + 2],
        )
        for k in steps
    ]
    theme.controls(figure, ink, [str(k + 1) for k in steps])


def draw_error(run: VectorRun, ink: Ink) -> Panel:
    """Draw what the first n levels leave behind, for ΣΔ and for rounding, under the bound."""
    size, norm = run.frame.size, run.norm
    n = np.arange(1, size + 1)
    figure = theme.figure(ink, x="step n along the walk", y="error / ‖x‖", height=340)
    holds = run.bounds[0].holds
    curves = (
        (run.running_error, SIGMA_DELTA, theme.ERROR),
        (run.rounded_running_error, PCM, theme.ROUNDING),
        (run.running_bound, "bound" if holds else "bound, not applicable here", theme.BOUND),
    )
    kept = size
    for values, name, look in curves:
        relative = np.maximum(values / norm, 1e-17)
        at = theme.decimate(np.log(relative))
        kept = min(kept, len(at))
        figure.add_scatter(x=n[at], y=relative[at].astype(np.float32), name=name, mode="lines", line=look.line(ink))
    best = run.tightest
    if best.holds:
        figure.add_scatter(
            x=[size], y=[best.value / norm], name="tightest bound", mode="markers",
            marker={"symbol": "line-ew-open", "size": 18, "color": ink.text, "line": {"width": 2}},
        )  # fmt: skip
    floor = float(np.quantile(run.running_error, 0.02)) / norm
    top = max(float(run.running_bound[-1]), float(run.rounded_running_error.max())) / norm
    figure.update_yaxes(theme.log_axis(max(floor, 1e-8) / 1.6, max(top, 1e-7) * 1.6))
    theme.mark_decimation(figure, size, kept, ink)
    told = "ΣΔ's error stays under the dashed bound and hardly grows; the error of rounding keeps growing."
    if not run.trace.stable:
        told = (
            "The quantizer is overloaded: what it cannot pass on stays in the error, and the dashed curve is no bound."
        )
    elif run.rounded_error <= run.error:
        told = "Here rounding each coefficient on its own ends no worse than ΣΔ: the frame is small, or δ is large."
    return Panel(
        name="error",
        title="Error as the walk goes on",
        look=told,
        alt=f"At the end sigma-delta leaves {percent(run.error / norm)} of the vector, rounding on the same frame "
        f"{percent(run.rounded_error / norm)}; "
        + (
            f"the tightest bound is {percent(best.value / norm)}."
            if best.holds
            else f"no bound applies. {best.because}"
        ),
        figure=figure,
        formulas=[
            *(
                Formula(b.formula, [], f"{b.title}. {b.reference}. {b.because}", b.substituted, b.text)
                for b in run.bounds
                if b.formula
            )
        ],
        table=lambda: {
            "n": n,
            "error": run.running_error,
            "error_pcm": run.rounded_running_error,
            "bound": run.running_bound,
        },
    )


def draw_spectrum(run: VectorRun, ink: Ink) -> Panel:
    """Draw the power spectra of both error sequences: where in frequency the error went."""
    info = spectrum_info(run)
    figure = theme.figure(ink, x="frequency, cycles per step", y="power over δ²/12, dB", height=340)
    for values, name, look in (
        (info.rounding, PCM, theme.ROUNDING),
        (info.sigma_delta, SIGMA_DELTA, theme.ERROR),
        (info.model, "model |2 sin πf|²", theme.SECOND_BOUND),
    ):
        figure.add_scatter(
            x=info.frequency.astype(np.float32),
            y=values.astype(np.float32),
            name=name,
            mode="lines",
            line=look.line(ink),
        )
    low = float(np.quantile(np.concatenate([info.sigma_delta, info.rounding]), 0.02))
    high = float(max(info.sigma_delta.max(), info.rounding.max(), 6))
    figure.update_yaxes(range=[max(low, -40) - 4, high + 4])
    gap = info.low_gap
    return Panel(
        name="spectrum",
        title="Noise shaping",
        look="ΣΔ pushes its error towards high frequencies, away from the slow turns of the frame that the "
        "reconstruction "
        "listens to."
        if gap > 0
        else "Here ΣΔ shapes nothing: at low frequencies its error is no smaller than that of rounding.",
        alt=f"Spectra of the errors of sigma-delta and of rounding. Over the lowest eighth of the frequencies "
        f"sigma-delta "
        f"lies {number(abs(gap))} dB {'below' if gap >= 0 else 'above'} rounding.",
        figure=figure,
        formulas=[
            Formula(
                r"x_n-q_n=u_n-u_{n-1}\ \Rightarrow\ |\hat e(f)|^2=|2\sin\pi f|^2\,|\hat u(f)|^2",
                [(r"\delta^2/12", "power of white noise in the band ±δ/2", number(run.step**2 / 12))],
                "The dotted curve treats the state as white noise: a model to compare with, not a bound.",
            )
        ],
        table=lambda: {
            "frequency": info.frequency,
            "sigma_delta_dB": info.sigma_delta,
            "rounding_dB": info.rounding,
            "model_dB": info.model,
        },
    )


def draw_vector(run: VectorRun, ink: Ink) -> Panel:
    """Draw the vector before and after, and plain rounding of it at the same bits per weight."""
    index = np.arange(1, run.frame.dimension + 1)
    figure = theme.figure(ink, x="entry of the vector", y="value", height=340)
    mode = "lines+markers" if len(index) <= 32 else "lines"
    curves = [
        (run.vector, "original", theme.ORIGINAL),
        (run.reconstruction, f"{SIGMA_DELTA}, {number(run.level_bits)} bits a weight", theme.COMPRESSED),
    ]
    if run.plain_bits >= 1:
        curves.insert(1, (run.plain, f"plain rounding, {run.plain_bits} bits", theme.ROUNDING))
    for values, name, look in curves:
        figure.add_scatter(
            x=index, y=values.astype(np.float32), name=name, mode=mode, line=look.line(ink), marker=look.marker(ink, 6)
        )
    plain = (
        f"{percent(run.plain_error / run.norm)} for plain rounding" if run.plain_bits >= 1 else "no whole bit a weight"
    )
    return Panel(
        name="vector",
        title="Before and after",
        look="Where grey is hidden, nothing was lost. Orange spends no more bits, without a frame.",
        alt=f"The vector of {len(index)} entries, its reconstruction and plain rounding. Relative error: "
        f"{percent(run.error / run.norm)} for sigma-delta, {plain}.",
        figure=figure,
        formulas=[
            Formula(
                r"\tilde x=\frac dN\sum_n q_n\,e_{p(n)}",
                [
                    ("d", "length of the vector", str(run.frame.dimension)),
                    ("N", "frame vectors", str(run.frame.size)),
                    (r"\|x-\tilde x\|/\|x\|", "relative error", percent(run.error / run.norm)),
                ],
                f"{CZAJA_NA}, eq. (10). Plain rounding: the entries themselves, midrise levels that just fit the "
                f"largest.",
            )
        ],
        table=lambda: {"original": run.vector, "sigma_delta": run.reconstruction, "plain_rounding": run.plain},
    )


def draw_walk(run: VectorRun, ink: Ink) -> Panel:
    """Draw, for d = 2 or 3, the frame vectors and how the partial sums walk from 0 to x̃ beside those that reach x."""
    solid = run.frame.dimension == 3
    size = run.frame.size
    names = "xyz"[: run.frame.dimension]
    start = np.zeros((1, run.frame.dimension))
    walks = [np.concatenate([start, sums]) for sums in (run.true_sums, run.partial_sums)]
    reach = max(float(np.linalg.norm(walk, axis=1).max()) for walk in walks)
    at = np.unique(np.linspace(0, size - 1, min(size, 200)).astype(int))
    spokes = np.full((3 * len(at), run.frame.dimension), np.nan)
    spokes[0::3], spokes[1::3] = 0.0, run.frame.vectors[run.order[at]] * reach * 0.4
    kept = np.unique(np.concatenate([theme.decimate(w[:, k], 600) for w in walks for k in range(w.shape[1])]))
    figure = theme.figure(ink, height=440)
    scenes: dict[int, Array] = {}

    def add(points: Array, **given: Any) -> None:
        scenes[len(figure.data)] = points
        flat = (theme.seen(points, 0.0) if solid else points).astype(np.float32)
        figure.add_scatter(x=flat[:, 0], y=flat[:, 1], **given)

    if solid:
        theme.draw_sphere(figure, reach, ink)
    add(spokes, mode="lines", name="frame vectors", line={"color": ink.faint, "width": 1.5}, hoverinfo="skip")
    add(walks[0][kept], mode="lines", name="exact sums", line=theme.ORIGINAL.line(ink, 3))
    add(walks[1][kept], mode="lines", name="sums of levels", line=theme.COMPRESSED.line(ink, 2))
    add(walks[0][-1:], mode="markers", name="x", marker=theme.ORIGINAL.marker(ink, 12))
    add(walks[1][-1:], mode="markers", name="x̃", marker=theme.COMPRESSED.marker(ink, 10))
    if solid:
        theme.turn(figure, scenes, ink)
    else:
        figure.update_xaxes(title_text="first coordinate")
        figure.update_yaxes(title_text="second coordinate", scaleanchor="x", scaleratio=1)
        cursor = len(figure.data)
        ring = {"size": 12, "color": theme.ERROR.colour(ink), "symbol": "circle-open", "line": {"width": 3}}
        add(walks[1][1:2], mode="markers", name="now", marker=ring, showlegend=False)
        steps = played_steps(size)
        figure.frames = [
            go.Frame(
                name=str(k + 1),
                data=[{axis: [round(float(v), 6)] for axis, v in zip(names, walks[1][k + 1], strict=True)}],
                traces=[cursor],
            )
            for k in steps
        ]
        theme.controls(figure, ink, [str(k + 1) for k in steps])
    return Panel(
        name="walk",
        title="The walk in space" if solid else "The walk in the plane",
        look="Both walks add up the frame vectors, grey with exact coefficients, blue with levels. Blue may "
        "wander within "
        "reach of the state, but it arrives next to x.",
        alt=f"Partial sums of {size} frame vectors in {run.frame.dimension} dimensions. The walk with exact "
        f"coefficients "
        f"ends at x, the walk with levels ends {number(run.error)} away, {percent(run.error / run.norm)} of its "
        f"length.",
        figure=figure,
        formulas=[
            Formula(
                r"x-\tilde x=\frac dN\Bigl[\sum_{n<N}u_n\,(e_{p(n)}-e_{p(n+1)})+u_N\,e_{p(N)}\Bigr]",
                [
                    (
                        r"\sigma(F,p)",
                        "frame variation, the length of the tour of the frame vectors",
                        number(run.walk.variation),
                    ),
                    (r"|u_n|", "at most δ/2", number(run.step / 2)),
                ],
                f"{CZAJA_NA}, proof of Theorem 3.1",
                "",
                "vector-bound",
            )
        ],
        table=lambda: {
            **{f"exact_{axis}": run.true_sums[:, k] for k, axis in enumerate(names)},
            **{f"levels_{axis}": run.partial_sums[:, k] for k, axis in enumerate(names)},
        },
    )


def panels(run: VectorRun, ink: Ink) -> list[Panel]:
    """Return the page's panels after the first, those that can be drawn for this vector."""
    first = [draw_walk(run, ink)] if run.frame.dimension in (2, 3) else []
    return [*first, draw_error(run, ink), draw_vector(run, ink), draw_spectrum(run, ink)]
