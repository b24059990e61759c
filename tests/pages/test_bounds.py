"""The page Bounds without a browser, run through the navigation script as a visitor would."""

import functools
import json
import sys
import time

import pytest
import visitor
from visitor import charts, controls, link, numbers

from sdqviz.explore import preset
from sdqviz.explore.bounds import link as sweeps
from sdqviz.explore.bounds import words
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.curve import Sweep

visit = functools.partial(visitor.visit, "bounds")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_whole(theme):
    at = visit({"theme": theme})
    assert not at.exception and not at.error and not at.warning
    curve = sweeps.build({})
    assert len(at.title) == 1 and numbers(at) == [
        words.signed(curve.fit.slope),
        words.ratio_headline(curve)[0],
        f"0 in {curve.comparisons:,}",
    ]
    drawn = charts(at)
    assert len(drawn) == 3 and all(any(c.isdigit() for c in chart.alt) for chart in drawn)
    assert sum(len(chart.spec) for chart in drawn) <= 300_000
    for chart in drawn:
        layout = json.loads(chart.spec)["layout"]
        assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
    table = next(text.value for text in at.markdown if text.value.startswith("**All bounds on"))
    assert all(line.title in table for line in curve.bounds)


@pytest.mark.parametrize("subject", sorted(SUBJECTS))
def test_every_control_has_help_and_is_in_the_link(subject):
    at = visit(subject=subject)
    assert not at.exception and not at.error
    turned = controls(at)
    bound = [control for control in turned if control.key and not control.key.startswith("_")]
    assert all(control.help for control in turned)
    keys = {control.key for control in bound}
    assert {"subject", "sweep", "points", "at", "seed"} <= keys <= set(link(at))
    axis = next(iter(SUBJECTS[subject].axes.values()))
    assert {f"{axis.field}_from", f"{axis.field}_to"} <= keys and axis.field not in keys


@pytest.mark.parametrize(
    ("first", "moved"),
    [
        ({"subject": "layer", "draws": 2}, ("columns", 12)),
        ({"subject": "path", "sweep": "scaling", "operator": "one-bit", "room": 3.0}, ("neurons", 3)),
        ({"sweep": "step", "step_from": 0.2, "draws": 5}, ("bits", 3)),
    ],
)
def test_the_link_gives_the_same_page_in_a_fresh_session(first, moved):
    at = visit(seed=4, **first)
    before = numbers(at)
    key, value = moved
    (widget,) = [one for one in [*at.slider, *at.number_input] if one.key == key]
    widget.set_value(value).run()
    assert not at.exception and not at.error and numbers(at) != before
    again = visit(**link(at))
    assert not again.warning and numbers(again) == numbers(at) and link(again) == link(at)
    assert [chart.spec for chart in charts(again)] == [chart.spec for chart in charts(at)]


def test_another_subject_and_back_keep_the_page_whole():
    at = visit()
    for subject in ("path-network", "path", "layer", "vector"):
        at.selectbox(key="subject").set_value(subject).run()
        for axis in SUBJECTS[subject].axes:
            at.selectbox(key="sweep").set_value(axis).run()
            assert not at.exception and not at.error and len(charts(at)) == 3, (subject, axis)


def test_only_what_counts_is_asked_for():
    at = visit(subject="path", sweep="bits")
    asked = set(link(at))
    assert "bits_from" in asked and not {"bits", "step", "operator", "scaling", "threshold"} & asked and "room" in asked
    at.selectbox(key="method").set_value("unified").run()
    assert {"operator", "scaling"} <= set(link(at)) and "threshold" not in link(at)
    at.toggle(key="finite").set_value(False).run()
    assert "step" in link(at) and "room" not in link(at)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"size_from": 900, "size_to": 100}, "the end of the range must be above its beginning 900, got 100"),
        ({"sweep": "step", "step_to": 1e6}, "step must be between 0.0001 and 100, got 0.1 to 1e+06"),
        ({"subject": "layer", "source": "network", "layer": 5}, "layer must be between 1 and 3"),
    ],
)
def test_bad_choices_are_told_in_a_sentence_and_can_be_mended(parameters, sentence):
    at = visit(**parameters)
    assert not at.exception and not at.error and sentence in at.warning[0].value and charts(at)
    at.selectbox(key="subject").set_value("vector" if "subject" in parameters else "layer").run()
    at.selectbox(key="sweep").set_value("bits").run()
    assert not at.error and charts(at)


def test_points_left_out_are_told():
    at = visit(subject="path", inputs_from=8, inputs_to=768, seeds=1000, neurons=16, points=3)
    assert not at.error and any("left out: seeds must be at most" in text.value for text in at.caption)


def test_bad_values_in_a_link_become_defaults_with_a_notice():
    at = visit(subject="cube", points=99, draws="many", colour="blue")
    assert not at.exception and not at.error
    told = " ".join(warning.value for warning in at.warning)
    assert all(name in told for name in ("subject", "points", "draws", "colour is not a control"))
    assert numbers(at) == numbers(visit())


@pytest.mark.parametrize("name", sorted(preset.of_page("bounds")))
def test_presets_show_their_stored_numbers(name):
    at = visit()
    at.selectbox(key="_preset bounds").set_value(name).run()
    assert not at.exception and not at.error
    stored = preset.of_page("bounds")[name].result
    assert numbers(at)[0] == words.signed(stored["slope"])
    assert numbers(at)[2] == f"{stored['violations']} in {stored['comparisons']:,}"
    assert len(charts(at)) == (4 if "curve" in stored else 3)


def test_a_costly_sweep_waits_for_run_and_is_then_drawn():
    given = {"subject": "network", "size_from": 320, "size_to": 340, "points": 3, "inputs": 4, "paper": "none"}
    at = visit(**given, nets=3)
    (run,) = [button for button in at.button if button.label.startswith("Run (about")]
    assert not charts(at) and not numbers(at)
    run.click().run()
    for _ in range(200):
        if charts(at):
            break
        time.sleep(0.2)
        at.run()
    assert not at.exception and len(charts(at)) == 3
    assert numbers(at)[2].startswith("0 in ") and "torch" in sys.modules


def test_the_previous_curve_stays_until_the_new_one_is_there():
    at = visit(subject="layer", draws=2)
    before = numbers(at)
    at.selectbox(key="permutation").set_value("two-opt").run()
    assert [button for button in at.button if button.label.startswith("Run (about")]
    assert numbers(at) == before and any("previous choice" in info.value for info in at.info)


def test_another_subject_that_takes_long_leaves_the_page_no_emptier():
    at = visit(subject="vector")
    before = numbers(at)
    at.selectbox(key="subject").set_value("layer")
    at.session_state["draws"] = 64
    at.selectbox(key="permutation").set_value("two-opt").run()
    assert [button for button in at.button if button.label.startswith("Run (about")]
    assert numbers(at) == before and charts(at)
    assert any("One vector over a frame" in info.value for info in at.info)


def test_a_violation_would_be_listed(monkeypatch):
    build = sweeps.build

    def broken(choices):
        import dataclasses

        from sdqviz.explore.curves.curve import Curve

        curve = build(choices)
        shrink = lambda one: dataclasses.replace(one, values=one.values / 1e3)  # noqa: E731
        points = [dataclasses.replace(p, promises=tuple(shrink(one) for one in p.promises)) for p in curve.points]
        return Curve.of(curve.sweep, points)

    monkeypatch.setattr(sweeps, "build", broken)
    at = visit(seed=77, draws=2)
    compared = sweeps.build({"seed": 77, "draws": 2}).comparisons
    assert not numbers(at)[2].startswith("0 in") and numbers(at)[2].endswith(f"in {compared}")
    assert any("lie above a bound that should hold" in error.value for error in at.error)


def test_opening_the_page_computes_nothing_costly():
    for name in SUBJECTS:
        subject = SUBJECTS[name]()
        axis = next(iter(subject.axes.values()))
        seconds = Sweep(subject, axis.field, axis.low, axis.high, 9, seed=99).estimated_seconds()
        assert seconds < (10 if name == "network" else 1), name
