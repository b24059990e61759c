import dataclasses
import json

import numpy as np
import plotly.io
import pytest

from sdqviz.experiments.paper import plan, reproduce
from sdqviz.experiments.paper import shipped as paper
from sdqviz.experiments.paper.result import Result
from sdqviz.experiments.run_store import RunStore
from sdqviz.explore import preset
from sdqviz.explore.bounds import link, tables, words
from sdqviz.explore.curves.curve import Curve, Sweep
from sdqviz.explore.curves.network import WholeNetwork
from sdqviz.plots import labels
from sdqviz.plots.bounds import curves, ratio
from sdqviz.plots.bounds import paper as paper_figures
from sdqviz.plots.bounds.ladder import draw_ladder
from sdqviz.plots.theme import DRAWN, Ink


def everything(curve, ink=None, equal=True):
    ink = ink or Ink()
    last = link.place_of(curve, "last")
    rungs = draw_ladder(curve, last, ink, equal)
    return [curves.draw_curves(curve, ink, equal), rungs, ratio.draw_ratio(curve, ink)]


CHOICES = [
    {"draws": 4},
    {"sweep": "step", "draws": 4},
    {"sweep": "bits", "draws": 1},
    {"sweep": "dimension", "draws": 3, "dimension_from": 3, "dimension_to": 33, "parity": "odd"},
    {"subject": "layer", "draws": 2, "columns": 5},
    {"subject": "path", "seeds": 10},
    {"subject": "path", "sweep": "bits", "seeds": 10},
    {"subject": "path", "method": "gpfq"},
    {"subject": "path", "sweep": "scaling", "operator": "one-bit", "room": 3.0, "seeds": 10},
]


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_panels_are_whole_and_small_enough(choices):
    drawn = everything(link.build(choices), Ink(dark=True))
    assert [panel.name for panel in drawn] == ["curves", "ladder", "ratio"]
    sent = 0
    for panel in drawn:
        text = plotly.io.to_json(panel.figure)
        sent += len(text)
        assert any(c.isdigit() for c in panel.alt) and panel.look and panel.formulas
        assert all(len(trace.x) <= DRAWN for trace in panel.figure.data)
        columns = panel.table()
        assert len(panel.csv().splitlines()) == 1 + max(len(c) for c in columns.values())
    assert sent <= 300_000


@pytest.fixture(scope="module")
def curve():
    return link.build({"draws": 6, "seed": 3})


@pytest.fixture(scope="module")
def overloaded():
    return link.build({"sweep": "step", "step_from": 0.05, "draws": 6})


def test_the_link_says_what_is_swept():
    sweep = link.asked({"subject": "path", "sweep": "bits", "bits_from": 3, "points": 4, "seed": 9, "method": "gpfq"})
    axis = sweep.subject.axes["bits"]
    assert (sweep.low, sweep.high, sweep.count, sweep.seed) == (3, axis.high, 4, 9)
    assert sweep.subject.method == "gpfq" and link.asked({}).subject.name == "vector"


def test_the_shown_code_gives_the_shown_numbers(curve):
    found = {}
    text = link.code(curve)
    exec(text, found)
    assert found["curve"].fit == curve.fit and f"{curve.fit.slope:.6g}" in text
    np.testing.assert_array_equal(found["curve"].measured, curve.measured)


def test_headlines_and_words_are_the_numbers(curve):
    assert words.slope_value(curve.fit) == words.signed(curve.fit.slope)
    note = words.slope_note(curve)
    assert f"± {curve.fit.margin:.2f} (95 %)" in note and "theory −1" in note
    ratio, where = words.ratio_headline(curve)
    assert float(ratio) == pytest.approx(curve.smallest.ratio, rel=0.01) and curve.smallest.bound in where
    assert words.verdict(curve) == ("0 in 324", "bound, point and run: every one with all hypotheses met is kept")
    assert "faster than the −1 that is proved" in words.look_sentence(curve)
    assert "PCM" in words.look_sentence(curve) and "equal bits" not in words.look_sentence(curve, True)


def test_dotted_where_a_hypothesis_fails_and_the_hover_names_it(overloaded):
    panel = curves.draw_curves(overloaded, Ink())
    text = Ink().text
    lines = [trace for trace in panel.figure.data if trace.mode == "lines" and trace.line.color == text]
    dotted = [trace for trace in lines if trace.line.dash == "dot"]
    assert {trace.line.dash for trace in lines} == {"dot", "dash"}
    inside = overloaded.x[overloaded.covered]
    assert dotted and all(max(trace.x) <= inside[0] * (1 + 1e-9) for trace in dotted)
    marks = [trace for trace in panel.figure.data if trace.mode == "markers" and trace.customdata is not None]
    spectral = next(trace for trace in marks if trace.hovertemplate.startswith("Spectral form"))
    failing = ~next(line for line in overloaded.bounds if line.name == "spectral").applies
    for fails, text, symbol in zip(failing, spectral.customdata, spectral.marker.symbol, strict=True):
        assert ("leaves its range" in text.replace("<br>", " ")) == fails == (symbol == "x-thin-open")
    assert "dotted" in panel.look and "leaves its range" in tables.bound_table(overloaded)
    assert "(n/a)" in str(draw_ladder(overloaded, 0, Ink()).figure.layout.yaxis.ticktext)


def test_the_fitted_line_is_drawn_where_it_was_fitted(overloaded):
    panel = curves.draw_curves(overloaded, Ink())
    fitted = next(trace for trace in panel.figure.data if trace.mode == "lines" and trace.line.width == 2)
    np.testing.assert_allclose(fitted.x, overloaded.x[overloaded.covered])
    np.testing.assert_allclose(fitted.y, overloaded.fit.line(fitted.x), rtol=1e-6)


def test_bits_per_original_weight_stand_along_the_top_and_in_the_hover(curve, overloaded):
    panel = curves.draw_curves(curve, Ink())
    ticks = dict(zip(panel.figure.layout.xaxis2.tickvals, panel.figure.layout.xaxis2.ticktext, strict=True))
    assert ticks[2048.0] == "258"  # 2048·2/16 for the levels and 32/16 for the step
    assert any("258 bits per original weight" in str(t.customdata) for t in panel.figure.data)
    assert "xaxis2" not in curves.draw_curves(overloaded, Ink()).figure.layout.to_plotly_json()  # they do not change


def test_violations_are_counted_listed_and_called_a_defect(curve):
    assert "| bound |" in tables.violation_table(curve) and tables.violation_table(curve).count("\n") == 1
    points = [
        dataclasses.replace(
            point, promises=tuple(dataclasses.replace(one, values=one.values / 1000) for one in point.promises)
        )
        for point in curve.points
    ]
    broken = Curve.of(curve.sweep, points)
    count, told = words.verdict(broken)
    assert count == f"{len(broken.violations)} in 324" and "defect" in told
    assert tables.violation_table(broken).count("\n") == 1 + len(broken.violations)
    assert float(words.ratio_headline(broken)[0]) < 1


def test_bounds_that_may_fail_say_so():
    count, told = words.verdict(link.build({"subject": "path", "seeds": 10}))
    assert count == "0 in 270" and "stated with probability 99.0 %" in told
    count, told = words.verdict(link.build({"subject": "path", "method": "gpfq"}))
    assert (
        count == "None possible" and words.ratio_headline(link.build({"subject": "path", "method": "gpfq"}))[0] == "n/a"
    )


@pytest.mark.parametrize("seed", range(20))
def test_labels_do_not_touch_and_keep_their_order(seed):
    random = np.random.default_rng(seed)
    wanted = sorted(random.uniform(0, 400, random.integers(1, 20)).tolist())
    placed = labels.spread_out(wanted, 15, 400)
    assert len(placed) == len(wanted) and placed == sorted(placed)
    assert (np.diff(placed) >= 15 - 1e-9).all()
    far = np.diff(wanted)
    if len(wanted) > 1 and far.min() > 15 and wanted[0] > 0 and wanted[-1] < 400:
        np.testing.assert_allclose(placed, wanted)


def test_rounding_at_equal_bits_is_drawn_only_if_asked_for(curve):
    def named(drawn):
        return [trace.hovertemplate or "" for trace in drawn.figure.data]

    with_it, without = (curves.draw_curves(curve, Ink(), equal) for equal in (True, False))
    assert any("without a frame" in text for text in named(with_it))
    assert not any("without a frame" in text for text in named(without))
    assert "plain rounding without a frame, as many bits" in with_it.table()


# -- the network's preset and the paper's figures ------------------------------------------------------------


@pytest.fixture(scope="module")
def ladder():
    return preset.of_page("bounds")["bounds-ladder"]


def test_the_stored_curve_is_found_by_its_choices_and_drawn(ladder):
    sweep = link.asked(ladder.choices)
    stored = link.stored_curve(sweep)
    assert stored is not None and stored.comparisons == ladder.result["comparisons"]
    assert stored.fit.slope == pytest.approx(ladder.result["slope"])
    assert link.stored_curve(dataclasses.replace(sweep, seed=1)) is None
    assert [panel.name for panel in everything(stored)] == ["curves", "ladder", "ratio"]
    names = [line.name for line in stored.bounds]
    last = [float(line.median[-1]) for line in stored.bounds]
    rungs = [last[names.index(f"p{k}")] for k in range(5)]
    assert rungs == sorted(rungs, reverse=True) and last[names.index("network-layer-spectral")] > 50 * rungs[0]


def test_a_point_of_the_stored_curve_is_the_recomputed_one(ladder):
    value, setting = link.asked(ladder.choices).settings[2]
    assert isinstance(setting, WholeNetwork) and value == setting.size
    point, stored = setting.measure(0), ladder.result["curve"][2]
    np.testing.assert_allclose(point.measured, stored["measured"], rtol=1e-5)
    assert point.bits_per_weight == pytest.approx(stored["bits_per_weight"])
    for one, given in zip(point.promises, stored["promises"], strict=True):
        assert one.name == given["name"] and one.holds.tolist() == given["holds"]
        np.testing.assert_allclose(one.values, given["values"], rtol=1e-5, err_msg=one.name)


@pytest.mark.parametrize("name", paper.SHOWN)
def test_the_papers_figures_are_shipped_and_say_what_is_published(name):
    result = paper.shipped(name)
    panel = paper_figures.draw_paper(result, Ink(dark=True))
    assert result.name == name and result.nets == paper.NETS and "as shipped" in panel.title
    assert ("Grey: the published" in panel.look) == name.startswith("table")
    assert {line.published for line in result.lines} == ({True, False} if name.startswith("table") else {False})
    if name == "table3":
        assert "36.18" in panel.alt and dict(result.lines[0].values)[7000] == (97.29,)
    assert "computed just now" in paper_figures.draw_paper(result, Ink(), live=True).title
    assert paper.seconds(name) > 10


def test_a_result_survives_json():
    result = paper.shipped("table3")
    values = json.loads(json.dumps(result.to_dict()))
    again = Result.from_dict(values)
    assert again.to_dict() == values and again.table()[1] == result.table()[1]


def test_a_cell_of_the_shipped_figures_is_the_recomputed_one(tmp_path):
    small = plan.plan("figure2", nets=1, sizes=(320,), steps=(0.25,))
    (result,) = reproduce.run(small, tmp_path)
    line = next(line for line in paper.shipped("figure2").lines if "δ = 0.25" in line.label)
    np.testing.assert_allclose(result.lines[0].values[320][0], line.values[320][0], rtol=1e-4)


def test_computing_them_anew_keeps_finished_cells_and_stops_when_asked(tmp_path, monkeypatch):
    from sdqviz.error import Stopped

    monkeypatch.setenv("SDQVIZ_CACHE", str(tmp_path))
    done = []
    with pytest.raises(Stopped):
        paper.compute("figure1", lambda *told: done.append(told), lambda: len(done) >= 2)
    with RunStore(paper.folder() / reproduce.STORE) as store:
        assert len(store) in (1, 2)
    assert paper.folder().parent == tmp_path


def test_sweeps_are_hashable_so_that_results_find_their_question():
    assert link.asked({}) == link.asked({"subject": "vector"}) and isinstance(hash(link.asked({})), int)
    assert isinstance(link.asked({}), Sweep)
