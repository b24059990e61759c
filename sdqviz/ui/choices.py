"""What a session remembers of each page: its own choices, the steps back through them, and what worked last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from sdqviz.error import InputError

MOST_STEPS = 50
"""Steps back that are kept."""

MOST_MOVES = 4
"""Times in a row that a page moves its controls by itself before it gives up."""

_PAGE = "_page"


def apply(values: Mapping[str, Any]) -> None:
    """Set controls to values; only from a widget callback, or before the first widget."""
    for key, value in values.items():
        st.session_state[key] = value


def arrive(page: str, *, linked: bool) -> bool:
    """Open a page: what the page before had chosen leaves with it, and this page finds its own choices again.

    Parameters
    ----------
    page : str
        The page's address.
    linked : bool
        Whether a link says what to show; then the page's own earlier choices stay out.

    Returns
    -------
    bool
        Whether the page has just been opened.
    """
    last = st.session_state.get(_PAGE)
    if last != page:
        for key in {**st.session_state.get(f"_defaults {last}", {}), **choices(str(last))}:
            if key in st.session_state:
                del st.session_state[key]
        st.session_state[_PAGE], st.session_state[f"_new {page}"] = page, True
        if not linked:
            apply(choices(page))
    apply(st.session_state.pop(f"_put {page}", {}))
    return last != page


def know(page: str, defaults: Mapping[str, Any]) -> None:
    """Keep the controls a page has, also those it shows with other choices only, with their defaults."""
    name = f"_defaults {page}"
    st.session_state[name] = {**st.session_state.get(name, {}), **defaults}


def choices(page: str) -> dict[str, Any]:
    """Return the choices a page had when it was last shown."""
    found: dict[str, Any] = st.session_state.get(f"_choices {page}", {})
    return found


def remember(page: str, values: Mapping[str, Any]) -> None:
    """Keep the choices of a page that has been drawn, as one more step that can be undone."""
    now = dict(values)
    st.session_state[f"_choices {page}"] = now
    steps = _steps(page)
    if not steps or steps[-1] != now:
        steps.append(now)
        del steps[:-MOST_STEPS]


def can_undo(page: str) -> bool:
    """Say whether there is a step to take back."""
    return len(_steps(page)) > 1


def undo(page: str) -> None:
    """Take back the last choice (a widget callback)."""
    steps = _steps(page)
    if len(steps) > 1:
        steps.pop()
        apply(steps[-1])


def _steps(page: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = st.session_state.setdefault(f"_steps {page}", [])
    return found


def restore(page: str, own: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Run a page that has just been opened again where its controls did not take up its own earlier choices.

    With the browser's Back from another page the server is told defaults for controls that both pages have.
    """
    lost = {key: own[key] for key, value in values.items() if key in own and own[key] != value}
    if lost:
        st.session_state[f"_put {page}"] = lost
        st.rerun()


def move(page: str, values: Mapping[str, Any], sentence: str) -> bool:
    """Run the page again with other values, and tell why; say False if that has been tried too often in a row."""
    count = f"_moved {page}"
    st.session_state[count] = st.session_state.get(count, 0) + 1
    if st.session_state[count] > MOST_MOVES:
        return False
    st.session_state[f"_put {page}"] = dict(values)
    st.session_state.setdefault(f"_told {page}", []).append(sentence)
    st.rerun()
    return True


def told(page: str) -> list[str]:
    """Return, once, what the page did by itself."""
    found: list[str] = st.session_state.pop(f"_told {page}", [])
    return list(dict.fromkeys(found))


def worked(page: str) -> dict[str, dict[str, Any]]:
    """Return the choices with which the page's computations last worked, by the name of each."""
    found: dict[str, dict[str, Any]] = st.session_state.get(f"_worked {page}", {})
    return found


def is_new(page: str) -> bool:
    """Say whether a page has just been opened, and nothing of it has worked yet."""
    return bool(st.session_state.get(f"_new {page}", True))


def refuse(page: str, values: Mapping[str, Any], error: InputError) -> None:
    """Run the page again, and let it know from the first that these choices cannot be used."""
    st.session_state[f"_refused {page}"] = dict(values), error
    st.rerun()


def refused(page: str, values: Mapping[str, Any]) -> InputError | None:
    """Return why the choices of a page are known not to work."""
    before, error = st.session_state.get(f"_refused {page}", ({}, None))
    return error if before and all(before.get(key) == value for key, value in values.items()) else None


def has_worked(page: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep the choices with which all of a page could be drawn."""
    st.session_state[f"_moved {page}"], st.session_state[f"_new {page}"] = 0, False
    if found:
        st.session_state[f"_worked {page}"] = {name: dict(values) for name, values in found.items()}
