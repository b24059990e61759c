"""Levels of frame coefficients: rounding, ties, fitted steps and steps of 16 bits."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.methods import frame_vectors
from sdqviz.methods.frame_states import state_bound, walk_states
from sdqviz.methods.frame_vectors import chunks, fitted_steps, quantize, walk_through
from sdqviz.methods.method import Task
from sdqviz.quantizers.alphabet import nearest_index
from sdqviz.sigma_delta.filters import FILTERS
from sdqviz.sigma_delta.taps import FIRST, difference

FRAME = sq.METHODS["frame"]


def network(rows=8, columns=9, seed=0):
    torch.manual_seed(seed)
    return sq.Network(nn.Sequential(nn.Linear(columns, rows, bias=False)), torch.randn(4, columns))


def through(family, dimension, size, permutation="identity", signs=True, order=1):
    choice = sq.FRAMES[family](dimension=dimension, size=size)
    return walk_through(choice, permutation, 0, signs, taps=difference(order))


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("rule", ["range-column", "range-layer"])
def test_order_0_rounds_each_coefficient_and_keeps_its_bound(bits, rule):
    given = network()
    method = FRAME(frame="half-frequency", size=11, bits=bits, order=0, signs=True, step_rule=rule, paths=1)
    result = sq.compress(given, method, seed=2)
    frame = walk_through(sq.FRAMES["half-frequency"](dimension=8, size=11), "identity", 2, True).frame
    coefficients = given.layers[0].weight.T @ frame.vectors.T
    largest = np.abs(coefficients).max(axis=1) if rule == "range-column" else np.full(9, np.abs(coefficients).max())
    half = 2 ** (bits - 1)
    np.testing.assert_allclose(np.broadcast_to(result.layers[0].step, 9), largest / half, rtol=3e-7)
    step = np.broadcast_to(result.layers[0].step, 9)[:, None]
    levels = (np.clip(np.floor(coefficients / step), -half, half - 1) + 0.5) * step
    np.testing.assert_allclose(result.layers[0].weight, (8 / 11) * (levels @ frame.vectors).T, atol=1e-12)
    row = result.report.layers[0]
    assert row.bound_holds and row.overload == 0 and row.error <= row.bound
    assert row.bound == pytest.approx(np.sqrt(8) / 2 * np.linalg.norm(step))
    _, states = walk_states(result.layers[0])
    np.testing.assert_allclose(states, coefficients - levels, atol=1e-12)


def test_beam_never_errs_more_than_rounding():
    rng = np.random.default_rng(0)
    walked, vectors = through("half-frequency", 10, 17, order=0), rng.standard_normal((40, 10))
    coefficients = walked.frame.analyze(vectors)
    steps = np.abs(coefficients).max(axis=1) / 2
    errors = [
        np.linalg.norm(vectors - quantize(walked, vectors, coefficients.copy(), 2, steps, paths)[1], axis=1)
        for paths in (1, 8)
    ]
    assert (errors[1] <= errors[0]).all() and errors[1].mean() < 0.8 * errors[0].mean()


@pytest.mark.parametrize("count", [1, 2, 3, 64])
@pytest.mark.parametrize("rows", [1, 31, 33, 512, 784, 1000])
@pytest.mark.parametrize("size", [64, 1568, 7000])
def test_pieces_are_all_rows_in_even_shares_of_whole_tiles(size, rows, count, monkeypatch):
    monkeypatch.setattr(frame_vectors, "threads", lambda: count)
    carrier = walk_through(sq.FRAMES["harmonic"](dimension=8, size=size), "identity", 0, signs=True)
    pieces = carrier.pieces(rows)
    np.testing.assert_array_equal(np.concatenate([np.arange(rows)[piece] for piece in pieces]), np.arange(rows))
    assert all(piece.start % frame_vectors.ROWS == 0 and piece.stop > piece.start for piece in pieces)
    if (size, rows, count) == (1568, 512, 2):  # not 160, 160, 160 and 32: then one thread would wait for the other
        assert [piece.stop - piece.start for piece in pieces] == [128] * 4


@pytest.mark.parametrize("family", ["harmonic", "half-frequency", "hadamard", "random"])
@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("size", [64, 512])
def test_vectors_are_quantized_bit_for_bit_whatever_others_are_done_with_them(family, signs, size, monkeypatch):
    monkeypatch.setattr(frame_vectors, "threads", lambda: 3)
    monkeypatch.setattr(frame_vectors, "WORTH", 0)
    monkeypatch.setattr(frame_vectors, "CHUNK", 70 * size)
    carrier = walk_through(sq.FRAMES[family](dimension=12, size=size), "identity", 0, signs=signs)
    vectors = np.random.default_rng(0).normal(size=(151, 12))
    found = []
    for pieces in (carrier.pieces(len(vectors)), list(chunks(len(vectors), size))):
        each = [
            quantize(carrier, vectors[rows], carrier.frame.analyze(vectors[rows]), 2, np.full(len(vectors[rows]), 6.0))
            for rows in pieces
        ]
        found.append([np.concatenate(parts) for parts in zip(*each, strict=True)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("permutation", ["identity", "random"])
@pytest.mark.parametrize(("dimension", "size"), [(2, 3), (8, 9), (8, 33), (64, 65)])
def test_zero_sum_frames_of_odd_size_end_on_a_tie_that_the_true_error_settles(dimension, size, permutation):
    rng = np.random.default_rng(size)
    vectors = rng.standard_normal((30, dimension))
    walked = through("harmonic", dimension, size, permutation)
    assert walked.tied
    coefficients = walked.frame.analyze(vectors)
    steps = np.abs(coefficients).max(axis=1) / FIRST.reach(2) * 1.001
    levels, quantized, overload = quantize(walked, vectors, coefficients.copy(), 2, steps)
    assert overload.sum() == 0
    last = -((levels.astype(int) * 2 - 3).sum(axis=1))  # 2u_N/δ
    assert set(np.abs(last)) == {1}
    np.testing.assert_allclose(quantized, walked.frame.synthesize((levels - 1.5) * steps[:, None]), atol=1e-12)
    place = size - 1 if walked.order is None else walked.order[-1]
    other = levels.astype(int)
    other[:, place] += np.sign(last)
    inside = (other[:, place] >= 0) & (other[:, place] < 4)
    swapped = walked.frame.synthesize((other - 1.5) * steps[:, None])
    errors = [np.linalg.norm(vectors - one, axis=1) for one in (quantized, swapped)]
    assert inside.any() and (errors[0] <= errors[1] + 1e-12)[inside].all()


def test_both_arithmetics_agree_on_every_level_once_ties_are_settled():
    vectors = np.random.default_rng(5).standard_normal((60, 16))
    walked = through("harmonic", 16, 17)
    steps = np.abs(walked.frame.analyze(vectors)).max(axis=1) / FIRST.reach(2) * 1.001
    fast, dense = (
        quantize(walked, vectors, values, 2, steps)[0]
        for values in (walked.frame.analyze(vectors), vectors @ walked.frame.vectors.T)
    )
    np.testing.assert_array_equal(fast, dense)


def test_redundancy_gives_an_even_size_where_an_odd_one_would_tie_and_a_given_odd_size_says_so():
    even = sq.compress(network(), FRAME(redundancy=1.0, bits=2, step_rule="range-column")).report
    assert even.layers[0].size == 10 and "tie" not in even.note
    odd = sq.compress(network(), FRAME(size=9, bits=2, step_rule="range-column")).report
    assert odd.layers[0].size == 9 and "layer 0: Σe_n = 0 and N = 9 is odd" in odd.note
    free = sq.compress(network(), FRAME(size=9, bits=2, order=0)).report
    assert free.note == ""


def test_fitted_steps_of_one_bit_err_less_than_the_stable_ones_and_the_lapse_is_said():
    given = network(rows=32, columns=40)
    common = {"frame": "half-frequency", "redundancy": 1.0, "signs": True, "order": 0, "bits": 1}
    stable = sq.compress(given, FRAME(**common, step_rule="range-column")).report.layers[0]
    fitted = sq.compress(given, FRAME(**common, step_rule="fitted")).report.layers[0]
    assert fitted.weight_error < stable.weight_error and fitted.overload > 0
    assert stable.bound_holds and not fitted.bound_holds
    assert "the step is fitted" in fitted.bound_because and "a-priori bound lapses" in fitted.bound_because


def test_fitted_step_of_one_bit_comes_near_the_one_found_by_a_fine_search():
    vectors = np.random.default_rng(3).standard_normal((5, 32))
    walked = through("half-frequency", 32, 32, order=0)
    coefficients = walked.frame.analyze(vectors)
    steps = fitted_steps(walked, vectors, coefficients, 1, 32)
    for vector, own, step in zip(vectors, coefficients, steps, strict=True):

        def cost(size, own=own, vector=vector):
            error = vector - walked.frame.synthesize((nearest_index(own, size, 1) + 0.5) * size)
            return error @ error + 8 * (error @ vector) ** 2 / (vector @ vector)

        fine = min(cost(size) for size in np.linspace(0.2, 1.5, 400) * np.abs(own).max())
        assert cost(step) <= 1.05 * fine


@pytest.mark.parametrize("order", [0, 1])
def test_steps_of_16_bits_are_counted_and_decoded_bit_for_bit(order):
    given = network(rows=10, columns=21)
    method = FRAME(redundancy=1.2, bits=3, signs=True, order=order, step_bits="16", step_rule="range-column")
    result = sq.compress(given, method, seed=3)
    item = result.layers[0]
    assert item.stored["step"].bits == 16 and item.stored["step"].byte_count == 42
    np.testing.assert_array_equal(item.step, item.step.astype(np.float16))
    weight, _ = method.decode(item.stored, item.parameters, item.layer.weight.shape, 1)
    np.testing.assert_array_equal(weight, item.weight)
    assert result.report.layers[0].bound_holds and result.report.layers[0].overload == 0


def test_odd_dimensions_take_the_harmonic_frame_in_place_of_half_frequencies():
    report = sq.compress(network(rows=7), FRAME(frame="half-frequency", redundancy=1.0, signs=True)).report
    assert report.layers[0].size == 7


@pytest.mark.parametrize(
    ("frame", "bits", "size"), [("half-frequency", 1, 24), ("half-frequency", 3, 13), ("simplex", 1, 9)]
)
def test_short_columns_get_more_vectors_where_the_family_has_them(frame, bits, size):
    method = FRAME(frame=frame, redundancy=1.0, bits=bits, order=0)
    assert sq.compress(network(), method).report.layers[0].size == size


def test_steps_too_large_for_16_bits_are_refused_by_layer():
    given = network()
    with torch.no_grad():
        given.module[0].weight[:] = torch.finfo(torch.float32).max
    given = sq.Network(given.module, torch.zeros(1, 9))
    with pytest.raises(sq.InputError, match=r"layer 0: steps stored in 16 bits must be below 3\.376e\+38"):
        sq.compress(given, FRAME(step_bits="16"))


# -- orders, filters and duals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "bits", "filter_name"),
    [(0, 2, "greedy"), (1, 2, "greedy"), (2, 2, "greedy"), (3, 4, "greedy"), (2, 1, "minimal-support")],
)
@pytest.mark.parametrize("dual", sorted(sq.DUALS))
@pytest.mark.parametrize("signs", [False, True])
def test_every_order_and_dual_keeps_its_bounds_and_is_decoded(order, bits, filter_name, dual, signs, tmp_path):
    given = network()
    choices = {"order": order, "bits": bits, "filter": filter_name, "dual": dual, "signs": signs}
    method = FRAME(frame="harmonic", size=40, step_rule="range-column", permutation="random", paths=1, **choices)
    result = sq.compress(given, method, seed=3)
    item, row = result.layers[0], result.report.layers[0]
    assert row.bound_holds and row.overload == 0 and row.error <= row.bound
    stored = state_bound(item)
    assert stored.holds and row.error <= stored.value * (1 + 1e-9) and stored.value <= row.bound * (1 + 1e-7)
    result.save(tmp_path / "x.sdq")
    loaded = sq.load(tmp_path / "x.sdq", network=given)
    np.testing.assert_array_equal(loaded.layers[0].weight, result.network.layers[0].weight)
    # by hand: a plain loop over the coefficients, then the pseudo-inverse of filtered vectors
    frame = walk_through(sq.FRAMES["harmonic"](dimension=8, size=40), "identity", 3, signs).frame
    walk = sq.PERMUTATIONS["random"]().order(frame, seed=3)
    taps = FILTERS[filter_name]().taps(order, bits)
    h = np.eye(40) - sum(
        (float(w) * np.eye(40, k=-lag) for lag, w in zip(taps.lags, taps.weights, strict=True)), np.zeros((40, 40))
    )
    d = np.linalg.matrix_power(np.eye(40) - np.eye(40, k=-1), order)
    e = frame.vectors[walk]
    lefts = {
        name: np.linalg.pinv(np.linalg.solve(inverse, e)) @ np.linalg.inv(inverse)
        for name, inverse in {"canonical": np.eye(40), "sobolev": d, "matched": h}.items()
    }
    norms = {name: np.linalg.norm(one @ h, 2) for name, one in lefts.items()}
    lefts["smaller"] = lefts["canonical" if norms["canonical"] <= 1.02 * norms["matched"] else "matched"]
    left = lefts[dual]
    step = np.broadcast_to(item.step, 9)
    q = (item.stored["levels"].values.astype(float) - 2 ** (bits - 1) + 0.5) * step[:, None]
    np.testing.assert_allclose(item.weight, (q[:, walk] @ left.T).T, atol=1e-6)
    states = np.linalg.solve(h, (given.layers[0].weight.T @ e.T - q[:, walk]).T).T
    assert np.abs(states / step[:, None]).max() <= 0.5 * (1 + 1e-6)
    np.testing.assert_allclose(walk_states(item)[1], states, atol=1e-6)


def test_higher_orders_gain_where_bits_and_size_allow_it():
    given = network(8, 40)
    methods = [FRAME(size=64, bits=4, order=r, dual="sobolev", step_rule="range-column") for r in (0, 1, 2)]
    errors = [sq.compress(given, method).report.layers[0].error for method in methods]
    assert errors[2] < errors[1] < errors[0]


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"order": 2, "bits": 1}, "layer 0: bits must be at least 2 for order 2"),
        ({"order": 4, "bits": 3}, "K must be at least 8"),
        ({"dual": "sobolev", "permutation": "two-opt"}, "layer 0: permutation must be one without a time limit"),
    ],
)
def test_orders_and_duals_that_cannot_be_are_refused_by_layer(choices, sentence):
    with pytest.raises(sq.InputError, match=sentence):
        sq.compress(network(), FRAME(size=20, **choices))


@pytest.mark.parametrize("family", ["harmonic", "half-frequency", "random"])
@pytest.mark.parametrize("alike", [False, True])
def test_the_range_of_a_layer_is_found_without_every_coefficient(monkeypatch, family, alike):
    given = network(rows=8, columns=400)
    if alike:  # every column may have the largest coefficient
        weight = given.layers[0].weight
        given = given.replaced({"0": weight / np.linalg.norm(weight, axis=0)})
    method = FRAME(frame=family, size=1024, bits=2, signs=True)
    frame = walk_through(sq.FRAMES[family](dimension=8, size=1024), "identity", 3, True).frame
    analyzed = []
    whole = type(frame.operator).analyze

    def counted(operator, x):
        found = whole(operator, x)
        analyzed.append(len(x) if found.shape[1] == 1024 else 0)
        return found

    monkeypatch.setattr(type(frame.operator), "analyze", counted)
    layer = next(iter(method.compress_layers(Task(given.layers, 3))))
    largest = np.abs(given.layers[0].weight.T @ frame.vectors.T).max()
    assert layer.step[0] == pytest.approx(largest / 1.5, rel=3e-7)  # (K − ½)δ is the reach of first order
    assert (layer.overload, layer.unstable) == (0, 0)
    more = sum(analyzed) - 400
    assert more == 0 if family == "random" else 16 <= more <= (400 if alike else 100)
