"""The pages without a browser, each run through the navigation script as a visitor would."""

import json

import pytest
from visitor import charts, controls, link, loaded, numbers, press, visit

import sdqviz as sq
from sdqviz.asset import ROOT
from sdqviz.explore import preset
from sdqviz.plots.theme import DRAWN
from sdqviz.ui.launch import MAIN
from sdqviz.version import __version__

PAGES = ("", "sigma-delta", "frames")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("address", PAGES)
def test_page_is_whole(address, theme):
    at = visit(address, {"theme": theme})
    assert not at.exception and not at.error and not at.warning
    assert len(at.title) == 1 and len(numbers(at)) == 3
    drawn = charts(at)
    assert drawn and all(any(c.isdigit() for c in chart.alt) for chart in drawn)
    assert sum(len(chart.spec) for chart in drawn) <= 300_000
    for chart in drawn:
        layout = json.loads(chart.spec)["layout"]
        assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
        assert chart.config["toImageButtonOptions"]["format"] == "svg"


@pytest.mark.parametrize("address", PAGES)
def test_every_control_has_help_and_is_in_the_link(address):
    at = visit(address)
    turned = controls(at)
    bound = [control for control in turned if control.key and not control.key.startswith("_")]
    assert bound and all(control.help for control in turned)
    assert {control.key for control in bound} <= set(link(at)) and link(at)["v"] == __version__


def test_the_link_gives_the_same_page_in_a_fresh_session():
    at = visit("sigma-delta")
    at.selectbox(key="frame").set_value("hadamard").run()
    at.number_input(key="dimension").set_value(12).run()
    at.slider(key="bits").set_value(3).run()
    at.number_input(key="seed").set_value(9).run()
    again = visit("sigma-delta", **link(at))
    assert link(again) == link(at) and link(at)["bits"] == "3"
    assert numbers(again) == numbers(at) and not again.warning


def test_bad_values_of_a_link_become_defaults_with_a_notice():
    at = visit("frames", size="many", frame="nonsense", seed="-1", dimension="1e9", shape="round", v="0.0.0")
    assert numbers(at) == numbers(visit("frames"))
    (notice,) = [warning.value for warning in at.warning]
    for sentence in (
        "size must be a whole number, got 'many'",
        "frame must be one of",
        "seed must be between 0 and",
        "dimension must be a whole number, got '1e9'",
        "shape is not a control of this page",
        "made with version 0.0.0",
    ):
        assert sentence in notice
    at.number_input(key="size").set_value(77).run()
    assert not at.warning  # told once, until the first change


@pytest.mark.parametrize(
    ("address", "parameters", "sentence"),
    [
        ("sigma-delta", {"dimension": 8, "size": 8}, "size must be at least 9 for dimension 8, got 8"),
        ("frames", {"frame": "given", "vectors": "1, 0\n2, 0"}, "vectors"),
        ("frames", {"frame": "given", "vectors": "1, 0\n2"}, "one length"),
        ("sigma-delta", {"input": "pasted", "pasted": "1, two"}, "numbers must be written out, got 'two' as entry 2"),
        ("sigma-delta", {"input": "pasted", "pasted": "nan 1"}, "numbers must be finite"),
        ("sigma-delta", {"input": "pasted", "pasted": "0 0 0", "size": 9}, "the vector must not be zero"),
    ],
)
def test_what_a_link_cannot_have_is_said_in_one_sentence_above_what_can_be_shown(address, parameters, sentence):
    at = visit(address, **parameters)
    assert not at.exception and not at.error
    assert sentence in at.warning[0].value and charts(at)


def test_a_small_step_is_flagged_and_runs():
    at = visit("sigma-delta", step_rule="by-hand", step=0.5)
    assert numbers(at)[2] == "Not applicable"
    assert "overloaded" in at.warning[0].value and not at.exception


@pytest.mark.parametrize("address", [address for address in PAGES if address])
def test_a_preset_sets_every_control_and_another_choice_leaves_it(address):
    at = visit(address)
    before, presets = numbers(at), preset.of_page(address)
    for name, one in presets.items():
        at.selectbox(key=f"_preset {address}").set_value(name).run()
        assert not at.exception and not at.error
        shown = link(at)
        assert {key: shown[key] for key in one.choices} == {key: str(value) for key, value in one.choices.items()}
        assert numbers(at) == numbers(visit(address, **one.choices)), name
        assert at.selectbox(key=f"_preset {address}").value == name
    at.number_input(key="seed").set_value(123).run()
    assert at.selectbox(key=f"_preset {address}").value is None
    press(at, "Reset")
    assert numbers(at) == before


@pytest.mark.parametrize("address", ["sigma-delta", "frames"])
def test_every_frame_family_has_its_form_without_being_named_here(address):
    at = visit(address)
    for name in sorted(sq.FRAMES):
        at.slider(key="dimension").set_value(4) if address == "frames" and at.slider else None
        at.selectbox(key="frame").set_value(name).run()
        assert not at.exception, name
        if name != "given" or address == "frames":
            assert not at.error or "dimension must be" in at.error[0].value, name
        press(at, "Reset")


def test_changing_family_or_vector_moves_the_size_to_one_that_exists():
    at = visit("frames", size=60)
    at.selectbox(key="frame").set_value("hadamard").run()
    assert at.number_input(key="size").value == 64 and not at.error
    at = visit("sigma-delta")
    at.selectbox(key="input").set_value("weights").run()
    assert at.number_input(key="size").value >= 257 and not at.error


def test_comparison_of_large_frames_waits_to_be_asked():
    at = visit("frames", dimension=4, size=700)
    assert len(charts(at)) == 5 and not at.toggle[0].value
    at.toggle(key="compare").set_value(True).run()
    assert len(charts(at)) == 6


@pytest.mark.parametrize(
    ("address", "key", "asked"),
    [
        ("sigma-delta", "step", "Drag δ"), ("frames", "size", "Drag N"), ("path-following", "scaling", "Drag C"),
        ("bounds", "bits", "Drag bits"),
    ],
)  # fmt: skip
def test_what_a_page_is_about_can_be_dragged_on_request(address, key, asked):
    at = visit(address)
    before, plots = numbers(at), len(charts(at))
    press(at, asked)
    assert link(at)["scrub"] == key and numbers(at) == before and len(charts(at)) == plots + 1
    (slider,) = json.loads(charts(at)[0].spec)["layout"]["sliders"]
    assert len(slider["steps"]) >= 12
    press(at, "Close")
    assert len(charts(at)) == plots and link(at)["scrub"] == "none"


def test_table_view_opens_with_the_full_data():
    at = visit("sigma-delta")
    assert not at.dataframe
    at.session_state["_data sigma-delta steps"] = True
    at.run()
    assert list(at.dataframe[0].value.columns)[:4] == ["n", "frame_vector", "coefficient", "level"]
    assert len(at.dataframe[0].value) == 64


def test_drawn_traces_stay_within_the_limit_at_the_largest_size():
    at = visit("sigma-delta", dimension=16, size=4096)
    specs = [json.loads(chart.spec) for chart in charts(at)]
    lengths = [
        trace["x"].get("shape", "0") if isinstance(trace["x"], dict) else 0 for s in specs for trace in s["data"]
    ]
    assert max(int(length) for length in lengths) <= DRAWN and sum(len(c.spec) for c in charts(at)) <= 300_000


def test_what_is_drawn_from_stored_runs_loads_nothing_heavy_and_what_is_computed_without_a_network_no_torch():
    def drawn(address, plots):
        return f"at = visit({address!r})\nassert len(charts(at)) >= {plots} and len(at.metric) == 3 and not at.error"

    light = loaded(drawn("", 3), drawn("compare", 2), drawn("geta", 4))
    assert light == [[], ["pandas"], ["pandas"]], "the table of Compare is one of pandas"
    *found, last = loaded(
        "assert visit('learn').subheader",
        *(f"assert charts(visit('bounds', subject={one!r}))" for one in ("layer", "path", "path-network", "network")),
        "shown = buttons(visit('network', method='geta', network='mnist-lenet'))\n"  # a link starts no training
        "assert 'Cancel' not in shown and any(label.startswith('Run') for label in shown)",
    )
    assert len(found) == 5 and not any("torch" in one for one in [*found, last])


def test_navigation_lists_the_files_that_exist():
    from sdqviz.ui.main import PAGES as listed

    assert {address for _, _, address in listed} >= set(PAGES)
    assert all((ROOT / "pages" / file).is_file() for file, _, _ in listed)
    assert not (MAIN.parent / "pages").exists()  # a neighbour of that name breaks deep links


def test_start_shows_the_results_and_the_limits():
    from sdqviz import asset

    shown = {fold.label: [text.value for text in fold.markdown] for fold in visit().expander}
    texts = asset.folder() / "texts"
    for file in sorted([*texts.glob("results/*.md"), *texts.glob("guide/*.md")]):  # the others belong to Learn
        title, _, text = file.read_text("utf-8").partition("\n")
        assert shown[title.removeprefix("# ")] == [text.strip()]
