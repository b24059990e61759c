"""The link that carries a page's choices: what came in, what could not be used, and the link to copy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from sdqviz.choice import Spec
from sdqviz.ui import choices as page_choices
from sdqviz.version import __version__

VERSION_KEY = "v"
"""The parameter that names the engine version a link was made with."""


def parse(name: str, text: str, kind: type, spec: Spec) -> tuple[Any, str | None]:
    """Read one value of a link.

    Parameters
    ----------
    name : str
        The parameter.
    text : str
        What the link gives.
    kind : type
        ``int``, ``float``, ``bool`` or ``str``.
    spec : Spec
        Range or options the value must satisfy.

    Returns
    -------
    value
        The value, or None if it cannot be used.
    reason : str or None
        One sentence that says why it cannot be used.
    """
    if kind is bool:
        value = {"true": True, "false": False}.get(text.lower())
        return value, None if value is not None else f"{name} must be true or false, got {text!r}"
    if kind is str:
        names = spec.option_names()
        if names is not None and text not in names:
            return None, f"{name} must be one of {', '.join(names)}, got {text!r}"
        return text, None
    try:
        number = kind(text)
    except ValueError:
        return None, f"{name} must be a {'whole ' if kind is int else ''}number, got {text!r}"
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum
    if not (low <= number <= high and math.isfinite(number)):
        limits = f"between {low:g} and {high:g}" if high < math.inf else f"at least {low:g}"
        return None, f"{name} must be {limits if low > -math.inf else 'finite'}, got {text}"
    return number, None


@dataclasses.dataclass
class Link:
    """The parameters of one page in one run of its script.

    Attributes
    ----------
    page : str
        Address of the page.
    incoming : dict of str
        The link's parameters, copied before the first widget: Streamlit replaces a bad value by the
        default without a word and erases it, so the notice has to come from here.
    new : bool
        Whether the page has just been opened.
    values, defaults : dict
        Of every control drawn so far.
    problems : list of str
        One sentence for each value of the link that could not be used.
    names : dict of str
        What the address is to hold for the boxes of names drawn so far; empty for a default.
    """

    page: str
    incoming: dict[str, str]
    new: bool = False
    values: dict[str, Any] = dataclasses.field(default_factory=dict)
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)
    names: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def open(cls, page: str) -> Link:
        """Copy the parameters of the link, or take up the page's own choices; before the first widget."""
        incoming = {key: st.query_params[key] for key in st.query_params}
        new = page_choices.arrive(page, linked=bool(incoming))
        return cls(page, incoming, new)

    def take(self, key: str, kind: type, spec: Spec) -> None:
        """Give a control the value the link has for it: Streamlit does so only once in a session."""
        if self.new and key in self.incoming and key not in st.session_state:
            value, reason = parse(key, self.incoming[key], kind, spec)
            if reason is None:
                st.session_state[key] = value

    def follow(self, key: str, spec: Spec, default: Any) -> None:
        """Give a box of names what the address says, where that has changed since the page last wrote it.

        Boxes show words and the address holds names, so they are not bound to it: Streamlit would write the words.
        The address changes by the browser's Back and Forward.
        """
        written = st.session_state.get(f"_written {self.page}")
        given = self.incoming.get(key, "")
        if written is not None and not self.new and given != written.get(key, ""):
            value, _ = parse(key, given, str, spec)
            st.session_state[key] = default if value is None else value
            written[key] = given  # at once: another step through the history may end this run before it settles

    def write(self, key: str, value: Any, default: Any) -> None:
        """Let the address hold the name a box shows."""
        self.names[key] = "" if value == default else str(value)

    def settle(self) -> None:
        """Write what the boxes of names show into the address, as one step of the browser's history."""
        kept = f"_written {self.page}"
        gone = st.session_state.get(kept, {}).keys() - self.values.keys()  # boxes that other choices have hidden
        wanted = {**dict.fromkeys(gone, ""), **self.names}
        changed = {key: name for key, name in wanted.items() if st.query_params.get(key, "") != name}
        if changed:  # without a value, a parameter is not in the address
            st.query_params.update({key: name or () for key, name in changed.items()})
        st.session_state[kept] = dict(self.names)

    def declare(self, key: str, value: Any, default: Any, kind: type, spec: Spec) -> None:
        """Record a control, and check what the link gave for it."""
        self.values[key], self.defaults[key] = value, default
        text = self.incoming.get(key)
        if text is None:
            return
        _, reason = parse(key, text, kind, spec)
        if reason is not None:
            self.problems.append(f"{reason}. The default, {default}, is used instead.")

    def notices(self) -> list[str]:
        """Return what to tell about the link, until the first change of a control."""
        seen = st.session_state.get(f"_defaults {self.page}", {})
        for key in self.incoming:
            if key in self.values or key in seen:  # a control of this page, perhaps hidden by a choice made since
                continue
            if key == VERSION_KEY:
                if self.incoming[key] != __version__:
                    self.problems.append(
                        f"The link was made with version {self.incoming[key][:20]}; this is {__version__}: "
                        "numbers may differ."
                    )
            else:
                self.problems.append(f"{key[:40]} is not a control of this page with these choices; it is ignored.")
            if key in st.query_params:
                del st.query_params[key]
        memory = f"_notices {self.page}"
        told = [*self.problems, *page_choices.told(self.page)]
        if told:
            st.session_state[memory] = (told, dict(self.values))
        before, when = st.session_state.get(memory, ([], None))
        return before if when == self.values else []

    def reset(self) -> None:
        """Set every control of the page to its default (a widget callback)."""
        page_choices.apply(self.defaults)

    def address(self) -> str:
        """Return the complete link: every choice, the seed and the engine version."""
        parts = urlsplit(str(st.context.url or "http://127.0.0.1:8501/"))
        return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query(self.values)), ""))


def linked(link: Link, key: str) -> str:
    """Return a text of the link that no widget of its own holds: what came last, the link or a change here."""
    incoming, memory = link.incoming.get(key), f"_linked {key}"
    if incoming is not None and incoming != st.session_state.get(memory):
        st.session_state[key] = st.session_state[memory] = incoming
    return str(st.session_state.setdefault(key, ""))


def write_linked(link: Link, key: str, value: str, spec: Spec) -> None:
    """Put such a text into the link."""
    link.declare(key, value, "", str, spec)
    st.session_state[f"_linked {key}"] = value
    if value:
        st.query_params[key] = value
    elif key in st.query_params:
        del st.query_params[key]


def query(values: Mapping[str, Any]) -> dict[str, str]:
    """Return choices, with the engine version, as the parameters of a link."""
    given = {key: _as_text(value) for key, value in values.items() if value is not None}
    return given | {VERSION_KEY: __version__}


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
