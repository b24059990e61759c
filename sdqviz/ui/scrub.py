"""The one number a page is about, dragged inside a plot: asked for, computed at once, moved by the browser alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from sdqviz.explore.scrub.scrubbed import Scrubbed
from sdqviz.plots.scrubber import draw_scrubber
from sdqviz.ui import show
from sdqviz.ui.choices import apply
from sdqviz.ui.screen import SCRUB, Page

NONE = "none"
"""The choice to drag nothing."""


def ask(page: Page, along: Mapping[str, str]) -> str:
    """Draw the box that says what is dragged, and return its name in the link; ``"none"`` at first.

    Parameters
    ----------
    page : Page
        The page.
    along : mapping of str to str
        Symbols by name.
    """
    if not along:
        return NONE
    told = " or ".join(along.values())
    chosen: str = page.ask(
        SCRUB,
        NONE,
        label="Drag in a plot",
        help=f"Shows a plot with a slider of its own for {told}: some dozens of values are computed at once, and while "
        "you drag, curves and numbers follow without waiting.",
        options={NONE: "Nothing", **along},
        where="how much",
    )
    return chosen


def show_scrubber(
    page: Page, chosen: str, along: Mapping[str, str], function: Callable[[Mapping[str, Any]], Scrubbed | str]
) -> None:
    """Draw the plot in which something is dragged, or the buttons that ask for it.

    Parameters
    ----------
    page : Page
        The page; all it asks and computes stands.
    chosen : str
        From `ask`.
    along : mapping of str to str
        Symbols by name.
    function : callable
        Takes the page's choices and ``along``; a module-level function.
    """
    if chosen not in along:
        with st.container(horizontal=True, gap="small"):
            for name, symbol in along.items():
                st.button(
                    f"Drag {symbol}", icon=":material/swipe:", type="tertiary", on_click=apply, args=({SCRUB: name},),
                    help=f"A plot with a slider for {symbol} inside: it follows at once while you drag.",
                )  # fmt: skip
        return
    if page.refused is not None:
        return
    found = page.compute(function, along=chosen)
    if isinstance(found, str):
        st.caption(found)
    else:
        show.panel(draw_scrubber(found, page.ink), page)
    st.button("Close", icon=":material/close:", type="tertiary", on_click=apply, args=({SCRUB: NONE},),
              help="Back to the page without this plot.")  # fmt: skip
