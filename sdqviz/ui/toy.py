"""The toy of the Start page: a digit, a slider of bits, and what three copies of a network read."""

from __future__ import annotations

import streamlit as st

from sdqviz.array import Array
from sdqviz.choice import Spec
from sdqviz.error import InputError
from sdqviz.explore import digit as digits
from sdqviz.explore import toy
from sdqviz.explore.wording import number, percent, size
from sdqviz.plots.toy import draw_answers
from sdqviz.ui import drawing, show
from sdqviz.ui.link import linked, write_linked
from sdqviz.ui.screen import Page

DRAWN = "drawn"
"""Value of the parameter ``digit`` for the visitor's own drawing."""

INK = "ink"
"""The parameter that holds the drawing, as the picture that is read."""

NAMES = (DRAWN, *(str(k + 1) for k in range(2 * toy.DIGITS)))
FIRST = "16"
"""The picture shown at first."""

BITS = "toy_bits"
"""The parameter of the slider: other pages have bits of another kind."""

_PAD, _DRAWING = "_pad", "_drawing"

WAYS = {
    "round-to-nearest": "Each weight alone goes to the nearest level; the levels of a neuron fit its weights best.",
    "frame": "Each column of weights is first spread over a frame of as many vectors, behind random signs, and then "
    "rounded. That is ΣΔ of order 0, without feedback: errors can only be moved to where a frame has more vectors than "
    "it needs, and with the same step the bound of order 1 is the smaller one only beyond N = 3d.",
    "gpfq": "Each weight is rounded so that it makes up for the errors of those before it, on 512 pictures.",
}
"""How each copy is made."""


def ask(page: Page) -> str:
    """Draw the square with its pictures; return which is read."""
    chosen = linked(page.link, "digit") or FIRST
    if chosen not in NAMES:
        page.link.problems.append(f"digit must be {DRAWN} or a number from 1 to {len(NAMES) - 1}, got {chosen[:40]!r}.")
        chosen = st.session_state["digit"] = FIRST
    pictures, labels = toy.pictures()
    ink = _ink(page) if chosen == DRAWN else ""
    kinds = ("read rightly by every copy", "misread by some copy")
    drawing.pad(
        pictures,
        [f"test digit {label}, {kinds[k % 2]}" for k, label in enumerate(labels)],
        None if chosen == DRAWN else int(chosen) - 1,
        _sheet(ink) if chosen == DRAWN else "",
        label="Square to draw a digit in with the mouse or a finger",
        key=_PAD,
        on_drawn=_take_drawing,
        on_picked=_take_picture,
    )
    told = "Which picture is read: one of twenty test digits, or the visitor's own drawing."
    write_linked(page.link, "digit", "" if chosen == FIRST else chosen, Spec("Digit", told))
    write_linked(page.link, INK, ink, Spec("Ink", "The drawing: 28 by 28 pixels in 16 shades."))
    st.session_state[INK] = ink
    return chosen


def _ink(page: Page) -> str:
    """Return the drawing as it stands in the link; empty where there is none."""
    ink = linked(page.link, INK) or _written(st.session_state.get(_DRAWING, ""))
    try:
        digits.from_link(ink)
    except InputError as error:
        if ink:
            page.link.problems.append(f"{error}.")
        return ""
    return ink


def _written(drawing: str) -> str:
    """Return a drawing of the browser's as it stands in the link."""
    try:
        return digits.to_link(digits.to_picture(digits.from_text(drawing)))
    except InputError:
        return ""


def _sheet(ink: str) -> str:
    """Return what the square shows: the drawing as it was made here, or the picture that came with the link."""
    own: str = st.session_state.get(_DRAWING, "")
    return own if not ink or _written(own) == ink else drawing.as_text(digits.from_link(ink))


def _take_drawing() -> None:
    drawn = st.session_state[_PAD].drawn
    st.session_state[_DRAWING], st.session_state["digit"], st.session_state[INK] = drawn, DRAWN, _written(drawn)


def _take_picture() -> None:
    picked = st.session_state[_PAD].picked
    if picked is not None:
        st.session_state["digit"] = str(picked + 1)


def bits(page: Page) -> int:
    """Draw the slider from 32 bits to 1."""
    names = tuple(map(str, toy.BITS))
    spec = Spec("Bits per weight", "What each weight may take, from 32, as trained, to 1: two levels.", options=names)
    page.link.take(BITS, str, spec)
    value = st.select_slider(spec.label, names, value=names[-1], key=BITS, help=spec.help, bind="query-params")
    page.link.declare(BITS, value, names[-1], str, spec)
    return int(value)


def picture(chosen: str) -> tuple[Array, int | None]:
    """Return the picture that is read, and what it is where that is known.

    Raises
    ------
    InputError
        If the drawing is empty.
    """
    if chosen != DRAWN:
        pictures, labels = toy.pictures()
        return pictures[int(chosen) - 1], labels[int(chosen) - 1]
    if not st.session_state[INK]:
        raise InputError(digits.EMPTY)
    return digits.from_link(st.session_state[INK]), None


def answer(page: Page, chosen: str, given: int) -> None:
    """Let the three copies read the picture, and draw what they say.

    Parameters
    ----------
    page : Page
        The page.
    chosen : str
        Which picture.
    given : int
        Bits per weight.
    """
    try:
        image, label = picture(chosen)
    except InputError as error:
        st.info(f"{error}.".capitalize())
        image, label = toy.pictures()[0][int(FIRST) - 1], None
        page.dim()
    copies = toy.copies(given)
    answers = {copy.name: copy.answer(image[None])[0] for copy in copies}
    original = toy.trained().answer(image[None])[0]
    said = toy.verdict(answers, original, label)
    show.headlines(*(_headline(copy, answers[copy.name]) for copy in copies))
    show.say(page, said)
    show.panel(draw_answers(answers, original, given, said, page.ink), page)


def _headline(copy: toy.Copy, probabilities: Array) -> show.Headline:
    return show.Headline(
        toy.TITLES[copy.name],
        str(int(probabilities.argmax())),
        f"{percent(float(probabilities.max()))} sure · {size(copy.size)} · reads {percent(copy.accuracy)} of 10,000 "
        "test digits",
        f"{WAYS[copy.name]} Its file takes {number(copy.bits_per_weight)} bits a weight, everything counted.",
    )


def code(chosen: str) -> str:
    """Return the lines that give the answers."""
    drawn = chosen == DRAWN and st.session_state[INK]
    which = FIRST if chosen == DRAWN else chosen
    given = f"digit.from_link({st.session_state[INK]!r})" if drawn else f"toy.pictures()[0][{int(which) - 1}]"
    return f"""from sdqviz.explore import {"digit, toy" if drawn else "toy"}

picture = {given}
for copy in toy.copies({st.session_state[BITS]}):
    print(copy.name, copy.answer(picture[None]).round(3), copy.accuracy)"""
