"""Two views of one page on the same axes, in one link."""

import json

import pytest
from streamlit.testing.v1 import AppTest
from visitor import charts

from sdqviz.error import InputError
from sdqviz.experiments.compare import link as comparing
from sdqviz.explore import preset
from sdqviz.explore.network import link as network_link
from sdqviz.ui import two_up, two_up_link
from sdqviz.ui.launch import MAIN


def visit(script="two_up", **parameters):
    at = AppTest.from_file(str(MAIN), default_timeout=90).run()
    at.switch_page(f"../../pages/{script}.py")
    at.query_params.update({name: str(value) for name, value in parameters.items()})
    at.run()
    assert not at.exception
    return at


def sides(at):
    given = {name: at.query_params[name] for name in two_up.SIDES}
    return {name: json.loads(text if isinstance(text, str) else text[0]) for name, text in given.items()}


def told(at):
    return " ".join(one.value for one in [*at.warning, *at.error, *at.caption, *at.markdown])


def axes(at, name):
    """Return the vertical ranges of a pair of plots."""
    found = [json.loads(chart.spec)["layout"] for chart in charts(at) if f" {name}-" in chart.id]
    return [layout["yaxis"]["range"] for layout in found]


def test_one_link_shows_both_on_the_same_axes():
    one, other = {"size": 40, "dimension": 4}, {"size": 200, "dimension": 4, "bits": 3}
    at = visit(**two_up_link.query("sigma-delta", one, other))
    assert not at.error and not at.warning
    alone = [two_up.QUICK["sigma-delta"](choices, two_up.Ink()) for choices in (one, other)]
    assert [metric.value for metric in at.metric] == [value for side in alone for _, value in side.numbers]
    assert len(charts(at)) == sum(len(side.panels) for side in alone)
    (first, second) = axes(at, "error")
    assert first == second
    (table,) = [frame.value for frame in at.dataframe]
    assert table.to_dict("list") == {"choice": ["size", "bits"], "A": ["40", "as at first"], "B": ["200", "3"]}
    assert sides(at)["left"] == one


COSTLY = pytest.param("path-following", marks=pytest.mark.slow)  # two clouds of 500 runs


@pytest.mark.parametrize("page", [COSTLY if page == "path-following" else page for page in two_up_link.PAGES])
def test_every_page_opens_on_its_examples_and_each_side_has_the_numbers_of_its_preset(page):
    at = visit(page=page)
    assert not at.error and at.selectbox(key="page").value == page
    examples = list(preset.of_page(page).values())[:2]
    assert [at.selectbox(key=f"_{side} {page}").value for side in two_up.SIDES] == [one.name for one in examples]
    assert len(at.metric) == 6 and charts(at)


def test_choosing_another_page_or_example_replaces_what_is_shown():
    at = visit(page="frames", left=two_up_link.write({"size": 7, "dimension": 2}))
    assert at.selectbox(key="_left frames").value is None, "choices of one's own"
    name = list(preset.of_page("frames"))[-1]
    at.selectbox(key="_left frames").set_value(name).run()
    assert sides(at)["left"] == dict(preset.of_page("frames")[name].choices)
    at.selectbox(key="page").set_value("geta").run()
    assert not at.exception and not at.error and at.selectbox(key="_left geta").value in preset.of_page("geta")


@pytest.mark.parametrize("text", ["{", "[1]", '{"size": [1]}', '{"size": NaN}', '{"size": 1, "size": 2}', "x" * 7000])
def test_a_link_holds_an_object_of_choices_or_is_refused_in_one_sentence(text):
    with pytest.raises(InputError, match=r"^side A must be (an object of choices|at most 6,000 characters)"):
        two_up_link.read("A", text)
    choices = {"size": 4, "signs": True, "step": 0.5, "frame": "harmonic"}
    assert two_up_link.read("A", two_up_link.write(choices | {"picture": "svg", "bits": None})) == choices


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "side A must be an object of choices"),
        ('{"size": 1000000}', "size must be at most 4,096"),
        ('{"size": "many", "frame": 3, "bits": true}', "A"),
        ('{"frame": "none"}', "A: "),
    ],
)
def test_a_side_that_cannot_be_is_one_sentence_and_the_other_is_shown(text, sentence):
    at = visit(left=text, right=two_up_link.write({"size": 64}))
    assert sentence in told(at) and len(at.warning) + len(at.error) == 1
    assert len(at.metric) >= 3 and charts(at)


def test_a_page_keeps_a_view_and_offers_it_beside_the_next():
    at = visit("frames", size=64)
    next(button for button in at.button if button.label == "Keep this view as A").click().run()
    at.number_input(key="size").set_value(100).run()
    (offer,) = [one for one in at.get("page_link") if one.proto.label == "A beside this view"]
    given = offer.proto.query_string
    assert "size%22%3A64" in given and "size%22%3A100" in given
    at = visit("learn")
    assert "Keep this view as A" not in [button.label for button in at.button]


def test_two_runs_of_the_comparison_open_on_the_network_page():
    runs = [run for run in comparing.shipped() if run.report is not None][:60:20]
    for run in runs:
        question = network_link.question(two_up.of_run(run))
        assert question.network.to_dict() == dict(run.network) and question.seed == run.seed
        assert question.method.to_dict() == {**question.method.to_dict(), **run.method}
        assert question.calibration == run.calibration
    at = visit("compare", view="A against B")
    links = [one.proto for one in at.get("page_link")]
    assert any("A and B on the Network page" in one.label for one in links)
