import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz.bounds.hypotheses import stability
from sdqviz.bounds.layer import (
    layer_bound_spectral,
    layer_bound_states,
    layer_bound_variation,
    layer_bounds,
    lemma_5_1,
    lemma_5_1_harmonic,
    lemma_5_1_harmonic_rounded,
    lemma_5_1_rounded,
    lemma_5_2,
    memoryless_layer_bound,
    step_norm,
)
from sdqviz.bounds.statement import condition, not_applicable, number_tex, tightest
from sdqviz.bounds.vector import (
    corollary_3_3,
    spectral_bound,
    variation_bound,
    variation_bound_any_start,
    variation_bound_zero_sum,
    vector_bounds,
    wang_variation_bound,
)
from sdqviz.error import InputError
from sdqviz.frames.frame import DenseOperator, Frame
from sdqviz.frames.harmonic import Harmonic
from sdqviz.frames.walk import Walk, wang_variation

ALL = (
    variation_bound,
    variation_bound_any_start,
    variation_bound_zero_sum,
    spectral_bound,
    corollary_3_3,
)
LAYER = (
    layer_bound_spectral,
    layer_bound_variation,
    lemma_5_1,
    lemma_5_1_rounded,
    lemma_5_1_harmonic,
    lemma_5_1_harmonic_rounded,
)


def harmonic_walk(dimension=4, size=40, order=None):
    return Walk.of(Harmonic(dimension=dimension, size=size).build(), order)


def walk_by_hand(x, vectors, order, bits, step, start=0.0):
    """First-order ΣΔ as it is written down, one vector at a time, from any start."""
    half, u, levels = 2 ** (bits - 1), start, np.zeros(len(vectors))
    for n in order:
        v = u + x @ vectors[n]
        levels[n] = (np.clip(np.floor(v / step), -half, half - 1) + 0.5) * step
        u = v - levels[n]
    return vectors.shape[1] / len(vectors) * levels @ vectors, u


def test_a_frame_that_is_not_tight_is_seen_with_its_deviation():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    walk = Walk.of(Frame(DenseOperator(vectors), 2, 3, tight=False))
    assert not walk.tight
    np.testing.assert_allclose(walk.defect, 1 / 3)  # S = diag(2, 1) against (3/2)I
    result = spectral_bound(walk, 0.5, True)
    assert not result.holds and "not unit-norm and tight (it deviates by 0.333)" in result.because


def test_wang_limit_is_checked_and_the_ratio_reported():
    walk = harmonic_walk(4, 200)
    result = wang_variation_bound(walk)
    np.testing.assert_allclose(result.value, 4 * math.sqrt(7) * (200**0.75 - 1))
    assert result.holds and f"ratio {walk.variation / result.value:.3g}" in result.because
    long = dataclasses.replace(walk, variation=1000.0)
    result = wang_variation_bound(long)
    assert not result.holds and "above the limit (8)" in result.because
    flat = wang_variation_bound(harmonic_walk(2, 50))
    assert not flat.holds and "d = 2 is below 3" in flat.because


# -- values against plain arithmetic ----------------------------------------------------------------


def test_values_worked_by_hand():
    walk = Walk(4, 10, True, False, variation=3.0, difference_norm=0.5, closed_norm=1.1)
    assert variation_bound(walk, 0.5, True).value == pytest.approx(0.1 * 4)
    assert variation_bound_any_start(walk, 0.5, True).value == pytest.approx(0.1 * 5)
    assert spectral_bound(walk, 0.5, True).value == pytest.approx(0.1 * (3 * 0.5 + 1))
    assert corollary_3_3(walk, 0.5, True).value == pytest.approx(4 * math.sqrt(7) / 10**0.25)
    zero = dataclasses.replace(walk, zero_sum=True)
    assert variation_bound_zero_sum(zero, 0.5, True).value == pytest.approx(0.1 * 3)
    assert spectral_bound(zero, 0.5, True).value == pytest.approx(0.1 * 1.5)
    odd = dataclasses.replace(zero, size=11)
    assert variation_bound_zero_sum(odd, 0.5, True).value == pytest.approx(0.5 * 4 / 22 * 4)
    steps = [0.3, 0.4]
    assert layer_bound_variation(walk, steps, True).value == pytest.approx(0.1 * 4)
    assert layer_bound_spectral(walk, steps, True).value == pytest.approx(0.1 * 2.5)
    assert layer_bound_states(walk, 2.0, 0.1).value == pytest.approx(0.4 * (0.5 * 2 + 0.1))
    assert layer_bound_states(walk, 2.0, 3.0).value == pytest.approx(0.4 * 1.1 * 2)
    assert lemma_5_1(walk, steps, True).value == pytest.approx(4 * math.sqrt(7) / 10**0.25)
    assert lemma_5_1_rounded(walk, steps, True).value == pytest.approx(math.sqrt(2) * 8 / 10**0.25)
    assert lemma_5_1_harmonic(walk, steps, True).value == pytest.approx(0.1 * (10 * math.pi + 1))
    assert lemma_5_1_harmonic_rounded(walk, steps, True).value == pytest.approx(1.5 * math.pi * 0.5 * 16 / 10)
    assert memoryless_layer_bound(steps, 9, True).value == pytest.approx(0.75)
    assert lemma_5_2(2.0, memoryless_layer_bound(steps, 9, True)).value == pytest.approx(2.75)


def test_a_common_step_enters_with_the_root_of_the_number_of_columns():
    assert step_norm(np.full(9, 0.5)) == pytest.approx(1.5)
    walk = harmonic_walk()
    one = variation_bound(walk, 0.5, True).value
    size = walk.size
    expected = 3 * (one - 0.5 * 4 / (2 * size))  # the frame is zero-sum and N even: the layer form drops the +1
    assert layer_bound_variation(walk, np.full(9, 0.5), True).value == pytest.approx(expected)


@given(st.integers(3, 400), st.integers(1, 5000))
def test_rounded_forms_dominate(dimension, extra):
    size = dimension + extra
    walk = Walk.harmonic(dimension, size)
    fine, coarse = lemma_5_1_harmonic(walk, [1.0], True), lemma_5_1_harmonic_rounded(walk, [1.0], True)
    assert fine.value <= coarse.value
    assert layer_bound_variation(walk, [1.0], True).value <= fine.value
    assert lemma_5_1(walk, [1.0], True).value <= lemma_5_1_rounded(walk, [1.0], True).value * (1 + 1e-12)
    short = dataclasses.replace(walk, variation=wang_variation(dimension, size))
    assert variation_bound(short, 1.0, True).value <= corollary_3_3(short, 1.0, True).value
    # 2N sin(πk/N) ≤ 2πk: the spectral form of a harmonic frame is at most (δd/2N)(π√d + 1)
    spectral = spectral_bound(walk, 1.0, True).value
    assert spectral <= dimension / (2 * size) * (math.pi * math.sqrt(dimension) + 1) * (1 + 1e-12)


# -- bounds against quantization ----------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.integers(1, 6),
    st.integers(1, 40),
    st.integers(1, 4),
    st.floats(-0.5, 0.5),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_no_walk_exceeds_its_bound(dimension, extra, bits, start, shuffled, seed):
    rng = np.random.default_rng(seed)
    frame = Harmonic(dimension=dimension, size=dimension + extra).build()
    order = rng.permutation(frame.size) if shuffled else np.arange(frame.size)
    walk = Walk.of(frame, order)
    x = rng.standard_normal(dimension)
    step = float(np.abs(frame.analyze(x)).max() / (2 ** (bits - 1) - 0.5))
    stable = stability(np.abs(frame.analyze(x)).max(), step, bits)
    assert stable.met
    approximate, last = walk_by_hand(x, frame.vectors, order, bits, step)
    error = np.linalg.norm(x - approximate)
    for result in vector_bounds(walk, step, stable):
        if result.holds:
            assert error <= result.value * (1 + 1e-9) + 1e-14 * np.linalg.norm(x), result
    if walk.zero_sum:
        np.testing.assert_allclose(abs(last), step / 2 if walk.size % 2 else 0, atol=1e-11 * step * 2**bits)
    elsewhere, _ = walk_by_hand(x, frame.vectors, order, bits, step, start * step)
    result = variation_bound_any_start(walk, step, stable, start * step)
    assert result.holds
    assert np.linalg.norm(x - elsewhere) <= result.value * (1 + 1e-9)


def test_the_one_cannot_be_dropped_without_the_zero_sum():
    """With d = 1 there is no variation: what remains is the last state."""
    walk = harmonic_walk(1, 3)
    step = 1.0
    x = np.array([1 / 3 - 1e-9])
    approximate, last = walk_by_hand(x, np.ones((3, 1)), range(3), 1, step)
    np.testing.assert_allclose(abs(last), step / 2, rtol=1e-7)
    assert walk.variation == 0
    assert abs(x - approximate)[0] > variation_bound_zero_sum(walk, step, True).value * 0.99
    dropped = dataclasses.replace(walk, size=4)
    assert not variation_bound_zero_sum(dropped, step, True).holds
    assert variation_bound_zero_sum(dropped, step, True).value == 0


# -- hypotheses, each broken once -----------------------------------------------------------------------


@pytest.mark.parametrize("make", ALL)
def test_vector_bounds_name_what_fails(make):
    walk = harmonic_walk(4, 200)
    assert make(walk, 0.5, True).holds
    loud = make(walk, 0.5, stability(2.0, 0.5, 2))
    assert not loud.holds and "max|x_n| = 2 > (K−½)δ = 0.75" in loud.because
    loose = make(dataclasses.replace(walk, tight=False, defect=0.2), 0.5, True)
    assert not loose.holds and "deviates by 0.2" in loose.because
    assert loose.value == make(walk, 0.5, True).value  # still computed


@pytest.mark.parametrize("make", LAYER)
def test_layer_bounds_name_what_fails(make):
    walk = harmonic_walk(4, 200)
    assert make(walk, [0.5, 0.25], True).holds
    loud = make(walk, [0.5, 0.25], [True, False])
    assert not loud.holds and "1 of 2 columns" in loud.because
    loose = make(dataclasses.replace(walk, tight=False, defect=0.2), [0.5], True)
    assert not loose.holds and "deviates by 0.2" in loose.because


def test_special_hypotheses_are_named():
    walk = harmonic_walk(4, 200)
    far = variation_bound_any_start(walk, 0.5, True, start=0.3)
    assert not far.holds and "|u_0| = 0.3 is above δ/2 = 0.25" in far.because
    odd = variation_bound_zero_sum(harmonic_walk(5, 200), 0.5, True)
    assert not odd.holds and "do not sum to 0" in odd.because
    flat = harmonic_walk(2, 200)
    for make in (corollary_3_3, lemma_5_1, lemma_5_1_rounded, lemma_5_1_harmonic_rounded):
        assert not make(flat, 0.5, True).holds and "d = 2 is below 3" in make(flat, 0.5, True).because
    long = dataclasses.replace(walk, variation=600.0)
    for make in (corollary_3_3, lemma_5_1, lemma_5_1_rounded):
        assert not make(long, 0.5, True).holds and "above the limit (8)" in make(long, 0.5, True).because
    for make in (lemma_5_1_harmonic, lemma_5_1_harmonic_rounded):
        assert not make(long, 0.5, True).holds and "above 2π(d+1)" in make(long, 0.5, True).because
    assert not memoryless_layer_bound([0.5, 0.5], 4, [False, True]).holds
    inherited = lemma_5_2(1.0, layer_bound_spectral(walk, [0.5], False))
    assert not inherited.holds and "Spectral form" in inherited.because


def test_stability_finds_the_worst_column():
    assert stability([1.0, 2.0], [2.0, 4.0], 1).met
    result = stability([1.0, 3.0, 9.0], [2.0, 4.0, 4.0], 1)
    assert not result.met
    assert "in 2 of 3 columns (max|x_n| = 9 > (K−½)δ = 2)" in result.got
    assert not stability(math.nan, 1.0, 1).met
    for bits in range(1, 17):  # the range rule gives equality up to rounding, whatever the weights
        largest = np.random.default_rng(bits).random(1000)
        assert stability(largest, largest / (2 ** (bits - 1) - 0.5), bits).met


# -- the value itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [math.nan, math.inf])
def test_values_that_are_not_finite_do_not_hold(step):
    for make in ALL:
        result = make(harmonic_walk(), step, True)
        assert not result.holds and "not finite" in result.because
    for make in LAYER:
        assert not make(harmonic_walk(), [1.0, step], True).holds
    assert tightest([variation_bound(harmonic_walk(), math.nan, True)]).holds is False


def test_tightest_prefers_what_holds():
    walk = harmonic_walk(8, 500)
    results = layer_bounds(walk, np.full(8, 0.1), True)
    assert tightest(results).name == "layer-spectral"
    refused = condition("class", "this", False, "not this")
    broken = [b if b.name == "lemma-5-1" else dataclasses.replace(b, hypotheses=(refused,)) for b in results]
    assert tightest(broken).name == "lemma-5-1"
    none = [dataclasses.replace(b, hypotheses=(refused,)) for b in results]
    assert tightest(none).name == "layer-spectral" and not tightest(none).holds
    with pytest.raises(InputError, match="bounds must contain at least one"):
        tightest([])


def test_steps_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="step must not be negative, got -1"):
        variation_bound(harmonic_walk(), -1.0, True)
    with pytest.raises(InputError, match="steps must not be negative"):
        layer_bound_spectral(harmonic_walk(), [0.1, -0.1], True)
    with pytest.raises(InputError, match="one value per column"):
        layer_bound_spectral(harmonic_walk(), np.zeros((2, 2)), True)


def test_every_formula_shows_its_numbers():
    walk = harmonic_walk(4, 200)
    for result in [*(make(walk, 0.125, True) for make in ALL), *(make(walk, [0.125], True) for make in LAYER)]:
        assert result.formula and "200" in result.substituted and "0.125" in result.substituted
        assert result.substituted.endswith(f"= {number_tex(result.value)}")
        for tex in (result.formula, result.substituted):
            assert tex.count("{") == tex.count("}") and "nan" not in tex
        assert result.because.startswith("All hypotheses hold") and result.reference


def test_not_applicable_says_why():
    result = not_applicable("network", "Network", "the network has an attention layer")
    assert not result.holds and result.because == "Not applicable: the network has an attention layer."


def test_hypothesis_may_be_given_as_a_sentence():
    result = variation_bound(
        harmonic_walk(), 1.0, condition("range", "in range", False, "the third weight is too large")
    )
    assert result.because == "Not applicable: the third weight is too large."
