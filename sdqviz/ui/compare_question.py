"""The question line of the Compare page: answered at once from the runs at hand, then refined by computing."""

from __future__ import annotations

import functools
from typing import Any

import streamlit as st

from sdqviz.choice import Spec
from sdqviz.experiments import target
from sdqviz.experiments.compare.questions import QUESTIONS, Amounts
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.progress import Progress, ShouldStop
from sdqviz.ui import compare_work, job
from sdqviz.ui.compare import Shown, follow
from sdqviz.ui.link import linked, write_linked
from sdqviz.ui.screen import Page

FIRST = "smallest"
"""The question that is asked first."""

CALIBRATION = 512
"""Calibration inputs of what is computed."""

_HELP = "Answered from the runs the filters pass: the shipped ones, imported ones and this session's."


def line(page: Page, shown: Shown) -> None:
    """Draw the question, what it leaves open, its answer, and the button that computes more."""
    with st.container(border=True):
        columns = st.columns([5, 1.4, 1.4, 1.8], vertical_alignment="bottom")
        name = linked(page.link, "question") or FIRST
        if name not in QUESTIONS:
            page.link.problems.append(f"question must be one of {', '.join(QUESTIONS)}, got {name[:40]!r}.")
            name = FIRST
        st.session_state["_question"] = name
        columns[0].selectbox(
            "Question", list(QUESTIONS), key="_question", help=_HELP, on_change=follow, args=("question",),
            format_func=lambda one: QUESTIONS[one][0],
        )  # fmt: skip
        write_linked(page.link, "question", name, Spec("Question", _HELP))
        _, needs, answer = QUESTIONS[name]
        amounts = _amounts(page, columns[1:3], needs)
        said = answer(shown.filtered, amounts)
        slot: job.Job[int] = job.slot("question")
        _refine_button(page, columns[3], slot, name, amounts)
        st.markdown(said.sentence)
        if slot.cancelled:
            st.caption("Cancelled; the runs that were finished are among those above.")
        else:
            slot.show()
        if slot.result is not None:
            compare_work.drawn_with(slot)
            st.caption(f"{slot.result} more runs were computed for the last refined question; a better one may exist.")


def _amounts(page: Page, boxes: Any, needs: tuple[str, ...]) -> Amounts:
    found = {}
    for box, need in zip(boxes, needs, strict=False):
        if need == "accuracy":
            told = "Test accuracy to keep."
            found[need] = compare_work.number_box(page, box, "x_accuracy", 97.5, "x, %", 1.0, 100.0, told) / 100
        elif need == "bits":
            told = "Bits per original weight, everything counted."
            found[need] = compare_work.number_box(page, box, "x_bits", 2.2, "x, bits", 0.5, 16.0, told)
        else:
            told = "Share of zero weights."
            found[need] = compare_work.number_box(page, box, "y_zeros", 50.0, "y, %", 1.0, 99.0, told) / 100
    return Amounts(**found)


def _refine_button(page: Page, box: Any, slot: job.Job[int], name: str, amounts: Amounts) -> None:
    network = page.choices["network"]
    known = network in NETWORKS and NETWORKS[network].with_data
    why = "" if known else "Choose one network with data at the left; its runs are then computed."
    told = "Runs the choices that the answer turns on, beside the page; what is finished is kept, also on Cancel."
    if box.button("Refine", disabled=slot.running or not known, help=why or told, width="stretch"):
        chosen = tuple(filter(None, page.choices["methods"].split(","))) or tuple(sorted(METHODS))
        aim = target.Aim(NETWORKS[network](seed=0), amounts.accuracy, chosen, CALIBRATION)
        slot.start(functools.partial(_refined, name, aim, amounts.bits, compare_work.memory()), (name, aim, amounts))
        st.rerun()


def _refined(
    name: str, aim: target.Aim, bits: float, memory: target.Memory, progress: Progress, should_stop: ShouldStop
) -> int:
    """Compute what the question turns on; return how many runs were done now."""
    if name == "smallest":
        before = len(memory)
        target.find(aim, memory, progress, should_stop)
        return len(memory) - before
    more = {"bit": (bits, bits + 1), "rounding": (bits, bits + 1, bits + 2)}.get(name, (bits,))
    return target.fill(aim, more, memory, progress, should_stop)
