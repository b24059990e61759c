"""What the Compare page has of its own: its filters, the brush, picking A and B, files that come and go."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from sdqviz.choice import Spec
from sdqviz.error import InputError
from sdqviz.experiments.compare import coordinates, difference, link
from sdqviz.experiments.compare.entry import SESSION, SHIPPED, Entry
from sdqviz.experiments.compare.figures import FIGURES, LOSSES, SIZES
from sdqviz.experiments.compare.filters import ALL, AVERAGED, brushed, parse_brush, write_brush
from sdqviz.experiments.compare.front import Pareto, pareto_info
from sdqviz.experiments.compare.link import DEFAULTS, filter_of
from sdqviz.experiments.compare.published import published
from sdqviz.experiments.compare.table import shown_table
from sdqviz.experiments.run import Run
from sdqviz.explore.wording import begun
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.plots import compare as plots
from sdqviz.ui import compare_files, compare_work, history, show
from sdqviz.ui.link import linked, write_linked
from sdqviz.ui.screen import Page

VIEWS = ("Runs", "A against B", "Smallest size", "Sweep", "Files")
"""What is shown below the plots, one at a time."""

KEY_LENGTH = 12
"""Digits of a run's key in the link."""

_ROWS = "_compare rows"


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What the page draws.

    Attributes
    ----------
    total : int
        Runs there are before filtering.
    filtered, points : tuple of Entry
        Those that pass the filters; those that are inside the brush too.
    coordinates : Coordinates
        The filtered points on their axes.
    info : Pareto
        The front of the points.
    first, second : Run or None
        A and B.
    brushed : bool
        Whether there is a brush.
    """

    total: int
    filtered: tuple[Entry, ...]
    points: tuple[Entry, ...]
    coordinates: coordinates.Coordinates
    info: Pareto
    first: Run | None
    second: Run | None
    brushed: bool = False


def all_runs() -> list[tuple[Run, str]]:
    """Return every run at hand with its origin: this session's, imported ones, and the shipped sweeps."""
    found = [(run, SESSION) for run in history.runs()]
    found += [(run, name) for name, runs in compare_files.imported().items() for run in runs]
    return found + [(run, SHIPPED) for run in link.shipped()]


MANY = 40
"""Lines across the axes beyond which only some are drawn strongly before there is a brush."""


def highlighted(shown: Shown) -> tuple[Sequence[Entry], bool]:
    """Return the points whose lines across the axes are drawn strongly, and whether that is a brush's doing.

    Without one, of many points those of the front: a hundred lines of equal strength cannot be read.
    """
    if shown.brushed or len(shown.points) <= MANY:
        return shown.points, True
    return [shown.info.points[index] for index in shown.info.front], False


def why_empty(shown: Shown) -> str:
    """Say why no run is shown, and what to change."""
    if shown.filtered:
        return f"None of the {len(shown.filtered)} points is inside the brush; clear it at the left."
    if shown.total:
        return f"None of the {shown.total:,} runs passes the filters; widen them at the left."
    return "There is no run yet: compress something on the Network page, import runs, or do a sweep."


# -- the form ---------------------------------------------------------------------------------------


def ask(page: Page) -> Shown:
    """Draw the filters and return what passes them."""
    compare_work.collect()
    runs = all_runs()
    _filters(page, runs)
    page.ask(
        "loss_axis", DEFAULTS["loss_axis"], label="Upwards", options=_titles(LOSSES), where="how",
        help="What is lost or kept.\n\n" + _told(LOSSES),
    )  # fmt: skip
    page.ask(
        "size_axis", DEFAULTS["size_axis"], label="To the right", options=_titles(SIZES), where="how",
        help="What it costs.\n\n" + _told(SIZES),
    )  # fmt: skip
    page.ask(
        "published", DEFAULTS["published"], label="Published figures",
        help="The accuracies that Czaja and Na print for one bit (arXiv 2404.08131, Tables 3 and 4), as hollow marks. "
        "Drawn for accuracy against bits of mnist-fnn and mnist-residual.",
    )  # fmt: skip
    page.ask(
        "budget", DEFAULTS["budget"], label="Budget, bits", minimum=0.5, maximum=16.0, where="how much",
        help="Bits per original weight that may be spent: the third headline names the most accurate run within it.",
    )  # fmt: skip
    brush = parse_brush(_brush(page))
    page.check()
    filtered = filter_of(page.choices).chosen(runs)
    points = brushed(filtered, brush)
    chosen = page.choices
    info = pareto_info(points, chosen["size_axis"], chosen["loss_axis"], chosen["budget"])
    first, second = _pair(page, filtered, info)
    placed = coordinates.coordinates_info(filtered, plots.order_of)
    return Shown(len({run.key for run, _ in runs}), filtered, points, placed, info, first, second, bool(brush))


def _told(names: Sequence[str]) -> str:
    return "\n".join(f"- *{FIGURES[name].title}*: {FIGURES[name].help}" for name in names)


def _titles(names: Sequence[str]) -> dict[str, str]:
    return {name: begun(FIGURES[name].title) for name in names}


def _filters(page: Page, runs: Sequence[tuple[Run, str]]) -> None:
    names = sorted({*NETWORKS, *(str(run.network.get("name")) for run, _ in runs)})
    known = {ALL: "All networks", **dict(zip(names, names, strict=True)), **NETWORKS.titles()}
    page.ask(
        "network", DEFAULTS["network"], label="Network", options=known, where="what",
        help="Runs of one network share a front. With all of them, look at the accuracy lost.",
    )  # fmt: skip
    methods = sorted({*METHODS, *(str(run.method.get("name")) for run, _ in runs)}, key=plots.order_of)
    called = {name: METHODS.called(name) for name in methods}
    many(page, page.group("what"), "methods", called, Spec("Methods", "Empty: all methods."), "all")
    seeds = {str(seed): f"Seed {seed}" for seed in sorted({run.seed for run, _ in runs})[:40]}
    page.ask(
        "seeds", AVERAGED, label="Seeds", options={AVERAGED: "Averaged", ALL: "Every run a point", **seeds},
        help="Averaged: runs that differ in their seeds alone are one point, the mean. Or every run is a point, or "
        "only those with one seed are shown.", where="what",
    )  # fmt: skip
    box = page.group("what")
    told = "Words that must all occur in network, method, settings, label, origin or key."
    text = box.text_input("Contains", key="text", max_chars=100, bind="query-params", help=told)
    page.link.declare("text", text, "", str, Spec("Contains", told))


def many(page: Page, box: Any, key: str, known: Mapping[str, str], spec: Spec, hint: str) -> tuple[str, ...]:
    """Draw a box of which several can be chosen, words by name; in the link the names are joined by commas."""
    text = linked(page.link, key)
    unknown = [name for name in text.split(",") if name and name not in known]
    if unknown:
        page.link.problems.append(
            f"{key} must be among {', '.join(known)}, got {unknown[0][:40]!r}; it is passed over."
        )
        text = st.session_state[key] = ",".join(name for name in text.split(",") if name in known)
    chosen = tuple(name for name in text.split(",") if name)
    st.session_state[f"_{key}"] = list(chosen)
    box.multiselect(
        spec.label, list(known), key=f"_{key}", placeholder=hint, help=spec.help, on_change=_join, args=(key,),
        format_func=lambda name: known.get(name, name),
    )  # fmt: skip
    write_linked(page.link, key, text, spec)
    return chosen


def _join(key: str) -> None:
    st.session_state[key] = ",".join(st.session_state[f"_{key}"])


def _brush(page: Page) -> str:
    help_ = (
        "What the boxes drawn over the axes stand for; it can be written too: `bits=1..2.5; accuracy=0.97..; "
        f"method=frame,gpfq`. Names: method, {', '.join(FIGURES)}."
    )
    box, text = page.group("how much"), linked(page.link, "brush")
    try:
        parse_brush(text)
    except InputError as error:
        page.link.problems.append(f"{error}; every run is kept.")
        text = st.session_state["brush"] = ""
    st.session_state["_brush"] = text
    box.text_input(
        "Brush", key="_brush", max_chars=300, placeholder="everything", help=help_, on_change=follow, args=("brush",)
    )
    write_linked(page.link, "brush", text, Spec("Brush", help_))
    if text:
        box.button("Clear the brush", on_click=_set, args=("brush", ""), help="Keep every run again.", width="stretch")
    return text


def follow(key: str) -> None:
    """Take over what was chosen in a box that the link does not hold itself (a callback)."""
    st.session_state[key] = st.session_state[f"_{key}"]


def _set(key: str, value: Any) -> None:
    st.session_state[key] = value


def views(page: Page) -> Sequence[Any]:
    """Draw the tabs below the plots; which one is open is in the link."""
    tabs = st.tabs(VIEWS, key="view", bind="query-params", on_change="rerun")
    opened = next((name for name, tab in zip(VIEWS, tabs, strict=True) if tab.open), VIEWS[0])
    page.link.declare("view", opened, VIEWS[0], str, Spec("View", "What is shown below the plots.", options=VIEWS))
    return tabs


# -- A and B ----------------------------------------------------------------------------------------


def _pair(page: Page, points: Sequence[Entry], info: Pareto) -> tuple[Run | None, Run | None]:
    """Return A and B: those of the link, or the best in the budget and the best rounding."""
    usable = {run.key[:KEY_LENGTH]: run for run in difference.usable(points)}
    front = [info.points[index].run for index in info.front]
    usual = [one.run for one in (info.best, info.best_rounding) if one is not None]
    usual = list({run.key: run for run in [*usual, *reversed(front), *usable.values()]}.values())
    found: list[Run | None] = []
    for key in "ab":
        spec = Spec(key.upper(), "Key of a run.")
        wanted = linked(page.link, key)
        if wanted and wanted not in usable:
            page.link.problems.append(
                f"{key} must be the key of a run that passes the filters, got {wanted[:KEY_LENGTH]!r}; runs of another "
                "session are not in the link. One of those shown is used instead."
            )
            wanted = st.session_state[key] = ""
        rest = [run for run in usual if run not in found]
        found.append(usable[wanted] if wanted else rest[0] if rest else None)
        write_linked(page.link, key, wanted, spec)
    st.session_state["_pair"] = [run.key[:KEY_LENGTH] if run is not None else "" for run in found]
    return found[0], found[1]


def pick_point(selected: Mapping[str, Any]) -> None:
    """Make the clicked point A, and what was A becomes B (a callback)."""
    picked = [point for point in selected["points"] if point["customdata"]]
    if picked:
        _pick(str(picked[0]["customdata"][0])[:KEY_LENGTH])


def _pick(chosen: str) -> None:
    first = st.session_state.get("_pair", ["", ""])[0]
    if chosen != first:
        st.session_state["a"], st.session_state["b"] = chosen, first


def _pick_rows() -> None:
    rows = st.session_state["_table compare"].selection.rows
    keys = [st.session_state[_ROWS][row] for row in rows[:2]]
    if len(keys) == 2:
        st.session_state["a"], st.session_state["b"] = keys
    elif keys and keys[0]:
        _pick(keys[0])


def take_boxes(shown: Shown) -> Callable[[Mapping[str, Any]], None]:
    """Return the callback that turns boxes drawn over the axes into the brush."""
    drawn = shown.coordinates

    def take(selected: Mapping[str, Any]) -> None:
        boxes = selected["box"]
        before = parse_brush(st.session_state.get("brush", "")) if boxes else {}  # a double click takes all away
        st.session_state["brush"] = write_brush(before | coordinates.brush_of(boxes, drawn))

    return take


# -- the table --------------------------------------------------------------------------------------


def table(page: Page, shown: Shown) -> None:
    """Draw the table of the points shown; two selected rows become A and B."""
    points = shown.points[: show.TABLE_ROWS]
    columns = page.tables["Runs shown"] = shown_table(points)
    if len(points) < len(shown.points):
        st.caption(f"The first {len(points):,} of {len(shown.points):,} rows; the exported files have all.")
    st.session_state[_ROWS] = [one.key[:KEY_LENGTH] if not one.failed else "" for one in shown.points]
    st.caption("Click a column's head to sort. Select two rows to set them side by side as A and B.")
    percents = {name: st.column_config.NumberColumn(format="%.2f") for name in ("accuracy, %", "error, %", "zeros, %")}
    st.dataframe(
        columns, hide_index=True, key="_table compare", height=420, column_config=percents,
        on_select=_pick_rows, selection_mode="multi-row",
    )  # fmt: skip


def prints(page: Page, shown: Shown) -> Sequence[Any]:
    """Return the published marks if they are wanted."""
    return published(shown.filtered, page.choices["network"]) if page.choices["published"] else ()


def sweep(page: Page) -> None:
    """Draw the builder of sweeps."""
    left, right = st.columns(2)
    chosen = page.choices["network"]
    spec = Spec("Networks", "Empty: the network chosen at the left.")
    networks = many(page, left, "sweep_networks", NETWORKS.titles(), spec, "as at the left")
    spec = Spec("Methods", "Each has its own fields below; a field left empty keeps its default.")
    called = {name: METHODS.called(name) for name in sorted(METHODS, key=plots.order_of)}
    methods = many(page, right, "sweep_methods", called, spec, "choose")
    try:
        compare_work.sweep(page, networks or ((chosen,) if chosen in NETWORKS else ()), methods, all_runs())
    except InputError as error:  # said at its form; the runs above have nothing to do with it
        st.error(f"{error}.")
