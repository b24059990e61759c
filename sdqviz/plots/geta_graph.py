"""Draws which channels of a network go together, which were removed, and how wide every layer was and is."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sdqviz.explore.wording import percent
from sdqviz.methods.geta.recording import Recording
from sdqviz.plots import geta_formulas, theme
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink
from sdqviz.pruning.outline import GroupOutline

ACROSS = 9
"""The most places side by side; a longer network goes on in the next line."""

LINE, LANE = 108, 0.68
"""Height of one line of the graph in pixels, and of a lane beside the longest path as a share of it."""

EASE = 0.75
"""Over how many places an edge leaves its layer's level."""

MEMBERS = 7
"""Members of a group that a hover text lists; the table has all."""

LABEL = 13
"""Characters of a layer's name that fit beside its mark."""

GROUP_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#B8A800")
"""Okabe and Ito's colours, yellow darkened; groups take them in turn, and other dashes when they are used up."""

DASHES = ("solid", "dot", "dash", "longdash", "dashdot")


def group_colour(run: Recording, group: int | None, ink: Ink) -> str:
    """Return the colour of a group; grey for one that must not be cut, that of text where several meet."""
    if group is None:
        return ink.text
    if not run.groups[group].prunable:
        return theme.ORIGINAL.colour(ink)
    return GROUP_COLOURS[group % len(GROUP_COLOURS)]


def group_dash(group: int | None) -> str:
    """Return the dash of a group's lines."""
    return DASHES[(group or 0) // len(GROUP_COLOURS) % len(DASHES)]


# -- info: numbers only -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Node:
    """A layer, or an operation that joins branches, with its place.

    Attributes
    ----------
    vertex : int
        Its index in the recording.
    after : tuple of int
        Vertices without channels of their own that follow it in a plain chain: norms, activations, pooling.
    group : int or None
        The group of the channels it hands on.
    depth, lane : int
        Place along the network, and 0 on its longest path, 1, 2, … beside it.
    """

    vertex: int
    after: tuple[int, ...]
    group: int | None
    depth: int
    lane: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """The graph as it is drawn.

    Attributes
    ----------
    nodes : tuple of Node
        In the order of the network.
    edges : tuple of (int, int)
        Pairs of indices into ``nodes``.
    """

    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]

    @property
    def depth(self) -> int:
        """Places along the longest path."""
        return 1 + max((node.depth for node in self.nodes), default=0)


def layout(run: Recording) -> Layout:
    """Place the layers: along the network by the longest path to each, beside it by branch.

    Vertices in a plain chain that own no channels (norms, activations, pooling, reshapes) are folded into the layer
    they follow.
    """
    count = len(run.vertices)
    before: list[list[int]] = [[] for _ in range(count)]
    behind: list[list[int]] = [[] for _ in range(count)]
    for a, b in dict.fromkeys(run.edges):
        behind[a].append(b)
        before[b].append(a)
    layers = {name for one in run.moments[:1] for name in (*one.weight_bits, *one.activation_bits)}

    def folds(k: int) -> bool:
        """Whether vertex k only passes on what one layer gives it."""
        vertex = run.vertices[k]
        plain = vertex.name not in layers and (vertex.before == 0 or "orm" in vertex.kind)
        return plain and len(before[k]) == 1 and len(behind[before[k][0]]) == 1

    order = _topological(before, behind)
    host: dict[int, int] = {}
    chain: dict[int, list[int]] = {}
    for k in order:
        if folds(k):
            host[k] = host[before[k][0]]
            chain[host[k]].append(k)
        else:
            host[k], chain[k] = k, []
    kept = [k for k in order if host[k] == k]
    place = {k: number for number, k in enumerate(kept)}
    edges = dict.fromkeys((place[host[a]], place[host[b]]) for a, b in run.edges if host[a] != host[b])
    depth, height = _depths(len(kept), tuple(edges))
    lanes = _lanes(depth, height)
    groups: list[int | None] = []
    for number, k in enumerate(kept):
        given = [groups[a] for a, b in edges if b == number and a < number]
        groups.append(_handed_on(run.vertices[k].groups, given))
    nodes = tuple(
        Node(k, tuple(chain[k]), groups[number], depth[number], lanes[number]) for number, k in enumerate(kept)
    )
    return Layout(nodes, tuple(edges))


def _topological(before: Sequence[Sequence[int]], behind: Sequence[Sequence[int]]) -> list[int]:
    """Order vertices so that edges go forward; what lies on a cycle, which no traced network has, comes last."""
    waiting = [len(one) for one in before]
    ready = [k for k, needed in enumerate(waiting) if needed == 0]
    order = []
    for k in ready:
        order.append(k)
        for following in behind[k]:
            waiting[following] -= 1
            if waiting[following] == 0:
                ready.append(following)
    return order + [k for k in range(len(before)) if waiting[k] > 0]


def _depths(count: int, edges: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Return the longest paths to and from each node; nodes are in topological order."""
    depth, height = [0] * count, [0] * count
    for a, b in sorted(edge for edge in edges if edge[0] < edge[1]):
        depth[b] = max(depth[b], depth[a] + 1)
    for a, b in sorted((edge for edge in edges if edge[0] < edge[1]), reverse=True):
        height[a] = max(height[a], height[b] + 1)
    return depth, height


def _lanes(depth: Sequence[int], height: Sequence[int]) -> list[int]:
    """Give nodes of one depth lanes, the one with the most still to come first."""
    lanes = [0] * len(depth)
    for _, members in itertools.groupby(sorted(range(len(depth)), key=lambda k: depth[k]), key=lambda k: depth[k]):
        for lane, k in enumerate(sorted(members, key=lambda k: (-height[k], k))):
            lanes[k] = lane
    return lanes


def _handed_on(own: Sequence[int], given: Sequence[int | None]) -> int | None:
    """Return the group of what a node hands on.

    Parameters
    ----------
    own : sequence of int
        The groups it has a part in: none of an operation.
    given : sequence of int or None
        The groups of what comes in.

    Returns
    -------
    int or None
        Its own that did not come in; where there is none, the one that came in; None where several meet, as in a
        concatenation.
    """
    new = [group for group in own if group not in given]
    if new:
        return new[-1]
    return given[0] if given and len(set(given)) == 1 else None


# -- draw: the graph ----------------------------------------------------------------------------------


def draw_graph(run: Recording, ink: Ink) -> Panel:
    """Draw the layers in their order, joined where channels flow, coloured by the group those belong to."""
    info = layout(run)
    across = _across(info.depth)
    lines = -(-info.depth // across)
    deepest = [max((n.lane for n in info.nodes if n.depth // across == row), default=0) for row in range(lines)]
    offsets = np.concatenate([[0.0], np.cumsum([1.0 + LANE * lane for lane in deepest])])
    figure = theme.figure(
        ink, height=int(LINE * offsets[-1]) + 24, margin={"l": 8, "r": 8, "t": 8, "b": 8, "autoexpand": False},
        showlegend=False,
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-0.6, across - 0.32], fixedrange=True)
    figure.update_yaxes(visible=False, range=[0.5 - offsets[-1], 0.5], fixedrange=True)
    places = [(node.depth % across, -offsets[node.depth // across] - LANE * node.lane) for node in info.nodes]
    _edges(figure, run, info, places, across, ink)
    _nodes(figure, run, info, places, ink)
    removed, units = geta_formulas.totals(run)
    prunable = [one for one in run.groups if one.prunable]
    kept = [f"{one.name} ({one.because})" for one in run.groups if not one.prunable]
    return Panel(
        name="graph",
        title="Which channels go together",
        look="Squares are layers, circles join branches; norms and activations are folded into the layer before them. "
        "Channels that flow along lines of one colour and dash can only go together; grey ones must stay. Point at a "
        "layer to see what belongs to its group.",
        alt=f"Dependency graph of {len(run.vertices)} vertices in {len(run.groups)} groups, {len(prunable)} of them "
        f"prunable with {units} units, {removed} removed. Kept: {'; '.join(kept[:6]) or 'none'}.",
        figure=figure,
        formulas=[geta_formulas.groups(run), geta_formulas.saliency(run)],
        table=lambda: {
            "group": np.array([one.name for one in run.groups for _ in one.members]),
            "units": np.array([one.units for one in run.groups for _ in one.members]),
            "removed": np.array([len(one.removed) for one in run.groups for _ in one.members]),
            "prunable": np.array([one.prunable for one in run.groups for _ in one.members]),
            "because": np.array([one.because for one in run.groups for _ in one.members]),
            "member": np.array([member for one in run.groups for member in one.members]),
        },
    )


def _across(depth: int) -> int:
    """Return how many places a line has: evenly many in each."""
    return max(4, math.ceil(depth / math.ceil(depth / ACROSS)))


def _edges(
    figure: go.Figure, run: Recording, info: Layout, places: Sequence[tuple[float, float]], across: int, ink: Ink
) -> None:
    """Draw the edges, one trace a group; an edge into another line leaves at its end and comes in at the next."""
    paths: dict[int | None, list[tuple[float | None, float | None]]] = {}
    heads: list[tuple[float, float]] = []
    for a, b in info.edges:
        (x0, y0), (x1, y1) = places[a], places[b]
        source, target = info.nodes[a], info.nodes[b]
        path = paths.setdefault(source.group, [])
        span = target.depth - source.depth
        over = 0.0 if span == 1 else 0.22 + 0.04 * min(span, 6)
        if source.depth // across == target.depth // across:
            level = y0 + over if source.lane == target.lane == 0 else y0 if source.lane else y1
            path += _track(x0, y0, x1, y1, level)
        else:
            out, back = (y0 if source.lane else y0 + over), (y1 if target.lane else y1 + over)
            path += _track(x0, y0, across - 0.42, out, out)
            path += _track(-0.55, back, x1, y1, back)
            heads.append((across - 0.4, out))
    for group, path in paths.items():
        figure.add_scatter(
            x=[None if x is None else round(x, 3) for x, _ in path],
            y=[None if y is None else round(y, 3) for _, y in path],
            mode="lines", line={"color": group_colour(run, group, ink), "width": 2.5, "dash": group_dash(group)},
            hoverinfo="skip", opacity=0.9,
        )  # fmt: skip
    if heads:
        figure.add_scatter(
            x=[x for x, _ in heads], y=[y for _, y in heads], mode="markers", hoverinfo="skip",
            marker={"symbol": "triangle-right", "size": 7, "color": ink.text},
        )  # fmt: skip


def _track(x0: float, y0: float, x1: float, y1: float, level: float) -> list[tuple[float | None, float | None]]:
    """Return the points of an edge that changes to ``level`` as it leaves, and to its end as it arrives."""
    if y0 == level == y1:
        return [(x0, y0), (x1, y1), (None, None)]
    ease = min(EASE, (x1 - x0) / 2) if y0 != level != y1 else min(EASE, x1 - x0)
    t = np.linspace(0, 1, 9)
    smooth = t * t * (3 - 2 * t)
    path: list[tuple[float | None, float | None]] = [(x0, y0)]
    if y0 != level:
        path += zip((x0 + ease * t).tolist(), (y0 + (level - y0) * smooth).tolist(), strict=True)
    if level != y1:
        path += zip((x1 - ease * (1 - t)).tolist(), (level + (y1 - level) * smooth).tolist(), strict=True)
    return [*path, (x1, y1), (None, None)]


def _nodes(figure: go.Figure, run: Recording, info: Layout, places: Sequence[tuple[float, float]], ink: Ink) -> None:
    """Draw the marks with their names and widths, and what the reader sees when pointing at them."""
    for joins in (False, True):
        shown = [k for k, node in enumerate(info.nodes) if (run.vertices[node.vertex].before == 0) == joins]
        if not shown:
            continue
        figure.add_scatter(
            x=[places[k][0] for k in shown],
            y=[places[k][1] for k in shown],
            mode="markers" if joins else "markers+text",
            text=[_label(run, info.nodes[k]) for k in shown],
            textposition="bottom center",
            textfont={"size": 10, "color": ink.text},
            marker={
                "symbol": "circle" if joins else "square",
                "size": 10 if joins else 18,
                "color": [ink.page if joins else group_colour(run, info.nodes[k].group, ink) for k in shown],
                "line": {"width": 2, "color": [group_colour(run, info.nodes[k].group, ink) for k in shown]},
            },
            hovertext=[_hover(run, info.nodes[k]) for k in shown],
            hoverinfo="text",
            hoverlabel={"align": "left"},
        )


def _label(run: Recording, node: Node) -> str:
    vertex = run.vertices[node.vertex]
    path, _, last = vertex.name.rpartition(".")
    if last.isdigit() and path:  # a number alone names nothing
        path, _, above = path.rpartition(".")
        last = f"{above}.{last}"
    lines = [vertex.name] if len(vertex.name) < LABEL - 2 else [path, last] if path else [last]
    width = f"{vertex.before}" if vertex.after == vertex.before else f"{vertex.before} → {vertex.after}"
    return "<br>".join([*(_short(line) for line in lines), width])


def _short(name: str) -> str:
    return name if len(name) <= LABEL else "…" + name[1 - LABEL :]


def _hover(run: Recording, node: Node) -> str:
    vertex = run.vertices[node.vertex]
    lines = [f"<b>{vertex.name}</b>, {vertex.kind}"]
    if vertex.before:
        lines.append(f"{vertex.before} channels, {vertex.after} left")
    if node.after:
        lines.append("then " + ", ".join(run.vertices[k].name for k in node.after))
    for group in vertex.groups:
        lines += _told(run.groups[group])
    return "<br>".join(lines)


def _told(group: GroupOutline) -> list[str]:
    state = f"{len(group.removed)} of {group.units} units removed" if group.prunable else f"kept: {group.because}"
    more = len(group.members) - MEMBERS
    return [
        f"<b>group {group.name}</b>: {state}",
        *(f"   {member}" for member in group.members[:MEMBERS]),
        *([f"   and {more} more"] if more > 0 else []),
    ]


# -- draw: channels and widths ------------------------------------------------------------------------


def runs(removed: Sequence[int], units: int) -> list[tuple[int, int, bool]]:
    """Split 0 … units into stretches (start, length, removed) of units that are all removed or all kept.

    Examples
    --------
    >>> runs([1, 2, 5], 6)
    [(0, 1, False), (1, 2, True), (3, 2, False), (5, 1, True)]
    """
    gone = set(removed)
    found, start = [], 0
    for state, stretch in itertools.groupby(unit in gone for unit in range(units)):
        length = sum(1 for _ in stretch)
        found.append((start, length, state))
        start += length
    return found


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
    removed, units = geta_formulas.totals(run)
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
        formulas=[geta_formulas.saliency(run), geta_formulas.groups(run)],
        table=lambda: {
            "group": np.array([one.name for one in run.groups for _ in range(one.units)]),
            "unit": np.array([unit for one in run.groups for unit in range(one.units)]),
            "removed": np.array([unit in set(one.removed) for one in run.groups for unit in range(one.units)]),
        },
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
    figure.update_layout(margin={"t": 36, "b": 96 if slanted else 50})
    figure.update_xaxes(
        tickvals=list(range(len(names))), ticktext=[_short(name) for name in names],
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
        formulas=[geta_formulas.bops(run), geta_formulas.groups(run)],
        table=lambda: {
            "layer": np.array(names),
            "kind": np.array([one.kind for one in shown]),
            "before": before,
            "after": after,
        },
    )
