"""Ways on from the Start page: three paths, and the worked examples by page, each with a small picture."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from sdqviz.experiments import bench_figures
from sdqviz.explore import preset, start, tables
from sdqviz.plots import thumbnail
from sdqviz.plots.panel import Panel
from sdqviz.plots.scale import draw_scale
from sdqviz.plots.start import draw_before_after
from sdqviz.plots.theme import Ink
from sdqviz.ui import link

WHOLE = """<style>
[class*="st-key-_tile"] {position: relative; height: 100%}
[class*="st-key-_tile"] [data-testid="stElementContainer"], [class*="st-key-_tile"] .stPageLink,
[class*="st-key-_tile"] .stPageLink > *, [class*="st-key-_tile"] a {position: static !important}
[class*="st-key-_tile"] a::after {content: ""; position: absolute; inset: 0; border-radius: .5rem}
[class*="st-key-_tile"] a:hover::after, [class*="st-key-_tile"] a:focus-visible::after {
  box-shadow: 0 0 0 2px var(--st-primary-color, currentColor)}
[class*="st-key-_tile"] a p {white-space: normal !important; overflow: visible !important}
</style>"""
"""Makes the whole tile its link."""

PATHS = (
    ("learn", "Teach me", ":material/school:", "Eight questions. Guess first, then the engine answers."),
    ("sigma-delta", "Let me explore", ":material/explore:", "One vector, a frame and a few bits, step by step."),
    ("network", "Try my network", ":material/upload_file:", "A shipped network, or your own weights and images."),
)
"""Address, title, sign and sentence of the three paths."""


def paths(pages: Mapping[str, st.Page]) -> None:
    """Draw the three ways on."""
    st.html(WHOLE)
    for column, (address, title, icon, told) in zip(st.columns(3), PATHS, strict=True):
        with column.container(border=True, height="stretch", key=f"_tile path {address}"):
            st.page_link(pages[address], label=f"**{title}**", icon=icon)
            st.caption(told)


@st.cache_resource(max_entries=8, show_spinner=False)
def neuron(name: str, ink: Ink) -> Panel:
    """Return the panel of a stored neuron; it is drawn once for everybody."""
    one = preset.of_page("")[name]
    return draw_before_after(one.choices, one.result, ink)


@st.cache_resource(max_entries=8, show_spinner=False)
def scale(ink: Ink) -> Panel:
    """Return the panel of the cost model; it is drawn once for everybody."""
    return draw_scale(ink)


def speed() -> None:
    """Draw the figures of speed of the reference machine, each beside its yardstick, in a fold."""
    known = bench_figures.reference()
    if known is None:
        return
    with st.expander("Speed of the engine, and what it is held against"):
        header, *rows = bench_figures.table(known)
        kept = [place for place, name in enumerate(header) if name != "reference"]  # these are the reference
        st.markdown(
            tables.markdown([header[place] for place in kept], [[row[place] for place in kept] for row in rows])
        )
        st.markdown(
            "A ratio is the time of a figure by that of its yardstick, both measured in turns in one run. "
            f"`sdqviz bench` measures them on your machine, beside these: {bench_figures.where(known)}."
        )


def tiles(pages: Mapping[str, st.Page], ink: Ink) -> None:
    """Draw the examples in a tab for each page: title, picture, what to look at and the stored numbers.

    Parameters
    ----------
    pages : mapping of str to st.Page
        The pages of the menu by address; examples of others are left out.
    ink : Ink
        The page's colours.
    """
    found = {address: list(preset.of_page(address).values()) for address in pages if address}
    shown = {address: examples for address, examples in found.items() if examples}
    st.caption(
        "The small pictures: a square or bar is the compressed one, a diamond rounding, a circle the original or "
        "another method, a dashed line the bound; on a line, further left is a smaller error."
    )
    for tab, (address, examples) in zip(st.tabs([pages[a].title for a in shown]), shown.items(), strict=True):
        with tab:
            for first in range(0, len(examples), 3):
                for column, one in zip(st.columns(3), examples[first : first + 3], strict=False):
                    with column.container(border=True, height="stretch", key=f"_tile {one.name}"):
                        st.page_link(pages[address], label=f"**{one.title}**", query_params=link.query(one.choices))
                        st.html(thumbnail.draw(address, one.result, ink))
                        st.markdown(one.look)
                        st.caption(start.tile_numbers(one.result))
