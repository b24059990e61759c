"""The cards of a lesson: question and guess, answer, reason, and the page on which to break it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import streamlit as st

from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import CARDS, Curve, Lesson, Number, Reveal
from sdqviz.plots import lesson as plots
from sdqviz.plots.theme import Ink
from sdqviz.ui import choices, link, main, presenter, show
from sdqviz.ui.screen import Page
from sdqviz.ui.sketch import sketch


def lessons() -> dict[str, Lesson]:
    """Return the lessons by name, in their order."""
    return {cls.name: cls() for cls in sorted(LESSONS.values(), key=lambda cls: cls.place)}


def ask(page: Page) -> tuple[Lesson, int]:
    """Draw the boxes of the lesson and of its card."""
    every = lessons()
    name = page.ask(
        "lesson",
        next(iter(every)),
        label="Lesson",
        help="One question each.",
        options={name: one.title for name, one in every.items()},
        where="what",
    )
    card = page.ask(
        "card",
        1,
        label="Card",
        help="1 question and guess, 2 answer, 3 why, 4 try to break it.",
        minimum=1,
        maximum=len(CARDS),
        where="what",
    )
    return every[name], card


@st.cache_resource(max_entries=16, show_spinner="The engine computes the answer")
def revealed(name: str) -> Reveal:
    """Return the answer of a lesson; it is the same for everybody."""
    return LESSONS[name]().reveal()


def kept(lesson: Lesson) -> Any:
    """Return this visitor's guess, or None."""
    return st.session_state.get(f"_guessed {lesson.name}")


def guess(lesson: Lesson, label: str, take: Callable[..., None], more: tuple[Any, ...] = ()) -> None:
    """Ask for a guess; the button calls ``take(lesson, key of the guess, *more)``."""
    key = f"_guess {lesson.name}"
    if isinstance(lesson.guess, Number):
        asked = lesson.guess
        middle = asked.low + asked.step * round((asked.high - asked.low) / 2 / asked.step)
        low, high, value, step = map(float, (asked.low, asked.high, kept(lesson) or middle, asked.step))
        st.slider(asked.label, low, high, value, step, key=key)
    elif isinstance(lesson.guess, Curve):
        st.session_state[key] = _curve(lesson, lesson.guess)
    else:
        names = list(lesson.guess.options)
        before = names.index(kept(lesson)) if kept(lesson) in names else None
        st.radio(lesson.guess.label, names, index=before, format_func=lesson.guess.options.__getitem__, key=key)
    st.button(
        label,
        type="primary",
        disabled=st.session_state.get(key) is None,
        help="Pick an answer first." if st.session_state.get(key) is None else None,
        on_click=take,
        args=(lesson.name, key, *more),
    )


def _curve(lesson: Lesson, asked: Curve) -> list[float]:
    """Draw the plot in which the curve is drawn, and return its points so far: level before anybody drew."""
    middle = asked.low + asked.step * round((asked.high - asked.low) / 2 / asked.step)
    found = list(st.session_state.get(f"_sketched {lesson.name}") or kept(lesson) or [middle] * len(asked.at))
    ink = Ink(dark=st.context.theme.type == "dark")
    sketch(asked, found, ink, key=f"_sketch {lesson.name}", on_drawn=functools.partial(_sketched, lesson.name, asked))
    st.caption("Draw the curve with the mouse or a finger, or move its points by the arrow keys. So far: "
               f"{', '.join(f'{value:g} at {at:g}' for value, at in zip(found, asked.at, strict=True))}.")  # fmt: skip
    return found


def _sketched(name: str, asked: Curve) -> None:
    """Take what the browser drew; anything else than points of the range is not taken."""
    with contextlib.suppress(InputError):
        st.session_state[f"_sketched {name}"] = asked.read(st.session_state[f"_sketch {name}"].drawn)


def _take(name: str, key: str) -> None:
    st.session_state[f"_guessed {name}"] = st.session_state[key]
    choices.apply({"card": 2})


def draw(page: Page, lesson: Lesson, card: int, *, presented: bool = False) -> None:
    """Draw one card of a lesson, and the buttons to its neighbours; on the wall they have keys."""
    st.subheader(f"{lesson.place} · {lesson.title}", anchor=False)
    st.caption(" › ".join(f"**{name}**" if k + 1 == card else name for k, name in enumerate(CARDS)))
    st.markdown(lesson.question)
    if card == 1:
        guess(lesson, "This is my guess", _take)
    else:
        found = revealed(lesson.name)
        if card == 2:
            guessed = kept(lesson)
            st.markdown(f"**{lesson.surprise(guessed, found)}**" if guessed is not None else _unguessed(lesson))
            show.panel(plots.draw_reveal(lesson, found, guessed, page.ink), page)
        elif card == 3:
            st.markdown(f"**{found.sentence}**")
            st.markdown(lesson.why)
            if lesson.proof:
                show.proof(lesson.proof)
        else:
            st.markdown(lesson.break_it)
            pages = {one.url_path: one for one in main.entries()}
            st.page_link(
                pages[found.page],
                label=f"Open the same state on the page {pages[found.page].title}",
                query_params=link.query(found.choices),
                icon=":material/open_in_new:",
            )
    if presented:
        presenter.steps(_before(lesson, card), _after(lesson, card))
    else:
        _neighbours(lesson, card)


def _unguessed(lesson: Lesson) -> str:
    return f"**The answer: {plots.answer_in_words(lesson, revealed(lesson.name))}.** No guess was made."


def _neighbours(lesson: Lesson, card: int) -> None:
    names = list(lessons())
    place = names.index(lesson.name)
    back, on = st.columns(2)
    if card > 1:
        back.button("Back", icon=":material/arrow_back:", on_click=choices.apply, args=({"card": card - 1},))
    if 1 < card < len(CARDS):
        on.button("Next", icon=":material/arrow_forward:", on_click=choices.apply, args=({"card": card + 1},))
    elif card == len(CARDS) and place + 1 < len(names):
        on.button("Next lesson", on_click=choices.apply, args=({"lesson": names[place + 1], "card": 1},))


def _before(lesson: Lesson, card: int) -> dict[str, Any] | None:
    names = list(lessons())
    place = names.index(lesson.name)
    if card > 1:
        return {"card": card - 1}
    return {"lesson": names[place - 1], "card": len(CARDS)} if place else None


def _after(lesson: Lesson, card: int) -> dict[str, Any] | None:
    names = list(lessons())
    place = names.index(lesson.name)
    if card < len(CARDS):
        return {"card": card + 1}
    return {"lesson": names[place + 1], "card": 1} if place + 1 < len(names) else None


def paper_to_code() -> str:
    """Return the table of README that leads from the papers to the files."""
    text = (asset.ROOT / "README.md").read_text(encoding="utf-8")
    return text.partition("## From the paper to the code\n")[2].partition("\n## ")[0].strip()
