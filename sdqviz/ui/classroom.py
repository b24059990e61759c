"""A class room on the page Learn: the lecturer's view, the students' view, and how one comes into either."""

from __future__ import annotations

import base64
import functools
import io
import os
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from sdqviz.choice import Spec
from sdqviz.error import InputError
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Lesson
from sdqviz.lessons.room import MOST_GUESSES, Room, Rooms, proposal
from sdqviz.plots import lesson as plots
from sdqviz.plots.guesses import draw_guesses
from sdqviz.ui import choices, learn, presenter, proxy, show
from sdqviz.ui.screen import Page

WORD = "class"
"""Name of the room in the link."""

LECTURER_LOOKS, STUDENT_LOOKS = 1.5, 2.0
"""Seconds between two looks into the room."""

_VISITOR = "_class visitor"


@functools.cache
def rooms() -> Rooms:
    """Return the rooms of this server."""
    return Rooms(os.environ.get(proxy.ROOMS, ":memory:"))


def enter(page: Page) -> Room | None:
    """Take the room from the link; None if there is none, with a sentence if there should be one."""
    spec = Spec("Class room", "The word of the room that is joined; empty to learn alone.")
    page.link.take(WORD, str, spec)
    word = page.group("what").text_input(spec.label, key=WORD, help=spec.help, max_chars=40, bind="query-params")
    page.link.declare(WORD, word or None, None, str, spec)
    if not word:
        return None
    try:
        return rooms().get(word)
    except InputError as error:
        st.warning(f"{error}. Ask the lecturer for the word, or go on alone below.")
        return None


def door(lesson: Lesson) -> None:
    """Offer to open a room on a lesson, or to join one."""
    with st.popover("In class", icon=":material/groups:"):
        st.caption(
            "Open a room, show its code, and let the class guess on their own phones or computers; nobody needs an "
            f"account. It takes {MOST_GUESSES} guesses to a question and is gone after three hours."
        )
        if "_class word" not in st.session_state:
            st.session_state["_class word"] = proposal()
        st.text_input("Word of the new room", key="_class word", help="Letters, digits and hyphens.", max_chars=24)
        st.button("Open the room", type="primary", on_click=_open, args=(lesson.name,))
        st.text_input("Or join one: its word", key="_class join", on_change=_join, max_chars=24, help="From the wall.")
    problem = st.session_state.pop("_class problem", "")
    if problem:
        st.error(f"{problem}.")


def _open(lesson: str) -> None:
    word = st.session_state["_class word"].strip().lower()
    try:
        key = rooms().open(word, lesson)
    except InputError as error:
        st.session_state["_class problem"] = str(error)
        return
    st.session_state[f"_class key {word}"] = key
    choices.apply({WORD: word})


def _join() -> None:
    choices.apply({WORD: st.session_state["_class join"].strip().lower()})


def draw(page: Page, room: Room) -> None:
    """Draw the view of a room, the lecturer's for the one who opened it."""
    lesson = LESSONS[room.lesson]()
    key = st.session_state.get(f"_class key {room.word}", "")
    problem = st.session_state.pop("_class problem", "")
    if problem:
        st.error(f"{problem}.")
    if key:
        _lecture(page, room, lesson, key, large=presenter.ask(page))
    else:
        st.html(presenter.ALONE)
        _attend(page, room, lesson)


def visitor() -> str:
    """Return the random token of this session."""
    if _VISITOR not in st.session_state:
        st.session_state[_VISITOR] = secrets.token_hex(16)
    token: str = st.session_state[_VISITOR]
    return token


# -- the lecturer ------------------------------------------------------------------------------------


def _lecture(page: Page, room: Room, lesson: Lesson, key: str, *, large: bool) -> None:
    left, right = st.columns([3, 1], gap="large")
    with right:
        _code(room, page.ink.dark)
    with left:
        st.subheader(f"{lesson.place} · {lesson.title}", anchor=False)
        st.markdown(lesson.question)
        _filling(page, room, lesson, key)
        if room.revealed:
            found = learn.revealed(lesson.name)
            st.markdown(f"**{found.sentence}**")
    if room.revealed:
        show.panel(plots.draw_reveal(lesson, found, None, page.ink), page)
        st.markdown(lesson.why)
    _desk(room, lesson, key, large=large)


@st.fragment(run_every=LECTURER_LOOKS)
def _filling(page: Page, room: Room, lesson: Lesson, key: str) -> None:
    """Draw the guesses as they come in."""
    try:
        guesses = rooms().guesses(room.word, key)
    except InputError:
        st.rerun()
    truth = learn.revealed(lesson.name).truth if room.revealed else None
    show.panel(draw_guesses(lesson, guesses, truth, None, page.ink), page)


def _desk(room: Room, lesson: Lesson, key: str, *, large: bool) -> None:
    """Draw what a lecturer can do; the arrow keys reveal and go on."""
    names = list(learn.lessons())
    place = names.index(lesson.name)
    after = names[place + 1] if place + 1 < len(names) else None
    before = names[place - 1] if place else None
    back, on, begin, end = st.columns([2, 3, 2, 2])
    back.button(
        "Back", shortcut="Left", disabled=before is None, on_click=_do, args=(room.word, key, "ask", before),
        width="stretch",
    )  # fmt: skip
    if not room.revealed:
        on.button(
            "Reveal", type="primary", shortcut="Right", on_click=_do, args=(room.word, key, "reveal"), width="stretch"
        )
    else:
        on.button(
            "Next question", type="primary", shortcut="Right", disabled=after is None,
            on_click=_do, args=(room.word, key, "ask", after), width="stretch",
        )  # fmt: skip
    if large:
        begin.button("End", shortcut="Esc", type="tertiary", on_click=choices.apply, args=({presenter.KEY: False},))
        return
    with begin:
        presenter.start()
    with end.popover("The room", icon=":material/meeting_room:"):
        st.caption("With this key the room can be led from another browser, or after this page was loaded again.")
        st.code(key, language=None)
        st.selectbox(
            "Ask another question", names, index=place, key="_class ask", format_func=lambda name: LESSONS[name].title,
            on_change=lambda: _do(room.word, key, "ask", st.session_state["_class ask"]),
            help="What was guessed to it before is dropped.",
        )  # fmt: skip
        st.button("Close the room", on_click=_close, args=(room.word, key), help="All guesses are dropped.")


def _do(word: str, key: str, act: str, *more: Any) -> None:
    try:
        getattr(rooms(), act)(word, key, *more)
    except InputError as error:
        st.session_state["_class problem"] = str(error)


def _close(word: str, key: str) -> None:
    _do(word, key, "close")
    st.session_state.pop(f"_class key {word}", None)
    choices.apply({WORD: ""})


def _code(room: Room, dark: bool) -> None:
    """Draw the link of a room, as a picture for phones and as a word."""
    link = address(room.word)
    st.markdown(f"## {room.word}")
    st.image(_picture(link, dark), width="stretch")
    st.code(link, language=None, wrap_lines=True)
    if urlsplit(link).hostname in {"127.0.0.1", "localhost"}:
        st.caption("Only this computer can open this link: start with `sdqviz app --address 0.0.0.0` for a class.")


def address(word: str) -> str:
    """Return the link under which a class joins a room."""
    parts = urlsplit(str(st.context.url or "http://127.0.0.1:8501/learn"))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode({WORD: word}), ""))


@functools.lru_cache(64)
def _picture(link: str, dark: bool) -> str:
    """Return the QR code of a link, dark on white in both themes: many phones cannot read the reverse."""
    import segno

    out = io.BytesIO()
    segno.make(link, error="m").save(out, kind="svg", scale=8, border=2, dark="#000", light="#fff", omitsize=True)
    return f"data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode()}"


# -- the students ------------------------------------------------------------------------------------


def _attend(page: Page, room: Room, lesson: Lesson) -> None:
    st.caption(f"Class **{room.word}**. Nobody sees who guessed what.")
    st.subheader(f"{lesson.place} · {lesson.title}", anchor=False)
    st.markdown(lesson.question)
    mine = rooms().mine(room.word, visitor())
    if room.revealed:
        found = learn.revealed(lesson.name)
        told = lesson.surprise(mine, found) if mine is not None else "You did not guess."
        st.markdown(f"**{told}** {found.sentence}")
        guesses = rooms().guesses(room.word)
        show.panels(
            [
                draw_guesses(lesson, guesses, found.truth, mine, page.ink, height=380),
                plots.draw_reveal(lesson, found, mine, page.ink),
            ],
            page,
        )
    elif mine is None or st.session_state.get("_class again"):
        learn.guess(lesson, "Send my guess", _send, (room.word,))
    else:
        st.success("Your guess is in. The answer comes when the lecturer reveals it.")
        st.button("Guess again", on_click=choices.apply, args=({"_class again": True},))
    _wait(room)
    st.button("Leave the room", type="tertiary", on_click=choices.apply, args=({WORD: ""},))
    with st.popover("I am the lecturer", type="tertiary"):
        st.text_input(
            "Key of the room",
            key="_class claim",
            on_change=_claim,
            args=(room.word,),
            max_chars=20,
            help="It stands under “The room” on the lecturer's page.",
        )


def _send(lesson: str, given: str, word: str) -> None:
    try:
        rooms().guess(word, visitor(), lesson, st.session_state[given])
    except InputError as error:
        st.session_state["_class problem"] = str(error)
    st.session_state["_class again"] = False


def _claim(word: str) -> None:
    key = st.session_state["_class claim"].strip()
    try:
        rooms().check(word, key)
    except InputError as error:
        st.session_state["_class problem"] = str(error)
        return
    st.session_state[f"_class key {word}"] = key


@st.fragment(run_every=STUDENT_LOOKS)
def _wait(room: Room) -> None:
    """Look whether the lecturer has gone on."""
    try:
        now = rooms().get(room.word)
    except InputError:
        st.rerun()
    if (now.lesson, now.revealed) != (room.lesson, room.revealed):
        st.rerun()
    if not now.revealed:
        st.caption(f"{now.guesses} {'has' if now.guesses == 1 else 'have'} guessed so far.")
