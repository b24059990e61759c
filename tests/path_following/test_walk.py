"""The Gram-form walk against the recursions over samples, and against the textbook forms of the baselines."""

import numpy as np
import pytest
import scipy
from numpy.testing import assert_allclose, assert_array_equal

import sdqviz as sq
from sdqviz.kernels import draws
from sdqviz.kernels.follow_path import LANES
from sdqviz.kernels.threads import set_threads, threads
from sdqviz.path_following.alignment import align, least_squares, smallest_range
from sdqviz.path_following.feedback import conditional_feedback, path_gain
from sdqviz.path_following.gram import Gram, Moments
from sdqviz.path_following.walk import Tally, refine, walk
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid


def layer(samples, width, neurons, seed=0, dead=(), noise=0.1):
    """Inputs as ReLUs leave them, those of a slightly changed network, and weights."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((samples, max(2, width // 3)))
    mix = rng.standard_normal((hidden.shape[1], width))
    original = np.maximum(hidden @ mix / np.sqrt(len(mix)) + 0.3 * rng.standard_normal((samples, width)), 0)
    changed = np.maximum(original + noise * rng.standard_normal((samples, width)), 0)
    for t in dead:
        original[:, t] = changed[:, t] = 0
    weights = rng.standard_normal((width, neurons)) / np.sqrt(width)
    return original, changed, weights, draws.neuron_keys(draws.layer_key(seed, "layer"), neurons)


def quantizers(step):
    grid = Grid.finite("midtread", 4, step)
    cut = float(np.median(step))
    for name in QUANTIZERS:
        choice = QUANTIZERS.from_dict(
            {"name": name} | ({"threshold": cut} if "threshold" in QUANTIZERS[name].specs() else {})
        )
        yield choice, Grid.finite("midrise", 1, 4 * step) if name == "one-bit" else grid


SHAPES = [(300, 196, 64, ()), (90, 140, 48, (0, 3, 139)), (64, 64, 33, (63,)), (1, 40, 8, ()), (500, 130, 40, ())]


def test_quantized_weights_equal_those_of_the_recursion_over_samples(naive):
    compared = different = 0
    for number, (samples, width, neurons, dead) in enumerate(SHAPES):
        original, changed, weights, keys = layer(samples, width, neurons, number, dead)
        gram = Gram.of(changed, weights, original)
        step = np.abs(weights).max(axis=0) / 7
        for order in (1, 3):
            aligned = align(gram, weights, order)
            expected_aligned = naive.align(original, changed, weights, order)
            assert_allclose(aligned, expected_aligned, atol=1e-11 * np.abs(expected_aligned).max())
            for scaling in (1.0, 2.5):
                for quantizer, grid in quantizers(step):
                    got = walk(aligned, gram.inputs, path_gain(gram, scaling), quantizer, grid, keys, alive=gram.alive)
                    expected, norms = naive.quantize(changed, expected_aligned, quantizer, grid, keys, scaling)
                    compared += expected.size
                    different += int((np.abs(got.quantized - expected) > 1e-9).sum())
                    scale = norms.max()
                    assert_allclose(((changed @ got.error) ** 2).sum(axis=0), norms[-1], atol=1e-9 * scale)
                    assert_allclose(
                        gram.error(weights, got.quantized),
                        ((original @ weights - changed @ expected) ** 2).sum(axis=0),
                        atol=1e-9 * scale,
                        rtol=1e-8,
                    )
    print(f"{different} of {compared} weights differ")
    assert compared >= 200_000
    assert different == 0


def test_equal_inputs_need_no_alignment(naive):
    original, _, weights, _ = layer(80, 50, 10, dead=(4,))
    gram = Gram.of(original, weights)
    for aligned in (align(gram, weights, 3), least_squares(gram, weights)):
        assert_array_equal(aligned[4], 0)
        assert_array_equal(np.delete(aligned, 4, 0), np.delete(weights, 4, 0))
    assert_allclose(naive.align(original, original, weights)[5:], weights[5:], atol=1e-12)
    assert_allclose(gram.target, ((original @ weights) ** 2).sum(axis=0))


@pytest.mark.parametrize("name", sorted(QUANTIZERS))
def test_block_size_threads_and_the_plain_loop_change_nothing(name, monkeypatch):
    original, changed, weights, keys = layer(120, 97, LANES + 9)  # a tile, and a part of one
    gram = Gram.of(changed, weights, original)
    aligned = align(gram, weights)
    quantizer, grid = next(pair for pair in quantizers(np.abs(weights).max(axis=0) / 5) if pair[0].name == name)

    def run(**kwargs):
        return walk(aligned, gram.inputs, path_gain(gram), quantizer, grid, keys, alive=gram.alive, **kwargs)

    first = run()
    others = [run(block=1), run(block=7), run(block=1000)]
    with monkeypatch.context() as patch:
        patch.setattr(type(quantizer), "rule", None)
        others.append(run())
    before = threads()
    try:
        set_threads(1)
        assert_array_equal(run().quantized, first.quantized)
    finally:
        set_threads(before)
    for other in others:
        assert_allclose(other.quantized, first.quantized, atol=1e-12)
        assert_array_equal(other.overload, first.overload)
    half = walk(
        aligned[:, :20], gram.inputs, path_gain(gram), quantizer,
        Grid(grid.step[:20], grid.offset, grid.lowest, grid.highest), keys[:20], alive=gram.alive,
    )  # fmt: skip
    assert_allclose(half.quantized, first.quantized[:, :20], atol=1e-12)


def test_more_sweeps_converge_to_least_squares():
    original, changed, weights, _ = layer(30, 60, 5, noise=0.5)  # fewer samples than inputs: an exact solution exists
    gram = Gram.of(changed, weights, original)
    residuals = [gram.error(weights, align(gram, weights, order)).max() for order in (1, 2, 8, 64, 1024)]
    assert residuals == sorted(residuals, reverse=True)
    assert residuals[-1] < 1e-6 * residuals[0]
    original, changed, weights, _ = layer(200, 40, 5, noise=0.5)
    gram = Gram.of(changed, weights, original)
    exact = scipy.linalg.lstsq(changed, original @ weights)[0]
    assert_allclose(align(gram, weights, 3000), exact, atol=1e-8)
    assert_allclose(least_squares(gram, weights), exact, atol=1e-9)


@pytest.mark.parametrize(("samples", "width"), [(12, 30), (60, 20)])
def test_perfect_alignments_reach_the_smallest_error(samples, width):
    original, changed, weights, _ = layer(samples, width, 4, dead=(3,), noise=0.5)
    gram = Gram.of(changed, weights, original)
    best = scipy.linalg.lstsq(changed, original @ weights)[0]
    least = ((original @ weights - changed @ best) ** 2).sum(axis=0)
    near = least_squares(gram, weights)
    flat = smallest_range(gram, weights)
    for found in (near, flat):
        assert_array_equal(found[3], 0)
        assert_allclose(((original @ weights - changed @ found) ** 2).sum(axis=0), least, atol=1e-9)
    assert (np.abs(flat).max(axis=0) <= np.abs(near).max(axis=0) + 1e-9).all()
    # of all solutions the nearest to w, and the flattest by a program over the samples instead of H
    shift = scipy.linalg.lstsq(changed, original @ weights - changed @ weights)[0]
    alive = np.arange(width) != 3
    assert_allclose(near[alive], (weights + shift)[alive], atol=1e-8)
    for column in range(4):
        cost = np.append(np.zeros(width), 1.0)
        box = np.block([[np.eye(width), -np.ones((width, 1))], [-np.eye(width), -np.ones((width, 1))]])
        equations = np.hstack([changed, np.zeros((samples, 1))])
        solved = scipy.optimize.linprog(
            cost, box, np.zeros(2 * width), equations, changed @ best[:, column], [(None, None)] * width + [(0, None)]
        )
        assert_allclose(np.abs(flat[:, column]).max(), solved.fun, rtol=1e-6)


def test_a_program_too_large_is_refused_with_its_size():
    wide = np.ones((1, 1200))
    with pytest.raises(sq.InputError, match=r"at most 2000000 entries, got 28\d+ .*2400 inequalities in 1201 unknowns"):
        smallest_range(Gram.of(wide, np.ones((1200, 1))), np.ones((1200, 1)))


def textbook_gptq(hessian, weights, grid, damping):
    """GPTQ as published: the Cholesky factor of the damped inverse, and the update of all later weights."""
    inverse = np.linalg.inv(hessian + damping * np.eye(len(hessian)))
    upper = scipy.linalg.cholesky(inverse)
    rest, quantized = weights.copy(), np.zeros_like(weights)
    for t in range(len(rest)):
        quantized[t] = grid.nearest(rest[t])
        rest[t:] -= np.outer(upper[t, t:], (rest[t] - quantized[t]) / upper[t, t])
    return quantized


def test_conditional_feedback_is_gptq():
    _, changed, weights, keys = layer(200, 90, 20)
    gram = Gram.of(changed, weights)
    grid = Grid.finite("midrise", 3, np.abs(weights).max(axis=0) / 4)
    factor = conditional_feedback(gram, 0.01)
    feedback, damping = factor.feedback, factor.damping
    assert_allclose(damping, 0.01 * np.diagonal(gram.inputs).mean())
    got = walk(weights, feedback, np.ones(90), QUANTIZERS["nearest"](), grid, keys).quantized
    assert_allclose(got, textbook_gptq(gram.inputs, weights, grid, damping), atol=1e-12)


@pytest.mark.parametrize("damping", [0.0, 1e-12])
def test_damping_grows_until_the_factor_exists(damping):
    changed = np.ones((5, 3)) @ np.random.default_rng(0).standard_normal((3, 40))  # rank one
    changed[:, 7] = 0
    gram = Gram.of(changed, np.ones((40, 1)))
    factor = conditional_feedback(gram, damping)
    assert np.isfinite(factor.feedback).all()
    assert factor.damping < 1e-6 * gram.squares.mean()
    zero = Gram.of(np.zeros((5, 4)), np.ones((4, 1)))
    assert np.isfinite(conditional_feedback(zero, 0.01).feedback).all()


def test_refining_never_loses_and_ends_where_no_single_change_helps():
    original, changed, weights, keys = layer(150, 60, 12)
    gram = Gram.of(changed, weights, original)
    grid = Grid.finite("midrise", 2, np.abs(weights).max(axis=0) / 2)
    nearest = QUANTIZERS["nearest"]()
    quantized = walk(align(gram, weights), gram.inputs, path_gain(gram), nearest, grid, keys).quantized
    errors = [gram.error(weights, quantized)]
    for _ in range(60):
        quantized = refine(gram, weights, quantized, nearest, grid, keys).quantized
        errors.append(gram.error(weights, quantized))
        assert (errors[-1] <= errors[-2] * (1 + 1e-10)).all()
    assert errors[-1].sum() < errors[0].sum()
    for t in range(60):
        for index in range(-2, 2):
            other = quantized.copy()
            other[t] = (index + 0.5) * grid.step
            assert (gram.error(weights, other) >= errors[-1] * (1 - 1e-10)).all()


def test_moments_with_a_constant_input_and_with_means_taken_out():
    original, changed, weights, _ = layer(80, 20, 6, dead=(2,))
    original[:, 5] = changed[:, 5] = 0.7
    bias = np.linspace(-1, 1, 6)
    for inputs in (changed, original):
        same = inputs is original
        plain = Gram.of(inputs, weights, None if same else original)
        sums = Moments(plain.inputs, plain.cross, plain.target, 80, inputs.sum(axis=0), original.sum(axis=0))
        quantized = np.round(weights, 1)
        error = original @ weights - inputs @ quantized
        assert_allclose(sums.mean_error(weights, quantized), error.mean(axis=0), atol=1e-12)
        centred = sums.centred(weights)
        assert not centred.alive[5] and not centred.alive[2] and centred.alive.sum() == 18
        quantized[5] = weights[5] if same else 0.0
        quantized[2] = 0.0
        shifted = original @ weights - inputs @ quantized
        assert_allclose(
            centred.error(weights, quantized), ((shifted - shifted.mean(axis=0)) ** 2).sum(axis=0), atol=1e-9
        )
        extended = sums.extended(weights, bias)
        both, with_bias = np.vstack([weights, bias]), np.vstack([quantized, np.round(bias)])
        full = original @ weights + bias - inputs @ quantized - np.round(bias)
        assert_allclose(extended.error(both, with_bias), (full**2).sum(axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda gram, w: align(gram, w, 0), "order must be at least 1, got 0"),
        (lambda gram, w: path_gain(gram, 0.5), "scaling C must be at least 1, got 0.5"),
        (lambda gram, w: path_gain(gram, 1.0, "middle"), "placement must be own or largest"),
    ],
)
def test_bad_input_is_refused(call, message):
    original, _, weights, _ = layer(10, 5, 2)
    with pytest.raises(sq.InputError, match=message):
        call(Gram.of(original, weights), weights)


def test_c_on_the_largest_norm():
    original, changed, weights, _ = layer(60, 30, 8)
    gram = Gram.of(changed, weights, original)
    gain = path_gain(gram, 3.0, "largest")
    assert_allclose(gain, 1 / (3 * (changed**2).sum(axis=0).max()))


def test_stop_is_polled_between_blocks():
    original, _, weights, keys = layer(20, 200, 4)
    gram = Gram.of(original, weights)
    left = [2]

    def should_stop():
        left[0] -= 1
        return left[0] < 0

    with pytest.raises(sq.Stopped):
        walk(
            weights, gram.inputs, path_gain(gram), QUANTIZERS["nearest"](), Grid.infinite("midtread", np.ones(4)), keys,
            should_stop=should_stop,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["nearest", "stochastic"])
def test_a_walk_sums_up_its_own_error(name):
    _, inputs, weights, keys = layer(90, 140, 48, dead=(0, 3, 139))
    gram = Gram.of(inputs, weights)
    grid = Grid.finite("midtread", 3, np.abs(weights).max(axis=0) / 2)
    base, factor, quantizer = (
        np.where(gram.alive[:, None], weights, 0.0),
        conditional_feedback(gram),
        QUANTIZERS[name](),
    )
    ways = [
        (gram.inputs, path_gain(gram), Tally(gram.squares, True), 0.0),
        (gram.inputs, path_gain(gram, 2.0), Tally(gram.squares, True), 0.0),
        (factor.feedback, np.ones(140), Tally(factor.pivots * gram.alive, False), factor.damping),
    ]
    for feedback, gain, tally, damping in ways:
        found = walk(base, feedback, gain, quantizer, grid, keys, alive=gram.alive, tally=tally)
        expected = ((inputs @ (weights - found.quantized)) ** 2).sum(axis=0) + damping * (found.error**2).sum(axis=0)
        assert_allclose(found.missed, expected, rtol=1e-9)
        assert_allclose(gram.error(weights, found.quantized) + damping * (found.error**2).sum(axis=0), expected)


@pytest.mark.parametrize("rule", [True, False])
def test_a_walk_in_memory_that_is_given_is_the_same(rule, monkeypatch):
    _, inputs, weights, keys = layer(90, 140, LANES + 9, dead=(0, 139))
    gram = Gram.of(inputs, weights)
    factor, quantizer = conditional_feedback(gram), QUANTIZERS["nearest"]()
    grid = Grid.finite("midtread", 3, np.abs(weights).max(axis=0) / 2)
    if not rule:
        monkeypatch.setattr(type(quantizer), "rule", None)

    def run(base, **more):
        tally = Tally(factor.pivots * gram.alive, False)
        one = np.ones(len(base))
        return walk(base, factor.feedback, one, quantizer, grid, keys, alive=gram.alive, tally=tally, **more)

    kept = weights.copy()
    expected = run(weights)
    assert_array_equal(weights, kept)
    ways = [(np.full_like(kept, np.nan), np.full_like(kept, np.nan)), (None, kept)]
    for into, base in zip(ways, (weights, kept), strict=True):
        found = run(base, into=into)
        assert found.error is into[1]
        assert into[0] is None or found.quantized is into[0]
        for mine, theirs in zip(vars(found).values(), vars(expected).values(), strict=True):
            assert_array_equal(mine, theirs)
    frozen = weights.copy()
    frozen.setflags(write=False)
    assert_array_equal(run(frozen).quantized, expected.quantized)
    assert_array_equal(run(np.asfortranarray(weights)).quantized, expected.quantized)
