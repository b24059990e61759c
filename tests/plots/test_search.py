import dataclasses
import json

import pytest

from sdqviz.experiments.compare import trail
from sdqviz.experiments.target import Aim, Search
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.plots.search import draw_search
from sdqviz.plots.theme import Ink


@pytest.fixture
def found(made_run):
    runs = [
        made_run("gpfq", bits=3.0, accuracy=0.979),
        made_run("gpfq", bits=2.0, accuracy=0.972),
        made_run("frame", problem="size must be larger"),
    ]
    judged = zip(runs, (0.995, 0.99, float("nan")), strict=True)
    trials = tuple(dataclasses.replace(run, measured={"held_out": held}) for run, held in judged)
    aim = Aim(NETWORKS["mnist-fnn"](), 0.975, ("gpfq", "frame", "geta"))
    return Search(aim, trials, 0.992, trials[0], {"geta": "it trains"})


def test_the_sentence_tells_size_accuracy_goal_and_limits(found):
    told = trail.sentence(found)
    for part in ("GPFQ, bits per weight 2 with 3 bits", "97.90 % test accuracy", "goal 97.50 %: kept", "3 runs tried",
                 "may exist", "Not searched: GETA (pruning and quantization), it trains"):  # fmt: skip
        assert part in told, part


def test_a_goal_missed_on_the_test_inputs_is_said(found, made_run):
    low = dataclasses.replace(made_run("gpfq", bits=2.5, accuracy=0.97), measured={"held_out": 0.993})
    missed = Search(found.aim, (*found.trials, low), 0.992, low, {})
    assert "missed on the test inputs" in trail.sentence(missed) and not missed.met


def test_nothing_found_is_said(found):
    none = Search(found.aim, found.trials, 0.999, None, {})
    assert trail.sentence(none).startswith("None of the 3 runs tried keeps enough")
    draw_search(none, Ink())
    draw_search(Search(found.aim, (), 0.9, None, {}), Ink())


@pytest.mark.parametrize("ink", [Ink(), Ink(dark=True)])
def test_every_trial_that_ran_is_drawn_and_the_best_is_ringed(found, ink):
    panel = draw_search(found, ink)
    traces = {trace["name"]: trace for trace in json.loads(panel.figure.to_json())["data"]}
    assert len(traces["GPFQ"]["text"]) == 2 and "smallest that is enough" in traces
    rows = trail.trail(found)
    assert rows["enough"] == ["yes", "no", "no"] and rows["bits per weight"] == [3.0, 2.0, None]
    assert rows["problem"][2] == "size must be larger" and len(panel.table()["method"]) == 3
