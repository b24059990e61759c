"""What the Bounds page has of its own: its form, when a sweep waits for Run, and the paper's figures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from sdqviz.error import InputError
from sdqviz.experiments.paper import shipped as paper
from sdqviz.experiments.paper.result import Result
from sdqviz.explore.bounds import link
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.curve import Curve, Sweep
from sdqviz.explore.curves.point import PARITIES, Rule, Subject
from sdqviz.explore.wording import begun
from sdqviz.plots.bounds import paper as paper_figures
from sdqviz.ui import job, show
from sdqviz.ui.screen import Page

AT_ONCE = 1.0
"""Seconds of estimated work that are spent without being asked for."""

SHOWN = "_bounds shown"

WHAT = ("source", "weights", "layer", "network", "nets", "frame", "method")
"""Fields of subjects that say what is bounded."""


def ask(page: Page) -> Sweep | None:
    """Draw the form: what is bounded, what of it is swept, the rest of it, the range.

    Returns
    -------
    Sweep or None
        None if the choices do not go together.
    """
    names = tuple(sorted(SUBJECTS))
    cls = SUBJECTS[
        page.ask(
            "subject",
            link.DEFAULTS["subject"],
            label="What is bounded",
            help="Of each there is another theorem.",
            options={name: SUBJECTS[name].title for name in names},
            where="what",
        )
    ]
    if st.session_state.get("sweep", next(iter(cls.axes))) not in cls.axes:  # the subject has changed
        del st.session_state["sweep"]
    name = page.ask(
        "sweep",
        next(iter(cls.axes)),
        label="Swept",
        help="What grows from left to right; all else stays.",
        options={key: begun(axis.title) for key, axis in cls.axes.items()},
        where="what",
    )
    _range(page, cls, name)
    _form(page, cls, name)
    page.ask(
        "at",
        link.DEFAULTS["at"],
        label="Point taken apart",
        help="All bounds of this point are shown on one axis of their own.",
        options={name: f"The {name}" for name in link.PLACES},
        where="how",
    )
    if cls.name in ("vector", "layer"):
        page.ask(
            "equal",
            False,
            label="Rounding at equal bits",
            help="Draws what rounding the numbers themselves, without a frame, leaves with as many bits per original "
            "weight, at most 16.",
        )
    if cls.name == "network":
        page.ask(
            "paper",
            "figure2",
            label="Figure of the paper",
            help="Shown below: Figures 1 and 2 and Tables 3 and 4 of Czaja & Na, as shipped, or computed anew.",
            options={"none": "None", **{name: f"{name[:-1].capitalize()} {name[-1]}" for name in paper.SHOWN}},
            where="how",
        )
    try:
        page.check()
        sweep = link.asked(page.choices)
        sweep.estimated_seconds()  # refuses what has no point at all
    except InputError:
        return None
    return sweep


def _range(page: Page, cls: type[Subject], name: str) -> None:
    """Draw beginning and end of the sweep, how many points, and which whole numbers."""
    axis = cls.axes[name]
    kind = int if axis.whole else float
    for end, value, label in (("from", axis.low, "From"), ("to", axis.high, "To")):
        page.ask(
            f"{name}_{end}",
            kind(value),
            label=f"{label} {axis.field}",
            help=f"{axis.title}: {'beginning' if end == 'from' else 'end'} of the sweep, {axis.least:g} to "
            f"{axis.most:g}.",
            minimum=axis.least if axis.whole else None,
            maximum=axis.most if axis.whole else None,
            where="how much",
        )
    page.ask(
        "points",
        link.DEFAULTS["points"],
        label="Points",
        help="Evenly spaced on the logarithmic axis; those that fall together count once.",
        minimum=3,
        maximum=25,
        where="how much",
    )
    if axis.parity:
        page.ask(
            "parity",
            link.DEFAULTS["parity"],
            label=f"Values of {axis.field}",
            help="With N even and a frame whose vectors sum to 0 the last state vanishes, and with it the term that "
            "falls slowest.",
            options={name: f"{name.capitalize()} numbers" for name in PARITIES},
            where="how",
        )


def _form(page: Page, cls: type[Subject], name: str) -> None:
    """Draw the subject's own fields but those that the sweep moves, and those that other choices leave without use."""
    axis = cls.axes[name]
    hidden: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        field: functools.partial(_without_use, rules, cls.defaults(), dict(axis.fixed))
        for field, rules in cls.only.items()
    }
    hidden |= {field: lambda _seen: True for field in axis.names}
    where = dict.fromkeys((field for field in WHAT if field in cls.specs()), "what")
    page.attempt(lambda: page.choose(cls, where=where, unless=hidden), cls)


def _without_use(
    rules: Sequence[Rule], defaults: Mapping[str, Any], fixed: Mapping[str, Any], seen: Mapping[str, Any]
) -> bool:
    """Say whether a field that decides about this one decides against it; one that is not asked has its default."""
    known = {**defaults, **seen, **fixed}
    return any(known[other] not in values for other, values in rules)


def run(page: Page, sweep: Sweep | None) -> Curve | None:
    """Return what to draw: at once where that takes under a second, else after Run; until then the previous curve.

    Raises
    ------
    InputError
        If the choices cannot be used.
    """
    if sweep is None:  # says why, and goes on with what worked last
        return page.compute(link.build)
    seconds = sweep.estimated_seconds()
    network = sweep.subject.name == "network"
    if network:
        seconds += job.seconds_to_start()
    if seconds <= AT_ONCE:
        curve = page.compute(link.build)
        st.session_state[SHOWN] = curve
        return curve
    stored = link.stored_curve(sweep)
    if stored is not None:
        return stored
    slot: job.Job[Curve] = job.slot("bounds")
    running = slot.running
    if slot.result is not None and slot.made_for == sweep:
        st.session_state[SHOWN] = slot.result
        return slot.result
    if running and slot.asked_for == sweep:
        slot.show()
        return _previous(page)
    if st.button(
        f"Run (about {seconds:.0f} s)", type="primary", help="The previous result stays until the new one is there."
    ):
        slot.start(sweep.run, sweep)
        st.rerun()
    if not slot.problem:
        st.caption("It takes longer than a second, so it waits for you; nothing costly is computed on opening a page.")
    slot.show()
    return _previous(page)


def _previous(page: Page) -> Curve | None:
    """Return the last curve drawn, of whatever subject, and say that it is not the one asked for."""
    found: Curve | None = st.session_state.get(SHOWN)
    if found is None:
        return None
    about = SUBJECTS[found.sweep.subject.name].title
    st.info(f"What is drawn faintly below still belongs to the previous choice: {about}.")
    page.dim()
    return found


def published(page: Page) -> None:
    """Draw the chosen figure of the paper: as shipped, or anew after its Run, beside the page with Cancel."""
    name = page.choices.get("paper", "none")
    if name == "none":
        return
    slot: job.Job[Result] = job.slot(f"paper {name}")
    running = slot.running
    result = slot.result
    st.subheader("The paper's figures", anchor=False)
    show.panel(paper_figures.draw_paper(result or paper.shipped(name), page.ink, live=result is not None), page)
    if not running and result is None:
        told = f"Compute it here (about {paper.seconds(name):.0f} s)"
        if st.button(told, help="Finished parts are kept, so that a cancelled run goes on where it was."):
            slot.start(functools.partial(paper.compute, name), name)
            st.rerun()
    slot.show()
