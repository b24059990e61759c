"""Draws where in frequency the errors went."""

from __future__ import annotations

import numpy as np

from sdqviz.explore import sigma_delta as lab
from sdqviz.explore.formula import Formula
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.sigma_delta.error import PCM
from sdqviz.plots.theme import Ink
from sdqviz.sigma_delta.taps import FIRST, Taps, difference

LEVEL = 3.0
"""Decibels by which two averages of a spectrum have to differ for one to be called larger."""


def draw_spectrum(run: VectorRun, ink: Ink) -> Panel:
    """Draw the power spectra of both error sequences: where in frequency the error went."""
    info = lab.spectrum_info(run)
    figure = theme.figure(ink, x="frequency, cycles per step", y="power over δ²/12, dB", height=340)
    quiet = float(np.quantile(np.concatenate([info.sigma_delta, info.rounding]), 0.02))
    floor = max(quiet, -40) - 4
    below = int((info.rounding < floor).sum()), int((info.sigma_delta < floor).sum())
    for values, name, look in (
        (info.rounding, PCM, theme.ROUNDING),
        (info.sigma_delta, run.called, theme.ERROR),
        (info.model, f"model {_model(run.taps)}", theme.SECOND_BOUND),
    ):
        figure.add_scatter(
            x=info.frequency.astype(np.float32),
            y=np.where(values < floor, np.nan, values).astype(np.float32),
            name=name,
            mode="lines",
            line=look.line(ink),
        )
    high = float(max(info.sigma_delta.max(), info.rounding.max(), 6))
    figure.update_yaxes(range=[floor, high + 4])
    gap = info.low_gap
    told = _told(info, run.called)
    if any(below):
        figure.add_annotation(
            text=f"frequencies below the picture: {below[0]} of rounding, {below[1]} of {run.called}",
            x=0.99, xref="paper", y=0.01, yref="paper", xanchor="right", yanchor="bottom", showarrow=False,
            font={"size": 11},
        )  # fmt: skip
    return Panel(
        name="spectrum",
        title="Noise shaping",
        look=told,
        alt=f"Spectra of the errors of {run.called} and of rounding. Over the lowest eighth of the frequencies the "
        f"first lies {number(abs(gap))} dB {'below' if gap >= 0 else 'above'} rounding.",
        figure=figure,
        formulas=[
            Formula(
                _identity(run.taps),
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


def _model(taps: Taps) -> str:
    """Return |H(f)|² as people read it."""
    if taps != difference(taps.order):
        return f"|H(f)|², order {taps.order}"
    power = str(2 * taps.order).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"|2 sin πf|{power}" if taps.order else "1"


def _identity(taps: Taps) -> str:
    """Return in LaTeX what the filter makes of the state."""
    if not taps.order:
        return r"x_n-q_n=u_n\ \Rightarrow\ |\hat e(f)|^2=|\hat u(f)|^2"
    if taps == FIRST:
        return r"x_n-q_n=u_n-u_{n-1}\ \Rightarrow\ |\hat e(f)|^2=|2\sin\pi f|^2\,|\hat u(f)|^2"
    shape = rf"|2\sin\pi f|^{{{2 * taps.order}}}"
    if taps != difference(taps.order):
        shape = r"\Bigl|1-\sum_jh_je^{-2\pi ifn_j}\Bigr|^2"
    return rf"x_n-q_n=u_n-\sum_jh_ju_{{n-n_j}}\ \Rightarrow\ |\hat e(f)|^2={shape}\,|\hat u(f)|^2"


def _told(info: lab.Spectrum, who: str) -> str:
    """Say where the error of ΣΔ went, from the curve that is drawn."""
    if who != "ΣΔ":
        return "Order 0 passes no error on: its error is that of rounding, and nothing is shaped on purpose."
    if abs(info.rise) < LEVEL:
        shape = "ΣΔ's error is about as large at high frequencies as at low ones"
    elif info.rise > 0:
        shape = f"ΣΔ pushes its error towards high frequencies, where it is {info.rise:.0f} dB larger than at low ones"
    else:
        shape = f"ΣΔ's error is {-info.rise:.0f} dB larger at low frequencies than at high ones: nothing is shaped"
    gap = info.low_gap
    beside = f"{abs(gap):.0f} dB {'below' if gap > 0 else 'above'} that of rounding"
    return f"{shape}. At the low ones, which the reconstruction listens to, it lies {beside}."
