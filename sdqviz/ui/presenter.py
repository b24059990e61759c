"""Presenter mode: large type, no sidebar, and keys, of a remote too, instead of buttons to aim at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from sdqviz.ui.choices import apply
from sdqviz.ui.screen import Page

ALONE = """<style id="alone">
[data-testid="stSidebar"], [data-testid="stExpandSidebarButton"], [data-testid="stSidebarCollapsedControl"]
{display: none !important}
[data-testid="stMain"] [data-testid="stElementContainer"]:has(h1),
[data-testid="stMain"] [data-testid="stElementContainer"]:has(h1) + * {display: none}
</style>"""
"""Hides the sidebar and the heading: for the wall, and for those who follow a lecturer on a phone."""

LARGE = """<style id="large">
html {font-size: 24px !important}
[data-testid="stMainBlockContainer"] {max-width: 1800px; padding: 1.2rem 2.4rem}
[data-testid="stMain"] [data-testid="stMarkdownContainer"] :is(p, li) {font-size: 1.15rem; line-height: 1.45}
[data-testid="stMain"] [data-testid="stCaptionContainer"] p {font-size: .9rem}
[data-testid="stHeader"] {display: none}
</style>"""

HIDDEN = "<style>.st-key-clicker {display: none}</style>"

KEY = "present"
"""Name of the switch in the link."""


def ask(page: Page) -> bool:
    """Draw the switch and, while it is on, change the look of the page."""
    on: bool = page.ask(
        KEY,
        False,
        label="Present",
        help="Large type for a projector, without this sidebar: → or PageDown goes on, ← or PageUp goes back, Esc ends "
        "it.",
        where="what",
    )
    if on:
        st.html(ALONE)
        st.html(LARGE)
        page.large = True
    return on


def start() -> None:
    """Draw the button that begins."""
    st.button(
        "Present",
        icon=":material/slideshow:",
        on_click=apply,
        args=({KEY: True},),
        help="Large type for a projector, without the sidebar; the arrow keys or a remote step.",
    )


def steps(back: Mapping[str, Any] | None, on: Mapping[str, Any] | None) -> None:
    """Draw the buttons of a presentation, with their keys.

    Parameters
    ----------
    back, on : mapping or None
        Controls to set for the card before and the card after; None where there is none.
    """
    first, second, last = st.columns([1, 1, 3])
    _step(first, "Back", "Left", back)
    _step(second, "Next", "Right", on)
    last.button("End", shortcut="Esc", type="tertiary", on_click=apply, args=({KEY: False},))
    with st.container(key="clicker"):  # a presenter's remote sends these keys; a button takes one
        st.html(HIDDEN)
        for label, key, values in (("Back (remote)", "PageUp", back), ("Next (remote)", "PageDown", on)):
            if values is not None:
                st.button(label, shortcut=key, on_click=apply, args=(values,))


def _step(place: Any, label: str, key: str, values: Mapping[str, Any] | None) -> None:
    told: Callable[..., None] | None = None if values is None else apply
    place.button(
        label, shortcut=key, disabled=values is None, on_click=told, args=(values,), width="stretch",
        help="There is nothing further." if values is None else None,
    )  # fmt: skip
