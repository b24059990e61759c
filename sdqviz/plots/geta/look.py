"""How groups and names of layers look in every plot of the page."""

from __future__ import annotations

from sdqviz.methods.geta.recording import Recording
from sdqviz.plots import theme
from sdqviz.plots.theme import Ink

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
    return theme.legible(GROUP_COLOURS[group % len(GROUP_COLOURS)], ink)


def group_dash(group: int | None) -> str:
    """Return the dash of a group's lines."""
    return DASHES[(group or 0) // len(GROUP_COLOURS) % len(DASHES)]


def short(name: str) -> str:
    """Return the end of a name that is too long."""
    return name if len(name) <= LABEL else "…" + name[1 - LABEL :]
