"""Draws what several seeds of a stochastic method give: accuracy against relative output error, a dot a seed."""

from __future__ import annotations

import math

from sdqviz.explore.network import formulas
from sdqviz.explore.spread import Spread
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_seeds(spread: Spread, ink: Ink) -> Panel:
    """Draw a dot for every seed, and their mean with one standard deviation either way.

    Parameters
    ----------
    spread : Spread
        The figures; without accuracies the vertical axis shows the seed.
    ink : Ink
        Colours.
    """
    errors = 100 * spread.errors
    heights = 100 * spread.accuracies if spread.tested else spread.seeds.astype(float)
    figure = theme.figure(ink, x="relative output error, %", y="accuracy, %" if spread.tested else "seed", height=340)
    figure.add_scatter(
        x=errors, y=heights, mode="markers", name="one seed", marker=theme.COMPRESSED.marker(ink, 9),
        customdata=spread.seeds, hovertemplate="seed %{customdata}: error %{x:.3g} %, %{y:.2f}<extra></extra>",
    )  # fmt: skip
    (error, error_spread), (height, height_spread) = Spread.told(errors), Spread.told(heights)
    bars = {"type": "data", "color": ink.text, "thickness": 1.5}
    figure.add_scatter(
        x=[error], y=[height], mode="markers", name="mean and standard deviation",
        marker={"symbol": "cross-thin-open", "size": 14, "color": ink.text},
        error_x=None if math.isnan(error_spread) else bars | {"array": [error_spread]},
        error_y=bars | {"array": [height_spread]} if spread.tested and not math.isnan(height_spread) else None,
        hoverinfo="skip",
    )  # fmt: skip
    told = f"relative output error {_told(error, error_spread)}"
    if spread.tested:
        told = f"accuracy {_told(height, height_spread, 2)}, {told}"
    count = len(spread.seeds)
    seeds = f"seeds {spread.seeds[0]} to {spread.seeds[-1]}" if count > 1 else f"seed {spread.seeds[0]}"
    return Panel(
        name="seeds",
        title="The same run with other random numbers",
        look=f"Mean ± standard deviation over {count} seeds: {told}.",
        alt=f"One dot for each of {seeds}. Mean ± standard deviation: {told}.",
        figure=figure,
        formulas=[formulas.spread(count)],
        table=lambda: {
            "seed": spread.seeds,
            "accuracy": spread.accuracies,
            "relative output error": spread.errors,
        },
    )


def _told(mean: float, deviation: float, digits: int | None = None) -> str:
    """Write a mean and a standard deviation in percent; a single value has none."""
    written = number(mean) if digits is None else f"{mean:.{digits}f}"
    if math.isnan(deviation):
        return f"{written} %"
    return f"{written} ± {number(deviation) if digits is None else f'{deviation:.{digits}f}'} %"
