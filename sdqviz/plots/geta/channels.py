"""Draws which channels were removed, and how wide every layer was and is."""

from __future__ import annotations

from typing import Any

import numpy as np

from sdqviz.explore.geta import formulas
from sdqviz.explore.geta.graph import runs, units_table
from sdqviz.explore.wording import percent
from sdqviz.methods.geta.recording import Recording
from sdqviz.plots import theme
from sdqviz.plots.geta.look import group_colour, short
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink


def draw_channels(run: Recording, ink: Ink) -> Panel:
    """Draw every group as a strip of its units, the removed ones hatched."""
    names = [one.name for one in run.groups]
    height = 96 + 22 * max(len(names), 3)
    left = 16 + 7 * min(max((len(name) for name in names), default=4), 20)
    figure = theme.figure(ink, height=height, x="unit", barmode="overlay", bargap=0.28, showlegend=False)
    figure.update_layout(margin={"l": left, "t": 12})
    for state in (False, True):
        pieces = [
            (place, start, length)
            for place, one in enumerate(run.groups)
            for start, length, gone in runs(one.removed, one.units)
            if gone == state
        ]
        if not pieces:
            continue
        colours = [group_colour(run, place, ink) for place, _, _ in pieces]
        pattern: dict[str, Any] = {"shape": "/", "size": 5, "fgcolor": colours, "bgcolor": "rgba(0,0,0,0)"}
        figure.add_bar(
            orientation="h", y=[place for place, _, _ in pieces], x=[length for _, _, length in pieces],
            base=[start for _, start, _ in pieces],
            marker={"color": colours, "line": {"width": 0.5, "color": ink.page}}
            | ({"pattern": pattern, "line": {"width": 0.5, "color": colours}} if state else {}),
            hovertext=[
                f"{names[place]}: units {start} to {start + length - 1} {'removed' if state else 'kept'}"
                + ("" if run.groups[place].prunable else f", {run.groups[place].because}")
                for place, start, length in pieces
            ],
            hoverinfo="text",
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[n if len(n) <= 20 else "…" + n[-19:] for n in names],
        range=[len(names) - 0.4, -0.6], ticks="", showgrid=False, tickfont={"size": 11, "color": ink.text},
    )  # fmt: skip
    figure.update_xaxes(range=[0, max((one.units for one in run.groups), default=1)])
    removed, units = formulas.totals(run)
    share = percent(removed / units) if units else "0 %"
    told = "; ".join(f"{one.name} {len(one.removed)} of {one.units}" for one in run.groups[:12])
    return Panel(
        name="channels",
        title="What was removed",
        look=f"Each strip is a group, each unit one step long; hatched units are gone, {removed:,} of {units:,} "
        f"({share}). Grey groups were not to be cut." if run.finished or removed else
        "Each strip is a group, each unit one step long. Which ones go is decided in the joint stage.",
        alt=f"Units removed by group: {told}. Together {removed} of {units} prunable units, {share}.",
        figure=figure,
        formulas=[formulas.saliency(run), formulas.groups(run)],
        table=lambda: units_table(run),
    )  # fmt: skip


def draw_widths(run: Recording, ink: Ink) -> Panel:
    """Draw the channels of every layer before and after, what was removed hatched."""
    shown = [one for one in run.vertices if one.before and "orm" not in one.kind]
    names = [one.name for one in shown]
    before, after = np.array([one.before for one in shown]), np.array([one.after for one in shown])
    figure = theme.figure(ink, height=360, y="channels", barmode="group", bargap=0.25, bargroupgap=0.05)
    pattern = {"shape": "/", "size": 6, "fgcolor": theme.COMPRESSED.colour(ink), "bgcolor": "rgba(0,0,0,0)"}
    bars: tuple[tuple[str, Any, Any, str, dict[str, Any]], ...] = (
        ("before", before, None, "before", {"color": theme.ORIGINAL.colour(ink)}),
        ("after", after, None, "after", {"color": theme.COMPRESSED.colour(ink)}),
        ("removed", before - after, after, "after", {
            "color": theme.COMPRESSED.colour(ink), "pattern": pattern,
            "line": {"width": 0.5, "color": theme.COMPRESSED.colour(ink)},
        }),
    )  # fmt: skip
    for name, values, base, slot, marker in bars:
        figure.add_bar(
            x=list(range(len(names))), y=values.tolist(), base=None if base is None else base.tolist(), name=name,
            offsetgroup=slot, marker=marker, customdata=names, hovertemplate=f"%{{customdata}}, {name}: %{{y}}"
            if base is None else "%{customdata}, removed<extra></extra>",
        )  # fmt: skip
    slanted = len(names) > 7
    figure.update_layout(margin={"b": 96 if slanted else 50})
    figure.update_yaxes(range=[0, 1.12 * max(before, default=1)])  # no tick reaches the legend
    figure.update_xaxes(
        tickvals=list(range(len(names))), ticktext=[short(name) for name in names],
        tickangle=-45 if slanted else 0, tickfont={"size": 11, "color": ink.text},
    )  # fmt: skip
    told = "; ".join(f"{one.name} {one.before} to {one.after}" for one in shown[:16])
    thinnest = min(shown, key=lambda one: one.after / one.before, default=None)
    note = "" if thinnest is None or thinnest.after == thinnest.before else (
        f" {thinnest.name} lost most: {thinnest.after} of {thinnest.before} channels are left."
    )  # fmt: skip
    return Panel(
        name="widths",
        title="How wide every layer was and is",
        look="Grey is the original, blue what is left, hatched what was cut out of it." + note,
        alt=f"Channels of each layer before and after: {told}.",
        figure=figure,
        formulas=[formulas.bops(run), formulas.groups(run)],
        table=lambda: {
            "layer": np.array(names),
            "kind": np.array([one.kind for one in shown]),
            "before": before,
            "after": after,
        },
    )
