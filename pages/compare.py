"""Compare: which method, at which size? Every run at hand on two axes, side by side, and searched for a target."""

import streamlit as st

from sdqviz.experiments.compare.front import headlines
from sdqviz.plots import compare as plots
from sdqviz.plots import coordinates
from sdqviz.ui import compare, compare_files, compare_pair, compare_work, question_line, screen, show

with screen.page(
    "compare",
    "Compare",
    "Which method keeps most at which size, and where is plain rounding just as good?",
    seeded=False,
) as page:
    shown = compare.ask(page)
    page.code(compare_pair.code(shown))
    show.headlines(*(show.Headline(*told) for told in headlines(shown.points, shown.total, shown.info)))

    question_line.line(
        page,
        shown.filtered,
        question_line.known_network(page.choices["network"]),
        [name for name in page.choices["methods"].split(",") if name],
        "Choose one network with data at the left; its runs are then computed.",
    )
    marked = {run.key: letter for letter, run in (("A", shown.first), ("B", shown.second)) if run is not None}
    if not shown.points:
        st.info(compare.why_empty(shown))
    show.panel(
        plots.draw_pareto(shown.info, page.ink, marked=marked, prints=compare.prints(page, shown)),
        page,
        on_select=compare.pick_point,
    )
    kept, brushed = compare.highlighted(shown)
    drawn = coordinates.draw_coordinates(shown.coordinates, kept, page.ink, brushed=brushed)
    show.panel(drawn, page, on_select=compare.take_boxes(shown), selection="box")

    runs, pair, smallest, sweep, files = compare.views(page)
    if runs.open:
        with runs:
            compare.table(page, shown)
    if pair.open:
        with pair:
            compare_pair.pair(page, shown)
    if smallest.open:
        with smallest:
            compare_work.smallest(page, compare.all_runs())
    if sweep.open:
        with sweep:
            compare.sweep(page)
    if files.open:
        with files:
            compare_files.files(shown.points)
