"""What a session remembers, through the pages that compute and the page that compares."""

import streamlit as st
import torch  # noqa: F401 - loaded first, so that the Network page need not read it beside its first answer
from visitor import turn, visit

import sdqviz as sq
from sdqviz.ui import history


def test_a_run_of_the_network_page_is_remembered_once_and_only_there():
    page = visit("network", None, size=300, calibration=32)
    page.run()
    (run,) = page.session_state["_history"].values()
    assert run.network == {"name": "mnist-fnn", "seed": 0} and run.calibration == 32
    report = sq.compress(sq.NETWORKS["mnist-fnn"]().load(), sq.METHODS.from_dict(dict(run.method)), 32).report
    assert run.report.accuracy_after == report.accuracy_after
    page.number_input(key="size").set_value(400).run()
    assert len(page.session_state["_history"]) == 2
    other = visit("compare", None, text="this session")
    assert other.metric[0].value == "0"
    turn(page, "compare", text="this session")
    assert page.metric[0].value == "2"


def test_the_history_is_bounded(made_run, monkeypatch):
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(history, "KEPT", 3)
    runs = [made_run(bits=float(k)) for k in range(5)]
    history.add(runs)
    assert history.runs() == tuple(runs[2:])
    history.add([runs[2]])  # again: it becomes the newest
    history.add([runs[0]])
    assert history.runs() == (runs[4], runs[2], runs[0])
    history.forget()
    assert history.runs() == ()
