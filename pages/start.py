"""Start: a toy that answers its own title, three ways on, and worked examples from stored results."""

import streamlit as st

from sdqviz.explore import preset
from sdqviz.explore import start as examples
from sdqviz.ui import examples as ways
from sdqviz.ui import main, screen, show, toy

with screen.page(
    "",
    "Can a network survive one-bit weights?",
    "Draw a digit, or pick one, and move the slider: three copies of one trained network read it, each stored in "
    "another way.",
    seeded=False,
) as page:
    left, right = st.columns([1, 2.6], gap="medium")
    with left:
        chosen = toy.ask(page)
    with right:
        toy.answer(page, chosen, toy.bits(page))
    pages = {one.url_path: one for one in main.entries()}
    ways.paths(pages)

    st.subheader("Worked examples", anchor=False)
    ways.tiles(pages, page.ink)

    st.subheader("One of its neurons, looked at closely", anchor=False)
    shown = preset.of_page("")
    name = page.ask(
        "preset",
        "neuron-one-bit",
        label="Neuron shown",
        help="Each is an example of its own.",
        options={key: one.title for key, one in shown.items()},
        where="what",
    )
    example = shown[name]
    st.markdown(
        "Store each number as a few coarse levels, and let every step correct the one before: that is ΣΔ quantization."
    )
    lost = examples.verdict_on_rounding(example.result)
    if lost:
        show.say(page, f":material/balance: {lost}")
    show.panel(ways.neuron(name, page.ink), page)
    page.code(toy.code(chosen))

    st.subheader("What to look for", anchor=False)
    st.markdown(
        "- **The state stays small.** In the ΣΔ Lab, watch what is left over at each step stay inside a narrow band.\n"
        "- **The tour matters.** In Frames, the same vectors visited in a bad order make the error bound useless.\n"
        "- **Nothing is free.** Bits are counted per *original* weight, and plain rounding stands beside every result."
    )
    st.subheader("Results", anchor=False)
    show.texts("results")
    ways.speed()
    show.panel(ways.scale(page.ink), page)
    st.subheader("Good to know", anchor=False)
    show.texts("guide")
