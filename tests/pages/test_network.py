"""The Network page through the menu, without a browser."""

import base64
import dataclasses
import functools
import time
from collections.abc import Iterator

import numpy as np
import pytest
import streamlit as st
import torch  # noqa: F401 - loaded first, so that the page need not read it beside its first answer
import visitor
from visitor import buttons, figures, metrics, press, settled, told

import sdqviz as sq
from sdqviz.choice import field
from sdqviz.compression.question import Question
from sdqviz.explore import preset, what_if
from sdqviz.explore.spread import over_seeds
from sdqviz.explore.wording import number, percent
from sdqviz.methods import METHODS
from sdqviz.methods.method import CompressedLayer, MethodChoice, Task
from sdqviz.progress import report, stop_if
from sdqviz.storage.bits import Packed
from sdqviz.ui.network_form import BEST
from sdqviz.ui.screen import HEADLINES

visit = functools.partial(visitor.visit, "network")


def errors(page):
    return [one.value for one in page.error]


STORED = preset.of_page("network")["network-two-bits"].result
DEFAULT = {
    "Bits per original weight": number(STORED["bits_per_weight"]),
    "Accuracy after": percent(STORED["accuracy_after"]),
    "Relative output error": percent(STORED["relative_error"]),
}


@pytest.fixture(scope="module")
def page():
    return visit()


def test_first_paint_has_numbers_plots_and_no_run_button(page):
    assert metrics(page) == DEFAULT
    assert float(DEFAULT["Bits per original weight"]) <= 4 and STORED["accuracy_after"] > 0.975
    assert len(figures(page)) == 7
    assert "Run" not in " ".join(button.label for button in page.button)
    assert page.button[0].label == "Refine" and not page.button[0].disabled
    assert not page.info  # nothing beats it at no more bits
    assert not page.warning and not page.error
    notes = [one.value for one in page.caption]
    assert any(note.startswith("bound holds: yes, measured") for note in notes)
    assert any("Dead inputs" in note and "hidden1 177" in note for note in notes)


def test_numbers_are_those_of_compress(page):
    network = sq.NETWORKS["mnist-fnn"](seed=0).load()
    found = sq.compress(network, sq.METHODS["frame"](**BEST["frame"]), calibration=512).report
    assert metrics(page)["Accuracy after"] == f"{100 * found.accuracy_after:.1f} %"
    bars = [trace for trace in figures(page)[0]["data"] if trace["type"] == "bar"]
    drawn = bars[0]["y"]
    if isinstance(drawn, dict):
        drawn = np.frombuffer(base64.b64decode(drawn["bdata"]), drawn["dtype"])
    np.testing.assert_allclose(drawn, [row.relative_error for row in found.layers], rtol=1e-9)


def test_numbers_are_drawn_before_plain_rounding_stands_beside(monkeypatch):
    drawn, rounding_beside = [], what_if.rounding_beside

    def looked(question, run, *more):
        drawn.append((run.report, st.session_state[HEADLINES]))
        return rounding_beside(question, run, *more)

    monkeypatch.setattr(what_if, "rounding_beside", looked)
    page = visit(size=333, calibration=48, bits=2)
    ((report, early),) = drawn
    assert [value for _, value, _ in early] == list(metrics(page).values())
    assert early[0][1] == number(report.bits_per_weight) and early[1][1] == percent(report.accuracy_after)
    assert early[1][2].endswith("rounding beside it: being computed")
    assert len(page.metric) == 3 and "being computed" not in told(page)
    assert any(one.value.startswith("before ") and "; rounding at " in one.value for one in page.caption)


def test_every_field_of_the_method_is_on_the_form():
    page = visit(method="frame", frame="harmonic")
    keys = {one.key for kind in ("selectbox", "number_input", "slider", "toggle") for one in getattr(page, kind)}
    fields = set(METHODS["frame"].specs()) - {"size", "bits_by_layer", "size_by_layer"}
    assert fields <= keys
    assert {"bits_by_layer.hidden1", "size_by_layer.output", "network_seed", "calibration", "layer", "vector"} <= keys
    page.selectbox(key="size_as").set_value("size").run()
    keys = {one.key for kind in ("number_input", "slider") for one in getattr(page, kind)}
    assert "size" in keys and "redundancy" not in keys
    assert metrics(page)["Bits per original weight"] == "4.82"
    assert all(one.help for kind in ("selectbox", "number_input", "slider", "toggle") for one in getattr(page, kind))


def test_bits_of_one_layer_change_that_layer_only():
    page = visit(**{"bits_by_layer.hidden2": 3, "size_by_layer.output": 40, "size": 1000, "calibration": 64})
    found = what_if.answer(
        Question(
            sq.NETWORKS["mnist-fnn"](),
            sq.METHODS["frame"](size=1000, bits_by_layer={"hidden2": 3}, size_by_layer={"output": 40}),
            64,
        )
    )
    assert [row.levels for row in found.comparison.report.layers] == [2, 8, 2]
    assert [row.size for row in found.comparison.report.layers] == [1000, 1000, 40]
    assert metrics(page)["Accuracy after"] == f"{100 * found.comparison.report.accuracy_after:.1f} %"


COSTLY = ("vit-tiny", "mnist-lenet")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if one.choices["network"] in COSTLY else [])
        for name, one in preset.of_page("network").items()  # that its numbers are right is tested with the plots
    ],
)
def test_preset_shows_its_stored_numbers(name):
    page = visit()
    page.selectbox(key="_preset network").set_value(name).run()
    settled(page)
    assert not page.exception and not page.error
    stored = preset.of_page("network")[name].result
    assert metrics(page)["Accuracy after"] == f"{100 * stored['accuracy_after']:.1f} %"
    next(button for button in page.button if button.label == "Reset").click().run()
    assert metrics(page) == DEFAULT


def test_network_outside_the_theorems_says_so():
    page = visit(network="mnist-lenet", size_as="redundancy", redundancy=3.0, ladder="true")
    told = [one.value for one in page.caption]
    assert any(text.startswith("bound not applicable: layer conv1 is a convolution") for text in told)
    assert not [button for button in page.button if button.label == "Cancel"]  # no ladder is begun


def test_choosing_another_network_resets_the_layer_looked_into():
    page = visit(layer="hidden2", calibration=64)
    assert page.selectbox(key="layer").value == "hidden2"
    assert any("hidden2: weights before and after" in one.value for one in page.markdown)
    page.selectbox(key="network").set_value("mnist-lenet").run()
    assert not page.exception and page.selectbox(key="layer").value == "conv1"


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"frame": "hadamard", "size": 1000}, "layer hidden1: size must be a power of two"),
        ({"size": 256}, "layer hidden1: size must be at least 257 for dimension 256, got 256"),
        ({"frame": "platonic"}, "layer hidden1: dimension must be 3"),
        ({"frame": "simplex"}, "size must be at most 257 for a simplex of dimension 256"),
        ({"axis": "rows", "size": 500}, "layer hidden1: size must be at least 785"),
    ],
)
def test_bad_input_is_one_sentence_and_the_previous_numbers_stay(parameters, sentence):
    page = visit(**parameters)
    assert not page.error and sentence in page.warning[0].value and figures(page)
    page = visit(size=1000) if "size" in parameters else visit()
    before = metrics(page)
    for key, value in parameters.items():
        kind = "number_input" if isinstance(value, int) else "selectbox"
        getattr(page, kind)(key=key).set_value(value)
    page.run()
    settled(page)
    if not page.error:  # N has moved to one the family has, and the page says so
        assert (
            figures(page)
            and (metrics(page) != before)
            and not any("stale" in one.proto.body for one in page.get("html"))
        )
        return
    assert any(sentence in one for one in errors(page))
    assert metrics(page) == before and any("stale" in one.proto.body for one in page.get("html"))
    assert any("still belongs to" in one.value for one in page.info)


def test_a_choice_that_cannot_be_used_leaves_a_stored_result_too():
    """Before anything has run: torch is not there yet, and what is drawn is stored."""
    visitor.loaded(
        'page = turn(arrive(), "network")',
        "page.slider(key='order').set_value(4).run()",
        "assert 'bits must be at least 4' in page.error[0].value and not page.exception",
        "assert len(charts(page)) > 2 and any('faintly' in one.value for one in page.info)",
    )


def test_bad_values_of_a_link_are_told_and_become_defaults():
    page = visit(bits=99, network="alexnet", calibration="many", colour="blue")
    told = " ".join(one.value for one in page.warning)
    for name in ("bits must be between 1 and 16", "network must be one of", "calibration must be", "colour is not"):
        assert name in told
    # a link that names fields of the method, however badly, is given the others as they were when links began
    beside = preset.of_page("network")["network-three-bits"].result
    assert metrics(page)["Bits per original weight"] == number(beside["bits_per_weight"])


def test_ladder_comes_on_request():
    page = visit(ladder="true", size=400, calibration=64)
    settled(page)
    rungs = [c for c in figures(page) if [*c["data"][0].get("x", [])] == ["a priori", "P0", "P1", "P2", "P3", "P4"]]
    assert len(rungs) == 1


def test_two_sessions_keep_their_own_numbers():
    network = what_if.network(sq.NETWORKS["mnist-fnn"]())
    weights = network.fingerprint
    first, second = visit(size=400, calibration=64), visit(size=800, calibration=64)
    one, other = metrics(first), metrics(second)
    assert one["Bits per original weight"] == "1.93" and other["Bits per original weight"] == "3.86"
    first.run()
    assert metrics(first) == one
    del network.__dict__["fingerprint"]  # cached: hash the weights anew
    assert network.fingerprint == weights


@dataclasses.dataclass(frozen=True)
class Crawl(MethodChoice):
    """Rounds to whole multiples of a grid, slowly, and does not say how long it takes."""

    name = "crawl"
    title = "A slow grid"

    grid: float = field(0.01, label="Grid", help="Distance of the levels.", minimum=0.001, maximum=1.0)

    def compress_layers(self, task: Task) -> Iterator[CompressedLayer]:
        """Round layer by layer, with a pause."""
        for place, layer in enumerate(task.layers):
            report(task.progress, place, len(task.layers), layer.name)
            for _ in range(40):
                stop_if(task.should_stop)
                time.sleep(0.02)
            index = np.clip(np.rint(layer.weight / self.grid), -(2**15), 2**15 - 1)
            yield CompressedLayer(
                layer=layer, weight=index * self.grid, bias=None,
                stored={"levels": Packed((index + 2**15).astype(np.uint16), 16)}, parameters={}, parameter_bits=0,
                bounds=(), step=np.array([self.grid]), levels=2**16, size=layer.weight[0].size, overload=0, unstable=0,
                seconds=0.0,
            )  # fmt: skip


@pytest.fixture
def crawl():
    """Enter a method that is not ours, as a file in the folder would."""
    METHODS.register(Crawl)
    yield
    METHODS.forget(Crawl.name)


@pytest.mark.usefixtures("crawl")
def test_a_method_of_ones_own_appears_with_run_progress_and_cancel():
    page = visit(calibration=32)
    before = metrics(page)
    page.selectbox(key="method").set_value("crawl").run()
    assert page.slider(key="grid").value == 0.01
    run = next(button for button in page.button if button.label.startswith("Run"))
    assert metrics(page) == before  # nothing is started by choosing, and the previous numbers stay
    assert any("still belongs to" in one.value for one in page.info)

    run.click().run()
    cancel = next(button for button in page.button if button.label == "Cancel")
    assert metrics(page) == before
    cancel.click().run()
    assert not [button for button in page.button if button.label == "Cancel"]
    assert metrics(page) == before
    assert any("Cancelled" in one.value for one in page.info)

    next(button for button in page.button if button.label.startswith("Run")).click().run()
    settled(page)
    assert not page.exception and metrics(page) != before
    told = " ".join(one.value for one in page.caption)
    assert "the method has no bound for layer hidden1" in told
    assert "grid=0.01" in " ".join(one.value for one in page.code)


def test_seeds_are_asked_for_where_levels_are_drawn_and_shown_with_their_spread():
    assert "seeds" not in {one.key for one in visit(calibration=32).slider}
    choices = {"method": "spfq", "fit": "max", "bits": 3, "calibration": 32}
    page = visit(**choices, seeds=3)
    assert next(one for one in page.slider if one.key == "seeds").value == 3
    settled(page)
    assert not page.exception and not page.error
    question = Question(sq.NETWORKS["mnist-fnn"](), sq.METHODS["spfq"](fit="max", bits=3), 32)
    found = over_seeds(question, 3)
    mean, deviation = found.told(100 * found.accuracies)
    told = " ".join(one.value for one in page.caption) + " ".join(one.value for one in page.markdown)
    assert f"accuracy {mean:.2f} ± {deviation:.2f} %" in told


def test_a_plot_that_would_be_empty_is_a_sentence(page):
    title = "**Proved and measured, at the output**"
    for at, drawn in ((page, 7), (visit(method="magnitude-pruning", calibration=32), 6)):
        settled(at)
        assert not at.exception and [one.value for one in at.markdown].count(title) == 1
        shown = figures(at)
        assert len(shown) == drawn and all(one["data"] or one["layout"].get("images") for one in shown)
    (report,) = [one for one in at.caption if one.value.startswith("Measured: ")]
    assert "the method has no bound" in report.value


def test_the_question_line_answers_from_the_runs_of_this_network_and_refines():
    at = visit(network="mnist-fnn")
    said = [text.value for text in at.markdown if "The smallest that keeps at least 97.50 %" in text.value]
    assert len(said) == 1 and "bits" in said[0]
    assert not next(button for button in at.button if button.label == "Refine").disabled
    at.number_input(key="x_accuracy").set_value(99.9)
    at.run()
    assert not at.exception and any("No run here keeps at least 99.90 %" in text.value for text in at.markdown)
    at.selectbox(key="_question").set_value("best").run()
    assert not at.exception and any("The most accurate that costs at most 2.2 bits" in t.value for t in at.markdown)


def test_the_question_line_is_refined_beside_the_page_and_cancelled():
    at = visit(network="mnist-fnn", question="best", x_bits="1.5")
    press(at, "Refine")
    shown = buttons(at)
    assert shown["Refine"].disabled and "Cancel" in shown
    press(at, "Cancel")
    settled(at)
    assert not at.exception and "Cancelled; the runs that were finished are among those above." in told(at)
    assert not buttons(at)["Refine"].disabled and "The most accurate that costs at most 1.5 bits" in told(at)


@pytest.mark.parametrize(
    ("method", "given", "moved"),
    [
        ("frame-columns", {"bits": 1, "redundancy": 1.0}, {"redundancy": 2.0}),
        ("geta", {"bits_low": 9, "bits_high": 4}, {"bits_low": 4}),
        ("unified", {"operator": "quantize-prune", "alphabet": "affine"}, {"alphabet": "midtread"}),
        ("frame-calibrated", {"redundancy": 2.0, "damping": 0.0}, {"damping": 0.01}),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_fields_that_do_not_go_together_leave_no_empty_page(method, given, moved):
    at = visit()
    for key, value in {"method": method, **given}.items():
        at.session_state[key] = value
    for _ in range(2):  # the page runs again by itself once it has moved a control
        at.run()
        assert not at.exception and visitor.charts(at)
    for key, value in moved.items():
        assert visitor.control(at, key).value == value and any(key in one.value for one in at.warning)
