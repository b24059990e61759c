"""Learn: lessons that ask first, a glossary, notation, references, and the way from the papers to the code."""

import streamlit as st

from sdqviz.explore.glossary import TERMS
from sdqviz.ui import learn, screen, show

with screen.page(
    "learn",
    "Learn",
    "What would you have guessed? Eight short lessons ask first and let the engine answer.",
    seeded=False,
) as page:
    lesson, card = learn.ask(page)
    lessons, glossary, notation, sources, code = st.tabs(
        ["Lessons", "Glossary", "Notation", "References", "From the paper to the code"]
    )
    with lessons:
        learn.draw(page, lesson, card)
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
