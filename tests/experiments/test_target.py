"""The search for the smallest size: against trying everything, stopped and taken up again, honest about failures."""

import dataclasses

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.error import InputError, Stopped
from sdqviz.experiments import target
from sdqviz.experiments.target import Aim, Line
from sdqviz.methods import METHODS

ROUNDING = {
    "round-to-nearest": (
        Line("bits", (1, 2, 3, 4, 5), {"fit": "mse"}),
        Line("bits", (1, 2, 3, 4, 5), {"fit": "max", "scale": "per-layer"}),
    )
}


@pytest.fixture
def few_lines(monkeypatch):
    monkeypatch.setattr(target, "LINES", ROUNDING)


@pytest.fixture(scope="module")
def network():
    return sq.NETWORKS["mnist-fnn"]()


def aim(network, accuracy=0.97, methods=("round-to-nearest",), **more):
    return Aim(network, accuracy, methods, **{"calibration": 16, "held_out": 600} | more)


@pytest.fixture(scope="module")
def everything(network):
    """Every choice of the lines, run and judged on the same held-out inputs."""
    given = network.load()
    inputs, labels = given.dataset.held_out(600, 0, 16)
    rows = []
    for line in ROUNDING["round-to-nearest"]:
        for value in line.values:
            method = METHODS["round-to-nearest"](**line.fixed, bits=value)
            done = sq.compress(given, method, 16)
            right = np.argmax(done.network.outputs(inputs), axis=1) == labels
            rows.append((done.report.bits_per_weight, right.mean(), done.report))
    in_float = (np.argmax(given.outputs(inputs), axis=1) == labels).mean()
    return rows, in_float, given.accuracy()


@pytest.mark.usefixtures("few_lines")
@pytest.mark.parametrize("accuracy", [0.9, 0.955, 0.975, 0.982])
def test_it_finds_what_trying_everything_finds_with_fewer_runs(network, everything, accuracy):
    rows, in_float, tested = everything
    found = target.find(aim(network, accuracy))
    needed = in_float - (tested - accuracy)
    assert found.needed == pytest.approx(needed)
    enough = [row for row in rows if row[1] >= needed]
    smallest = min(enough, key=lambda row: row[0])
    assert target.size(found.best) == smallest[0] and target.held_out(found.best) == pytest.approx(smallest[1])
    assert found.best.report.accuracy_after == smallest[2].accuracy_after
    assert found.met == (smallest[2].accuracy_after >= accuracy)
    assert len(found.trials) <= target.most_runs(found.aim) < len(rows)
    assert all(found.enough(trial) == (target.held_out(trial) >= needed) for trial in found.trials)


@pytest.mark.usefixtures("few_lines")
def test_a_stopped_search_goes_on_where_it_was(network):
    memory, told = {}, []

    def stop_after_three():
        return len(memory) >= 3

    with pytest.raises(Stopped):
        target.find(aim(network), memory, lambda *what: told.append(what), stop_after_three)
    assert len(memory) == 3 and told[-1][1] == target.most_runs(aim(network))
    kept = dict(memory)
    found = target.find(aim(network), memory)
    assert {key: memory[key] for key in kept} == kept  # the very same trials: none is run again
    size = len(memory)
    begun = list(memory.values())
    again = target.find(aim(network), memory)
    assert len(memory) == size and all(trial in begun for trial in again.trials)
    assert again.best is found.best
    other = target.find(aim(network, held_out=300), memory)  # decided on other inputs: judged anew
    assert len(memory) > size and target.size(other.best) > 0


def test_held_out_inputs_are_none_of_the_calibration_inputs():
    data = sq.NETWORKS["mnist-fnn"]().data()
    inputs, labels = data.held_out(700, 5, 100)
    used = {one.tobytes() for one in data.calibration(100, 5)}
    assert len(inputs) == len(labels) == 700 and not any(one.tobytes() in used for one in inputs)
    everything = data.calibration(800, 5)
    np.testing.assert_array_equal(inputs, everything[100:])
    pool = {one.tobytes(): label for one, label in zip(data.calibration_inputs, data.calibration_labels, strict=True)}
    assert all(pool[one.tobytes()] == label for one, label in zip(inputs[:50], labels[:50], strict=True))
    with pytest.raises(InputError, match="calibration must be below 60000"):
        data.held_out(10, 0, 60_000)


def test_a_choice_that_does_not_fit_is_a_trial_with_its_reason(network, monkeypatch):
    lines = {"frame": (Line("size", (64, 300), {"bits": 1}),)}
    monkeypatch.setattr(target, "LINES", lines)
    found = target.find(aim(network, 0.05, ("frame",)))
    assert found.best.method["size"] == 300 and found.met
    failed = next(trial for trial in found.trials if trial.report is None)
    assert "size must be at least 257" in failed.problem and target.size(failed) == np.inf and not found.enough(failed)


def test_nothing_is_found_where_nothing_is_enough(network, monkeypatch):
    monkeypatch.setattr(target, "LINES", {"round-to-nearest": (Line("bits", (1,)),)})
    found = target.find(aim(network, 0.98))
    assert found.best is None and not found.met and len(found.trials) == 1


def test_every_method_has_lines_of_growing_size_that_exist_or_a_reason(network):
    shapes = {}
    for name in METHODS:
        for line in target.lines(name):
            methods = [METHODS[name](**{**line.fixed, line.field: value}) for value in line.values]
            assert len({dataclasses.astuple(method) for method in methods}) == len(line.values)
            shapes[name] = len(methods)
    assert set(METHODS) - set(shapes) == {"geta"}
    found = target.find(aim(network, 0.5, ("geta",)))
    assert found.skipped == {"geta": target.TRAINS} and found.trials == () and found.best is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"accuracy": 0.0}, "accuracy must be above 0"),
        ({"accuracy": float("nan")}, "accuracy must be above 0"),
        ({"methods": ()}, "methods must name at least one"),
        ({"methods": ("magic",)}, "must be one of"),
        ({"calibration": 0}, "calibration and held_out must be at least 1"),
    ],
)
def test_bad_aims_are_refused(network, change, sentence):
    with pytest.raises(InputError, match=sentence):
        dataclasses.replace(aim(network), **change)


def test_more_than_float_cannot_be_asked_for(network):
    with pytest.raises(InputError, match=r"accuracy must be at most 0\.98\d+, that of mnist-fnn in float, got 0\.999"):
        target.find(aim(network, 0.999))


@pytest.mark.usefixtures("few_lines")
def test_what_a_stopped_search_had_found_is_told_as_it_goes(network):
    told, memory = [], {}
    with pytest.raises(Stopped):
        target.find(aim(network), memory, should_stop=lambda: len(memory) >= 3, so_far=told.append)
    assert [len(one.trials) for one in told] == [1, 2, 3] and not any(one.complete for one in told)
    best = min((run for run in memory.values() if told[-1].enough(run)), key=target.size, default=None)
    assert told[-1].best is best
    assert target.find(aim(network), memory).complete


def test_the_largest_choices_within_a_budget_are_run(network, monkeypatch, everything):
    monkeypatch.setattr(target, "LINES", ROUNDING)
    memory = {}
    count = target.fill(aim(network), (2.5,), memory)
    assert count == len(memory) <= 2 * 3
    sizes = sorted(row[0] for row in everything[0] if row[0] <= 2.5)
    assert max(map(target.size, (run for run in memory.values() if target.size(run) <= 2.5))) == sizes[-1]
    assert target.fill(aim(network), (2.5,), memory) == 0
    with pytest.raises(Stopped):
        target.fill(aim(network), (1.5, 4.5), memory, should_stop=lambda: len(memory) > count)
    assert len(memory) > count, "what was finished is kept"


def test_stored_runs_of_methods_that_no_search_runs_are_candidates(network, made_run):
    where = {"network_seed": 0}
    runs = [
        made_run("geta", bits=1.4, accuracy=0.96, **where),
        made_run("geta", bits=1.9, accuracy=0.98, **where),
        made_run("geta", bits=1.1, accuracy=0.98, network_seed=1),  # another training run
        made_run("geta", bits=1.2, accuracy=0.98, network="mnist-lenet", **where),
        made_run("gpfq", bits=1.0, accuracy=0.98, **where),  # a method that is searched
        made_run("geta", problem="it failed", **where),
    ]
    wanted = aim(network, 0.975, ("geta", "gpfq"))
    assert target.among(wanted, runs) is runs[1]
    assert target.among(aim(network, 0.975, ("gpfq",)), runs) is None
