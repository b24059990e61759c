"""What the Network page has of its own: its form, when work is started, the click on a layer, and its downloads."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sdqviz.bounds.ladder import Ladder
from sdqviz.choice import Choice, PerLayer, Spec
from sdqviz.compression.question import Question
from sdqviz.error import InputError
from sdqviz.explore import spread, what_if
from sdqviz.explore.comparison import Comparison
from sdqviz.explore.network import link
from sdqviz.explore.network import table as layer_table
from sdqviz.explore.spread import Spread
from sdqviz.explore.what_if import Answer, LayerOutline
from sdqviz.frames import FRAMES
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.catalogue.torchvision_zoo import TorchvisionChoice
from sdqviz.networks.own_weights import OwnNetwork
from sdqviz.plots.network import errors as network_errors
from sdqviz.registry import Registry
from sdqviz.report import Report
from sdqviz.ui import download, history, job, own, show
from sdqviz.ui.screen import Page

ALTERNATIVES = (("size", "redundancy"),)
"""Fields of which a method takes one: a box says which, and only that one is asked for."""

LIMITS = {"size": (1, 16384), "redundancy": (1.0, 64.0)}
"""What the page offers; the engine refuses by memory."""

STARTING = {"size": 1000, "redundancy": 4.0}
"""Values at first of fields that a method leaves open."""

MOST_INPUTS = 4096
"""The most calibration inputs."""

LASTING = 20.0
"""Seconds from which on work is done one after the other for all visitors, apart from short work."""

LAYERS_LISTED = 60
"""The most layers with a line of their own in the form."""

SHOWN, ASKED, LADDER_ASKED, SEEDS_ASKED = "_network shown", "_network asked", "_ladder asked", "_seeds asked"


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What the page draws.

    Attributes
    ----------
    question : Question
        What the numbers belong to, perhaps an earlier choice.
    comparison : Comparison
        The numbers.
    answer : Answer or None
        The run itself; None while only a stored result is at hand.
    """

    question: Question
    comparison: Comparison
    answer: Answer | None
    progress: DeltaGenerator
    """Where progress is drawn."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """Everything the form says.

    Attributes
    ----------
    question : Question
        What is to be computed.
    layer, vector : str
        What is looked into.
    ladder : bool
        Whether the a-posteriori bounds are wanted.
    seeds : int
        How many seeds are to be run; 1 for methods that draw no levels.
    """

    question: Question
    layer: str
    vector: str
    ladder: bool
    seeds: int = 1

    def layer_of(self, report: Report) -> str:
        """Return the layer to look into; the first where the numbers are still those of another network."""
        names = [row.name for row in report.layers]
        return self.layer if self.layer in names else names[0]


# -- the form ---------------------------------------------------------------------------------------


def ask(page: Page) -> Asked | None:
    """Draw the form: network, method with all its fields, those by layer, calibration inputs, what is looked into.

    Returns
    -------
    Asked or None
        None while a file that is asked for is missing.

    Raises
    ------
    InputError
        If the choices do not go together.
    """
    network = page.attempt(lambda: own.choose(page), lambda: None)
    outline = () if network is None else _outline(network)
    _method(page, outline)
    ladder = False
    if not isinstance(network, OwnNetwork) or not network.alone:
        _calibration(page, network)
        ladder = page.ask(
            "ladder",
            False,
            label="Ladder of bounds P0–P4",
            help="Bounds on the output that use more and more of what was measured. Takes a few seconds; only for "
            "networks the theorems speak of.",
            where="how",
        )
    vector = page.ask(
        "vector",
        "worst",
        label="Vector looked into",
        help="The column or neuron of the layer with the worst, the median or the best error.",
        options=("worst", "median", "best"),
        where="more",
    )
    if network is None:  # the form keeps what was chosen until there is a network
        return None
    names = tuple(layer.name for layer in outline)
    if st.session_state.get("layer", names[0]) not in names:  # the network has changed
        del st.session_state["layer"]
    layer = page.ask(
        "layer",
        names[0],
        label="Layer looked into",
        help="Clicking a bar of the first plot chooses its layer too.",
        options=names,
        where="what",
    )
    question, seeds = link.question(page.choices, network), 1
    if question.method.stochastic:
        seeds = page.ask(
            "seeds",
            1,
            label="Seeds",
            help="This method draws its levels at random. With more than one seed the same run is made with each, from "
            "the seed under More upwards, and accuracy and error are shown with their spread. Each takes as long as "
            "the run itself.",
            minimum=1,
            maximum=spread.MOST_SEEDS,
            where="how much",
        )
    return Asked(question, layer, vector, ladder, seeds)


def _outline(network: NetworkChoice) -> Sequence[LayerOutline]:
    if isinstance(network, OwnNetwork):
        return what_if.outline(network, own.kept(network))
    with st.spinner("Building the network"):
        return link.outline(network)


def _calibration(page: Page, network: NetworkChoice | None) -> None:
    """Ask on how many inputs errors are measured, as far as there are any."""
    if isinstance(network, TorchvisionChoice):  # it comes without data: errors are measured on an image of noise
        return
    given = None if network is None else own.network(network)
    pool = MOST_INPUTS if given is None or given.dataset is None else given.dataset.calibration_size
    most = min(MOST_INPUTS, pool)
    if st.session_state.get("calibration", 0) > most:  # the data have changed
        st.session_state["calibration"] = most
    page.ask(
        "calibration",
        min(link.DEFAULTS["calibration"], most),
        label="Calibration inputs",
        help="On how many training images errors are measured (and collected, by methods that need data). The accuracy "
        "is always that of all test images.",
        minimum=min(16, most),
        maximum=most,
    )


def _box(page: Page, registry: Registry[Any], key: str, default: str, label: str) -> type[Any]:
    names = tuple(sorted(registry))
    told = "\n".join(f"- `{name}`: {registry[name].title}" for name in names)
    name = page.ask(
        key, default, label=label, help=f"Each has its own form below.\n\n{told}", options=names, where="what"
    )
    return registry[name]


def _method(page: Page, outline: Sequence[LayerOutline]) -> None:
    """Draw the box of methods and the form of the chosen one."""
    cls = _box(page, METHODS, "method", link.DEFAULTS["method"], "Method")
    specs = cls.specs()
    left_out = set()
    for fields in ALTERNATIVES:
        if set(fields) <= set(specs):
            told = "\n".join(f"- `{name}`: {specs[name].label}. {specs[name].help}" for name in fields)
            given = page.ask(
                f"{fields[0]}_as", fields[0], label="Give N as", help=told, options=fields, where="how much"
            )
            left_out |= set(fields) - {given}
    starting = {name: value for name, value in STARTING.items() if name in specs and name not in left_out}
    page.choose(
        cls,
        limits={name: value for name, value in LIMITS.items() if name in specs},
        defaults=starting,
        unless={name: lambda _values: True for name in left_out},
        moves={"frame": functools.partial(_fit_size, outline)},
    )
    _by_layer(page, cls, outline)


def _fit_size(outline: Sequence[LayerOutline]) -> None:
    """Move N to one the newly chosen family has for every layer, so that its result shows at once."""
    family, length = FRAMES[st.session_state["frame"]], st.session_state.get("size")
    if length is None:
        return
    rows = st.session_state.get("axis") == "rows"
    try:
        for layer in outline:
            dimension = math.prod(layer.shape[1:]) if rows else layer.shape[0]
            length = max(length, family.admissible_size(dimension, length))
    except InputError:
        return  # the form says what is wrong
    st.session_state["size"] = min(length, LIMITS["size"][1])


def _by_layer(page: Page, cls: type[Choice], outline: Sequence[LayerOutline]) -> None:
    """Draw the fields that may differ by layer, one line a layer; an empty one is as above."""
    fields = [name for name, kind in cls.kinds().items() if kind == PerLayer]
    if not fields:
        return
    box = page.group("how much").expander("By layer")
    if len(outline) > LAYERS_LISTED:
        box.caption(f"The first {LAYERS_LISTED} of {len(outline)} layers.")
    for layer in outline[:LAYERS_LISTED]:
        box.caption(f"{layer.name}, {' × '.join(map(str, layer.shape))}")
        for field, column in zip(fields, box.columns(len(fields)), strict=True):
            _layer_value(page, column, f"{field}.{layer.name}", cls.specs()[field], layer.name)


def _layer_value(page: Page, column: Any, key: str, spec: Spec, layer: str) -> None:
    low, high = spec.minimum, spec.maximum
    if key.startswith("size") and high is not None:
        high = min(high, LIMITS["size"][1])
    kind = int if isinstance(low, int) and isinstance(high, int) else float
    value = column.number_input(
        spec.label, min_value=low, max_value=high, value=None, step=1 if kind is int else None, key=key,
        placeholder="as above", help=f"{spec.help} Here: {layer}.", bind="query-params",
    )  # fmt: skip
    page.link.declare(key, value, None, kind, Spec(spec.label, spec.help, low, high))


# -- when work is done --------------------------------------------------------------------------------


def run(page: Page, question: Question) -> Shown | None:
    """Return what to draw: at once where that takes under a second, else after Run; until then the previous result.

    A stored result is drawn first where one matches and nothing heavy is loaded yet.
    """
    box = st.container()
    kept = own.kept(question.network)
    found, stored = what_if.known(question, kept), link.stored_comparison(question)
    try:
        if found is None:
            with box:
                found = _work(question, later=stored is not None)
    except InputError as error:
        page.group("how much").error(str(error))
        box.error(f"{error}. Change it at the left; nothing else is lost.")
    if found is not None:
        st.session_state[SHOWN] = found
        _remember(found)
        return Shown(found.question, found.comparison, found, box)
    if stored is not None:
        return Shown(question, stored, None, box)
    previous: Answer | None = st.session_state.get(SHOWN)
    if previous is None:
        return None
    box.info("The numbers below are still those of the previous choice.")
    return Shown(previous.question, previous.comparison, previous, box)


def _remember(found: Answer) -> None:
    """Enter a run into the history of this session."""
    mine = isinstance(found.question.network, OwnNetwork)
    weights = found.compression.original.fingerprint if mine else None
    report = found.comparison.report
    history.remember(found.question.network, report, found.question.calibration, found.seconds, weights)


def _work(question: Question, *, later: bool) -> Answer | None:
    """Compute now, or draw Run, or progress and Cancel.

    While libraries still have to be read, work that is quick goes beside the page; with ``later`` `complete` starts it.
    """
    slot: job.Job[Answer] = job.slot("network")
    running = slot.running
    if slot.result is not None and slot.made_for == question:
        return slot.result
    asked = st.session_state.get(ASKED)
    if running and asked == question:
        slot.show()
        return None
    loaded, kept = "torch" in sys.modules, own.kept(question.network)
    seconds = what_if.estimated_seconds(question, kept) if loaded else math.nan
    if loaded and seconds <= what_if.AT_ONCE:
        if running:
            slot.cancel()
        with st.spinner("Computing"):
            return what_if.answer(question, kept=kept)
    if not loaded and question.ready and asked != question and not _lasting(question):
        if not later:
            _start(question)
            slot.show()
        return None
    told = f"about {seconds:.0f} s" if math.isfinite(seconds) else "how long is not known beforehand"
    if not question.ready:
        told += ": the network has to be trained first"
    if st.button(f"Run ({told})", type="primary", help="The previous result stays until the new one is there."):
        _start(question)
        st.rerun()
    elif not slot.problem:
        st.caption("It takes longer than a second, so it waits for you; nothing costly is computed on opening a page.")
    slot.show()
    return None


def _lasting(question: Question) -> bool:
    """Whether the method says that it takes long, as training does: such work waits for Run, and for its turn."""
    return question.method.estimated_seconds([layer.shape for layer in _outline(question.network)]) > LASTING


def _start(question: Question) -> None:
    kept, slot = own.kept(question.network), job.slot("network")
    slot.lasting = _lasting(question)
    slot.start(functools.partial(what_if.answer, question, kept=kept), question)
    st.session_state[ASKED] = question


def complete(shown: Shown) -> None:
    """Start the run itself behind a stored result, now that the result is drawn."""
    if shown.answer is None and st.session_state.get(ASKED) != shown.question:
        _start(shown.question)
        with shown.progress:
            job.slot("network").show()


def ladder(asked: Asked, shown: Shown) -> Ladder | None:
    """Return the a-posteriori ladder if it is wanted and there; measure it beside the page otherwise."""
    found = shown.answer
    if not asked.ladder or found is None or not found.compression.original.structure.applicable:
        return None
    slot: job.Job[Ladder] = job.slot("ladder")
    running = slot.running
    if slot.made_for == found.question and slot.result is not None:
        return slot.result
    if st.session_state.get(LADDER_ASKED) != found.question and not running:
        slot.start(functools.partial(what_if.ladder, found), found.question)
        st.session_state[LADDER_ASKED] = found.question
    slot.show()
    return None


def seeds(asked: Asked, shown: Shown) -> Spread | None:
    """Return the figures over several seeds if they are wanted and there; run the seeds beside the page otherwise."""
    found = shown.answer
    if asked.seeds == 1 or found is None or not found.question.method.stochastic:
        return None
    slot: job.Job[Spread] = job.slot("seeds")
    running, wanted = slot.running, (found.question, asked.seeds)  # asking takes a finished result over
    if slot.made_for == wanted and slot.result is not None:
        return slot.result
    if st.session_state.get(SEEDS_ASKED) != wanted:
        kept = own.kept(found.question.network)
        slot.start(functools.partial(spread.over_seeds, *wanted, kept=kept), wanted)
        st.session_state[SEEDS_ASKED] = wanted
        running = True
    if running:
        st.caption(f"The same run with {asked.seeds} seeds:")
    slot.show()
    return None


# -- one layer ----------------------------------------------------------------------------------------


def errors(page: Page, shown: Shown, layer: str) -> None:
    """Draw the errors per layer; a click on a bar chooses its layer."""
    show.panel(network_errors.draw_errors(shown.comparison, page.ink, layer), page, on_select=_choose_layer)


def _choose_layer(key: str) -> None:
    points = st.session_state[key].selection.points
    if points:
        st.session_state["layer"] = points[0]["x"]


# -- tables and downloads -----------------------------------------------------------------------------


def table(shown: Shown) -> None:
    """Draw the table of layers, and what can be downloaded: report, table, and the network in three forms."""
    report = shown.comparison.report
    st.markdown("**Layer by layer**")
    st.dataframe(layer_table.shown_table(report), hide_index=True, key="_table network")
    left, right = st.columns(2)
    left.download_button(
        "Report, JSON", layer_table.report_json(report), "sdqviz-report.json", "application/json", on_click="ignore",
        width="stretch", help="Every figure of this run.",
    )  # fmt: skip
    right.download_button(
        "Layer table, CSV", functools.partial(layer_table.table_csv, report), "sdqviz-layers.csv", "text/csv",
        on_click="ignore", width="stretch", help="Every figure of every layer.",
    )  # fmt: skip
    download.network(shown.answer, report)
