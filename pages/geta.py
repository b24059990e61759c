"""GETA: channels are removed and every layer's bits are learned in one training run, recorded step by step."""

from sdqviz.explore.geta import words
from sdqviz.plots.geta import channels, graph
from sdqviz.ui import geta, screen, show

with screen.page(
    "geta",
    "GETA",
    "Can a network learn, in one training run, which channels it can do without and how few bits each layer needs?",
    seeded=False,
) as page:
    asked = geta.ask(page)
    shown = geta.run(page, asked)
    if shown is not None:
        page.code(words.code(shown.run))
        geta.steps(page, shown)
        show.panel(graph.draw_graph(shown.run, page.ink), page)
        show.panels([channels.draw_channels(shown.run, page.ink), channels.draw_widths(shown.run, page.ink)], page)
        geta.costs(page, shown)
        geta.downloads(shown)
