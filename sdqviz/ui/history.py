"""The runs of this session, for the page that compares them; they end with the session."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from sdqviz.error import InputError
from sdqviz.experiments import run as of_a_run
from sdqviz.experiments.run import Run
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.report import Report

KEPT = 400
"""The most runs of a session that are kept; the oldest are dropped."""

_HISTORY, _LAST = "_history", "_history last"


def runs() -> tuple[Run, ...]:
    """Return this session's runs, the oldest first."""
    return tuple(kept().values())


def kept() -> dict[str, Run]:
    """Return this session's runs by key: the dictionary itself, for `add` and for a search that goes on from them."""
    found: dict[str, Run] = st.session_state.setdefault(_HISTORY, {})
    return found


def add(found: Iterable[Run]) -> None:
    """Keep runs, in place of earlier ones of the same key."""
    known = kept()
    for run in found:
        known.pop(run.key, None)
        known[run.key] = run
    while len(known) > KEPT:
        del known[next(iter(known))]


def remember(
    network: NetworkChoice, report: Report, calibration: int, seconds: float, fingerprint: str | None = None
) -> None:
    """Keep what a page has just computed; called again with the same, it does nothing.

    Parameters
    ----------
    network : NetworkChoice
        The network that was compressed.
    report : Report
        What was measured.
    calibration : int
        How many calibration inputs.
    seconds : float
        How long it took.
    fingerprint : str, optional
        Of the network's weights, where they are not those the choice stands for.
    """
    if st.session_state.get(_LAST) is report:  # the page was drawn again, and nothing has been computed since
        return
    st.session_state[_LAST] = report
    try:
        weights = of_a_run.fingerprint(network) if fingerprint is None else fingerprint
    except InputError:  # the weights have gone from the cache folder: nothing to tell runs apart by
        return
    choice, method = network.to_dict(), dict(report.method)
    key = of_a_run.run_key(choice, method, calibration, report.seed, weights)
    add([Run(key, choice, method, calibration, report.seed, report, seconds=seconds)])


def forget() -> None:
    """Drop this session's runs."""
    kept().clear()
