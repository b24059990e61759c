"""Many seeds at once: the runs against the recursion as it is written, and the bounds against the runs."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from sdqviz.bounds import path as pb
from sdqviz.error import InputError, Stopped
from sdqviz.explore import monte_carlo, network_cloud
from sdqviz.kernels import draws
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid

STEP, CUT, SCALE = 0.3, 0.45, 0.8
ENDLESS = Grid.infinite("midtread", STEP)
OPERATORS = {
    "quantize": (QUANTIZERS["stochastic"](), ENDLESS),
    "prune": (QUANTIZERS["prune"](threshold=CUT), ENDLESS),
    "quantize-prune": (QUANTIZERS["quantize-prune"](threshold=CUT), ENDLESS),
    "one-bit": (QUANTIZERS["one-bit"](), Grid.finite("midrise", 1, 2 * SCALE)),
}


def operator_by_hand(name, z, u):
    """T as the tables define it, for one number."""
    if name == "one-bit":
        return SCALE if u < (1 + max(-1.0, min(1.0, z / SCALE))) / 2 else -SCALE
    if name != "quantize" and abs(z) < CUT:
        return np.sign(z) * CUT if u < abs(z) / CUT else 0.0
    if name == "prune":
        return z
    below = np.floor(z / STEP)
    return (below + (u < z / STEP - below)) * STEP


def run_by_hand(name, x, aligned, c, placement, key):
    """The m-dimensional recursion of one neuron: u_N, max|v_t|, and how often one bit is clipped."""
    u, reach, clipped = np.zeros(len(x)), 0.0, 0
    largest = (x**2).sum(axis=0).max()
    for t, weight in enumerate(aligned):
        column = x[:, t]
        square = column @ column
        if square == 0:
            continue
        v = weight + column @ u / (c * (square if placement == "own" else largest))
        q = operator_by_hand(name, v, draws.uniforms(key, t)[0])
        u = u + (weight - q) * column
        reach, clipped = max(reach, abs(v)), clipped + (name == "one-bit" and abs(v) > SCALE)
    return u, reach, clipped


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(("c", "placement"), [(1.0, "own"), (2.0, "own"), (5.0, "largest"), (1.0, "largest")])
def test_runs_are_those_of_the_recursion_as_it_is_written(name, c, placement):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((7, 40)) * rng.uniform(0.3, 2.0, 40)
    x[:, 5] = 0.0
    original = x + 0.05 * rng.standard_normal(x.shape)
    w = rng.uniform(-0.6, 0.6, (40, 2))
    quantizer, grid = OPERATORS[name]
    cloud = monte_carlo.run_layer(
        x, w, quantizer, grid, seeds=12, scaling=c, placement=placement, original=original, name="dense", first_seed=4
    )
    overload = 0
    for k, j in itertools.product(range(12), range(2)):
        key = draws.neuron_keys(draws.layer_key(4 + k, "dense"), 2)[j : j + 1]
        u, reach, clipped = run_by_hand(name, x, cloud.aligned[:, j], c, placement, key)
        error = original @ w[:, j] - x @ cloud.aligned[:, j] + u
        np.testing.assert_allclose(cloud.infinity[k, j], np.abs(error).max(), rtol=1e-9)
        np.testing.assert_allclose(cloud.euclidean[k, j], np.linalg.norm(error), rtol=1e-9)
        np.testing.assert_allclose(cloud.range[k, j], reach, rtol=1e-9)
        assert cloud.overload[k, j] == clipped
        overload += clipped
    rest = original @ w - x @ cloud.aligned
    np.testing.assert_allclose(cloud.layer.alignment_infinity, np.abs(rest).max(), rtol=1e-9)
    np.testing.assert_allclose(cloud.layer.alignment_euclidean, np.linalg.norm(rest, axis=0).max(), rtol=1e-9)
    assert cloud.layer.clipping.hypothesis.met == (overload == 0)
    assert cloud.worst("euclidean").tolist() == cloud.euclidean.max(axis=1).tolist()


def test_pieces_of_work_do_not_change_the_runs(monkeypatch):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((4, 20)), rng.standard_normal((20, 3))
    whole = monte_carlo.run_layer(x, w, *OPERATORS["quantize"], seeds=9)
    monkeypatch.setattr(monte_carlo, "RUNS_AT_ONCE", 20 * 3 * 2)
    seen = []
    pieces = monte_carlo.run_layer(
        x, w, *OPERATORS["quantize"], seeds=9, progress=lambda *values: seen.append(values[:2])
    )
    assert seen == [(2, 9), (4, 9), (6, 9), (8, 9), (9, 9)]
    np.testing.assert_allclose(pieces.euclidean, whole.euclidean, rtol=1e-12)
    later = monte_carlo.run_layer(x, w, *OPERATORS["quantize"], seeds=4, first_seed=5)
    np.testing.assert_allclose(later.euclidean, whole.euclidean[5:], rtol=1e-12)


def test_it_stops_when_asked():
    with pytest.raises(Stopped):
        monte_carlo.run_layer(np.ones((2, 3)), np.ones(3), *OPERATORS["quantize"], should_stop=lambda: True)
    with pytest.raises(Stopped):
        network_cloud.run_network(
            np.ones((2, 3)), [np.ones((3, 2))], OPERATORS["quantize"][0], [ENDLESS], should_stop=lambda: True
        )


# -- the bounds against the runs ----------------------------------------------------------------------


def settings():
    """Inputs (m, N): tall, wide, tilted, orthogonal, and with very different norms."""
    rng = np.random.default_rng(11)
    yield "5 x 40", rng.standard_normal((5, 40))
    yield "20 x 100", rng.standard_normal((20, 100)) * rng.uniform(0.2, 3.0, 100)
    yield "60 x 30", np.maximum(rng.standard_normal((60, 30)) + 0.5, 0.0)
    yield "16 x 16", np.linalg.qr(rng.standard_normal((16, 16)))[0]


def verdicts(cloud, x, failures):
    """Every bound against the runs: the name, γ and the verdict."""
    sensitivity = cloud.sensitivity(x)
    for failure in failures:
        for stated in pb.layer_bounds(cloud.layer, failure, sensitivity):
            norm = "infinity" if "infinity" in stated.name else "euclidean"
            yield monte_carlo.compare(cloud.worst(norm), stated)
        largest = float(np.abs(cloud.aligned).max())
        power = 1 + pb.matching_power(dataclasses.replace(cloud.layer, samples=1), failure)
        for reach in (
            pb.range_paper(cloud.layer, largest, power),
            pb.range_hoeffding(cloud.layer, largest, failure),
            pb.range_per_step(cloud.layer, sensitivity, cloud.aligned, failure),
        ):
            yield monte_carlo.compare(cloud.worst("range"), reach)


@pytest.mark.parametrize("name", ["quantize", "prune", "quantize-prune"])
@pytest.mark.parametrize(("c", "placement"), [(1.0, "own"), (2.0, "own"), (5.0, "largest"), (20.0, "own")])
def test_no_bound_fails_more_often_than_it_says(name, c, placement):
    for label, x in settings():
        w = np.random.default_rng(5).uniform(-1, 1, x.shape[1])
        cloud = monte_carlo.run_layer(x, w, *OPERATORS[name], seeds=2000, scaling=c, placement=placement)
        seen = list(verdicts(cloud, x, (0.02, 0.3)))
        assert len(seen) == 18
        for verdict in seen:
            assert verdict.holds and verdict.consistent(1e-6), (label, verdict)
            assert verdict.failures <= 2000 * (1 - verdict.probability), (label, verdict)
            assert 0 < verdict.median <= verdict.largest


@pytest.mark.parametrize("placement", pb.PLACEMENTS)
def test_one_bit_stays_in_range_at_the_c_its_condition_asks_for(placement):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((8, 50))
    w = rng.uniform(-0.4, 0.4, 50)
    quantizer, grid = OPERATORS["one-bit"]
    norms = np.linalg.norm(x, axis=0)
    ratio = norms.max() / norms.min() if placement == "own" else 1.0
    least = pb.one_bit_scaling_hoeffding(float(np.abs(w).max()), SCALE, 50, 0.3, ratio=ratio)
    cloud = monte_carlo.run_layer(x, w, quantizer, grid, seeds=2000, scaling=least.value, placement=placement)
    clipped = int((cloud.overload > 0).sum())
    assert clipped <= 0.3 * 2000
    reach = pb.range_hoeffding(cloud.layer, float(np.abs(w).max()), 0.3)
    layer = dataclasses.replace(cloud.layer, clipping=pb.within_reach(reach, SCALE))
    for stated in pb.layer_bounds(layer, 0.1, cloud.sensitivity(x)):
        verdict = monte_carlo.compare(cloud.worst("infinity" if "infinity" in stated.name else "euclidean"), stated)
        assert verdict.holds and verdict.consistent(1e-6)
        np.testing.assert_allclose(verdict.probability, 0.6, rtol=1e-9)
    # with C = 1 it clips, and the bound says that it does not apply
    plain = monte_carlo.run_layer(x, 2 * w, quantizer, grid, seeds=200)
    assert plain.overload.sum() > 0
    refused = pb.hoeffding_infinity(plain.layer, 0.1)
    assert not refused.holds and "clipped" in refused.because


def test_a_sharp_case_would_catch_a_smaller_constant():
    """Orthonormal inputs and weights half way between levels: errors are sums of signs, as large as they can be."""
    x = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 64)))[0]
    cloud = monte_carlo.run_layer(x, np.full(64, STEP / 2), *OPERATORS["quantize"], seeds=3000)
    stated = pb.hoeffding_infinity(cloud.layer, 0.5)
    verdict = monte_carlo.compare(cloud.worst("infinity"), stated)
    assert 0 < verdict.failures < 0.5 * 3000
    smaller = dataclasses.replace(stated, value=0.75 * stated.value)
    assert not monte_carlo.compare(cloud.worst("infinity"), smaller).consistent(1e-6)
    euclidean = pb.hoeffding_euclidean(cloud.layer, 0.5)
    np.testing.assert_allclose(cloud.worst("euclidean"), STEP / 2 * 8, rtol=1e-9)
    assert monte_carlo.compare(cloud.worst("euclidean"), euclidean).failures == 0


def test_several_neurons_at_once_and_approximate_alignment():
    rng = np.random.default_rng(8)
    x = rng.standard_normal((30, 25))
    original = x + 0.2 * rng.standard_normal(x.shape)
    w = rng.standard_normal((25, 6))
    cloud = monte_carlo.run_layer(x, w, *OPERATORS["quantize"], seeds=2000, original=original, scaling=2.0)
    assert cloud.layer.neurons == 6 and cloud.layer.alignment_euclidean > 0.1
    for verdict in verdicts(cloud, x, (0.02, 0.5)):
        assert verdict.holds and verdict.failures <= 2000 * (1 - verdict.probability)
    # a given w̃ takes the place of the alignment
    exact = monte_carlo.run_layer(x, w, *OPERATORS["quantize"], seeds=3, aligned=w)
    assert exact.layer.alignment_euclidean == 0


def test_single_inputs_samples_and_dead_layers():
    for shape in ((1, 1), (1, 6), (6, 1)):
        x = np.random.default_rng(1).standard_normal(shape)
        cloud = monte_carlo.run_layer(x, np.full(shape[1], 0.4), *OPERATORS["quantize"], seeds=500)
        for stated in pb.layer_bounds(cloud.layer, 0.2, cloud.sensitivity(x)):
            norm = "infinity" if "infinity" in stated.name else "euclidean"
            verdict = monte_carlo.compare(cloud.worst(norm), stated)
            assert verdict.holds and verdict.failures <= 100
    dead = monte_carlo.run_layer(np.zeros((3, 4)), np.ones(4), *OPERATORS["quantize"], seeds=5)
    assert (dead.worst("infinity") == 0).all() and (dead.zeros == 1).all() and (dead.worst("range") == 0).all()
    stated = pb.hoeffding_infinity(dead.layer, 0.1)
    assert stated.value == 0 and monte_carlo.compare(dead.worst("infinity"), stated).failures == 0


def test_pruning_reports_the_zeros():
    x = np.random.default_rng(0).standard_normal((10, 60))
    cloud = monte_carlo.run_layer(x, np.full(60, 0.1), *OPERATORS["prune"], seeds=400, scaling=20.0)
    # nearly no feedback: E[1 − |v|/c] is close to 1 − 0.1/0.45
    np.testing.assert_allclose(cloud.zeros.mean(), 1 - 0.1 / CUT, atol=0.08)


# -- networks -----------------------------------------------------------------------------------------


def network(rng, widths, samples):
    x = np.abs(rng.standard_normal((samples, widths[0])))
    weights = [rng.standard_normal((a, b)) / np.sqrt(a) for a, b in itertools.pairwise(widths)]
    return x, weights


def test_network_runs_are_those_of_the_recursion_as_it_is_written():
    x, weights = network(np.random.default_rng(4), (12, 10, 9), 3)
    grids = [Grid.infinite("midtread", 0.2), Grid.infinite("midtread", 0.1)]
    cloud = network_cloud.run_network(x, weights, QUANTIZERS["stochastic"](), grids, seeds=4, scaling=2.0, first_seed=3)
    for k in range(4):
        original, current = x, x
        for i, w in enumerate(weights):
            aligned = w + np.linalg.pinv(current) @ ((original - current) @ w)
            q = np.empty_like(aligned)
            for j in range(w.shape[1]):
                key = draws.neuron_keys(draws.layer_key(3 + k, f"layer {i + 1}"), w.shape[1])[j : j + 1]
                u = np.zeros(len(x))
                for t in range(len(w)):
                    column = current[:, t]
                    live = column @ column > 0
                    v = aligned[t, j] + (column @ u / (2 * column @ column) if live else 0.0)
                    step = grids[i].step[0]
                    below = np.floor(v / step)
                    q[t, j] = (below + (draws.uniforms(key, t)[0] < v / step - below)) * step if live else 0.0
                    u = u + (aligned[t, j] - q[t, j]) * column
            original, current = np.maximum(original @ w, 0), np.maximum(current @ q, 0)
            np.testing.assert_allclose(
                cloud.euclidean[k, i], np.linalg.norm(original - current, axis=0).max(), rtol=1e-8
            )
        np.testing.assert_allclose(
            cloud.relative[k], ((original - current) ** 2).sum() / (original**2).sum(), rtol=1e-7
        )


def test_network_bounds_against_runs():
    x, weights = network(np.random.default_rng(6), (30, 24, 20), 3)
    grids = [Grid.infinite("midtread", 0.05)] * 2
    cloud = network_cloud.run_network(x, weights, QUANTIZERS["stochastic"](), grids, seeds=2000)
    for stated in (pb.network_paper(cloud.layers, 3.0), pb.network_hoeffding(cloud.layers, 0.2)):
        verdict = monte_carlo.compare(cloud.euclidean[:, -1], stated)
        assert stated.informative and verdict.holds, stated
        assert verdict.failures <= 2000 * (1 - verdict.probability) and verdict.largest < 1
    finite = [Grid.finite("midtread", 2, 0.05)] * 2
    clipped = network_cloud.run_network(x, weights, QUANTIZERS["stochastic"](), finite, seeds=3)
    assert clipped.overload.sum() > 0 and not pb.network_hoeffding(clipped.layers, 0.2).holds


# -- counting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("runs", "failures"), [(1, 0), (1, 1), (20, 0), (20, 3), (400, 60)])
def test_the_chance_of_that_many_failures_is_the_binomial_sum(runs, failures):
    stated = pb.hoeffding_infinity(pb.PathLayer(2, 3, 1.0, 1.0, pb.Operator.quantize(0.1)), 0.1)
    measured = stated.value * np.where(np.arange(runs) < failures, 2.0, 0.5)
    chance = 1 - stated.probability
    expected = sum(math.comb(runs, k) * chance**k * (1 - chance) ** (runs - k) for k in range(failures, runs + 1))
    np.testing.assert_allclose(monte_carlo.compare(measured, stated).chance, expected, rtol=1e-9)


def test_a_verdict_counts_and_judges():
    stated = pb.hoeffding_infinity(pb.PathLayer(2, 3, 1.0, 1.0, pb.Operator.quantize(0.1)), 0.1)
    measured = np.r_[np.full(90, 0.5), np.full(10, 2.0)] * stated.value
    verdict = monte_carlo.compare(measured, stated)
    assert (verdict.failures, verdict.rate, verdict.seeds) == (10, 0.1, 100)
    assert (verdict.median, verdict.largest) == (0.5, 2.0)
    assert verdict.consistent()
    many = monte_carlo.compare(np.r_[measured, np.full(20, 3.0)], stated)
    assert many.failures == 30 and not many.consistent()
    broken = monte_carlo.compare(np.array([np.nan]), stated)
    assert broken.failures == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, w: monte_carlo.run_layer(x, w[:2], *OPERATORS["prune"]), "3 rows, one per input"),
        (lambda x, w: monte_carlo.run_layer(x[0], w, *OPERATORS["prune"]), "samples × inputs"),
        (lambda x, w: monte_carlo.run_layer(x * np.nan, w, *OPERATORS["prune"]), "must be finite"),
        (lambda x, w: monte_carlo.run_layer(x, w, *OPERATORS["prune"], seeds=0), "seeds must be at least 1"),
        (lambda x, w: monte_carlo.run_layer(x, w, *OPERATORS["prune"], scaling=0.9), "C must be at least 1"),
        (lambda x, w: monte_carlo.run_layer(x, w, *OPERATORS["prune"], original=x[:, :2]), "shape of inputs"),
        (lambda x, w: monte_carlo.run_layer(x, w, *OPERATORS["prune"], seeds=10**9), "fewer seeds"),
        (lambda x, w: network_cloud.run_network(x, [], OPERATORS["prune"][0], []), "one per layer, got 0 and 0"),
        (lambda x, w: network_cloud.run_network(x, [w[:, None]] * 2, OPERATORS["prune"][0], [ENDLESS] * 2), "1 rows"),
        (
            lambda x, w: network_cloud.run_network(
                x, [np.ones((3, 2))], OPERATORS["prune"][0], [ENDLESS], scaling=0.1
            ),
            "C must be at least 1",
        ),
        (lambda x, w: monte_carlo.compare(np.zeros((2, 2)), None), "one value per seed"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call(np.ones((2, 3)), np.ones(3))


def test_unknown_norm_is_named():
    cloud = monte_carlo.run_layer(np.ones((2, 3)), np.ones(3), *OPERATORS["quantize"], seeds=2)
    with pytest.raises(InputError, match="got 'one'"):
        cloud.worst("one")
