import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz.bounds.closed_forms import (
    corollary_5_4,
    equation_14,
    theorem_5_3,
    theorem_5_6,
)
from sdqviz.bounds.layer import lemma_5_1_harmonic_rounded
from sdqviz.bounds.network import Dense, Residual, network_bound, propagate
from sdqviz.bounds.statement import number_tex
from sdqviz.error import InputError
from sdqviz.frames.walk import Walk

norms = st.floats(0.0, 3.0)
dense = st.builds(Dense, norm=norms, error=norms)


def relu(x):
    return np.maximum(x, 0)


def perturbed(rng, matrix, size):
    """A matrix at spectral distance exactly ``size``."""
    step = rng.standard_normal(matrix.shape)
    return matrix - step * (size / np.linalg.norm(step, 2))


# -- the recursion and its closed forms ---------------------------------------------------------------


def test_two_layers_worked_by_hand():
    stages = [Dense(2.0, 0.5, lipschitz=3.0), Dense(4.0, 0.25)]
    # layer 1: r = 3·2.5·10 = 75, e = 3·0.5·10 = 15; layer 2: e = 4·15 + 0.25·75
    result = network_bound(stages, 10.0)
    assert result.holds and result.value == pytest.approx(78.75)
    assert theorem_5_3(stages, 10.0).value == pytest.approx(10 * 3 * (4 * 0.5 + 0.25 * 2.5))
    assert theorem_5_3(stages, 10.0).value == pytest.approx(78.75)


def test_biases_worked_by_hand():
    kept = [Dense(2.0, 0.5, bias="kept", bias_norm=1.0), Dense(3.0, 0.1, bias="kept", bias_norm=7.0)]
    # r_1 = 2.5·4 + 1 = 11, e_1 = 0.5·4 = 2; e_2 = 3·2 + 0.1·11
    assert network_bound(kept, 4.0).value == pytest.approx(7.1)
    quantized = [
        Dense(2.0, 0.5, bias="quantized", joint_norm=2.5),
        Dense(3.0, 0.1, bias="quantized", joint_norm=9.0),
    ]
    # r_1 = 3·√(2²+1), e_1 = 0.5√5; e_2 = 3e_1 + 0.1√(r_1²+1)
    expected = 1.5 * math.sqrt(5) + 0.1 * math.sqrt(46)
    assert network_bound(quantized, 2.0).value == pytest.approx(expected)
    unknown = [Dense(3.0, 0.5, bias="quantized", bias_norm=4.0)]
    assert propagate(unknown, 0.0)[0] == pytest.approx(5.5)  # √(3² + 4²) stands in for ‖[W b]‖


@given(st.lists(dense, min_size=1, max_size=5), st.floats(0.1, 2.0), st.floats(0, 100))
def test_theorem_5_3_is_the_recursion(layers, slope, norm):
    stages = [dataclasses.replace(layer, lipschitz=slope) for layer in layers[:-1]] + [layers[-1]]
    closed = theorem_5_3(stages, norm)
    assert closed.holds
    np.testing.assert_allclose(closed.value, network_bound(stages, norm).value, rtol=1e-12, atol=1e-290)
    product = slope ** (len(layers) - 1) * norm
    telescoped = product * (math.prod(x.norm + x.error for x in layers) - math.prod(x.norm for x in layers))
    np.testing.assert_allclose(closed.value, telescoped, rtol=1e-9, atol=1e-9 * product * 6 ** len(layers))
    common = corollary_5_4(stages, norm)
    assert common.holds and common.value >= closed.value * (1 - 1e-12)


@given(norms, norms, st.integers(1, 6), st.floats(0, 10))
def test_corollary_5_4_is_the_recursion_for_equal_layers(norm, error, count, size):
    stages = [Dense(norm, error, lipschitz=0.5)] * (count - 1) + [Dense(norm, error)]
    np.testing.assert_allclose(
        corollary_5_4(stages, size).value, network_bound(stages, size).value, rtol=1e-12, atol=1e-290
    )


def test_closed_forms_keep_their_digits_for_small_errors():
    stages = [Dense(1.0, 1e-18)] * 3
    np.testing.assert_allclose(corollary_5_4(stages, 1.0).value, 3e-18, rtol=1e-12)  # (1+1e-18)³ − 1 would be 0
    block = Residual(Dense(1.0, 1e-18), Dense(1.0, 1e-18))
    np.testing.assert_allclose(theorem_5_6([block], 1.0).value, 2e-18, rtol=1e-12)


@given(norms, norms, st.integers(1, 5), st.floats(0, 10), st.lists(dense, max_size=2), st.lists(dense, max_size=2))
def test_theorem_5_6_is_the_recursion_for_equal_blocks(norm, error, count, size, before, after):
    stages = [*before, *[Residual(Dense(norm, error), Dense(norm, error))] * count, *after]
    closed = theorem_5_6(stages, size)
    assert closed.holds
    np.testing.assert_allclose(closed.value, network_bound(stages, size).value, rtol=1e-10, atol=1e-290)
    if not before and not after:
        plain = size * ((1 + (norm + error) ** 2) ** count - (1 + norm**2) ** count)
        np.testing.assert_allclose(closed.value, plain, rtol=1e-9, atol=1e-9 * size * 40**count)


@given(st.lists(st.tuples(dense, dense), min_size=1, max_size=4), st.floats(0, 10))
def test_residual_recursion_with_individual_norms(pairs, size):
    """e ← (1+(V+B_V)(W+B_W))e + ((V+B_V)(W+B_W)−VW)r, r ← (1+VW)r is the same recursion."""
    r, e = size, 0.0
    for w, v in pairs:
        larger, own = (v.norm + v.error) * (w.norm + w.error), v.norm * w.norm
        r, e = (1 + own) * r, (1 + larger) * e + (larger - own) * r
    stages = [Residual(w, v) for w, v in pairs]
    np.testing.assert_allclose(network_bound(stages, size).value, e, rtol=1e-9, atol=1e-12)
    assert theorem_5_6(stages, size).value >= e * (1 - 1e-9) - 1e-12


def test_the_input_and_output_layer_around_the_blocks():
    first, block, last = Dense(2.0, 0.1), Residual(Dense(1.5, 0.2), Dense(1.5, 0.2)), Dense(0.7, 0.3)
    e, r = 0.1 * 5, 2.0 * 5
    for _ in range(2):
        e, r = (1 + 1.7**2) * e + (1.7**2 - 1.5**2) * r, (1 + 1.5**2) * r
    assert network_bound([first, block, block, last], 5.0).value == pytest.approx(0.7 * e + 0.3 * (r + e))


def test_equation_14_puts_the_rounded_harmonic_lemma_into_the_theorem():
    def lemma(dimension, size, steps, stable=True):
        return lemma_5_1_harmonic_rounded(Walk.harmonic(dimension, size), steps, stable)

    stages = [Dense(1.2, 9.0, lipschitz=2.0), Dense(0.8, 9.0)]  # their errors are not used
    layers = [lemma(8, 100, np.full(16, 0.1)), lemma(5, 60, np.full(8, 0.2))]
    result = equation_14(stages, layers, 3.0)
    first = 1.5 * math.pi * 0.1 * 64 * 4 / 100
    second = 1.5 * math.pi * 0.2 * 25 * math.sqrt(8) / 60
    assert result.holds
    assert result.value == pytest.approx(3 * 2 * (0.8 * first + second * (1.2 + first)))
    unstable = equation_14(stages, [layers[0], lemma(5, 60, np.full(8, 0.2), False)], 3.0)
    assert not unstable.holds and "layer 2" in unstable.because and "range" in unstable.because
    flat = equation_14(stages, [layers[0], lemma(2, 60, np.full(8, 0.2))], 3.0)
    assert not flat.holds and "d = 2 is below 3" in flat.because
    biased = [stages[0], dataclasses.replace(stages[1], bias="kept", bias_norm=1.0, name="fc2")]
    assert (
        not equation_14(biased, layers, 3.0).holds and "layer fc2 has one" in equation_14(biased, layers, 3.0).because
    )


def test_the_largest_input_counts():
    stages = [Dense(2.0, 0.5, bias="kept", bias_norm=1.0), Dense(1.0, 0.5)]
    sizes = np.array([1.0, 7.0, 3.0])
    error = propagate(stages, sizes)[1]
    assert error.shape == (3,) and error.max() == error[1]
    assert network_bound(stages, sizes).value == pytest.approx(error[1])
    with pytest.raises(InputError, match="at least one norm"):
        network_bound(stages, [])


# -- networks with biases -------------------------------------------------------------------------------


def test_absorbing_biases_naively_is_false():
    """(12) with [W b] in place of W fails, with ‖x‖ and with ‖(x, 1)‖; the recursion does not.

    f(x) = w₂·ρ(w₁x + b₁) + b₂ in one dimension with x = 0. Only w₂ is perturbed, so the error is
    ε·b₁, while (12) makes ε·‖[w₁ b₁]‖·‖x‖ = 0 of it. With ‖(x, 1)‖ a deeper chain is needed: the
    constant 1 enters anew before every layer.
    """
    w1, b1, w2, epsilon, x = 0.5, 2.0, 1.0, 0.1, 0.0
    error = abs(w2 * max(w1 * x + b1, 0) - (w2 - epsilon) * max(w1 * x + b1, 0))
    naive = [Dense(math.hypot(w1, b1), 0.0), Dense(w2, epsilon)]
    assert error > theorem_5_3(naive, abs(x)).value == 0
    stages = [Dense(w1, 0.0, bias="quantized", joint_norm=math.hypot(w1, b1)), Dense(w2, epsilon, bias="quantized")]
    assert error <= network_bound(stages, abs(x)).value

    # the last layer's own bias is off by ε while everything before it shrinks its input to nothing
    shrink = 0.01
    error = epsilon  # f(x) = w₃ρ(w₂ρ(w₁x)) + b₃ against b₃ − ε
    naive = [Dense(shrink, 0.0), Dense(shrink, 0.0), Dense(1.0, epsilon)]
    assert error > theorem_5_3(naive, math.hypot(0.0, 1.0)).value
    stages = [Dense(shrink, 0.0), Dense(shrink, 0.0), Dense(1.0, epsilon, bias="quantized", joint_norm=1.0)]
    assert error <= network_bound(stages, 0.0).value


@settings(max_examples=150)
@given(st.integers(1, 4), st.sampled_from(["none", "kept", "quantized"]), st.integers(0, 2**32 - 1))
def test_perturbed_chains_stay_below(depth, kind, seed):
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 7, depth + 1)
    slope = float(rng.choice([0.5, 1.0, 2.0]))
    x = rng.standard_normal((10, widths[0])) * rng.choice([0.01, 1.0, 10.0])
    z, other, stages = x, x, []
    for i in range(depth):
        w = rng.standard_normal((widths[i + 1], widths[i]))
        b = np.zeros(widths[i + 1]) if kind == "none" else rng.standard_normal(widths[i + 1]) * 3
        joint = np.column_stack([w, b])
        size = float(rng.choice([0.01, 0.3, 2.0]))
        q = perturbed(rng, joint, size) if kind == "quantized" else np.column_stack([perturbed(rng, w, size), b])
        lipschitz = slope if i < depth - 1 else 1.0
        stages.append(
            Dense(
                np.linalg.norm(w, 2),
                size,
                lipschitz,
                kind,
                float(np.linalg.norm(b)),
                float(np.linalg.norm(joint, 2)),
            )
        )
        z, other = z @ w.T + b, other @ q[:, :-1].T + q[:, -1]
        if i < depth - 1:
            z, other = slope * np.abs(z), slope * np.abs(other)
        norm, error = propagate(stages, np.linalg.norm(x, axis=1))
        assert (np.linalg.norm(z - other, axis=1) <= error * (1 + 1e-9)).all()
        assert (np.linalg.norm(other, axis=1) <= norm * (1 + 1e-9)).all()


@settings(max_examples=150)
@given(st.integers(1, 3), st.sampled_from(["none", "kept", "quantized"]), st.booleans(), st.integers(0, 2**32 - 1))
def test_perturbed_residual_networks_stay_below(blocks, kind, after, seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 6))
    size = float(rng.choice([0.01, 0.3, 2.0]))
    x = rng.standard_normal((10, width)) * rng.choice([0.01, 1.0, 10.0])
    z, other, stages = x, x, []

    def layer():
        w = rng.standard_normal((width, width))
        b = np.zeros(width) if kind == "none" else rng.standard_normal(width)
        joint = np.column_stack([w, b])
        q = perturbed(rng, joint, size) if kind == "quantized" else np.column_stack([perturbed(rng, w, size), b])
        bias_norm, joint_norm = float(np.linalg.norm(b)), float(np.linalg.norm(joint, 2))
        return w, b, q, Dense(float(np.linalg.norm(w, 2)), size, 1.0, kind, bias_norm, joint_norm)

    for _ in range(blocks):
        w, b, q, inner = layer()
        v, c, p, outer = layer()
        stages.append(Residual(inner, outer))
        z = z + relu(z @ w.T + b) @ v.T + c
        other = other + relu(other @ q[:, :-1].T + q[:, -1]) @ p[:, :-1].T + p[:, -1]
        if after:
            z, other = relu(z), relu(other)
    errors = np.linalg.norm(z - other, axis=1)
    sizes = np.linalg.norm(x, axis=1)
    assert (errors <= propagate(stages, sizes)[1] * (1 + 1e-9)).all()
    for measured, norm in zip(errors, sizes, strict=True):
        result = network_bound(stages, norm) if kind != "none" else theorem_5_6(stages, norm)
        assert result.holds and measured <= result.value * (1 + 1e-9)


# -- hypotheses, each broken once -----------------------------------------------------------------------


def test_what_fails_is_named():
    good = [Dense(1.0, 0.1, name="fc1"), Dense(1.0, 0.1, name="fc2")]
    unverified = [good[0], dataclasses.replace(good[1], error_holds=False)]
    biased = [good[0], dataclasses.replace(good[1], bias="kept", bias_norm=1.0)]
    steep = [good[0], dataclasses.replace(good[1], lipschitz=2.0)]
    block = [Residual(good[0], good[1])]
    for make in (network_bound, theorem_5_3, corollary_5_4):
        assert make(good, 1.0).holds
        assert not make(unverified, 1.0).holds and "layer fc2" in make(unverified, 1.0).because
    for make in (theorem_5_3, corollary_5_4):
        assert not make(biased, 1.0).holds and "layer fc2 has one" in make(biased, 1.0).because
        assert not make(steep, 1.0).holds and "L_n = 2 is not 1" in make(steep, 1.0).because
        assert not make(block, 1.0).holds and "residual blocks" in make(block, 1.0).because
    assert network_bound(biased, 1.0).holds and network_bound(block, 1.0).holds
    assert theorem_5_6(block, 1.0).holds
    assert not theorem_5_6(good, 1.0).holds and "no residual blocks" in theorem_5_6(good, 1.0).because
    for wrong, reason in [
        (Residual(good[0], biased[1]), "without biases"),
        (Residual(good[0], unverified[1]), "does not hold for layer fc2"),
        (Residual(steep[1], good[1]), "only 2-Lipschitz"),
    ]:
        result = theorem_5_6([wrong], 1.0)
        assert not result.holds and reason in result.because


def test_overflow_and_nan_do_not_hold():
    huge = [Dense(1e200, 1e200)] * 3
    for make in (network_bound, theorem_5_3, corollary_5_4):
        assert not make(huge, 1.0).holds and "not finite" in make(huge, 1.0).because
        assert not make([Dense(math.nan, 0.1)], 1.0).holds
        assert not make([Dense(1.0, math.inf)], 1.0).holds
    assert not theorem_5_6([Residual(huge[0], huge[0])] * 3, 1.0).holds


def test_bad_values_are_refused():
    with pytest.raises(InputError, match="norm must not be negative, got -1"):
        Dense(-1.0, 0.1)
    with pytest.raises(InputError, match="bias must be one of none, kept, quantized, got 'yes'"):
        Dense(1.0, 0.1, bias="yes")
    for make in (network_bound, theorem_5_3, corollary_5_4, theorem_5_6):
        with pytest.raises(InputError, match="at least one layer"):
            make([], 1.0)
    with pytest.raises(InputError, match="input_norm must not be negative"):
        propagate([Dense(1.0, 1.0)], -1.0)


def test_formulas_show_their_numbers():
    stages = [Dense(1.25, 0.125), Dense(1.25, 0.125, bias="quantized")]
    for result in (network_bound(stages, 3.0), theorem_5_3(stages, 3.0), corollary_5_4(stages, 3.0)):
        assert result.formula and result.substituted.endswith(f"= {number_tex(result.value)}")
        assert result.formula.count("{") == result.formula.count("}")
        assert result.substituted.count("{") == result.substituted.count("}")
    assert network_bound(stages, 3.0).text == "biases"
    assert network_bound([Residual(stages[0], stages[0])], 3.0).text == "residual"
