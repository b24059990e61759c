import dataclasses
import itertools
import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.compression.question import Question
from sdqviz.explore import what_if
from sdqviz.explore.network.words import rounding_text
from sdqviz.explore.rounding_beside import Comparison, mean_weight_error
from sdqviz.explore.rounding_choice import Cost, best_of
from sdqviz.explore.spread import over_seeds
from sdqviz.explore.weight_vector import vector
from sdqviz.methods.calibrated.scale import CHOICES, SCALES
from sdqviz.methods.frame_states import walk_states


def asked(network="mnist-fnn", calibration=64, **method):
    method = {"size": 300, "bits": 2} | method
    return Question(sq.NETWORKS[network](seed=0), sq.METHODS["frame"](**method), calibration)


@pytest.fixture(scope="module")
def answer():
    return what_if.answer(asked())


def test_answer_is_what_compress_reports_and_is_found_again(answer):
    question = answer.question
    network = question.network.load()
    report = sq.compress(network, question.method, calibration=64, seed=0).report
    mine, other = answer.comparison.report.to_dict(), report.to_dict()
    for values in (mine, other):
        values.pop("seconds")
        for row in values["layers"]:
            row.pop("seconds")
    assert mine == other
    assert what_if.answer(asked()) is answer and what_if.known(asked()) is answer
    assert what_if.known(asked(bits=3)) is None


def test_the_report_is_told_before_plain_rounding_is_looked_at():
    kept, told = what_if.Kept(), []

    def first(report):
        told.append((report, len(kept.rounding_errors) + len(kept.roundings)))

    found = what_if.answer(asked(calibration=16), kept=kept, first=first)
    ((report, roundings),) = told
    assert report is found.comparison.report and roundings == 0 < len(kept.roundings)
    assert what_if.answer(asked(calibration=16), kept=kept, first=first) is found and len(told) == 1


@pytest.mark.parametrize(
    ("network", "method"),
    [("mnist-fnn", {}), ("mnist-fnn", {"size": 257, "bits": 1}), ("mnist-lenet", {"biases": "quantized"})],
)
def test_rounding_beside_costs_no_more_and_says_what_it_is(network, method):
    found = what_if.answer(asked(network, 16, **method))
    beside, limit = found.comparison.rounding, found.comparison.report.bits_per_weight
    assert beside.parts and sum(beside.parts.values()) == pytest.approx(beside.best.bytes, abs=8)
    assert set(beside.reports) == {"max", "mse"}
    assert all(report.bits_per_weight <= limit * (1 + 1e-12) for report in beside.reports.values())
    told = rounding_text(beside)
    assert told.startswith(f"{beside.bits} bit") and f"the best of {beside.tried} that cost no more" in told
    assert told.startswith(rounding_text(dataclasses.replace(beside, tried=0)) + ":")


def small_run(calibration):
    """Return a run on a network so small that every rounding can be tried: a grouped layer, and one without bias."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv1d(80, 12, 1, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5, bias=False))
    module[0].weight.data[3] *= 9  # one step for all is not enough
    network = sq.Network(module, torch.randn(1, 80, 1))
    return sq.compress(network, sq.METHODS["frame"](redundancy=2, bits=2), calibration)


@pytest.mark.parametrize(
    ("limit", "calibration"), [(2.9, 0), (4.2, torch.randn(8, 80, 1, generator=torch.Generator().manual_seed(0)))]
)
def test_no_rounding_that_costs_no_more_errs_less(limit, calibration):
    run = small_run(calibration)
    cost = Cost(run)
    methods = cost.within(limit)
    best = best_of(methods, run)
    errors = {"max": {}, "mse": {}}

    def error(method):
        report = sq.compress(run.original, method, calibration).report
        if not report.inputs:
            return mean_weight_error(report)
        return sum(row.relative_error**2 for row in report.layers)

    scales = ("per-layer", "per-neuron", "per-32")  # no neuron has more than 40 inputs
    assert {method.scale for method in methods} <= set(scales)
    for bits, alphabet, scale, step_bits in itertools.product((1, 2, 3, 4), CHOICES, scales, ("16", "32")):
        if bits == 1 and alphabet not in ("midrise", "auto"):
            continue
        method = sq.METHODS["round-to-nearest"](bits=bits, alphabet=alphabet, scale=scale, step_bits=step_bits)
        if cost.bits_per_weight(method) <= limit:
            for fit, tried in errors.items():
                tried[method] = error(dataclasses.replace(method, fit=fit))
    for fit, chosen in best.items():
        assert chosen.fit == fit and dataclasses.replace(chosen, fit="max") in methods
        # steps of 16 bits, where those of 32 fit, err by chance a little more or less
        assert error(chosen) <= min(errors[fit].values()) * (1 + 1e-3)


def test_roundings_compared_before_are_not_compared_again():
    run = small_run(torch.randn(8, 80, 1, generator=torch.Generator().manual_seed(0)))
    methods, known = Cost(run).within(4.2), {}
    first = best_of(methods[:2], run, None, known)
    assert len(known) == 4
    known.update({method: -1.0 for method in known if method.fit == "mse"})  # taken as it is
    assert best_of(methods, run, None, known)["mse"] == dataclasses.replace(methods[0], fit="mse")
    assert best_of(methods, run)["max"] == best_of(methods, run, None, known)["max"] and set(first) == {"max", "mse"}


@pytest.mark.parametrize("step_bits", ["16", "32"])
@pytest.mark.parametrize("scale", SCALES)
def test_what_a_rounding_costs_is_what_it_takes(scale, step_bits):
    run = small_run(0)
    for alphabet in ("midrise", "affine"):
        method = sq.METHODS["round-to-nearest"](bits=3, alphabet=alphabet, scale=scale, step_bits=step_bits)
        bits = sq.compress(run.original, method, 0).report.bits_per_weight
        predicted = Cost(run).bits_per_weight(method)
        # midrise has no zeros that a map could hold, so what is foreseen is exact
        assert bits == pytest.approx(predicted, rel=1e-12) if alphabet == "midrise" else bits <= predicted


def test_rounding_is_marked_where_even_one_bit_costs_more():
    layers = [outline.name for outline in what_if.outline(sq.NETWORKS["mnist-fnn"]())]
    found = what_if.answer(asked("mnist-fnn", 16, size=257, bits=1, axis="columns"))
    assert found.comparison.rounding.affordable and layers == ["hidden1", "hidden2", "output"]
    poor = dataclasses.replace(found.comparison.report, bits_per_weight=0.5)
    again = dataclasses.replace(found.compression, report=poor)
    beside = what_if.rounding_beside(found.question, again)
    assert not beside.affordable and (beside.bits, beside.scale) == (1, "per-layer")
    assert not Comparison(poor, {}, beside).rounding_wins


@pytest.mark.parametrize("network", ["mnist-fnn", "mnist-lenet"])
def test_parts_add_up_to_the_packed_file(network):
    found = what_if.answer(asked(network, 16))
    np.testing.assert_allclose(sum(found.comparison.parts.values()), found.comparison.report.bytes, rtol=1e-12)
    content = found.packed()
    header = int.from_bytes(content[:8], "little")
    named = sum(item.parameter_bits for item in found.compression.layers) / 8  # these lie in the header
    assert abs(len(content) - 8 - header - (found.comparison.report.bytes - named)) < 1


def test_comparison_survives_json_also_without_a_bound():
    for network in ("mnist-fnn", "mnist-lenet"):
        comparison = what_if.answer(asked(network, 16)).comparison
        text = json.dumps(comparison.to_dict(), allow_nan=False)
        again = Comparison.from_dict(json.loads(text))
        assert again.to_dict() == comparison.to_dict()
        assert math.isnan(again.report.output_bound) == (network == "mnist-lenet")
        assert again.rounding_wins == comparison.rounding_wins


def test_bound_is_the_reported_one(answer):
    np.testing.assert_allclose(answer.bounds[0].value, answer.comparison.report.output_bound, rtol=1e-12)
    assert answer.bounds[0].because == answer.comparison.report.output_bound_because


def test_changed_predictions_come_lost_first(answer):
    before, after = answer.compression.original.predictions(), answer.compression.network.predictions()
    labels = answer.compression.original.dataset.test_labels
    assert set(answer.changed) == set(np.flatnonzero(before != after))
    kind = [0 if before[i] == labels[i] else 1 if after[i] == labels[i] else 2 for i in answer.changed]
    assert kind == sorted(kind) and len(kind) == answer.comparison.report.changed_predictions


@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_vector_is_one_of_the_layer_with_its_own_walk(axis):
    found = what_if.answer(asked("mnist-lenet", 16, axis=axis, size=801, step_rule="range-column", biases="quantized"))
    item = found.layer("hidden")
    errors = {which: vector(found, "hidden", which) for which in ("worst", "median", "best")}
    assert np.linalg.norm(errors["worst"].before - errors["worst"].after) >= np.linalg.norm(
        errors["median"].before - errors["median"].after
    )
    worst = errors["worst"]
    weights = item.layer.weight.T if axis == "columns" else item.layer.weight
    np.testing.assert_array_equal(worst.before, weights[worst.index])
    np.testing.assert_allclose(worst.states, walk_states(item)[1][worst.index], atol=1e-12)
    assert worst.stable and worst.step == item.step[worst.index]


def test_stopping_leaves_nothing_behind():
    question = asked(size=301)
    with pytest.raises(sq.Stopped):
        what_if.answer(question, should_stop=lambda: True)
    assert what_if.known(question) is None


def test_progress_only_grows_and_ends_at_the_end():
    told = []
    what_if.answer(asked(size=302), lambda done, total, message: told.append((done / total, message)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert {"hidden1", "testing", "done"} <= {message for _, message in told}


def test_two_threads_share_a_network_without_cross_talk():
    network = what_if.network(sq.NETWORKS["mnist-fnn"](seed=1))
    print_before = network.fingerprint
    questions = [
        Question(sq.NETWORKS["mnist-fnn"](seed=1), sq.METHODS["frame"](size=size, bits=1), 32)
        for size in (400, 500, 600)
    ]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(what_if.answer, questions))
    for question, one in zip(questions, together, strict=True):
        alone = sq.compress(question.network.load(), question.method, calibration=32, seed=0).report
        assert one.comparison.report.accuracy_after == alone.accuracy_after
        # the last digit follows where in memory a product finds its factors; cross-talk would be far larger
        assert one.comparison.report.output_error == pytest.approx(alone.output_error, rel=1e-12)
    del network.__dict__["fingerprint"]  # cached: hash the weights anew
    assert network.fingerprint == print_before


def test_estimates_tell_the_quick_from_the_costly():
    assert what_if.estimated_seconds(asked(size=1000)) < what_if.AT_ONCE
    assert what_if.estimated_seconds(asked(size=7000, permutation="two-opt")) > what_if.AT_ONCE
    beam = {"frame": "half-frequency", "order": 0, "size": None}
    assert what_if.estimated_seconds(asked(redundancy=1.0, **beam)) < what_if.AT_ONCE
    assert what_if.estimated_seconds(asked(redundancy=16.0, **beam)) > 20  # 46 s on two cores
    untrained = Question(sq.NETWORKS["mnist-fnn"](seed=9876), sq.METHODS["round-to-nearest"]())
    assert not untrained.ready and what_if.estimated_seconds(untrained) > what_if.AT_ONCE
    assert [outline.name for outline in what_if.outline(untrained.network)] == ["hidden1", "hidden2", "output"]


def test_ladder_stands_between_measured_and_a_priori(answer):
    ladder = what_if.ladder(answer)
    assert [rung.bound.name for rung in ladder.rungs] == ["p0", "p1", "p2", "p3", "p4"]
    assert ladder["p0"].maximum <= answer.bounds[0].value * (1 + 1e-9)
    run = answer.compression
    inputs = run.inputs[: what_if.LADDER_INPUTS]
    measured = np.linalg.norm(run.original.outputs(inputs, "float64") - run.network.outputs(inputs, "float64"), axis=1)
    for rung in ladder.rungs:
        assert (measured[: len(rung.values)] <= rung.values * (1 + 1e-9)).all()


def spfq(seed=0, **method):
    return Question(sq.NETWORKS["mnist-fnn"](seed=0), sq.METHODS["spfq"](bits=3, fit="max", **method), 48, seed)


def test_seeds_give_what_the_page_shows_with_each():
    told = []
    found = over_seeds(spfq(5), 3, lambda done, total, message: told.append((done / total, message)))
    assert found.seeds.tolist() == [5, 6, 7] and found.tested
    for place, seed in enumerate(found.seeds.tolist()):
        report = what_if.answer(spfq(seed)).comparison.report
        assert found.accuracies[place] == report.accuracy_after
        assert found.errors[place] == report.relative_output_error
    assert len(set(found.errors)) == 3
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert {message.split(":")[0] for _, message in told} == {"seed 5", "seed 6", "seed 7", "done"}
    mean, deviation = found.told(found.errors)
    assert mean == pytest.approx(sum(found.errors) / 3)
    assert deviation == pytest.approx(math.sqrt(sum((found.errors - mean) ** 2) / 2))
    assert math.isnan(found.told(found.errors[:1])[1])


def test_seeds_that_are_known_are_not_run_again():
    first = over_seeds(spfq(5), 2)
    told = []
    again = over_seeds(spfq(4), 3, lambda _done, _total, message: told.append(message))
    assert {message.split(":")[0] for message in told} == {"seed 4", "done"}  # a known seed has nothing to tell
    assert again.errors[1:].tolist() == first.errors.tolist()


def test_a_stop_between_seeds_keeps_those_that_are_finished():
    told = []
    with pytest.raises(sq.Stopped):
        over_seeds(spfq(20), 3, lambda _done, _total, message: told.append(message), lambda: "seed 21: done" in told)
    told.clear()
    over_seeds(spfq(20), 3, lambda _done, _total, message: told.append(message))
    assert {message.split(":")[0] for message in told} == {"seed 22", "done"}


@pytest.mark.parametrize("count", [0, 11])
def test_number_of_seeds_is_limited(count):
    with pytest.raises(sq.InputError, match=f"seeds must be between 1 and 10, got {count}"):
        over_seeds(spfq(), count)


def test_methods_that_draw_their_levels_say_so():
    stochastic = {name for name in sq.METHODS if sq.METHODS[name]().stochastic}
    assert stochastic == {"geta", "spfq", "unified"}
    operators = ("quantize", "prune", "quantize-prune", "one-bit")
    assert all(sq.METHODS["unified"](operator=operator).stochastic for operator in operators)
