"""Draws where in frequency the errors went."""

from __future__ import annotations

import numpy as np

from sdqviz.explore.formula import Formula
from sdqviz.explore.sigma_delta import spectrum_info
from sdqviz.explore.vector import VectorRun
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.sigma_delta.error import PCM, SIGMA_DELTA
from sdqviz.plots.theme import Ink


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
