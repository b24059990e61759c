"""The Compare page through the menu, without a browser."""

import functools
import gzip
import tomllib

import pytest
import visitor
from visitor import charts, controls, figures, link, numbers, settled

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.experiments import run_csv, target
from sdqviz.experiments.compare import link as links
from sdqviz.experiments.compare.questions import QUESTIONS
from sdqviz.experiments.sweep_plan import Plan
from sdqviz.explore import preset
from sdqviz.explore.wording import number
from sdqviz.ui import compare, compare_files, compare_work, job

visit = functools.partial(visitor.visit, "compare")


@pytest.fixture(scope="module")
def runs(made_run):
    """Runs of three methods at several sizes, two seeds each, and one that failed."""
    rows = [
        {"name": name, "relative_error": 0.1 * k, "propagated_error": 0.2, "bits_per_weight": 2.0}
        for k, name in enumerate(("one", "two"), 1)
    ]
    found = []
    for method, gain in (("round-to-nearest", 0.0), ("frame", 0.01), ("gpfq", 0.03)):
        for bits in (1, 2, 4):
            for seed in (0, 1):
                accuracy = 0.9 + gain + 0.012 * bits + 0.001 * seed
                found.append(
                    made_run(method, bits=bits + 0.1, accuracy=accuracy, error=0.5 / bits, seed=seed, layers=rows,
                             choices={"bits": bits}, network_seed=seed)
                )  # fmt: skip
    return (*found, made_run("frame", problem="size must be at least 257", seed=3))


@pytest.fixture(autouse=True)
def shipped(runs, monkeypatch):
    monkeypatch.setattr(links, "shipped", lambda: runs)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_whole(theme):
    page = visit({"theme": theme})
    assert not page.error and not page.warning
    assert numbers(page) == ["19", "4.1", "95.45 %"]
    proto = charts(page)
    assert len(proto) == 2 and all(any(c.isdigit() for c in chart.alt) for chart in proto)
    assert sum(len(chart.spec) for chart in proto) <= 300_000
    assert all(c["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)" for c in figures(page))
    assert any("Plain rounding is nowhere on the front" in one.value for one in page.caption)


@pytest.mark.parametrize("view", compare.VIEWS)
def test_every_control_has_help_and_is_in_the_link(view):
    page = visit(view=view, sweep_methods="frame,gpfq")
    assert not page.error
    turned = controls(page)
    assert all(control.help for control in turned)
    own = {control.key for control in turned if control.key and not control.key.startswith("_")}
    assert own | {"methods", "view", "a", "b"} <= set(link(page)) and link(page)["view"] == view


def test_the_link_gives_the_same_page_in_a_fresh_session():
    page = visit(loss_axis="error", budget=4.5)
    page.multiselect(key="_methods").set_value(["frame", "gpfq"]).run()
    page.selectbox(key="seeds").set_value("1").run()
    page.text_input(key="_brush").set_value("bits=..3").run()
    assert numbers(page)[0] == "4" and link(page)["methods"] == "frame,gpfq"
    assert page.query_params["methods"] in ("frame,gpfq", ["frame,gpfq"])
    again = visit(**link(page))
    assert not again.warning and numbers(again) == numbers(page) and link(again) == link(page)
    assert figures(again) == figures(page)
    next(button for button in page.button if button.label == "Reset").click().run()
    assert numbers(page) == numbers(visit()) and link(page)["methods"] == ""


def test_filters_narrow_what_is_shown():
    assert numbers(visit(methods="gpfq"))[0] == "6"
    assert numbers(visit(seeds="1"))[0] == "9"
    assert numbers(visit(text="size must"))[0] == "1"
    page = visit(network="mnist-lenet")
    assert numbers(page)[0] == "0" and "None of the 19 runs passes the filters" in page.info[0].value
    page = visit(brush="bits=7..8")
    assert "inside the brush; clear it" in page.info[0].value
    next(button for button in page.button if button.label == "Clear the brush").click().run()
    assert numbers(page)[0] == "19"


def test_averaging_is_said_and_can_be_turned_off():
    page = visit()
    single = visit(seeds="all")
    assert numbers(single)[0] == numbers(page)[0] == "19"
    assert list(page.dataframe[0].value["runs"]) == [2] * 9 + [1]
    assert list(single.dataframe[0].value["runs"]) == [1] * 19
    assert "± " in str(figures(page)[0]["data"]) and "± " not in str(figures(single)[0]["data"][:5])


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"view": "Sweep", "sweep_methods": "gpfq", "sweep.gpfq.bits": "many"}, "bits must be numbers separated"),
        ({"view": "Sweep", "sweep_methods": "gpfq", "sweep.gpfq.bits": "77"}, "bits must be at most 16, got 77"),
        ({"view": "Sweep", "sweep_methods": "gpfq", "sweep_seeds": ""}, "seeds must have at least one value"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(parameters, sentence):
    page = visit(**parameters)
    assert page.error and all(sentence in one.value for one in page.error)


def test_bad_values_of_a_link_become_defaults_with_a_notice():
    page = visit(network="alexnet", methods="frame,magic", a="ffff", budget=99, colour="blue")
    told = " ".join(one.value for one in page.warning)
    for part in ("network must be", "methods must be among", "'magic'", "a must be the key of a run", "budget must be",
                 "colour is not a control"):  # fmt: skip
        assert part in told, part
    assert link(page)["methods"] == "frame"


@pytest.mark.parametrize("brush", ["{}", "bits=two", "bits=3..1", "method", "nonsense=1..2; bits=1..2"])
def test_a_brush_that_cannot_be_read_keeps_every_run_and_is_said(brush):
    page = visit(brush=brush)
    assert not page.error and numbers(page)[0] == "19"
    told = " ".join(one.value for one in page.warning)
    assert "brush must be written like bits=1..2.5" in told and "every run is kept" in told
    assert page.text_input(key="_brush").value == "" and "brush" not in page.query_params
    page.text_input(key="_brush").set_value(brush).run()  # written on the page: the same
    assert not page.error and numbers(page)[0] == "19"


# -- A and B ------------------------------------------------------------------------------------------


def test_a_and_b_are_the_best_and_the_best_rounding_and_can_be_chosen(runs):
    page = visit(view="A against B")
    assert [box.value for box in page.selectbox if box.key in ("_a", "_b")] == [
        next(run.key[:12] for run in runs if run.method == {"name": name, "bits": 2})
        for name in ("gpfq", "round-to-nearest")
    ]
    assert any("accuracy on the test inputs 95.40 % in A" in one.value for one in page.markdown)
    assert len(figures(page)) == 4
    other = next(run for run in runs if run.method == {"name": "frame", "bits": 4})
    page.selectbox(key="_b").set_value(other.key[:12]).run()
    assert link(page)["b"] == other.key[:12] and not page.exception
    again = visit(**link(page))
    assert next(box.value for box in again.selectbox if box.key == "_b") == other.key[:12]
    assert figures(again) == figures(page)


# -- files --------------------------------------------------------------------------------------------


def imported(page, name, runs_found):
    page.session_state["_compare imported"] = {name: tuple(runs_found)}
    return page.run()


def test_files_survive_the_way_out_and_in(runs, tmp_path):
    whole = compare_files.to_json(runs)
    assert [run.to_dict() for run in compare_files.read_file("runs.json", whole)] == [run.to_dict() for run in runs]
    assert len(compare_files.read_file("runs.json.gz", gzip.compress(whole))) == len(runs)
    assert len(compare_files.read_file("RUNS.CSV", run_csv.write_csv(runs))) == len(runs)


def test_imported_runs_are_shown_and_forgotten_and_belong_to_one_session(made_run):
    page = visit(view="Files")
    before = numbers(page)[0]
    strange = made_run("<b>bold</b> ![x](http://a)", bits=0.5, accuracy=0.97, choices={"bits": 1, "é|`$": "</script>"})
    imported(page, "colleague.json", [strange])
    assert not page.exception and not page.error
    assert int(numbers(page)[0]) == int(before) + 1
    assert numbers(visit())[0] == before
    assert any("colleague.json: 1 runs" in one.value for one in page.caption)
    page.query_params["view"] = "Runs"
    next(button for button in page.button if button.label == "Forget imported runs").click().run()
    assert numbers(page)[0] == before


# -- work ---------------------------------------------------------------------------------------------


def test_the_search_runs_beside_the_page_and_its_runs_enter_the_history(monkeypatch):
    monkeypatch.setattr(target, "LINES", {"round-to-nearest": (target.Line("bits", (1, 2, 3), {"fit": "mse"}),)})
    page = visit(view="Smallest size", methods="round-to-nearest", goal=97.0, goal_calibration=16)
    before = int(numbers(page)[0])
    next(button for button in page.button if button.label == "Search").click().run()
    settled(page)
    assert not page.exception and not page.error
    told = next(one.value for one in page.markdown if one.value.startswith("Smallest found"))
    assert "Rounding to nearest, bits per weight" in told and "runs tried; a smaller one may exist" in told
    trail = page.dataframe[-1].value
    assert int(numbers(page)[0]) == before + len(trail) and set(trail["enough"]) == {"yes", "no"}
    best = trail[trail["enough"] == "yes"]["bits per weight"].min()
    assert f"with {best:.3g} bits" in told


def test_more_than_float_is_said_by_the_search():
    page = visit(view="Smallest size", methods="round-to-nearest", goal=99.9, goal_calibration=16)
    next(button for button in page.button if button.label == "Search").click().run()
    settled(page)
    assert any("accuracy must be at most 0.98" in one.value for one in page.info)


def test_a_sweep_is_built_written_down_and_run():
    page = visit(view="Sweep", sweep_methods="round-to-nearest", sweep_calibration=16,
                  **{"sweep.round-to-nearest.bits": "2, 3", "sweep.round-to-nearest.fit": "mse"})  # fmt: skip
    assert any(one.value.startswith("**2 runs**") for one in page.markdown)
    text = next(code.value for code in page.code if "[[runs]]" in code.value)
    plan = Plan.from_dict(tomllib.loads(text))
    assert [(one.method.bits, one.method.fit) for one in plan.runs] == [(2, "mse"), (3, "mse")]
    before = int(numbers(page)[0])
    next(button for button in page.button if button.label == "Run the sweep").click().run()
    settled(page)
    assert int(numbers(page)[0]) == before + 2 and not page.error
    run = next(iter(page.session_state["_history"].values()))
    report = sq.compress(
        sq.NETWORKS["mnist-fnn"]().load(), sq.METHODS["round-to-nearest"](bits=2, fit="mse"), 16
    ).report
    assert run.report.accuracy_after == report.accuracy_after
    next(button for button in page.button if button.label == "Run the sweep").click().run()
    settled(page)
    assert int(numbers(page)[0]) == before + 2
    assert any("0 runs in" in one.value and "2 were there already" in one.value for one in page.caption)


def test_a_plan_too_large_for_the_page_goes_to_the_command_line():
    page = visit(view="Sweep", sweep_methods="gpfq", sweep_seeds=",".join(map(str, range(101))),
                  **{"sweep.gpfq.bits": "1,2,3"})  # fmt: skip
    button = next(one for one in page.button if one.label == "Run the sweep")
    assert button.disabled and any("take the TOML file to the command line" in one.value for one in page.caption)


def test_plans_survive_toml():
    values = {
        "title": 'a "quoted" one', "network": ["mnist-fnn"], "network_choices": {"seed": [0, 1]}, "calibration": 16,
        "seed": [0], "runs": [{"method": "gpfq", "choices": {"bits": [2], "finite": [True], "x": [1e-9], "s": ["é"]}},
                              {"method": "frame", "choices": {}}],
    }  # fmt: skip
    assert tomllib.loads(compare_work.toml(values)) == values


@pytest.mark.parametrize(("text", "kind"), [("", int), ("1;2", int), ("nan", float), ("maybe", bool), ("1.5", int)])
def test_values_that_cannot_be_read_are_refused(text, kind):
    with pytest.raises(InputError, match="field must"):
        compare_work.numbers("field", text, kind)


def test_reset_works_from_every_view():
    page = visit(view="Sweep", sweep_methods="gpfq", budget=3.0, **{"sweep.gpfq.bits": "2"})
    next(button for button in page.button if button.label == "Reset").click().run()
    assert not page.exception and not page.warning and not page.error
    assert link(page)["view"] == "Runs" and link(page)["budget"] == "2.2"


@pytest.mark.parametrize("name", sorted(preset.of_page("compare")))
def test_presets_show_their_stored_numbers(name, monkeypatch):
    monkeypatch.undo()  # the shipped runs, not those of this file
    stored = preset.of_page("compare")[name]
    page = visit()
    page.selectbox(key="_preset compare").set_value(name).run()
    assert not page.exception and not page.error and not page.warning
    shown = link(page)
    assert {key: shown[key] for key in stored.choices} == {key: str(value) for key, value in stored.choices.items()}
    assert numbers(page) == [
        f"{stored.result['runs']:,}", number(stored.result['bits_per_weight']),
        f"{100 * stored.result['accuracy_after']:.2f} %",
    ]  # fmt: skip
    assert page.selectbox(key="_preset compare").value == name
    page.selectbox(key="seeds").set_value("all").run()
    assert page.selectbox(key="_preset compare").value == name  # not one of its choices
    page.multiselect(key="_methods").set_value(["gptq"]).run()
    if "methods" in stored.choices:
        assert page.selectbox(key="_preset compare").value is None


def test_what_is_shipped_is_enough_to_be_alive(monkeypatch):
    monkeypatch.undo()
    runs = links.shipped()
    assert len(runs) >= 300 and {run.network["name"] for run in runs} >= {"mnist-fnn", "mnist-residual", "mnist-lenet"}
    page = visit()
    assert int(numbers(page)[0]) >= 100 and not page.info
    assert sum(len(chart.spec) for chart in charts(page)) <= 300_000
    single = visit(seeds="all", network="all")
    assert numbers(single)[0] == str(len(runs))
    assert sum(len(chart.spec) for chart in charts(single)) <= 500_000


# -- the question line --------------------------------------------------------------------------------


def test_questions_are_answered_from_the_runs_and_are_in_the_link():
    page = visit()
    box = page.selectbox(key="_question")
    assert len(box.options) == 5 and box.value == "smallest"
    texts = set()
    for name in QUESTIONS:
        page.selectbox(key="_question").set_value(name).run()
        assert not page.exception and not page.error and link(page)["question"] == name
        said = [one.value for one in page.markdown if " run" in one.value or "bits" in one.value]
        texts.add(said[0])
    assert len(texts) == 5
    again = visit(**link(page))
    assert again.selectbox(key="_question").value == list(QUESTIONS)[-1] and not again.warning
    strange = visit(question="why")
    assert strange.selectbox(key="_question").value == "smallest" and not strange.error
    assert "question must be one of smallest" in strange.warning[0].value


def test_a_cancelled_search_keeps_its_best_and_says_what_it_is(monkeypatch):
    lines = {"round-to-nearest": (target.Line("bits", (1, 2, 3, 4, 5), {"fit": "mse"}),)}
    monkeypatch.setattr(target, "LINES", lines)
    page = visit(view="Smallest size", methods="round-to-nearest", goal=90.0)
    slot = page.session_state["_job target"]
    aim = target.Aim(sq.NETWORKS["mnist-fnn"](seed=0), 0.9, ("round-to-nearest",), 512)
    told = []
    memory = {}
    with pytest.raises(sq.Stopped):
        target.find(aim, memory, should_stop=lambda: len(memory) >= 2, so_far=told.append)
    page.session_state["_target so far"] = {aim: told[-1]}
    slot.problem = job.CANCELLED_FIRST  # as a cancelled search leaves it
    page.run()
    text = " ".join(one.value for one in page.markdown)
    assert "Smallest so far: Rounding to nearest" in text and "Stopped after 2 of at most 3 runs" in text
    assert not [one.value for one in page.info if "previous result" in one.value]
