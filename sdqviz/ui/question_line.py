"""The question line of Compare and Network: answered at once from the runs at hand, then refined by computing."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import streamlit as st

from sdqviz.choice import Spec
from sdqviz.experiments import target
from sdqviz.experiments.compare.entry import Entry
from sdqviz.experiments.compare.questions import QUESTIONS, Amounts
from sdqviz.experiments.run import Run
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.own_weights import OwnNetwork
from sdqviz.progress import Progress, ShouldStop
from sdqviz.ui import compare_work, job
from sdqviz.ui.compare import all_runs, follow
from sdqviz.ui.link import linked, write_linked
from sdqviz.ui.screen import Page

FIRST = "smallest"
"""The question that is asked first."""

CALIBRATION = 512
"""Calibration inputs of what is computed."""

_HELP = "Answered from the runs at hand: the shipped ones, imported ones and this session's."


def of_network(network: NetworkChoice) -> tuple[Entry, ...]:
    """Return the runs at hand of one network, with its seed, each a point."""
    compare_work.collect()
    asked = network.to_dict()
    found = [(run, origin) for run, origin in all_runs() if dict(run.network) == asked]
    return _points(tuple(run.key for run, _ in found), found)


@st.cache_resource(max_entries=16, show_spinner=False)
def _points(keys: tuple[str, ...], _found: Sequence[tuple[Run, str]]) -> tuple[Entry, ...]:
    """Return runs as points; a point keeps its figures once they are read, and a run's key stands for all of it."""
    return tuple(Entry((run,), origin) for run, origin in _found)


def about(page: Page, network: NetworkChoice) -> None:
    """Draw the line for one network: answered from its runs at hand, refined by running it."""
    catalogue = network.name in NETWORKS and network.with_data and not isinstance(network, OwnNetwork)
    why_not = "Only networks of the catalogue that come with data are run for this; Run computes yours."
    line(page, of_network(network), network if catalogue else None, why_not=why_not)


def line(
    page: Page, points: Sequence[Entry], network: NetworkChoice | None, methods: Sequence[str] = (), why_not: str = ""
) -> None:
    """Draw the question, what it leaves open, its answer, and the button that computes more.

    Parameters
    ----------
    page : Page
        The page.
    points : sequence of Entry
        What it is answered from.
    network : NetworkChoice or None
        Whose runs are computed; None if there is none that can be.
    methods : sequence of str
        What is computed; empty for all.
    why_not : str
        What to do where there is no network.
    """
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
        said = answer(points, amounts)
        slot: job.Job[int] = job.slot(f"question {page.address}")
        chosen = tuple(methods) or tuple(sorted(METHODS))
        aim = None if network is None else target.Aim(network, amounts.accuracy, chosen, CALIBRATION)
        _refine_button(columns[3], slot, name, aim, amounts, why_not)
        st.markdown(said.sentence)
        if slot.cancelled:
            st.caption("Cancelled; the runs that were finished are among those above.")
        else:
            slot.show()
        if slot.result is not None:
            compare_work.drawn_with(slot)
            st.caption(f"{slot.result} more runs were computed for the last refined question; a better one may exist.")


def known_network(name: str, seed: int = 0) -> NetworkChoice | None:
    """Return a network of the catalogue that comes with data, by name; None for any other."""
    return NETWORKS[name](seed=seed) if name in NETWORKS and NETWORKS[name].with_data else None


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


def _refine_button(
    box: Any, slot: job.Job[int], name: str, aim: target.Aim | None, amounts: Amounts, why_not: str
) -> None:
    told = "Runs the choices that the answer turns on, beside the page; what is finished is kept, also on Cancel."
    pressed = box.button(
        "Refine", disabled=slot.running or aim is None, help=told if aim is not None else why_not, width="stretch"
    )
    if pressed and aim is not None:
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
