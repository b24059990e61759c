"""Opens a page: heading, sidebar, notices about the link, and an InputError turned into its sentence."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sdqviz.error import InputError
from sdqviz.explore import glossary, preset
from sdqviz.plots.panel import Panel
from sdqviz.plots.theme import Ink
from sdqviz.strict_json import canonical
from sdqviz.ui import choices as page_choices
from sdqviz.ui import copying, html_report
from sdqviz.ui.choices import apply
from sdqviz.ui.controls import Controls
from sdqviz.ui.link import Link, query

R = TypeVar("R")

HEADLINES = "_headlines"
"""Where the headline numbers of the page are kept for its report, as (label, value, note)."""

SCRUB = "scrub"
"""Name of the choice what is dragged in a plot."""

UNUSED = ("picture", SCRUB)
"""Choices that no number depends on."""

NARROW = """<style>
[data-testid="stColumn"]:has(.sdqviz-chart) {min-width: min(400px, calc(100vw - 2rem))}
[data-testid="stMainBlockContainer"] {padding-top: 2.6rem; padding-bottom: 3rem; max-width: 1500px}
[data-testid="stSidebarUserContent"] {padding-bottom: 2rem}
[data-testid="stSidebarContent"] h1, [data-testid="stHeadingDivider"] {margin: 0}
[data-testid="stMetricValue"] {font-size: 1.7rem}
[data-testid="stMarkdownContainer"] table {display: block; width: fit-content; max-width: 100%; overflow-x: auto}
@media (max-width: 1100px) {
    [data-testid="stMarkdownContainer"] table :is(th, td) {padding: .3rem .35rem; font-size: .85rem}
}
[data-testid="stMetricLabel"] [data-testid="stMarkdownContainer"] p {white-space: normal !important}
</style>"""


STALE = """<style id="stale">
[data-testid="stMain"] :is(.sdqviz-chart, [data-testid="stMetric"], [data-testid="stTable"],
[data-testid="stDataFrame"]) {opacity: .35}
</style>"""
"""Dims what belongs to an earlier choice."""


def captions(ink: Ink) -> str:
    """Return the style that gives captions, notes and filled buttons a colour they can be read in."""
    box, filled = '[data-testid="stCaptionContainer"]', '[data-testid="stBaseButton-primary"]:not([disabled])'
    return (
        f"<style>{box}, {box} * {{color: {ink.quiet} !important; opacity: 1 !important}}\n"
        f"{filled}, {filled} * {{color: {ink.page} !important}}</style>"
    )


class Page(Controls):
    """One page in one run of its script: its controls, its seed, its code.

    Attributes
    ----------
    address : str
        The page's address.
    seed : int
        The seed, from its control under *more*; 0 on pages without one.
    ink : Ink
        The colours of the current theme.
    picture : str
        ``"svg"`` or ``"png"``: what the camera button of a plot saves.
    drawn : list of Panel
        The panels shown so far, for the report.
    tables : dict
        Further tables for the report: by title, columns by name.
    said : list of str
        Verdicts and warnings shown so far, Markdown, for the report.
    large : bool
        Whether plots are drawn for the wall of a lecture room.
    """

    def __init__(self, address: str, link: Link, groups: Mapping[str, DeltaGenerator], *, seeded: bool) -> None:
        super().__init__(link, groups)
        self.drawn: list[Panel] = []
        self.tables: dict[str, Mapping[str, Sequence[Any]]] = {}
        self.address = address
        self.link = link
        self.ink = Ink(dark=st.context.theme.type == "dark")
        self.lines = ""
        self.said: list[str] = []
        self.computed: dict[str, dict[str, Any]] = {}
        self.refused: InputError | None = None
        self.stale = False
        self.large = False
        self.seed = 0
        if seeded:
            self.seed = self.ask(
                "seed",
                0,
                label="Seed",
                help="The only source of randomness: the same link gives the same numbers.",
                minimum=0,
                maximum=2**31 - 1,
                where="more",
            )
        self.picture = self.ask(
            "picture",
            "svg",
            label="Camera button saves",
            help="SVG stays sharp in a paper or on a slide; PNG opens everywhere. The button is at each plot's "
            "top right.",
            options={"svg": "SVG", "png": "PNG"},
            where="more",
        )

    @property
    def choices(self) -> dict[str, Any]:
        """Every choice of the page so far, as in its link."""
        return dict(self.link.values)

    def compute(self, function: Callable[[Mapping[str, Any]], R], **more: Any) -> R:
        """Call ``function(choices)`` with the page's choices; the last results are kept.

        Where the choices cannot be used, the page says so and goes on with those that worked last, dimmed.

        Parameters
        ----------
        function : callable
            A module-level function of the choices alone; its result is shared and must not be changed.
        **more
            Further entries for the choices, such as a dimension that no control asks for.

        Raises
        ------
        InputError
            If the form holds something that cannot be used.
        """
        name = f"{function.__module__}.{function.__qualname__}"
        choices = {key: value for key, value in self.choices.items() if key not in UNUSED} | more
        if self.refused is None:
            try:
                self.check()
                known = page_choices.refused(self.address, self.choices)
                if known is not None:
                    raise known
                result: R = _computed(function, name, canonical(choices), choices)
            except InputError as error:
                self.refuse(error, name)
            else:
                self.computed[name] = choices
                return result
        worked = page_choices.worked(self.address)
        choices = worked.get(name) or next(iter(worked.values()))
        self.computed[name] = choices
        earlier: R = _computed(function, name, canonical(choices), choices)
        return earlier

    @property
    def shown(self) -> dict[str, Any]:
        """The choices of what is drawn: those that worked last where the page's cannot be used."""
        if self.refused is None:
            return self.choices
        return {name: value for one in self.computed.values() for name, value in one.items()}

    def refuse(self, error: InputError, name: str = "") -> None:
        """Do the best there is with choices that cannot be used.

        Controls whose remedy is known move there; else, with the ``name`` of what was computed, the page goes on with
        what worked last; else, as after a bad link, it shows its defaults.

        Raises
        ------
        InputError
            If nothing is left to try.
        """
        values = self.link.values
        if self.refused is not None:
            raise error
        page_choices.know(self.address, self.link.defaults)
        moves = {key: value for key, value in error.remedy.items() if key in values and values[key] != value}
        if moves:
            now = " and ".join(f"{key} = {value}" for key, value in moves.items())
            if page_choices.move(self.address, moves, f"{error}. Now {now}."):
                return
        if name and page_choices.worked(self.address):
            if self.computed:  # something of these choices is drawn already
                page_choices.refuse(self.address, values, error)
            self.refused = error
            st.error(f"{error}. Change it at the left; below stands the last choice that works.")
            self.dim()
            return
        defaults = {key: value for key, value in self.link.defaults.items() if values.get(key) != value}
        if (
            defaults
            and page_choices.is_new(self.address)
            and page_choices.move(self.address, defaults, f"{error}. The page's defaults are shown instead.")
        ):
            return
        raise error

    def dim(self) -> None:
        """Dim the plots and numbers of this page: they belong to an earlier choice."""
        self.stale = True
        st.html(STALE)

    def code(self, lines: str) -> None:
        """Give the lines that compute this page's numbers; they can be copied from the sidebar."""
        self.lines = lines.strip()


@st.cache_resource(max_entries=48, show_spinner="Computing")
def _computed(_function: Callable[..., Any], name: str, key: str, _choices: Mapping[str, Any]) -> Any:
    return _function(_choices)


@contextlib.contextmanager
def page(address: str, title: str, question: str, *, seeded: bool = True) -> Iterator[Page]:
    """Open a page; everything inside the ``with`` block is the page.

    Parameters
    ----------
    address : str
        The page's address in the link, empty for Start.
    title : str
        The heading.
    question : str
        The one question the page answers.
    seeded : bool
        Whether the page has a seed.

    Yields
    ------
    Page
        Draws the controls and collects what the sidebar needs.
    """
    link = Link.open(address)
    st.session_state[HEADLINES] = ()
    st.html(NARROW)
    st.html(captions(Ink(dark=st.context.theme.type == "dark")))
    st.title(title, anchor=False)
    with st.container(horizontal=True, gap="xsmall"):
        st.markdown(question, width="stretch")
        words = st.container(width="content")
    notices = st.container()
    side = st.sidebar
    _presets(side.container(), link)
    groups: dict[str, DeltaGenerator] = {name: side.container() for name in ("what", "how", "how much")}
    groups["more"] = side.expander("More")
    foot = side.container()
    opened = Page(address, link, groups, seeded=seeded)
    try:
        yield opened
        opened.check()
    except InputError as error:
        try:
            opened.refuse(error)
        except InputError:
            st.error(f"{error}. Change it at the left; nothing else is lost.")
    if opened.refused is None:
        page_choices.has_worked(address, opened.computed)
    if link.new and not link.incoming:
        page_choices.restore(address, page_choices.choices(address), link.values)
    page_choices.remember(address, link.values)
    link.settle()
    told = link.notices()
    if told:
        notices.warning("\n".join(f"- {sentence}" for sentence in told) if len(told) > 1 else told[0])
    _words(words, opened, question)
    _foot(foot, opened, title, question)


def _words(box: DeltaGenerator, opened: Page, question: str) -> None:
    """Put what the words of the page mean behind a sign beside its question."""
    shown = [question, *(f"{one.title} {one.look}" for one in opened.drawn)]
    shown += [f"{label} {note}" for label, _, note in st.session_state[HEADLINES]]
    terms = glossary.used(" ".join(shown))
    if terms:
        with box.popover("Words", icon=":material/menu_book:", type="tertiary", help="What the words here mean"):
            st.markdown(glossary.lines(terms))


def _presets(box: DeltaGenerator, link: Link) -> None:
    address = link.page
    available = preset.of_page(address)
    if not available or not address:
        return
    key = f"_preset {address}"
    if key not in st.session_state:  # the link may be one of the examples
        asked = set(link.incoming.items())
        matching = (name for name, one in available.items() if set(query(one.choices).items()) <= asked)
        st.session_state[key] = next(matching, None)
    chosen = st.session_state[key]
    if chosen is not None and any(
        name in st.session_state and st.session_state[name] != value
        for name, value in available[chosen].choices.items()
    ):
        st.session_state[key] = None  # a control has been moved since: the page no longer shows the preset
    box.selectbox(
        "Preset",
        list(available),
        index=None,
        format_func=lambda name: available[name].title,
        placeholder="Pick a worked example",
        key=key,
        help="Sets all controls at once. The box empties when you move one.",
        on_change=_use_preset,
        args=(address, key),
    )
    if st.session_state.get(key):
        box.caption(available[st.session_state[key]].look)


def _use_preset(address: str, key: str) -> None:
    chosen = st.session_state[key]
    if chosen is not None:
        apply(st.session_state.get(f"_defaults {address}", {}) | dict(preset.of_page(address)[chosen].choices))


def _foot(foot: DeltaGenerator, opened: Page, title: str, question: str) -> None:
    link = opened.link
    page_choices.know(opened.address, link.defaults)
    reset, undo = foot.columns(2, gap="small")
    reset.button(
        "Reset",
        icon=":material/restart_alt:",
        width="stretch",
        on_click=apply,
        args=(link.defaults,),
        help="Set every control of this page to its default.",
    )
    undo.button(
        "Undo",
        icon=":material/undo:",
        width="stretch",
        on_click=page_choices.undo,
        args=(opened.address,),
        disabled=not page_choices.can_undo(opened.address),
        help="Take back the last choice; each press one more. There is nothing to take back as long as it is grey.",
    )
    with foot:
        copying.button(
            "Copy link", link.address(), key="_copy link",
            help="This page with all its choices, the seed and the engine version.",
        )  # fmt: skip
    with foot.popover("The link", icon=":material/link:", width="stretch"):
        st.caption("This page with all its choices, the seed and the engine version.")
        st.code(link.address(), language=None, wrap_lines=True)
    if opened.lines:
        with foot.popover("Show the code", icon=":material/code:", width="stretch"):
            st.caption("These lines give the numbers on this page.")
            st.code(opened.lines, language="python")
    if opened.drawn:
        view = html_report.View(
            title, question, st.session_state[HEADLINES], opened.drawn, opened.tables, opened.choices,
            link.address(), opened.lines, opened.ink, opened.said,
        )  # fmt: skip
        foot.download_button(
            "HTML report",
            functools.partial(html_report.write, view),  # written when it is asked for
            f"sdqviz-{opened.address or 'start'}.html",
            "text/html",
            icon=":material/article:",
            on_click="ignore",
            width="stretch",
            help="This view as one file that opens offline: plots, numbers, formulas, data, choices, link, versions.",
        )
