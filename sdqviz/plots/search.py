"""Draws the trail of a search for the smallest size: what each trial costs and keeps, and what was enough."""

from __future__ import annotations

import numpy as np

from sdqviz.experiments.compare.figures import accuracy_text, place
from sdqviz.experiments.compare.trail import formula, sentence, title_of, trail
from sdqviz.experiments.target import Search, held_out
from sdqviz.experiments.target import size as size_of
from sdqviz.explore.wording import number
from sdqviz.methods import METHODS
from sdqviz.plots import theme
from sdqviz.plots.compare import axis_of, look_of, order_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_search(found: Search, ink: Ink) -> Panel:
    """Draw every trial, what was needed, and the best."""
    done = [trial for trial in found.trials if trial.report is not None]
    x = place("bits", [size_of(trial) for trial in done])
    y = place("accuracy", [held_out(trial) for trial in done])
    needed = float(place("accuracy", [found.needed])[0])
    figure = theme.figure(ink, height=400, x="bits per original weight", y="accuracy on held-out inputs")
    figure.update_layout(
        margin={"t": 72, "l": 70},
        xaxis=axis_of("bits", x, room=0.06),
        yaxis=axis_of("accuracy", np.append(y, needed), room=0.06),
    )
    line = {"color": ink.text, "dash": "dash", "width": 1.5}
    theme.level(figure, needed, f"enough: {accuracy_text(found.needed)}", line, ink)
    methods = [str(trial.method["name"]) for trial in done]
    for method in sorted(set(methods), key=order_of):
        own = [place_ for place_, name in enumerate(methods) if name == method]
        figure.add_scatter(
            x=x[own], y=y[own], mode="markers", name=METHODS.called_shortly(method),
            marker=look_of(method).marker(ink, 9),
            text=[f"{place_ + 1}. {title_of(done[place_])}<br>{number(size_of(done[place_]))} bits, held out "
                  f"{accuracy_text(held_out(done[place_]))}" for place_ in own],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    if found.best is not None:
        figure.add_scatter(
            x=place("bits", [size_of(found.best)]), y=place("accuracy", [held_out(found.best)]), mode="markers",
            name="smallest that is enough", hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 18, "color": ink.text, "line": {"width": 2}},
        )  # fmt: skip
    return Panel(
        name="search",
        title="Every run the search tried",
        look="Above the dashed line is enough; the ring is the leftmost there. Decided on inputs of the training set "
        "that no run calibrates with: the loss against float counts, since the network was trained on them.",
        alt=sentence(found),
        figure=figure,
        formulas=[formula(found)],
        table=lambda: {name: np.array(values, object) for name, values in trail(found).items()},
    )
