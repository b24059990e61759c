"""Draws the trail of a search for the smallest size: what each trial costs and keeps, and what was enough."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdqviz.array import Array
from sdqviz.experiments.compare.entry import Entry
from sdqviz.experiments.compare.figures import accuracy_text, place, ticks
from sdqviz.experiments.run import Run
from sdqviz.experiments.target import Search, held_out, most_runs
from sdqviz.experiments.target import size as size_of
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number
from sdqviz.plots import theme
from sdqviz.plots.compare import look_of, order_of
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def sentence(found: Search) -> str:
    """Say what was found, what the test inputs say to it, and what was not looked at."""
    count = f"{len(found.trials)} runs tried"
    if not found.complete:
        count = f"Stopped after {len(found.trials)} of at most {most_runs(found.aim)} runs"
    skipped = "".join(f" Not searched: {name}, {why}." for name, why in found.skipped.items())
    if found.best is None or found.best.report is None:
        none = f"None of the {count} keeps enough: widen the methods or lower the goal."
        return f"{none if found.complete else f'{count}: none of them keeps enough.'}{skipped}"
    report = found.best.report
    verdict = "kept" if found.met else "missed on the test inputs, though not on the held-out ones"
    return (
        f"{'Smallest found' if found.complete else 'Smallest so far'}: {_title(found.best)} with "
        f"{number(size_of(found.best))} bits per original weight and "
        f"{accuracy_text(report.accuracy_after or 0.0)} test accuracy (goal {accuracy_text(found.aim.accuracy)}: "
        f"{verdict}). {count}; a smaller one may exist beyond them.{skipped}"
    )


def _title(trial: Run) -> str:
    one = Entry((trial,), "")
    return f"{one.method}, {one.settings}"


def trail(found: Search) -> dict[str, list[Any]]:
    """Return the trials in the order they were tried, as columns."""
    rows = [(trial, Entry((trial,), "")) for trial in found.trials]
    return {
        "method": [one.method for _, one in rows],
        "settings": [one.settings for _, one in rows],
        "bits per weight": [_rounded(size_of(trial)) for trial, _ in rows],
        "held out, %": [_rounded(100 * held_out(trial)) for trial, _ in rows],
        "enough": ["yes" if found.enough(trial) else "no" for trial, _ in rows],
        "test accuracy, %": [_rounded(100 * one.values["accuracy"]) for _, one in rows],
        "problem": [trial.problem for trial, _ in rows],
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


def draw_search(found: Search, ink: Ink) -> Panel:
    """Draw every trial, what was needed, and the best."""
    done = [trial for trial in found.trials if trial.report is not None]
    x = place("bits", [size_of(trial) for trial in done])
    y = place("accuracy", [held_out(trial) for trial in done])
    needed = float(place("accuracy", [found.needed])[0])
    figure = theme.figure(ink, height=400, x="bits per original weight", y="accuracy on held-out inputs")
    figure.update_layout(
        margin={"t": 72, "l": 70}, xaxis=_axis("bits", x), yaxis=_axis("accuracy", np.append(y, needed))
    )
    figure.add_hline(
        y=needed, line={"color": ink.text, "dash": "dash", "width": 1.5},
        annotation={"text": f"enough: {accuracy_text(found.needed)}", "font": {"color": ink.text, "size": 12},
                    "xanchor": "left", "x": 0.005, "yanchor": "bottom"},
    )  # fmt: skip
    methods = [str(trial.method["name"]) for trial in done]
    for method in sorted(set(methods), key=order_of):
        own = [place_ for place_, name in enumerate(methods) if name == method]
        figure.add_scatter(
            x=x[own], y=y[own], mode="markers", name=method, marker=look_of(method).marker(ink, 9),
            text=[f"{place_ + 1}. {_title(done[place_])}<br>{number(size_of(done[place_]))} bits, held out "
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
        formulas=[
            Formula(
                r"a_\text{held}\ \ge\ a_\text{held}^\text{float}-\left(a_\text{test}^\text{float}-x\right)",
                [
                    (r"a_\text{held}", "accuracy on the held-out inputs", ""),
                    ("x", "the goal, on the test inputs", accuracy_text(found.aim.accuracy)),
                    (r"n_\text{held}", "held-out inputs", str(found.aim.held_out)),
                    ("n", "runs tried", str(len(found.trials))),
                ],
                "Every line of choices is bisected by size, which supposes that accuracy grows along it. Nothing is "
                "claimed beyond the runs that were tried.",
                rf"a_\text{{held}}\ \ge\ {found.needed:.4f}",
            )
        ],
        table=lambda: {name: np.array(values, object) for name, values in trail(found).items()},
    )


def _axis(name: str, positions: Array) -> dict[str, Any]:
    low, high = (float(positions.min()), float(positions.max())) if len(positions) else (0.0, 1.0)
    pad = 0.06 * max(high - low, 0.2)
    at, texts = ticks(name, low - pad, high + pad)
    return {"range": [low - pad, high + pad], "tickvals": at, "ticktext": texts}
