"""The way to two views of one page beside each other: what the link holds, and the offer in the sidebar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from sdqviz.error import InputError
from sdqviz.strict_json import read_json, write_json
from sdqviz.ui import choices as page_choices
from sdqviz.ui.screen import UNUSED

ADDRESS, ICON = "two-up", ":material/splitscreen_vertical_add:"

PAGES = ("sigma-delta", "frames", "path-following", "bounds", "network", "geta")
"""Addresses of the pages of which two views can stand beside each other."""

LONGEST = 6000
"""Characters of the choices of one side in the link."""

_HELD = "_two-up held"


def offer(page: str, entry: st.Page) -> None:
    """Offer in the sidebar to keep this view of a page as A, and to show A beside the present one.

    Parameters
    ----------
    page : str
        Address of the page that has just been drawn.
    entry : st.Page
        The page with two views.
    """
    now = page_choices.choices(page)
    if page not in PAGES or not now:
        return
    held: tuple[str, str] | None = st.session_state.get(_HELD)
    with st.sidebar.popover("Two views", icon=ICON, width="stretch"):
        st.caption("Keep this view as A, change what you like, and see both on the same axes.")
        st.button("Keep this view as A", on_click=_hold, args=(page, write(now)), width="stretch")
        if held is not None and held[0] == page:
            st.page_link(
                entry,
                label="A beside this view",
                icon=ICON,
                query_params={"page": page, "left": held[1], "right": write(now)},
            )


def _hold(page: str, choices: str) -> None:
    st.session_state[_HELD] = (page, choices)


def query(page: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of the link that shows two views of a page."""
    return {"page": page, "left": write(one), "right": write(other)}


def write(choices: Mapping[str, Any]) -> str:
    """Return choices as they stand in the link."""
    return write_json({k: v for k, v in choices.items() if v is not None and k not in UNUSED})


def read(letter: str, text: str) -> dict[str, Any]:
    """Read the choices of a side.

    Raises
    ------
    InputError
        If they are no JSON object of numbers, texts and truths.
    """
    if len(text) > LONGEST:
        raise InputError(f"side {letter} must be at most {LONGEST:,} characters, got {len(text):,}")
    found = read_json(text, f"side {letter} must be an object of choices")
    if not isinstance(found, dict) or not all(isinstance(v, bool | int | float | str) for v in found.values()):
        raise InputError(f"side {letter} must be an object of choices, got {text[:40]!r}")
    return found


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the choices in which two views differ, as columns; one that is not given stands at its default."""
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    sides = [[str(side.get(name, "as at first")) for name in names] for side in (one, other)]
    return {"choice": names, "A": sides[0], "B": sides[1]}
