"""Shows what was found: the strip of headline numbers, and panels with formula, downloads, alt text and table."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sdqviz import asset
from sdqviz.bounds.statement import Bound
from sdqviz.explore import glossary, tables
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number
from sdqviz.plots.enlarged import enlarge
from sdqviz.plots.panel import Panel
from sdqviz.strict_json import write_json
from sdqviz.ui.chart import chart
from sdqviz.ui.screen import HEADLINES, Page

QUICK: dict[str, Any] = {"limits": {"seconds": (0.1, 5.0)}, "defaults": {"seconds": 2.0}}
"""What a page that should answer at once allows an ordering to take."""

TABLE_ROWS = 2000
"""Rows a table view sends to the browser; the CSV has them all."""


@dataclasses.dataclass(frozen=True)
class Headline:
    """One of the three numbers at the top of a page.

    Attributes
    ----------
    label, value : str
        What it is, and the number as text.
    note : str
        A few words under it: what to hold it against.
    help : str
        How it is counted.
    """

    label: str
    value: str
    note: str = ""
    help: str = ""


Places = Sequence[tuple[DeltaGenerator, DeltaGenerator | None]]
"""Where each number of the strip stands, and its note if it has one."""


def headlines(*numbers: Headline, over: Places = ()) -> Places:
    """Draw the strip of headline numbers, or the same strip again ``over`` its places; return the places."""
    st.session_state[HEADLINES] = tuple((one.label, one.value, one.note) for one in numbers)
    if not over:
        columns = st.columns(len(numbers), border=True)
        return [
            (
                column.metric(one.label, one.value, help=one.help or None),
                column.caption(one.note) if one.note else None,
            )
            for column, one in zip(columns, numbers, strict=True)
        ]
    for (value, note), one in zip(over, numbers, strict=True):
        value.metric(one.label, one.value, help=one.help or None)
        if note is not None:
            note.caption(one.note)
    return over


def say(page: Page, text: str, kind: Literal["markdown", "info", "warning", "error", "caption"] = "markdown") -> None:
    """Write a verdict, a warning or a table on the page, and into its report."""
    page.said.append(text)
    getattr(st, kind)(text)


def verdict(bound: Bound, measured: float) -> Headline:
    """Return the headline that says whether a bound holds, computed from the bound and the measured value."""
    return limit("Bound holds?", bound, measured)


def limit(label: str, bound: Bound, measured: float) -> Headline:
    """Return a headline under another label that says whether a measured value keeps to a bound."""
    if not bound.holds:
        return Headline(label, "Not applicable", f"{bound.reason}.", bound.title)
    kept = measured <= bound.value * (1 + 1e-9)
    told = f"{number(measured)} {'≤' if kept else '>'} {number(bound.value)}"
    note = f"{told}, ratio {number(measured / bound.value)}" if bound.value > 0 else told
    if not kept:
        note += ": this is a defect, please report the link"
    return Headline(label, "Yes" if kept else "Violated", note, f"{bound.title}. {bound.because}")


def panel(
    drawn: Panel,
    page: Page,
    on_select: Callable[[Mapping[str, Any]], None] | None = None,
    selection: Literal["points", "box"] = "points",
) -> None:
    """Draw one panel: title, sentence, plot, and behind two signs its formula and its data.

    Parameters
    ----------
    drawn : Panel
        The plot.
    page : Page
        The page it is on.
    on_select : callable, optional
        Called with what is selected, as `chart` says.
    selection : {"points", "box"}
        What can be selected: a point by a click, or a box that is drawn over the plot.
    """
    if page.large:
        drawn = dataclasses.replace(drawn, figure=copy.deepcopy(drawn.figure))  # the other may serve others too
        enlarge(drawn.figure, page.ink)
    page.drawn.append(drawn)
    with st.container(gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.markdown(f"**{drawn.title}**", width="stretch")
            with st.popover("", icon=":material/info:", type="tertiary", help="Formula, numbers, source and words"):
                explain(drawn.formulas, glossary.used(f"{drawn.title} {drawn.look}"))
            data = st.popover(
                "",
                icon=":material/table:",
                type="tertiary",
                help="The data as a table, CSV, and the choices as JSON",
                key=f"_data {page.address} {drawn.name}",
                on_change="rerun",
            )
        st.caption(drawn.instead or drawn.look)
        if not drawn.instead:
            chart(
                drawn.figure,
                key=f"_plot {page.address} {drawn.name}",
                alt=drawn.alt,
                on_select=on_select,
                selection=selection,
                config={
                    "displaylogo": False,
                    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
                    "toImageButtonOptions": {"format": page.picture, "filename": f"sdqviz-{drawn.name}", "scale": 2},
                },
            )
        if data.open:
            with data:
                _data(drawn, page)


def panels(drawn: Sequence[Panel], page: Page, beside: Callable[[], None] | None = None) -> None:
    """Draw panels two beside each other; on a narrow screen they go below each other.

    A last one alone has ``beside`` drawn next to it, or takes the full width. What cannot be drawn is a sentence below.
    """
    spoken = [one for one in drawn if one.instead]
    drawn = [one for one in drawn if not one.instead]
    _beside_each_other(drawn, page, beside)
    for one in spoken:
        panel(one, page)


def _beside_each_other(drawn: Sequence[Panel], page: Page, beside: Callable[[], None] | None) -> None:
    single = len(drawn) % 2 == 1
    for start in range(0, len(drawn), 2):
        if single and start == len(drawn) - 1 and beside is None:
            panel(drawn[start], page)
            return
        columns = st.columns(2, gap="medium")
        for column, one in zip(columns, drawn[start : start + 2], strict=False):
            with column:
                panel(one, page)
        if single and start == len(drawn) - 1 and beside is not None:
            with columns[1]:
                beside()
    if not single and beside is not None:
        beside()


def _data(drawn: Panel, page: Page) -> None:
    columns = drawn.table()
    longest = max((len(values) for values in columns.values()), default=0)
    left, right = st.columns(2)
    left.download_button(
        "CSV, all data", drawn.csv, f"sdqviz-{drawn.name}.csv", "text/csv", on_click="ignore", width="stretch"
    )
    right.download_button(
        "JSON, the choices",
        write_json(page.choices, indent=1),
        f"sdqviz-{drawn.name}.json",
        "application/json",
        on_click="ignore",
        width="stretch",
    )
    if longest > TABLE_ROWS:
        st.caption(f"The first {TABLE_ROWS:,} of {longest:,} rows; the CSV has all.")
    rows = min(longest, TABLE_ROWS)
    st.dataframe(
        {name: [*values[:rows].tolist(), *[None] * (rows - len(values))] for name, values in columns.items()},
        height=320,
        width=520,
    )


def explain(formulas: Sequence[Formula], terms: dict[str, str]) -> None:
    """Draw formulas, their symbols with the current numbers, their sources and proofs, and what words mean.

    All of it is one text and one fold: every element of a page costs a message to the browser, at every choice.
    """
    told = []
    for formula in formulas:
        told += [f"$$\n{latex}\n$$" for latex in (formula.latex, formula.substituted) if latex]
        told += [
            f"${symbol}$ {meaning}: **{value}**" if value else f"${symbol}$ {meaning}"
            for symbol, meaning, value in formula.symbols
        ]
        told.append(formula.source)
    if terms:
        told.append(glossary.lines(terms))
    if any(told):
        st.markdown("\n\n".join(filter(None, told)))
    proof(*dict.fromkeys(formula.text for formula in formulas if formula.text))


def proof(*names: str) -> None:
    """Draw texts of ``assets/texts`` in a fold of their own."""
    files = [asset.folder() / "texts" / f"{name}.md" for name in names]
    found = [_whole(file) for file in files if file.is_file()]
    if found:
        with st.expander("Proof"):
            st.markdown("\n\n".join(found))


@functools.lru_cache(64)
def _whole(file: Path) -> str:
    """Return a text; a page with ten panels asks for as many at every choice."""
    return file.read_text(encoding="utf-8")


def text(name: str) -> str:
    """Return a text of ``assets/texts`` without its heading."""
    return _whole(asset.folder() / "texts" / f"{name}.md").partition("\n")[2]


def texts(folder: str) -> None:
    """Draw the texts of a folder of ``assets/texts``, each in a fold under its own heading."""
    for file in sorted((asset.folder() / "texts" / folder).glob("*.md")):
        heading, _, text = _whole(file).partition("\n")
        with st.expander(heading.removeprefix("# ")):
            st.markdown(text)


def bounds(page: Page, found: Sequence[Bound], measured: float) -> None:
    """Draw a table of bounds beside the measured value; those that do not apply say why."""
    rows = []
    for bound in found:
        ratio = number(measured / bound.value) if bound.holds and bound.value > 0 else "n/a"
        applies = "yes" if bound.holds else f"not applicable: {bound.reason}."
        rows.append((bound.title, number(bound.value) if bound.holds else "n/a", ratio, applies))
    table = tables.markdown(("bound", "value", "measured / bound", "applies"), rows)
    say(page, f"**All bounds on this error**\n\n{table}")
