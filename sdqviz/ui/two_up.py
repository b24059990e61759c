"""Two views of one page beside each other on shared axes: what each page gives for it, and how one gets there."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from sdqviz.choice import Spec
from sdqviz.error import InputError
from sdqviz.experiments.run import Run
from sdqviz.explore import frames, preset, sigma_delta, what_if
from sdqviz.explore.bounds import link as bounds
from sdqviz.explore.bounds import words as bounds_words
from sdqviz.explore.curves.curve import Curve
from sdqviz.explore.geta import run as geta
from sdqviz.explore.layer_walks import link as walks
from sdqviz.explore.layer_walks import words as walk_words
from sdqviz.explore.network import link as networks
from sdqviz.explore.network import words as network_words
from sdqviz.explore.stored import PAGE_MODULES
from sdqviz.explore.wording import number, percent, size
from sdqviz.plots import shared_axes
from sdqviz.plots.bounds.curves import draw_curves
from sdqviz.plots.bounds.ratio import draw_ratio
from sdqviz.plots.frames import gram, tour
from sdqviz.plots.geta import channels
from sdqviz.plots.network import errors as network_errors
from sdqviz.plots.network.overview import overview
from sdqviz.plots.panel import Panel
from sdqviz.plots.path_following import paths
from sdqviz.plots.path_following.cloud import draw_cloud
from sdqviz.plots.path_following.operator import draw_operator
from sdqviz.plots.sigma_delta import vector as vector_plots
from sdqviz.plots.theme import Ink
from sdqviz.ui import job, link, main, show, two_up_link
from sdqviz.ui.screen import Page

SIDES = {"left": "A", "right": "B"}
"""Names of the sides in the link, and what they are called."""

AT_ONCE = 1.0
"""Seconds of estimated work that are spent without being asked for."""

Numbers = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
    """One of the two views.

    Attributes
    ----------
    numbers : tuple of (str, str)
        Headline numbers, by what they are.
    panels : sequence of Panel
        Plots; those of both sides with the same name are drawn beside each other.
    """

    numbers: Numbers
    panels: Sequence[Panel]


def _sigma_delta(choices: Mapping[str, Any], ink: Ink) -> Side:
    run = sigma_delta.build(choices)
    numbers = (
        ("Bits per original weight", number(run.bits_per_weight)),
        ("Relative error", percent(run.error / run.norm)),
        ("Rounding on the same frame", percent(run.rounded_error / run.norm)),
    )
    return Side(numbers, vector_plots.panels(run, ink))


def _frames(choices: Mapping[str, Any], ink: Ink) -> Side:
    found = frames.build(choices)
    numbers = (
        ("Coherence", number(found.frame.coherence)),
        ("Tightness residual", number(found.frame.tightness)),
        ("σ of the walk", number(found.walk.variation)),
    )
    return Side(numbers, [tour.draw_tour(found, ink), gram.draw_gram(found, ink), tour.draw_running(found, ink)])


def _path_following(choices: Mapping[str, Any], ink: Ink) -> Side:
    run = walks.build(choices)
    numbers = (
        ("Bits per original weight", number(run.bits_per_weight)),
        ("Relative error", percent(run.relative_error("unified"))),
        ("Bound holds?", walk_words.bound_verdict(run)[0]),
    )
    return Side(numbers, [paths.draw_paths(run, ink), draw_operator(run, ink), draw_cloud(run, ink)])


def _bounds(choices: Mapping[str, Any], ink: Ink) -> Side:
    stored = bounds.stored_curve(bounds.asked(choices))
    return _curve(bounds.build(choices) if stored is None else stored, ink)


def _curve(curve: Curve, ink: Ink) -> Side:
    numbers = (
        ("Fitted slope", bounds_words.slope_value(curve.fit)),
        ("Smallest bound / measured", bounds_words.ratio_headline(curve)[0]),
        ("Violations", bounds_words.verdict(curve)[0]),
    )
    return Side(numbers, [draw_curves(curve, ink), draw_ratio(curve, ink)])


def _geta(choices: Mapping[str, Any], ink: Ink) -> Side:
    run = geta.load(str(choices.get("recording", geta.names()[0])))
    found = geta.figures(run)
    bits = "not finished" if found.bits_per_weight is None else number(found.bits_per_weight)
    numbers = (
        ("Bits per original weight", bits),
        ("Accuracy after", network_words.accuracy(found.accuracy_after)),
        ("Bit operations left", percent(found.relative_bops)),
    )
    return Side(numbers, [channels.draw_channels(run, ink), channels.draw_widths(run, ink)])


QUICK: dict[str, Callable[[Mapping[str, Any], Ink], Side]] = {
    "sigma-delta": _sigma_delta,
    "frames": _frames,
    "path-following": _path_following,
    "bounds": _bounds,
    "geta": _geta,
}
"""What is computed while the page is drawn, by the address of the page; the Network page may take longer."""


LIMITS = {"sigma-delta": {"dimension": 256, "size": 4096}, "frames": {"dimension": 64, "size": 2048}}
"""What these pages offer at most; a link may say more."""


def ask(page: Page) -> tuple[str, dict[str, dict[str, Any]]]:
    """Draw the form; return the page and the choices of both sides."""
    address = page.ask(
        "page",
        two_up_link.PAGES[0],
        label="Page",
        help="Of which two views are shown. The pages themselves offer it too: *Two views* in the sidebar.",
        options={name: title for _, title, name in main.listed() if name in two_up_link.PAGES},
        where="what",
    )
    examples = preset.of_page(address)
    if st.session_state.setdefault("_two-up page", address) != address:  # the other page's choices mean nothing here
        st.session_state["_two-up page"], fresh = address, page.link.new
        for side in SIDES:
            if not fresh:
                st.session_state[side] = ""
    found: dict[str, dict[str, Any]] = {}
    for place, (side, letter) in enumerate(SIDES.items()):
        text = link.linked(page.link, side)
        usual = dict(list(examples.values())[place].choices) if len(examples) > place else {}
        try:
            found[letter] = two_up_link.read(letter, text) if text else usual
        except InputError as error:
            page.link.problems.append(f"{error}. An example is shown instead.")
            found[letter] = usual
        link.write_linked(page.link, side, two_up_link.write(found[letter]), Spec(letter, "Choices of a view."))
        _example(page, address, side, letter, found[letter])
    return address, found


def _example(page: Page, address: str, side: str, letter: str, now: Mapping[str, Any]) -> None:
    examples = preset.of_page(address)
    shown = next((name for name, one in examples.items() if dict(one.choices).items() <= dict(now).items()), None)
    key = f"_{side} {address}"
    st.session_state[key] = shown
    page.group("what").selectbox(
        letter,
        list(examples),
        index=None,
        key=key,
        format_func=lambda name: examples[name].title,
        placeholder="choices of your own",
        help="An example of the page; views of your own come from the page's *Two views*.",
        on_change=_take,
        args=(address, side, key),
    )


def _take(address: str, side: str, key: str) -> None:
    if st.session_state[key] is not None:
        st.session_state[side] = two_up_link.write(preset.of_page(address)[st.session_state[key]].choices)


def draw(page: Page, address: str, choices: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw what differs, the numbers of both views, and their plots in pairs."""
    differing = page.tables["What differs"] = two_up_link.differing(*choices.values())
    pages = {one.url_path: one for one in main.entries()}
    sides: dict[str, Side | None] = {}
    for column, (letter, chosen) in zip(st.columns(2, gap="medium"), choices.items(), strict=True):
        with column:
            st.page_link(
                pages[address],
                label=f"**{letter}** · {pages[address].title}",
                query_params=link.query(chosen),
                icon=":material/open_in_new:",
            )
            sides[letter] = _side(address, letter, chosen, page.ink)
            found = sides[letter]
            if found is not None:
                with st.container(horizontal=True):  # below each other where they would be cut off
                    for label, value in found.numbers:
                        st.metric(label, value, width="content")
    if differing["choice"]:
        st.dataframe(differing, hide_index=True, key="_table two-up")
    else:
        st.caption("A and B are the same: change one of them at the left, or on its page.")
    one, other = ({p.name: p for p in side.panels} if side is not None else {} for side in sides.values())
    for name in dict.fromkeys([*one, *other]):
        pair = shared_axes.pair(one.get(name), other.get(name))
        for column, letter, drawn in zip(st.columns(2, gap="medium"), choices, pair, strict=True):
            with column:
                if drawn is None:
                    st.caption(f"{letter} has nothing to show here.")
                else:
                    show.panel(dataclasses.replace(drawn, name=f"{name}-{letter.lower()}"), page)


def _side(address: str, letter: str, choices: Mapping[str, Any], ink: Ink) -> Side | None:
    """Compute one side; None where it cannot be or has to wait, with a word about why."""
    try:
        for name, most in LIMITS.get(address, {}).items():
            if isinstance(choices.get(name), int | float) and choices[name] > most:
                raise InputError(f"{name} must be at most {most:,}, got {choices[name]:,}")
        if address == networks.ADDRESS:
            return _network(letter, choices, ink)
        if address == bounds.ADDRESS:
            sweep = bounds.asked(choices)
            if sweep.estimated_seconds() > AT_ONCE and bounds.stored_curve(sweep) is None:
                return _waits(letter, sweep.estimated_seconds(), sweep.run, sweep, lambda curve: _curve(curve, ink))
        return _computed(address, two_up_link.write(choices), ink.dark, choices)
    except InputError as error:
        st.error(f"{letter}: {error}.")
    except (TypeError, ValueError, KeyError):  # a link may hold a word where a number belongs
        st.error(f"{letter} must hold the choices of this page, got values of another kind.")
    return None


@st.cache_resource(max_entries=16, show_spinner="Computing")
def _computed(address: str, key: str, dark: bool, _choices: Mapping[str, Any]) -> Side:
    return QUICK[address](_choices, Ink(dark=dark))


def _network(letter: str, choices: Mapping[str, Any], ink: Ink) -> Side | None:
    question = networks.question(choices)
    found, stored = what_if.known(question), networks.stored_comparison(question)
    if found is None and stored is None:
        seconds = what_if.estimated_seconds(question) + job.seconds_to_start()
        return _waits(
            letter,
            seconds,
            functools.partial(what_if.answer, question),
            question,
            lambda answer: _compared(answer.comparison, answer, ink),
        )
    return _compared(found.comparison if found is not None else stored, found, ink)


def _compared(found: Any, answer: Any, ink: Ink) -> Side:
    report = found.report
    numbers = (
        ("Bits per original weight", number(report.bits_per_weight)),
        ("Accuracy after", network_words.accuracy(report.accuracy_after)),
        ("Size", size(report.bytes)),
    )
    layer = report.layers[0].name
    drawn = [network_errors.draw_errors(found, ink, layer), *overview(found, answer, layer, None, ink)]
    return Side(numbers, drawn)


def _waits(letter: str, seconds: float, work: job.Work[Any], tag: object, shown: Callable[[Any], Side]) -> Side | None:
    """Compute beside the page, once it is asked for."""
    slot: job.Job[Any] = job.slot(f"two-up {letter}")
    running = slot.running
    if slot.result is not None and slot.made_for == tag:
        return shown(slot.result)
    if not (running and slot.asked_for == tag):
        told = f"about {max(seconds, 1):.0f} s" if math.isfinite(seconds) else "how long is not known beforehand"
        if st.button(f"Run {letter} ({told})", type="primary", help="What is shown stays until it is there."):
            slot.start(work, tag)
            st.rerun()
    slot.show()
    return None


def of_run(run: Run) -> dict[str, Any]:
    """Return the choices of the Network page that make a run again."""
    found: dict[str, Any] = {"calibration": run.calibration, "seed": run.seed}
    for prefix, key, values in (("network_", "network", run.network), ("", "method", run.method)):
        for name, value in values.items():
            if name == "name":
                found[key] = value
            elif isinstance(value, Mapping):
                found |= {f"{prefix}{name}.{layer}": one for layer, one in value.items()}
            elif value is not None:
                found[prefix + name] = value
    return found


def code(address: str, choices: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the lines that give the numbers of both sides."""
    lines = [f"from {PAGE_MODULES[address]} import summary", ""]
    lines += [f"{letter.lower()} = summary({dict(chosen)!r})" for letter, chosen in choices.items()]
    return "\n".join(lines)
