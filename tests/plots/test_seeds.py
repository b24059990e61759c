"""The dots, the mean and the spread of several seeds, as they are drawn and told."""

import json
import statistics

import numpy as np
import pytest

from sdqviz.explore.spread import Spread
from sdqviz.plots.network.seeds import draw_seeds
from sdqviz.plots.theme import Ink

SPREAD = Spread(np.arange(4, 7), np.array([0.97, 0.98, 0.96]), np.array([0.05, 0.07, 0.06]))


def traces(panel):
    return json.loads(panel.figure.to_json(engine="json"))["data"]


def values(entry):
    if isinstance(entry, dict):
        import base64

        return np.frombuffer(base64.b64decode(entry["bdata"]), entry["dtype"]).tolist()
    return entry


def test_every_seed_is_a_dot_and_the_text_has_mean_and_deviation():
    panel = draw_seeds(SPREAD, Ink())
    dots, mean = traces(panel)
    assert values(dots["x"]) == pytest.approx([5, 7, 6]) and values(dots["y"]) == pytest.approx([97, 98, 96])
    assert values(mean["x"]) == pytest.approx([6]) and values(mean["y"]) == pytest.approx([97])
    assert values(mean["error_x"]["array"]) == pytest.approx([statistics.stdev([5, 7, 6])])
    assert values(mean["error_y"]["array"]) == pytest.approx([1])
    assert panel.look == (
        "Mean ± standard deviation over 3 seeds: accuracy 97.00 ± 1.00 %, relative output error 6 ± 1 %."
    )
    assert "seeds 4 to 6" in panel.alt
    lines = panel.csv().decode().splitlines()
    assert lines[0] == "seed,accuracy,relative output error" and lines[2] == "5,0.98,0.07"


def test_without_test_data_there_is_no_accuracy():
    panel = draw_seeds(Spread(SPREAD.seeds, np.full(3, np.nan), SPREAD.errors), Ink())
    dots, mean = traces(panel)
    assert values(dots["y"]) == [4, 5, 6] and "error_y" not in mean
    assert "accuracy" not in panel.look and "relative output error 6 ± 1 %" in panel.look


def test_a_single_seed_has_no_deviation():
    panel = draw_seeds(Spread(SPREAD.seeds[:1], SPREAD.accuracies[:1], SPREAD.errors[:1]), Ink())
    assert "error_x" not in traces(panel)[1]
    assert "accuracy 97.00 %, relative output error 5 %" in panel.look and "nan" not in panel.look + panel.alt
