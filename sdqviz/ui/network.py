"""What the Network page does with its form: when work is started, the click on a layer, and its downloads."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sdqviz.bounds.ladder import Ladder
from sdqviz.compression.question import Question
from sdqviz.error import InputError
from sdqviz.explore import spread, what_if
from sdqviz.explore.network import link, words
from sdqviz.explore.network import table as layer_table
from sdqviz.explore.rounding_beside import Comparison, Rounding
from sdqviz.explore.spread import Spread
from sdqviz.explore.what_if import Answer
from sdqviz.explore.wording import number, size
from sdqviz.networks.own_weights import OwnNetwork
from sdqviz.plots.network import errors as network_errors
from sdqviz.plots.network.speed import draw_speed
from sdqviz.report import Report
from sdqviz.ui import choices as kept_choices
from sdqviz.ui import download, history, housekeeping, job, own, show
from sdqviz.ui.network_form import Asked, fitting, outline
from sdqviz.ui.screen import Page

if TYPE_CHECKING:  # opening the page must not load torch
    from sdqviz.compression.speed import LayerSpeed

LOADING = 1.5
"""Seconds that reading a network and its data takes the first time."""

LASTING = 20.0
"""Seconds from which on work is done one after the other for all visitors, apart from short work."""


FORM, RUNNING, STORED = "_network form", "_network running", "_network stored"
SHOWN, ASKED, LADDER_ASKED, SEEDS_ASKED = "_network shown", "_network asked", "_ladder asked", "_seeds asked"


class Strip:
    """The headline numbers of a run: drawn as soon as they are measured, with what rounding keeps told after that.

    They appear where the strip was made.
    """

    def __init__(self) -> None:
        self._box = st.container()
        self._places: show.Places = ()

    def draw(self, report: Report, beside: Rounding | None = None) -> None:
        """Draw the numbers of a report, over those that stand there already."""
        with self._box:
            self._places = show.headlines(
                show.Headline(
                    "Bits per original weight",
                    number(report.bits_per_weight),
                    f"{size(report.bytes)} instead of {size(report.original_bytes)}",
                    "Levels, scales, frame parameters, seeds and the tensors kept in float, over all original numbers.",
                ),
                show.Headline(
                    "Accuracy after",
                    words.accuracy(report.accuracy_after),
                    words.accuracy_note(report, beside),
                    "Share of all test inputs that are classified rightly.",
                ),
                show.Headline(*words.error_headline(report)),
                over=self._places,
            )


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
    progress : DeltaGenerator
        Where progress is drawn.
    """

    question: Question
    comparison: Comparison
    answer: Answer | None
    progress: DeltaGenerator


def run(page: Page, asked: Asked | None) -> Shown | None:
    """Draw the headline numbers, and return what else to draw: at once where that takes under a second, else after Run.

    Until then the previous result stays, dimmed. A stored result is drawn first where one matches and nothing heavy is
    loaded yet. Numbers just computed are drawn before plain rounding is measured beside them.
    """
    box, strip = st.container(), Strip()
    shown = _previous(page, box) if asked is None else _found(page, asked, box, strip)
    if shown is not None:
        strip.draw(shown.comparison.report, shown.comparison.rounding)
    return shown


def _found(page: Page, asked: Asked, box: DeltaGenerator, strip: Strip) -> Shown | None:
    """Return the answer to what is asked, or what stands in for it until there is one."""
    question = asked.question
    kept = own.kept(question.network)
    found, stored = what_if.known(question, kept), link.stored_comparison(question)
    try:
        if found is None:
            with box:
                found = _work(question, page.choices, strip, later=stored is not None)
    except InputError as error:
        error.remedy = error.remedy or fitting(outline(question.network), page.choices)
        nothing = not {SHOWN, STORED} & {*st.session_state}
        if error.remedy or nothing:
            try:
                page.refuse(error)
            except InputError:  # no remedy is left to try: the last result stays, where there is one
                if nothing:
                    raise
        page.group("how much").error(str(error))
        box.error(f"{error}. Change it at the left; nothing else is lost.")
    if found is not None:
        st.session_state[SHOWN] = found
        _remember(found)
        return Shown(found.question, found.comparison, found, box)
    if stored is not None:
        st.session_state[STORED] = question
        return Shown(question, stored, None, box)
    return _previous(page, box)


def last_asked(asked: Asked | None) -> Asked | None:
    """Return the form, or what it said last where it says nothing now."""
    if asked is not None:
        st.session_state[FORM] = asked
    found: Asked | None = st.session_state.get(FORM)
    return found


def _previous(page: Page, box: DeltaGenerator) -> Shown | None:
    """Return the last result, dimmed, and say whose it is."""
    previous: Answer | None = st.session_state.get(SHOWN)
    question: Question | None = st.session_state.get(STORED) if previous is None else previous.question
    if question is None:
        return None
    box.info(f"What is drawn faintly below still belongs to {words.choice_text(question)}.")
    page.dim()
    comparison = link.stored_comparison(question) if previous is None else previous.comparison
    return None if comparison is None else Shown(question, comparison, previous, box)


def _remember(found: Answer) -> None:
    """Enter a run into the history of this session."""
    mine = isinstance(found.question.network, OwnNetwork)
    weights = found.compression.original.fingerprint if mine else None
    report = found.comparison.report
    history.remember(found.question.network, report, found.question.calibration, found.seconds, weights)


def _work(question: Question, page_choices: Mapping[str, Any], strip: Strip, *, later: bool) -> Answer | None:
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
    _tell_of_another(slot, running=running)
    loaded, kept = "torch" in sys.modules, own.kept(question.network)
    seconds = what_if.estimated_seconds(question, kept) if loaded else math.nan
    if loaded and seconds <= what_if.AT_ONCE:
        if running:
            slot.cancel()
        with st.spinner("Computing"), housekeeping.memory_used_again():
            return what_if.answer(question, kept=kept, first=strip.draw)
    if not loaded and question.ready and asked != question and not _lasting(question):
        if not later:
            _start(question)
            slot.show()
        return None
    seconds += job.seconds_to_start() + (0.0 if kept.networks.get(question.network) else LOADING)
    told = f"about {max(seconds, 1):.0f} s" if math.isfinite(seconds) else "how long is not known beforehand"
    if not question.ready:
        told += ": the network has to be trained first"
    if st.button(f"Run ({told})", type="primary", help="The previous result stays until the new one is there."):
        st.session_state[RUNNING] = page_choices
        _start(question)
        st.rerun()
    elif not slot.problem:
        st.caption("It takes longer than a second, so it waits for you; nothing costly is computed on opening a page.")
    slot.show()
    return None


def _tell_of_another(slot: job.Job[Answer], *, running: bool) -> None:
    """Say which other choice is being computed, or that its result is there and one click away."""
    of: Question | None = st.session_state.get(ASKED)
    choices: Mapping[str, Any] | None = st.session_state.get(RUNNING)
    if of is None or choices is None:
        return
    if running:
        st.caption(f"Under way is {words.choice_text(of)}; Run starts the choice at the left in its place.")
    elif slot.result is not None and slot.made_for == of:
        st.button(
            f"Show the result of {words.choice_text(of)}", on_click=kept_choices.apply, args=(choices,),
            help="The run you started has ended; this sets the controls to its choices.",
        )  # fmt: skip


def _lasting(question: Question) -> bool:
    """Whether the method trains, or says that it takes long: such work waits for Run, and for its turn."""
    seconds = question.method.estimated_seconds([layer.shape for layer in outline(question.network)])
    return question.method.trains or seconds > LASTING


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


def speed(page: Page, shown: Shown) -> None:
    """Offer to measure inference in the frame's domain, where layers are stored in one; draw what was measured."""
    found = shown.answer
    if found is None:
        return
    from sdqviz.compression.speed import in_frames, inference_speed

    if not in_frames(found.compression):
        return
    slot: job.Job[tuple[LayerSpeed, ...]] = job.slot("speed")
    st.markdown("**Speed**")
    batch = int(st.segmented_control("Inputs at a time", [1, 16], default=1, required=True, key="_speed batch"))
    wanted = (found.question, batch)
    if st.button("Measure inference here", help="Seconds; on one thread, the dense layer and the frame in turns."):
        slot.start(lambda progress, should_stop: inference_speed(found.compression, batch), wanted)
    slot.show()
    if slot.result is not None and slot.made_for == wanted:
        show.panel(draw_speed(slot.result, batch, page.ink), page)


def errors(page: Page, shown: Shown, layer: str) -> None:
    """Draw the errors per layer; a click on a bar chooses its layer."""
    show.panel(network_errors.draw_errors(shown.comparison, page.ink, layer), page, on_select=_choose_layer)


def _choose_layer(selected: Mapping[str, Any]) -> None:
    if selected["points"]:
        st.session_state["layer"] = selected["points"][0]["x"]


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
