"""Network: what if a whole network were stored this way? Accuracy, errors, bounds and size, layer by layer."""

import streamlit as st

from sdqviz.explore.wording import number, size
from sdqviz.plots import network as plots
from sdqviz.plots import network_text
from sdqviz.plots.seeds import draw_seeds
from sdqviz.ui import network, screen, show

with screen.page(
    "network",
    "Network",
    "What if a trained network were stored in far fewer bits: what does it lose, where, and what is proved about it?",
) as page:
    asked = network.ask(page)
    shown = None if asked is None else network.run(page, asked.question)
    if asked is not None and shown is not None:
        comparison, report = shown.comparison, shown.comparison.report
        page.code(plots.code(shown.question, comparison))
        ladder, layer = network.ladder(asked, shown), asked.layer_of(report)

        show.headlines(
            show.Headline(
                "Bits per original weight",
                number(report.bits_per_weight),
                f"{size(report.bytes)} instead of {size(report.original_bytes)}",
                "Levels, scales, frame parameters, seeds and the tensors kept in float, over all original numbers.",
            ),
            show.Headline(
                "Accuracy after",
                network_text.accuracy(report.accuracy_after),
                network_text.accuracy_note(comparison),
                "Share of all test inputs that are classified rightly.",
            ),
            show.Headline(*network_text.error_headline(report)),
        )
        if report.note:
            st.info(f"{report.note[:1].upper()}{report.note[1:]}.")
        wins = network_text.verdict_on_rounding(comparison)
        if wins:
            st.info(wins)

        spread = network.seeds(asked, shown)
        if spread is not None:
            show.panel(draw_seeds(spread, page.ink), page)
        network.errors(page, shown, layer)
        show.panels(plots.overview(comparison, shown.answer, layer, ladder, page.ink), page)
        if shown.answer is not None:
            show.panels(plots.closely(shown.answer, layer, asked.vector, page.ink), page)
        network.table(shown)
        st.caption("  \n".join(network_text.counts(report)))
        network.complete(shown)
