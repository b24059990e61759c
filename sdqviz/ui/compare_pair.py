"""A against B on the Compare page: two runs, what differs, their layers side by side, and the lines that run them."""

from __future__ import annotations

import streamlit as st

from sdqviz.experiments.compare import difference
from sdqviz.experiments.compare.entry import Entry, changed_fields
from sdqviz.plots.difference import draw_bits, draw_errors
from sdqviz.strict_json import write_json
from sdqviz.ui import main, show, two_up, two_up_link
from sdqviz.ui.compare import KEY_LENGTH, Shown, follow
from sdqviz.ui.screen import Page


def pair(page: Page, shown: Shown) -> None:
    """Draw the boxes that choose A and B, what differs, and the layers side by side."""
    runs = {run.key[:KEY_LENGTH]: run for run in difference.usable(shown.filtered)}
    if shown.first is None or shown.second is None:
        st.info("Two runs with figures are needed; widen the filters, or compress something on the Network page.")
        return
    for column, key, run in zip(st.columns(2), "ab", (shown.first, shown.second), strict=True):
        st.session_state[f"_{key}"] = run.key[:KEY_LENGTH]
        column.selectbox(
            key.upper(), list(runs), key=f"_{key}", on_change=follow, args=(key,),
            format_func=lambda short: f"{Entry((runs[short],), '').title} · {short[:6]}",
            help="Click a point of the first plot, or select rows of the table, to choose too.",
        )  # fmt: skip
    info = difference.difference_info(shown.first, shown.second)
    st.markdown(difference.sentence(info))
    pages = {one.url_path: one for one in main.entries()}
    st.page_link(
        pages[two_up_link.ADDRESS], label="A and B on the Network page, on the same axes", icon=two_up_link.ICON,
        query_params=two_up_link.query("network", two_up.of_run(shown.first), two_up.of_run(shown.second)),
    )  # fmt: skip
    st.markdown("**What differs**")
    differing = page.tables["A against B, what differs"] = difference.settings_columns(info)
    st.dataframe(differing, hide_index=True, key="_table differing")
    if not info.layers:
        st.caption("These runs came without layers (a CSV file has none).")
        return
    show.panels([draw_errors(info, page.ink), draw_bits(info, page.ink)], page)
    st.markdown("**Layer by layer**")
    columns = page.tables["A against B, layer by layer"] = difference.shown_table(info)
    st.dataframe(columns, hide_index=True, key="_table difference")


def code(shown: Shown) -> str:
    """Return the lines that give the page's numbers: the front of the shipped sweep, and A and B run anew."""
    lines = [
        "import sdqviz as sq",
        "from sdqviz.experiments.compare import link",
        "",
        "numbers = link.summary({})     # with the parameters of this page's link in the braces",
    ]
    for letter, run in zip("AB", (shown.first, shown.second), strict=True):
        if run is not None:
            network, method = dict(run.network), changed_fields(run.method)
            told = ", ".join(f"{name}={value!r}" for name, value in method.items())
            lines += [
                "",
                f"# {letter}",
                f"network = sq.NETWORKS[{network.pop('name', '')!r}]"
                f"({', '.join(f'{name}={value!r}' for name, value in network.items())}).load()",
                f"method = sq.METHODS[{run.method.get('name', '')!r}]({told})",
                f"report = sq.compress(network, method, calibration={run.calibration}, seed={run.seed}).report",
                f"report.bits_per_weight, report.accuracy_after   # "
                f"{'' if run.report is None else write_json([run.report.bits_per_weight, run.report.accuracy_after])}",
            ]
    return "\n".join(lines)
