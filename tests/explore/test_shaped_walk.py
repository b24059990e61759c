"""Every order, filter and dual of the ΣΔ Lab against loops and matrices written out here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.bounds.noise_shaping import crossover
from sdqviz.error import InputError
from sdqviz.explore import preset, vector
from sdqviz.explore import sigma_delta as lab
from sdqviz.explore.shaped_walk import Scheme, owed
from sdqviz.sigma_delta.duals import dual

CASES = [(0, "greedy", 1), (1, "greedy", 1), (2, "greedy", 2), (3, "greedy", 4), (4, "greedy", 4)]
CASES += [(2, "minimal-support", 1), (3, "minimal-support", 1), (4, "minimal-support", 2)]


def plain_walk(x, taps, bits, step):
    """ΣΔ with any filter written out; what lies on a threshold up to rounding goes up."""
    half, levels, states = 2 ** (bits - 1), [], []
    for n, value in enumerate(x):
        v = value + sum(float(w) * states[n - j] for j, w in zip(taps.lags, taps.weights, strict=True) if j <= n)
        k = min(max(np.floor((v + 1e-9 * max(abs(v), step)) / step), -half), half - 1)
        levels.append((k + 0.5) * step)
        states.append(v - levels[-1])
    return np.array(levels), np.array(states)


def shaped(size, taps):
    """Return H = I − h as a matrix."""
    matrix = np.eye(size)
    for lag, weight in zip(taps.lags, taps.weights, strict=True):
        matrix -= float(weight) * np.eye(size, k=-lag)
    return matrix


def left_inverse(matrix, name, taps):
    """Return the dual as a matrix: (B⁻¹E)⁺B⁻¹, B = I, D^r or H."""
    size = len(matrix)
    difference = np.linalg.matrix_power(np.eye(size) - np.eye(size, k=-1), taps.order)
    inverse = np.linalg.inv({"canonical": np.eye(size), "sobolev": difference, "matched": shaped(size, taps)}[name])
    return np.linalg.pinv(inverse @ matrix, rcond=1e-15) @ inverse


@settings(max_examples=40)
@given(
    case=st.sampled_from(CASES),
    way=st.sampled_from(["canonical", "sobolev", "matched"]),
    family=st.sampled_from(["harmonic", "half-frequency", "random"]),
    extra=st.integers(4, 30),
    seed=st.integers(0, 1000),
)
def test_run_of_any_order_is_the_loop_and_the_dual_by_hand(case, way, family, extra, seed):
    order, name, bits = case
    frame = sq.FRAMES[family](dimension=4, size=4 + extra).build(seed)
    visits = np.random.default_rng(seed).permutation(frame.size) if seed % 2 else np.arange(frame.size)
    x = np.random.default_rng(seed + 1).standard_normal(4)
    run = vector.run(x, frame, visits, bits, "range", scheme=Scheme(order, name, way))

    matrix, taps = frame.vectors[visits], run.taps
    reach = 2 ** (bits - 1) - float(sum(abs(w) for w in taps.weights)) / 2
    np.testing.assert_allclose(run.step, np.abs(matrix @ x).max() / reach, rtol=1e-12)
    levels, states = plain_walk(run.trace.coefficients, taps, bits, run.step)
    np.testing.assert_array_equal(run.trace.quantized, levels)
    np.testing.assert_allclose(run.trace.state, states, atol=1e-9 * run.step)
    assert np.abs(states).max() <= run.step / 2 * (1 + 1e-9) and not len(run.overloaded())
    np.testing.assert_allclose(run.fed, levels + states - run.trace.coefficients, atol=1e-9 * run.step)

    back, tolerance = left_inverse(matrix, way, taps), 1e-7 * run.norm
    np.testing.assert_allclose(run.reconstruction, back @ levels, atol=tolerance)
    left = np.cumsum(back.T * (run.trace.coefficients - levels)[:, None], axis=0)
    np.testing.assert_allclose(run.running_error, np.linalg.norm(left, axis=1), atol=tolerance)
    np.testing.assert_allclose(run.last, back[:, -1], atol=1e-7)
    assert (run.running_error <= run.running_bound * (1 + 1e-9) + tolerance).all()
    columns = np.linalg.norm(back @ shaped(frame.size, taps), axis=0)
    np.testing.assert_allclose(run.running_bound[-1], run.step / 2 * columns.sum(), rtol=1e-6)
    assert run.tightest.holds and run.error <= run.tightest.value * (1 + 1e-9)


@pytest.mark.parametrize("case", CASES)
def test_what_is_owed_is_what_the_steps_to_come_get_if_nothing_more_goes_wrong(case):
    order, name, bits = case
    run = lab.build({"dimension": 6, "size": 60, "bits": bits, "order": order, "filter": name, "input": "sine"})
    farthest = max(run.taps.lags, default=0)
    for step in (0, 7, 58):
        earlier, own = owed(run.trace, run.taps, step)
        coming = np.zeros(farthest)
        for ahead in range(1, farthest + 1):
            for lag, weight in zip(run.taps.lags, run.taps.weights, strict=True):
                if 0 <= step + ahead - lag <= step:
                    coming[ahead - 1] += float(weight) * run.trace.state[step + ahead - lag]
        np.testing.assert_allclose(earlier + own, coming, atol=1e-12)
        assert own.sum() == pytest.approx(run.trace.state[step] if order else 0.0)  # in sum the whole error


@pytest.mark.parametrize(
    ("choices", "sentence", "remedy"),
    [
        ({"order": 3, "bits": 2}, "bits must be at least 3 for order 3 with the filter greedy", {"bits": 3}),
        ({"order": 4, "bits": 1}, "bits must be at least 4", {"bits": 4}),
        ({"order": 3, "bits": 4, "dual": "sobolev", "frame": "random", "dimension": 5, "size": 77},
         "condition number", {"dual": "canonical"}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence_with_a_remedy_that_works(monkeypatch, choices, sentence, remedy):
    monkeypatch.setattr(dual, "WORST_CONDITION", 1e-13)  # such a case within reach of a test
    with pytest.raises(InputError, match=sentence) as caught:
        lab.build(choices)
    assert caught.value.remedy == remedy
    assert lab.build(choices | remedy).trace.stable


def test_bounds_of_other_schemes_than_the_papers_are_not_claimed_for_them():
    for scheme in ({"order": 0}, {"order": 2, "bits": 2}, {"order": 1, "dual": "sobolev"}):
        run = lab.build({"dimension": 6, "size": 60} | scheme)
        (paper,) = [bound for bound in run.bounds if bound.name == "variation"]
        assert not paper.holds and "first-order ΣΔ" in paper.reason
    overloaded = lab.build({"dimension": 6, "size": 60, "bits": 2, "order": 2, "step_rule": "by-hand", "step": 0.3})
    assert overloaded.overload == len(overloaded.overloaded()) > 0
    assert not any(bound.holds for bound in overloaded.bounds)
    assert "(K−1.5)δ" in overloaded.bounds[0].reason


@pytest.mark.parametrize("bits", [1, 2, 4, None])
def test_the_bounds_of_orders_0_and_1_cross_where_the_formula_says(bits):
    d, largest = 64, 1.0
    for share, better in ((0.93, 0), (1.07, 1)):
        frame = sq.FRAMES["half-frequency"](dimension=d, size=round(share * crossover(d, bits))).build()
        half = 1e9 if bits is None else 2 ** (bits - 1)
        values = []
        for order, reach in ((0, half), (1, half - 0.5)):
            scheme = Scheme(order, dual="sobolev")
            taps = scheme.taps(1)
            norm = scheme.build_dual(frame, np.arange(frame.size), taps).error_norm(taps)
            values.append(norm * np.sqrt(frame.size) * largest / reach)
        assert int(np.argmin(values)) == better


def test_a_tie_is_told_with_what_the_other_last_level_leaves():
    run = lab.build({"dimension": 8, "size": 33, "bits": 2})
    told = lab.verdict_on_tie(run)
    assert run.trace.ties and "odd" in told and abs(run.trace.state[-1]) == pytest.approx(run.step / 2)
    levels = np.empty(33)
    levels[run.order] = run.trace.quantized
    levels[run.order[-1]] -= run.step  # the level below is as near
    other = np.linalg.norm(run.vector - run.frame.synthesize(levels)) / run.norm
    assert f"{100 * other:.3g} %"[:3] in told
    for even in ({"size": 34}, {"frame": "half-frequency"}, {"order": 2, "bits": 3}, {"dimension": 9}):
        assert lab.verdict_on_tie(lab.build({"dimension": 8, "size": 33, "bits": 2} | even)) is None


def test_the_preset_of_third_order_says_what_is_so():
    choices = dict(preset.of_page("sigma-delta")["third-order"].choices)
    third, first = lab.build(choices), lab.build({**choices, "order": 1})
    assert third.taps.order == len(third.taps.lags) == 3 and third.trace.stable and third.bits == 1
    assert 10 * third.error < first.error and 5 * third.tightest.value < first.tightest.value
