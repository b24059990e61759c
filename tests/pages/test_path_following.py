"""The page Path following without a browser, run through the navigation script as a visitor would."""

import functools
import json

import pytest
import visitor
from visitor import charts, controls, link, numbers

from sdqviz.explore import preset
from sdqviz.explore.layer_walks.choice import WalkChoice

visit = functools.partial(visitor.visit, "path-following")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_whole(theme):
    at = visit({"theme": theme})
    assert not at.exception and not at.error and not at.warning
    assert len(at.title) == 1 and numbers(at)[2] == "Yes" and len(numbers(at)) == 3
    drawn = charts(at)
    assert len(drawn) == 7 and all(any(c.isdigit() for c in chart.alt) for chart in drawn)
    assert sum(len(chart.spec) for chart in drawn) <= 300_000
    for chart in drawn:
        layout = json.loads(chart.spec)["layout"]
        assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"


def test_every_control_has_help_and_is_in_the_link():
    at = visit()
    turned = controls(at)
    bound = [control for control in turned if control.key and not control.key.startswith("_")]
    asked = set(WalkChoice.specs()) - {"network", "layer"}
    assert all(control.help for control in turned)
    assert asked | {"seed"} <= {control.key for control in bound} <= set(link(at))


def test_the_link_gives_the_same_page_in_a_fresh_session():
    at = visit(operator="quantize", bits=3, inputs=90, seed=4)
    at.slider(key="scaling").set_value(3.0).run()
    again = visit(**link(at))
    assert not again.warning and numbers(again) == numbers(at)
    assert [chart.spec for chart in charts(again)] == [chart.spec for chart in charts(at)]


def test_sliders_change_what_is_shown():
    at = visit()
    before = numbers(at)
    for key, value in (("bits", 3), ("scaling", 4.0), ("threshold", 0.3)):
        at.slider(key=key).set_value(value).run()
        assert not at.exception and numbers(at) != before
        before = numbers(at)


def test_operators_ask_only_for_what_they_use():
    at = visit(operator="one-bit", scaling=80.0, room=3.0)
    assert not at.error and "bits" not in link(at) and "threshold" not in link(at)
    assert any("One bit provably stays in range" in text.value for text in at.markdown)
    at.selectbox(key="operator").set_value("quantize").run()
    assert not at.error and "bits" in link(at) and "threshold" not in link(at)


def test_a_layer_of_a_network():
    at = visit(source="network", network="mnist-lenet", layer=2)
    assert not at.exception and not at.error and len(charts(at)) == 7
    assert any("mnist-lenet, layer" in text.value for text in at.markdown)


def test_bad_values_in_a_link_become_defaults_with_a_notice():
    at = visit(scaling=0.5, operator="shake", seeds="many")
    assert not at.exception and not at.error
    told = " ".join(warning.value for warning in at.warning)
    assert all(name in told for name in ("scaling", "operator", "seeds"))
    assert numbers(at) == numbers(visit())


@pytest.mark.parametrize("name", sorted(preset.of_page("path-following")))
def test_presets_show_their_stored_numbers(name):
    at = visit()
    at.selectbox(key="_preset path-following").set_value(name).run()
    assert not at.exception and not at.error
    stored = preset.of_page("path-following")[name].result
    assert numbers(at)[2] == ("Yes" if stored["bound_holds"] else "Not applicable")
    assert numbers(at)[1] == f"{100 * stored['relative_error']:.1f} %"


@pytest.mark.parametrize(
    ("grain", "more", "steps"),
    [
        ("weight", {"samples": 2, "inputs": 12}, 12),
        ("weight", {"samples": 3, "inputs": 200}, 96),
        ("neuron", {"neurons": 5}, 5),
        ("layer", {}, 1),
        ("layer", {"source": "network"}, 3),
    ],
)
def test_the_walk_is_played_at_three_grains(grain, more, steps):
    at = visit(grain=grain, seeds=20, **more)
    assert not at.exception and not at.error and not at.warning
    first = charts(at)[0]
    frames = json.loads(first.spec)["frames"]
    assert [frame["name"] for frame in frames] == [*map(str, range(1, steps + 1)), "all"]
    cover = json.loads(first.spec)["layout"]["shapes"][0]
    assert cover["x0"] == cover["x1"] and frames[0]["layout"]["shapes"][0]["x0"] == 1.5, "the future is hidden"
