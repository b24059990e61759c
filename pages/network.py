"""Network: what if a whole network were stored this way? Accuracy, errors, bounds and size, layer by layer."""

import streamlit as st

from sdqviz.explore.network import link, words
from sdqviz.plots.network import overview as panels
from sdqviz.plots.network.seeds import draw_seeds
from sdqviz.ui import network, network_form, question_line, screen, show

with screen.page(
    "network",
    "Network",
    "What if a trained network were stored in far fewer bits: what does it lose, where, and what is proved about it?",
) as page:
    form = network_form.ask(page)
    asking = st.container()  # filled last: the figures come first
    shown, asked = network.run(page, form), network.last_asked(form)
    if asked is not None and shown is not None:
        comparison, report = shown.comparison, shown.comparison.report
        page.code(link.code(shown.question, comparison))
        ladder, layer = network.ladder(asked, shown), asked.layer_of(report)

        if report.note:
            show.say(page, f"{report.note[:1].upper()}{report.note[1:]}.", "info")
        wins = words.verdict_on_rounding(comparison)
        if wins:
            show.say(page, wins, "info")

        spread = network.seeds(asked, shown)
        if spread is not None:
            show.panel(draw_seeds(spread, page.ink), page)
        network.errors(page, shown, layer)
        show.panels(panels.overview(comparison, shown.answer, layer, ladder, page.ink), page)
        if shown.answer is not None:
            show.panels(panels.closely(shown.answer, layer, asked.vector, page.ink), page)
        network.speed(page, shown)
        network.table(shown)
        show.say(page, "  \n".join(words.counts(report)), "caption")
        network.complete(shown)
    if form is not None:
        with asking:
            question_line.about(page, form.question.network)
