import json

import numpy as np
import plotly.io
import pytest

from sdqviz.explore import sigma_delta as lab
from sdqviz.plots.sigma_delta import steps
from sdqviz.plots.sigma_delta import vector as vector_plots
from sdqviz.plots.sigma_delta.error import draw_error
from sdqviz.plots.sigma_delta.spectrum import draw_spectrum
from sdqviz.plots.theme import DRAWN, Ink


def test_spectrum_is_parsevals_and_the_shaping_is_exact():
    run = lab.build({"frame": "harmonic", "dimension": 6, "size": 301, "bits": 2})
    info = lab.spectrum_info(run)
    error = run.trace.coefficients - run.trace.quantized
    white = run.step**2 / 12
    total = 2 * (10 ** (info.sigma_delta / 10)).sum() * white + error.sum() ** 2 / 301
    np.testing.assert_allclose(total, (error**2).sum(), rtol=1e-9)
    state = np.abs(np.fft.rfft(np.diff(run.trace.state, prepend=0.0)))[1:] ** 2 / 301 / white
    np.testing.assert_allclose(10 ** (info.sigma_delta / 10), state, rtol=1e-6, atol=1e-9)


def test_sigma_delta_lies_below_rounding_at_low_frequencies():
    run = lab.build({"input": "sine", "dimension": 16, "size": 1024, "bits": 2})
    assert lab.spectrum_info(run).low_gap > 10


@pytest.mark.parametrize("size", [2000, 4000])
def test_long_walks_are_drawn_within_the_limits_and_say_so(size):
    run = lab.build({"dimension": 16, "size": size, "bits": 1})
    sent = 0
    for panel in [steps.draw_steps(run, Ink()), *vector_plots.panels(run, Ink())]:
        text = plotly.io.to_json(panel.figure, validate=False)
        sent += len(text)
        for trace in panel.figure.data:
            assert len(trace.x) <= DRAWN + 2, (panel.name, trace.name)
        if size > DRAWN and panel.name in ("steps", "error"):
            assert "points drawn" in text
        assert len(panel.csv().splitlines()) == 1 + max(len(c) for c in panel.table().values())
    assert sent <= 300_000


def test_the_animation_tells_the_recursion():
    run = lab.build({"dimension": 3, "size": 25, "bits": 1})
    figure = steps.draw_steps(run, Ink()).figure
    assert [frame["name"] for frame in figure.frames] == [*(str(n) for n in range(1, 26)), "all"]
    frame = json.loads(plotly.io.to_json(figure))["frames"][7]
    assert frame["data"][2]["y"][0] == pytest.approx(run.trace.state[7], abs=1e-8)
    assert frame["data"][0]["text"][0].startswith("n = 8:") and "new u =" in frame["data"][0]["text"][0]


def test_the_future_is_hidden_until_it_happens_and_step_goes_one_on():
    run = lab.build({"dimension": 3, "size": 25, "bits": 1})
    figure = json.loads(plotly.io.to_json(steps.draw_steps(run, Ink(True)).figure))
    cover = figure["layout"]["shapes"][0]
    assert cover["x0"] == cover["x1"] == 25.5 and cover["fillcolor"] == Ink(True).page  # at first all is shown
    menus = figure["layout"]["updatemenus"]
    assert [button["label"] for menu in menus for button in menu["buttons"]] == [
        "Step",
        "Play",
        "Slow",
        "Pause",
        "Show all",
    ]
    assert all(menu["y"] == 1 and menu["yanchor"] == "bottom" for menu in menus)  # above the plot
    assert menus[0]["buttons"][0]["args"][0] == ["1"]
    for k, frame in enumerate(figure["frames"]):
        following = frame["layout"]["updatemenus"][0]["buttons"][0]["args"][0]
        if frame["name"] == "all":
            assert frame["layout"]["shapes"][0]["x0"] == 25.5 and following == ["1"]
        else:
            assert k + 1 < frame["layout"]["shapes"][0]["x0"] < k + 2 and following == [["all", str(k + 2)][k < 24]]
            carried = frame["data"][3]["y"]
            before = run.trace.state[k - 1] if k else 0.0
            assert carried[1] - carried[0] == pytest.approx(before, abs=1e-5)


def test_what_is_zero_but_for_rounding_errors_is_written_as_zero():
    run = lab.build({"dimension": 8, "size": 64, "bits": 1})
    assert 0 < abs(run.trace.state[-1]) < 1e-12 * run.step  # an even zero-sum frame: the last state vanishes
    text = plotly.io.to_json(steps.draw_steps(run, Ink()).figure)
    assert "e-16" not in text and "e-17" not in text and "new u = 0" in text


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"bits": 2},
        {"step_rule": "by-hand", "step": 0.2},
        {"input": "sine", "dimension": 16, "size": 1024},
        {"order": 2, "bits": 3, "dual": "sobolev"},
        {"order": 3, "filter": "minimal-support"},
        {"step_rule": "by-hand", "step": 2.5, "input": "pasted", "pasted": "1.3, 0.1"},
        {"order": 2, "bits": 2, "step_rule": "by-hand", "step": 0.9},
    ],
)
def test_sentences_beside_the_plots_are_those_of_the_plots(choices):
    run = lab.build({"dimension": 8, "size": 64, "bits": 1} | choices)
    info = lab.spectrum_info(run)
    third = len(info.frequency) // 3
    high, low = info.sigma_delta[-third:].mean(), info.sigma_delta[:third].mean()
    spectrum, error = draw_spectrum(run, Ink()).look, draw_error(run, Ink()).look
    assert ("towards high frequencies" in spectrum) == (high - low >= 3)
    assert ("nothing is shaped" in spectrum) == (high - low <= -3)
    assert ("below that of rounding" in spectrum) == (info.low_gap > 0)
    grown = np.median(run.running_error[-16:]) / np.median(run.running_error[16:33])
    if len(run.running_error) == 64:
        assert ("ΣΔ's error grows" in error) == (grown > 1.5) and ("ΣΔ's error falls" in error) == (grown < 0.67)
    assert ("under the dashed bound" in error) == (
        run.trace.stable and run.bounds[0].holds and bool((run.running_error <= run.running_bound).all())
    )
    told = steps.draw_steps(run, Ink()).look
    assert ("leaves the band" in told) == (np.abs(run.trace.state).max() > run.step / 2 * (1 + 1e-9))


def test_loss_against_plain_rounding_is_said_only_when_true():
    long = lab.build({"dimension": 8, "size": 64, "bits": 1})
    assert long.plain_error < long.error and "Plain rounding wins" in lab.verdict_on_rounding(long)
    short = lab.build({"dimension": 8, "size": 9, "bits": 1, "seed": 3})
    expected = short.plain_bits >= 1 and short.plain_error < short.error
    assert (lab.verdict_on_rounding(short) is not None) == expected


@pytest.mark.parametrize(
    "choices",
    [
        {"seed": 4, "dimension": 5, "size": 17},
        {"seed": 0, "input": "sine", "frame": "half-frequency", "dimension": 6, "size": 20, "permutation": "random"},
        {"seed": 0, "input": "weights", "layer": 2, "column": 5, "size": 300, "bits": 3},
        {"seed": 0, "input": "pasted", "pasted": "1, 2, -0.5", "frame": "platonic", "size": 12},
    ],
)
def test_the_shown_code_gives_the_shown_error(choices):
    run = lab.build(choices)
    scope = {}
    exec(lab.code(choices, run), scope)
    np.testing.assert_allclose(scope["error"], run.error / run.norm, rtol=1e-12)


def test_alt_texts_carry_the_numbers():
    run = lab.build({"dimension": 3, "size": 41})
    panels = [steps.draw_steps(run, Ink()), *vector_plots.panels(run, Ink(True))]
    assert [panel.name for panel in panels] == ["steps", "walk", "error", "vector", "spectrum"]
    assert all(any(letter.isdigit() for letter in panel.alt) and panel.formulas for panel in panels)
