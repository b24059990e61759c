"""Draws how long a decoder of 7 or 70 billion weights takes on more and more machines, by the cost model."""

from __future__ import annotations

import numpy as np

from sdqviz.experiments.cost_model import MACHINES, PARTS, SEVEN, SEVENTY, Machine, decoder_cost, formula, parts
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_scale(ink: Ink, machine: Machine | None = None) -> Panel:
    """Draw predicted hours against the number of machines, both axes logarithmic."""
    machine = Machine() if machine is None else machine
    figure = theme.figure(ink, height=380, x="machines", y="hours, predicted")
    columns: dict[str, list[float | str]] = {"weights": [], "machines": [], **{part: [] for part in PARTS}, "all": []}
    told: list[str] = []
    spent: list[float] = []
    for decoder, dash in ((SEVEN, "solid"), (SEVENTY, "dash")):
        cost = decoder_cost(decoder)
        hours = [cost.seconds(machine, count) / 3600 for count in MACHINES]
        figure.add_scatter(
            x=list(MACHINES), y=hours, mode="lines+markers", name=f"{decoder.name} weights",
            line={"dash": dash, "color": ink.text}, hovertemplate="%{x} machines: %{y:.3g} h<extra></extra>",
        )  # fmt: skip
        for count, total in zip(MACHINES, hours, strict=True):
            columns["weights"].append(decoder.name)
            columns["machines"].append(count)
            for part, value in zip(PARTS, parts(cost, machine, count), strict=True):
                columns[part].append(value)
            columns["all"].append(total)
        spent += hours
        best = MACHINES[int(np.argmin(hours))]
        told.append(f"{decoder.name}: {number(hours[0])} h on one machine, {number(min(hours))} h on {best}")
    ticks = {"tickvals": list(MACHINES), "ticktext": [str(count) for count in MACHINES]}
    figure.update_layout(xaxis={"type": "log", **ticks}, yaxis=theme.log_axis(min(spent) / 1.5, max(spent) * 1.5))
    return Panel(
        name="scale",
        title="Larger than one machine: hours by the cost model",
        look="Walks are shared by the machines; forward passes and sums are not, so the curves flatten, and rise again "
        "where sending H to every machine takes longer than it saves.",
        alt=f"Predicted hours of GPTQ at 4 bits with 262,144 tokens. {'; '.join(told)}.",
        figure=figure,
        formulas=[formula(machine)],
        table=lambda: {name: np.array(values, object) for name, values in columns.items()},
    )
