"""Learn: lessons that ask first, a glossary, notation, references, and the way from the papers to the code."""

import streamlit as st

from sdqviz.explore.glossary import TERMS
from sdqviz.ui import classroom, learn, presenter, screen, show

with screen.page(
    "learn",
    "Learn",
    "What would you have guessed? Eight short lessons ask first and let the engine answer.",
    seeded=False,
) as page:
    room = classroom.enter(page)
    if room is not None:
        classroom.draw(page, room)
    else:
        lesson, card = learn.ask(page)
    if room is None and presenter.ask(page):
        learn.draw(page, lesson, card, presented=True)
    elif room is None:
        lessons, glossary, notation, sources, code = st.tabs(
            ["Lessons", "Glossary", "Notation", "References", "From the paper to the code"]
        )
        with lessons:
            learn.draw(page, lesson, card)
            with st.container(horizontal=True):
                classroom.door(lesson)
                presenter.start()
            page.code(
                f"from sdqviz.lessons import LESSONS\n\nfound = LESSONS[{lesson.name!r}]().reveal()\n"
                "print(found.truth, found.sentence)"
            )
        with glossary:
            for term, meaning in sorted(TERMS.items(), key=lambda one: one[0].lower()):
                st.markdown(f"**{term}**: {meaning}")
        with notation:
            st.markdown(show.text("learn/notation"))
        with sources:
            st.markdown(show.text("learn/references"))
        with code:
            st.markdown(learn.paper_to_code())
