"""The GETA page through the menu, without a browser; what is trained here is trained for real, only briefly."""

import functools
import gc

import pytest
import visitor
from visitor import buttons, charts, controls, figures, link, metrics, press, wait

from sdqviz.explore import preset
from sdqviz.explore.geta import run as runs
from sdqviz.explore.geta import words
from sdqviz.explore.wording import number, percent
from sdqviz.methods.geta import recording
from sdqviz.methods.geta.recording import Recording
from sdqviz.ui import geta, geta_training, job

visit = functools.partial(visitor.visit, "geta")

BRIEF = {
    "view": geta.TRAINED, "network": "mnist-fnn", "batch": 8, "warm_up_steps": 2, "projection_steps": 5,
    "projection_periods": 2, "joint_steps": 6, "pruning_periods": 2, "cool_down_steps": 3,
}  # fmt: skip
"""A run of 16 steps."""

LONG = BRIEF | {"cool_down_steps": 9000}


def finished(page):
    """Wait for the training of this session, then run the page again, as its fragment does in a browser."""
    wait(lambda: not page.session_state["_job geta"].running)
    page.run()
    assert not page.exception
    return page


@pytest.fixture(scope="module")
def page():
    return visit()


def test_first_paint_is_a_recorded_run_with_its_numbers(page):
    run = runs.load(runs.names()[0])
    report = run.report
    assert metrics(page) == {
        "Bits per original weight": number(report["bits_per_weight"]),
        "Accuracy after": f"{100 * report['accuracy_after']:.2f} %",
        "Relative BOPs": percent(report["relative_bops"]),
    }
    assert len(figures(page)) == 5 and not page.error and not page.warning
    assert sum(len(chart.spec) for chart in charts(page)) <= 300_000
    assert all(any(c.isdigit() for c in chart.alt) for chart in charts(page))
    assert [*buttons(page)] == ["Train this here", "Reset", "Undo", "Keep this view as A"]
    told = words.verdict(run)
    assert (told is not None) == bool(page.info)
    tables = [one.value for one in page.markdown if "| before | after |" in one.value]
    assert len(tables) == 1 and "MACs an input" in tables[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_shipped_recording_is_drawn_and_is_in_the_link(theme):
    for name in runs.names():
        at = visit({"theme": theme}, recording=name)
        assert not at.exception and not at.error
        assert link(at)["recording"] == name
        assert all(spec["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)" for spec in figures(at))
        assert metrics(at)["Accuracy after"] == words.accuracy(runs.load(name).report["accuracy_after"])


@pytest.mark.parametrize("name", [one.name for one in preset.load() if one.page == "geta"])
def test_preset_shows_its_stored_numbers(name):
    at = visit()
    at.selectbox(key="_preset geta").set_value(name).run()
    stored = preset.of_page("geta")[name]
    assert link(at)["recording"] == stored.choices["recording"] and not at.exception
    assert metrics(at)["Accuracy after"] == words.accuracy(stored.result["accuracy_after"])
    assert metrics(at)["Bits per original weight"] == number(stored.result["bits_per_weight"])


def test_controls_have_help_and_the_form_is_filled_from_the_recording(page):
    at = press(visit(recording=runs.names()[-1]), "Train this here")
    run = runs.load(runs.names()[-1])
    assert all(control.help for control in controls(at))
    shown = link(at)
    assert shown["view"] == geta.TRAINED and shown["network"] == run.network["name"]
    said = dict(run.method)
    if said["activation_bits_low"] is None:  # left open it is the limit of the weights, and the form says so
        said["activation_bits_low"] = said["bits_low"]
    for key, value in said.items():
        if key != "name":
            assert shown[key] == (str(value).lower() if isinstance(value, bool) else str(value)), key
    assert any(button.label.startswith("Run (") for button in at.button)
    assert len(figures(at)) == 5  # still alive


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"bits_low": 9, "bits_high": 6}, "bits_low must be at most bits_high, 6, got 9"),
        ({"joint_steps": 3, "pruning_periods": 4}, "joint_steps must be at least pruning_periods, 4, got 3"),
    ],
)
def test_what_does_not_fit_is_said_at_the_form_and_nothing_is_lost(parameters, sentence):
    at = visit(view=geta.TRAINED, **parameters)
    assert any(sentence in one.value for one in at.warning) and not at.error  # the defaults are shown, and it is said
    assert len(at.metric) == 3 and len(figures(at)) == 5


def faint(at):
    return any("stale" in one.proto.body for one in at.get("html"))


def test_a_recorded_run_that_is_not_of_the_form_is_faint_and_named(page):
    assert not faint(page)
    at = visit(view=geta.TRAINED, network="mnist-fnn")
    told = " ".join(one.value for one in at.info)
    assert faint(at) and f"not of your choices: the recorded run {runs.title(runs.load(runs.names()[0]))}" in told


def test_how_long_a_run_may_take_goes_by_recorded_runs():
    """A recorded run's own time again; twice that with twice the inputs; and between those of fewer and more MACs."""
    run = runs.load("resnet20-50-seed0")
    again = {key: run.method[key] for key in ("warm_up_steps", "projection_steps", "joint_steps", "cool_down_steps")}
    for batch, times in ((run.method["batch"], 1), (2 * run.method["batch"], 2)):
        at = visit(view=geta.TRAINED, network="resnet20", batch=batch, **again)
        assert f"Run (about {times * run.seconds / 60:.0f} min)" in buttons(at)
    small, large = (geta_training.seconds_of_an_input(name) for name in ("mnist-lenet", "resnet20"))
    assert small < geta_training.seconds_of_an_input("mnist-residual") < large / 5
    assert geta_training.seconds_of_an_input("mnist-fnn") == small  # below the smallest that was recorded
    assert geta_training.seconds_of_an_input("nothing") is None


def test_bad_values_of_a_link_are_told():
    at = visit(view="sideways", recording="of nothing", colour="blue")
    (told,) = [one.value for one in at.warning]
    assert "view must be one of" in told and "colour is not a control" in told
    assert len(at.metric) == 3


@pytest.fixture(scope="module")
def sessions():
    """Two visitors who train at the same time, with different seeds, to the end."""
    visitors = {seed: press(visit(**BRIEF, seed=seed), "Run (") for seed in (3, 4)}
    return {seed: finished(at) for seed, at in visitors.items()}


def test_training_here_finishes_and_offers_the_smaller_network(sessions, tmp_path):
    import torch
    from safetensors.torch import load

    import sdqviz as sq

    at = sessions[3]
    live = at.session_state[geta_training.LIVE]
    run, made = live.recording, live.compression
    assert run.finished and run.steps == 16 and run.seed == 3 and run.moments[-1].step == 16
    assert metrics(at)["Bits per original weight"] == number(made.report.bits_per_weight)
    assert any("Finished in" in one.value for one in at.markdown)
    assert "seed=3" in next(code.value for code in at.code if "sq.compress" in code.value)
    names = [one.label for one in at.get("download_button")]
    assert names[:3] == ["Recording, json.gz", "Smaller network, .sdq", "Smaller network, safetensors"]

    assert Recording.from_bytes(run.to_bytes()).to_bytes() == run.to_bytes()
    (tmp_path / "x.sdq").write_bytes(made.to_bytes())
    inputs = torch.from_numpy(made.original.dataset.test_inputs[:8].copy())
    with torch.no_grad():
        torch.testing.assert_close(sq.load(tmp_path / "x.sdq").module(inputs), made.network.module(inputs))
    plain, state = load(geta.plain_tensors(made)), made.network.module.state_dict()
    assert set(plain) == set(state) and all(torch.equal(plain[key], state[key]) for key in state)
    hidden = made.network.module.get_submodule("hidden1").weight
    assert len(hidden) < 256  # really smaller


def test_two_sessions_train_apart_and_leave_nothing_behind(sessions):
    first, second = (sessions[seed].session_state[geta_training.LIVE] for seed in (3, 4))
    assert (first.recording.seed, second.recording.seed) == (3, 4) and first.folder != second.folder
    assert first.recording.moments[-1].loss != second.recording.moments[-1].loss
    idle = visit()
    assert geta_training.LIVE not in idle.session_state
    assert not any("Finished" in one.value for one in idle.markdown)
    folder = first.folder
    assert folder.is_dir()
    del first, second
    gone = sessions.pop(4).session_state
    folder = gone[geta_training.LIVE].folder
    del gone[geta_training.LIVE], gone["_job geta"]
    gc.collect()
    assert not folder.exists()


def test_cancel_keeps_what_was_recorded_and_resume_goes_on():
    at = press(visit(**LONG), "Run (")
    live = at.session_state[geta_training.LIVE]
    wait(lambda: live.recording is not None)
    at.run()
    assert "Cancel" in buttons(at) and "Accuracy so far" in metrics(at) and len(figures(at)) == 4
    press(at, "Cancel")
    assert not at.session_state["_job geta"].running
    at.run()
    assert {"Resume", "Run again"} <= set(buttons(at)) and not at.error
    assert any("Stopped after" in one.value for one in at.markdown) and "Accuracy so far" in metrics(at)
    wait(lambda: (live.folder / "state").is_file() and not live.working)
    stopped = live.recording.to_dict()["moments"]
    press(at, "Resume")
    wait(lambda: len(live.recording.moments) > len(stopped))
    resumed = live.recording.to_dict()["moments"]
    assert at.session_state[geta_training.LIVE] is live
    assert str(resumed[: len(stopped)]) == str(stopped)  # nan is not nan
    at.slider(key="sparsity").set_value(0.3).run()
    assert any("keeps the choices it was started with" in one.value for one in at.caption)
    press(at, "Cancel")


def test_a_loss_that_runs_away_is_one_sentence():
    at = press(visit(**BRIEF | {"rate": 10.0, "momentum": 0.999, "optimizer": "sgd", "warm_up_steps": 500}), "Run (")
    finished(at)
    assert "loss must stay finite" in at.error[0].value and "Resume" in buttons(at)


def test_a_recording_can_be_looked_at_again_and_others_are_refused():
    run = runs.load(runs.names()[0])
    assert geta.read_recording(run.to_bytes(), "mine.json.gz") == run
    with pytest.raises(Exception, match=r"mine\.json\.gz must be a recording"):
        geta.read_recording(b"nonsense", "mine.json.gz")
    with pytest.raises(Exception, match="must be at most 8 MiB"):
        geta.read_recording(bytes((8 << 20) + 1), "mine.json.gz")
    at = visit(view=geta.UPLOADED)
    assert "until then a recorded run is shown" in at.info[0].value and len(at.metric) == 3
    box = at.get("file_uploader")[0]
    assert box.proto.max_upload_size_mb == geta.LARGEST_UPLOAD


def test_jobs_of_this_file_are_stopped():
    job.stop_all()
    assert recording.shipped()
