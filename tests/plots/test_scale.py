"""The curve of the cost model: its numbers are the model's, its parts add up, its formula is drawn."""

import csv
import io

import pytest

from sdqviz.experiments.cost_model import MACHINES, PARTS, SEVEN, Machine, decoder_cost
from sdqviz.plots.scale import draw_scale
from sdqviz.plots.theme import Ink
from sdqviz.ui.html_report import formula_text


def test_hours_are_those_of_the_model_and_their_parts_add_up():
    machine = Machine(network=1e8)
    panel = draw_scale(Ink(), machine)
    rows = list(csv.DictReader(io.StringIO(panel.csv().decode())))
    assert len(rows) == 2 * len(MACHINES)
    for row in rows:
        assert sum(float(row[part]) for part in PARTS) == pytest.approx(float(row["all"]))
    hours = [float(row["all"]) for row in rows if row["weights"] == "7 B"]
    assert hours == pytest.approx([decoder_cost(SEVEN).seconds(machine, count) / 3600 for count in MACHINES])
    assert f"{hours[0]:.3g} h on one machine" in panel.alt
    for formula in panel.formulas:
        assert formula_text(formula.latex).startswith("<math")
