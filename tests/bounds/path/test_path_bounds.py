"""Bounds on path following: by hand, against the recursions they come from, and with every hypothesis broken once."""

import dataclasses
import math
import pathlib
import re

import numpy as np
import pytest

from sdqviz.bounds import path as pb
from sdqviz.bounds.path import NO_CLIPPING, Clipping, Operator, PathLayer, Sensitivity
from sdqviz.error import InputError
from sdqviz.quantizers import QUANTIZERS
from sdqviz.quantizers.quantizer import Grid

TEXTS = pathlib.Path(__file__).parents[3] / "assets" / "texts"
HALF = Operator.quantize(0.5)


def layer(operator=HALF, norms=(3.0, 4.0, 0.0), samples=2, **more):
    return PathLayer.of_norms(norms, samples, operator, **more)


def everything(one):
    """Every bound there is on one layer."""
    x = np.random.default_rng(0).standard_normal((one.samples, one.inputs))
    sensitivity = Sensitivity.of(x, one.scaling, one.placement)
    return (
        *pb.layer_bounds(one, 0.1, sensitivity),
        pb.range_paper(one, 1.0, 2.0),
        pb.range_hoeffding(one, 1.0, 0.1),
        pb.range_per_step(one, sensitivity, np.ones((one.inputs, one.neurons)), 0.1),
        pb.gaussian_layer(one, 100.0, 100.0, 0.1),
        pb.gaussian_range(one, 0.1),
        pb.network_paper([one, one], 2.0),
        pb.network_hoeffding([one, one], 0.1),
    )


# -- by hand ------------------------------------------------------------------------------------------


def test_the_forms_of_spfq_by_hand():
    one = layer(norms=[3.0, 4.0] + [1.0] * 98, samples=2)
    logarithm = math.log(100)
    paper = pb.paper_infinity(one, power=1.5)
    np.testing.assert_allclose(paper.value, 0.5 * math.sqrt(2 * math.pi * 1.5 * logarithm) * 4, rtol=1e-14)
    np.testing.assert_allclose(paper.probability, 1 - math.sqrt(2) * 2 * 100**-1.5, rtol=1e-14)
    np.testing.assert_allclose(pb.paper_euclidean(one, 1.5).value, math.sqrt(2) * paper.value, rtol=1e-14)
    sharp = pb.hoeffding_infinity(one, 0.1)
    np.testing.assert_allclose(sharp.value, 0.5 * math.sqrt(math.log(40) / 2) * 4, rtol=1e-14)
    assert sharp.probability == 0.9
    t = math.log(10)
    np.testing.assert_allclose(
        pb.hoeffding_euclidean(one, 0.1).value, 0.25 * 4 * math.sqrt(2 + 2 * math.sqrt(2 * t) + 2 * t), rtol=1e-14
    )


@pytest.mark.parametrize(
    ("operator", "limit"),
    [
        (Operator.quantize(0.5), 0.5),
        (Operator.prune(0.7), 0.7),
        (Operator.quantize_prune(0.5, 0.7), 0.7),
        (Operator.quantize_prune(0.5, 0.2), 0.5),
        (Operator.one_bit(0.6), 1.2),
    ],
)
@pytest.mark.parametrize("c", [1.0, 5.0])
def test_the_unified_forms_by_hand(operator, limit, c):
    clipping = Clipping(pb.unclipped(True, "nothing is clipped"))
    one = layer(operator, norms=[3.0, 4.0, 1.0, 2.0], scaling=c, clipping=clipping)
    assert operator.limit == operator.width == limit
    spread = c / math.sqrt(2 * c - 1)
    np.testing.assert_allclose(
        pb.paper_infinity(one, 3.0).value, limit * spread * math.sqrt(6 * math.pi * math.log(4)) * 4, rtol=1e-14
    )
    np.testing.assert_allclose(
        pb.hoeffding_infinity(one, 0.1).value, limit * spread * math.sqrt(0.5 * math.log(40)) * 4, rtol=1e-14
    )
    other = dataclasses.replace(one, placement="largest")
    assert pb.paper_infinity(other, 3.0).value == pb.paper_infinity(one, 3.0).value
    # κ = 4 in the first placement and 1 in the second
    for placed, ratio in ((one, 4.0), (other, 1.0)):
        np.testing.assert_allclose(
            pb.range_paper(placed, 0.3, 3.0).value,
            0.3 + limit * ratio * math.sqrt(6 * math.pi * math.log(4) / (2 * c - 1)),
            rtol=1e-14,
        )
        np.testing.assert_allclose(
            pb.range_hoeffding(placed, 0.3, 0.1).value,
            0.3 + limit / 2 * ratio * math.sqrt(2 * math.log(80) / (2 * c - 1)),
            rtol=1e-14,
        )
    np.testing.assert_allclose(pb.range_paper(one, 0.3, 3.0).probability, 1 - math.sqrt(2) / 16, rtol=1e-14)


def test_one_bit_in_range_is_the_range_condition():
    for ratio, weight, power in ((1.0, 0.2, 2.0), (3.0, 0.7, 1.5)):
        for neurons in (1, 5):
            paper = pb.one_bit_scaling_paper(weight, 0.9, 50, power, ratio=ratio, neurons=neurons)
            sharp = pb.one_bit_scaling_hoeffding(weight, 0.9, 50, 0.02, ratio=ratio, neurons=neurons)
            for condition, reach in ((paper, "paper"), (sharp, "hoeffding")):
                one = PathLayer(7, 50, ratio, 1.0, Operator.one_bit(0.9), scaling=condition.value, neurons=neurons)
                bound = (
                    pb.range_paper(one, weight, power) if reach == "paper" else pb.range_hoeffding(one, weight, 0.02)
                )
                np.testing.assert_allclose(bound.value, 0.9, rtol=1e-12)
                np.testing.assert_allclose(bound.probability, condition.probability, rtol=1e-12)


def test_one_bit_never_asks_for_less_than_one():
    assert pb.one_bit_scaling_hoeffding(0.0, 1.0, 1, 0.999999).value >= 1
    assert pb.one_bit_scaling_hoeffding(0.0, 1.0, 1, 0.999999).value < 1.2


def test_the_network_sum_is_the_unrolled_recursion():
    p, samples = 2.0, 3
    steps, widths, norms = (0.1, 0.2, 0.3), (20, 30, 40), (5.0, 6.0, 7.0)
    layers = [
        PathLayer(samples, n, r, r, Operator.quantize(d), neurons=after)
        for n, r, d, after in zip(widths, norms, steps, (30, 40, 10), strict=True)
    ]
    a = [d * math.sqrt(2 * math.pi * p * samples * math.log(n)) for d, n in zip(steps, widths, strict=True)]
    expected = a[0] * a[1] * a[2] * 5 + a[1] * a[2] * 6 + a[2] * 7
    result = pb.network_paper(layers, p)
    np.testing.assert_allclose(result.value, expected, rtol=1e-14)
    failure = math.sqrt(2) * samples * (30 * 20**-2.0 + 40 * 30**-2.0 + 10 * 40**-2.0)
    np.testing.assert_allclose(result.probability, 1 - failure, rtol=1e-12)
    one_step = [dataclasses.replace(item, operator=Operator.quantize(0.1)) for item in layers]
    logs = [math.log(n) for n in widths]
    closed = sum(
        (2 * math.pi * p * samples * 0.01) ** ((3 - i) / 2) * math.sqrt(math.prod(logs[i:])) * norms[i]
        for i in range(3)
    )
    np.testing.assert_allclose(pb.network_paper(one_step, p).value, closed, rtol=1e-13)


def test_the_sharp_network_form_by_hand_with_alignment_added_on_the_way():
    one = PathLayer(2, 9, 5.0, 5.0, Operator.quantize(0.2), neurons=3, alignment_euclidean=0.25)
    two = dataclasses.replace(one, largest=7.0, smallest=7.0, scaling=2.0)
    t = math.log(2 * 3 / 0.1)
    a = 0.1 * math.sqrt(2 + 2 * math.sqrt(2 * t) + 2 * t)
    b = a * 2 / math.sqrt(3)
    result = pb.network_hoeffding([one, two], 0.1)
    np.testing.assert_allclose(result.value, b * (7 + a * 5 + 0.25) + 0.25, rtol=1e-14)
    assert result.holds and result.probability == 0.9
    single = pb.network_hoeffding([one], 0.1)
    np.testing.assert_allclose(single.value, pb.hoeffding_euclidean(one, 0.1).value, rtol=1e-14)
    assert not pb.network_paper([one, two], 3.0).holds


def test_approximate_alignment_is_added_to_each_norm():
    exact = layer()
    rough = dataclasses.replace(exact, alignment_infinity=0.25, alignment_euclidean=0.5)
    sensitivity = Sensitivity.of(np.diag([3.0, 4.0, 0.0])[:2])
    for before, after in zip(
        pb.layer_bounds(exact, 0.1, sensitivity), pb.layer_bounds(rough, 0.1, sensitivity), strict=True
    ):
        added = 0.25 if "infinity" in after.name else 0.5
        np.testing.assert_allclose(after.value, before.value + added, rtol=1e-14)
        assert after.holds and "alignment adds" in after.because and r"\hat u" in after.formula
        assert "perfect" in before.because and r"\hat u" not in before.formula


# -- how the forms relate -----------------------------------------------------------------------------


def test_sharp_forms_are_below_the_papers_at_the_same_probability():
    rng = np.random.default_rng(1)
    for _ in range(300):
        one = PathLayer.of_norms(
            rng.uniform(0.5, 3, int(rng.integers(2, 3000))), int(rng.integers(1, 3000)), HALF,
            scaling=float(rng.uniform(1, 30)), placement=str(rng.choice(pb.PLACEMENTS)),
            neurons=int(rng.integers(1, 9)),
        )  # fmt: skip
        failure = float(10.0 ** rng.uniform(-8, -0.1))
        paper, sharp, paper_two, sharp_two = pb.layer_bounds(one, failure)
        np.testing.assert_allclose(paper.probability, 1 - failure, rtol=1e-9)
        assert 2.2 * sharp.value < paper.value and 2.2 * sharp_two.value < paper_two.value
        power = 1 + pb.matching_power(dataclasses.replace(one, samples=1), failure)
        np.testing.assert_allclose(pb.range_paper(one, 1.0, power).probability, 1 - failure, rtol=1e-6, atol=1e-9)
        assert pb.range_hoeffding(one, 1.0, failure).value < pb.range_paper(one, 1.0, power).value


@pytest.mark.parametrize("placement", pb.PLACEMENTS)
@pytest.mark.parametrize("c", [1.0, 2.0, 20.0])
@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6), (1, 5), (5, 1)])
def test_sensitivity_agrees_with_the_recursion_of_matrices(shape, c, placement):
    m, n = shape
    rng = np.random.default_rng(m + n)
    x = rng.standard_normal(shape) * 10.0 ** rng.uniform(-1, 1, n)
    if n > 2:
        x[:, 1] = 0.0  # a dead input takes no part
    sensitivity = Sensitivity.of(x, c, placement)
    one = PathLayer.of_norms(np.linalg.norm(x, axis=0), m, Operator.quantize(0.2), scaling=c, placement=placement)
    s, largest = np.zeros((m, m)), (x**2).sum(axis=0).max()
    for t in range(n):
        square = x[:, t] @ x[:, t]
        if square == 0:
            assert sensitivity.per_step[t] == 0
            continue
        gain = 1 / (c * (square if placement == "own" else largest))
        np.testing.assert_allclose(0.01 * sensitivity.per_step[t], gain**2 * x[:, t] @ s @ x[:, t], atol=1e-14)
        p = np.eye(m) - gain * np.outer(x[:, t], x[:, t])
        s = p @ s @ p + 0.2**2 / 4 * np.outer(x[:, t], x[:, t])
    np.testing.assert_allclose(0.01 * sensitivity.per_sample, np.diag(s), rtol=1e-9)
    values = np.linalg.eigvalsh(s)
    measured = 0.01 * np.array([sensitivity.trace, sensitivity.frobenius, sensitivity.norm])
    np.testing.assert_allclose(measured, [values.sum(), np.linalg.norm(values), values[-1]], rtol=1e-9)
    np.testing.assert_allclose(
        pb.sample_limits(one, sensitivity, 0.1), np.sqrt(2 * np.diag(s) * math.log(20 * m)), rtol=1e-9
    )
    t = math.log(10)
    np.testing.assert_allclose(
        pb.trace_euclidean(one, sensitivity, 0.1).value,
        math.sqrt(values.sum() + 2 * np.linalg.norm(values) * math.sqrt(t) + 2 * values[-1] * t),
        rtol=1e-9,
    )
    # what the inputs say is never worse than what their largest norm says
    assert pb.per_sample_infinity(one, sensitivity, 0.1).value <= pb.hoeffding_infinity(one, 0.1).value * (1 + 1e-12)
    assert pb.trace_euclidean(one, sensitivity, 0.1).value <= pb.hoeffding_euclidean(one, 0.1).value * (1 + 1e-12)
    assert pb.range_per_step(one, sensitivity, np.ones(n), 0.1).value <= pb.range_hoeffding(one, 1.0, 0.1).value + 1e-12
    by_gram = Sensitivity.of_gram(x.T @ x, c, placement)
    np.testing.assert_allclose(by_gram.trace, sensitivity.trace, rtol=1e-9)
    np.testing.assert_allclose(by_gram.norm, sensitivity.norm, rtol=1e-9)
    np.testing.assert_allclose(by_gram.per_step, sensitivity.per_step, rtol=1e-9)


def test_a_centred_variable_on_an_interval_is_below_the_gaussian_in_convex_order():
    """The step of the proof that fixes the papers' constant, E(ε − y)₊ ≤ E(G − y)₊ with variance πω²/8."""
    deviation = math.sqrt(math.pi / 8)  # ω = 1
    y = np.linspace(-1, 1, 401)[:, None]
    a = np.linspace(0.001, 0.999, 333)
    two_points = (1 - a) * np.maximum(-a - y, 0) + a * np.maximum(1 - a - y, 0)
    density = np.exp(-((y / deviation) ** 2) / 2) / math.sqrt(2 * math.pi)
    tail = np.vectorize(math.erfc)(y / deviation / math.sqrt(2)) / 2
    gaussian = deviation * density - y * tail
    assert (two_points <= gaussian + 1e-12).all()
    assert (two_points / gaussian).max() > 0.999, "the constant is sharp"


# -- probabilities and hypotheses ---------------------------------------------------------------------


def test_a_probability_that_is_not_positive_is_said_to_say_nothing():
    empty = pb.paper_infinity(layer(samples=100), power=0.5)
    assert empty.holds and not empty.informative and empty.probability == 0
    assert "says nothing" in empty.because
    full = pb.hoeffding_infinity(layer(), 0.1)
    assert full.informative and "says nothing" not in full.because
    assert pb.sharpest([empty, full], 0.9) is full
    assert pb.matching_power(layer(norms=[1.0]), 0.1) == math.inf
    assert len(pb.layer_bounds(layer(norms=[1.0]), 0.1)) == 2


def test_sharpest_asks_for_the_probability():
    loose, strict = pb.hoeffding_infinity(layer(), 0.5), pb.hoeffding_infinity(layer(), 0.01)
    assert loose.value < strict.value
    assert pb.sharpest([loose, strict], 0.4) is loose
    assert pb.sharpest([loose, strict], 0.9) is strict
    broken = pb.hoeffding_infinity(layer(Operator.one_bit(0.01)), 0.01)
    assert broken.value < strict.value and pb.sharpest([broken, strict], 0.9) is strict
    with pytest.raises(InputError, match="at least one bound"):
        pb.sharpest([], 0.5)


def test_all_hypotheses_hold_in_a_plain_case():
    for item in everything(layer(norms=[3.0, 4.0, 5.0])):
        assert item.holds and item.because.startswith("All hypotheses hold"), item
        assert math.isfinite(item.value) and item.value > 0
        assert (TEXTS / f"{item.text}.md").is_file()
        assert item.formula and item.formula.count("{") == item.formula.count("}")
        assert item.substituted.count("{") == item.substituted.count("}")
        assert not re.search("Theorem|Lemma|Corollary", item.reference), "no number of the papers is known"


def test_rounding_to_nearest_is_refused_by_every_bound():
    grid = Grid.infinite("midtread", 0.5)
    nearest = Operator.of(QUANTIZERS["nearest"](), grid)
    assert (nearest.limit, nearest.width) == (0.25, 0.5)
    for item in everything(layer(nearest, norms=[3.0, 4.0, 5.0])):
        assert not item.holds and "is not random" in item.because
    reach = pb.range_hoeffding(layer(nearest), 1.0, 0.1)
    assert "the range is not bounded" in pb.within_reach(reach, 100.0).hypothesis.got


def test_operators_of_quantizers():
    step = np.array([0.5, 0.25])
    endless, short = Grid.infinite("midtread", step), Grid.finite("midtread", 3, step)
    cases = [
        (QUANTIZERS["stochastic"](), endless, 0.5, math.inf),
        (QUANTIZERS["stochastic"](), short, 0.5, 0.75),
        (QUANTIZERS["prune"](threshold=0.1), short, 0.1, math.inf),
        (QUANTIZERS["quantize-prune"](threshold=0.7), endless, 0.7, math.inf),
        (QUANTIZERS["one-bit"](), Grid.finite("midrise", 1, step), 0.5, 0.125),
    ]
    for quantizer, grid, width, radius in cases:
        operator = Operator.of(quantizer, grid)
        assert operator.unbiased.met
        assert (operator.limit, operator.width, operator.radius) == (width, width, radius)


def test_a_finite_alphabet_needs_a_reason():
    one = layer(Operator.one_bit(0.6))
    assert "may clip" in pb.hoeffding_infinity(one, 0.1).because and not pb.hoeffding_infinity(one, 0.1).holds
    assert not pb.network_hoeffding([one], 0.1).holds
    assert "in layer 1" in pb.network_hoeffding([one], 0.1).because

    seen = dataclasses.replace(one, clipping=pb.measured_clipping(0, 30))
    assert pb.hoeffding_infinity(seen, 0.1).holds and pb.hoeffding_infinity(seen, 0.1).probability == 0.9
    clipped = dataclasses.replace(one, clipping=pb.measured_clipping(2, 30))
    result = pb.hoeffding_infinity(clipped, 0.1)
    assert not result.holds and "clipped 2 of 30" in result.because
    assert "in layer 2" in pb.network_paper([seen, clipped], 2.0).because

    reach = pb.range_hoeffding(dataclasses.replace(one, clipping=NO_CLIPPING), 0.1, 0.05)
    wide = dataclasses.replace(one, clipping=pb.within_reach(reach, reach.value))
    assert pb.hoeffding_infinity(wide, 0.1).holds
    np.testing.assert_allclose(pb.hoeffding_infinity(wide, 0.1).probability, 0.85, rtol=1e-12)
    np.testing.assert_allclose(
        pb.paper_infinity(wide, 3.0).probability, pb.paper_infinity(seen, 3.0).probability - 0.05, rtol=1e-12
    )
    np.testing.assert_allclose(pb.network_hoeffding([wide, wide], 0.1).probability, 0.8, rtol=1e-12)
    big = dataclasses.replace(wide, inputs=1000)
    lost = 2 * math.sqrt(2) * 2 * 1000**-2.0
    np.testing.assert_allclose(pb.network_paper([big, big], 2.0).probability, 0.9 - lost, rtol=1e-12)
    narrow = dataclasses.replace(one, clipping=pb.within_reach(reach, 0.99 * reach.value))
    result = pb.hoeffding_infinity(narrow, 0.1)
    assert not result.holds and "below the range" in result.because


def test_one_bit_condition_names_what_fails():
    high = pb.one_bit_scaling_hoeffding(1.0, 1.0, 50, 0.1)
    assert not high.holds and high.value == math.inf and "not below the scale" in high.because
    least = pb.one_bit_scaling_hoeffding(0.5, 1.0, 50, 0.1)
    below = pb.one_bit_scaling_hoeffding(0.5, 1.0, 50, 0.1, scaling=1.0)
    enough = pb.one_bit_scaling_hoeffding(0.5, 1.0, 50, 0.1, scaling=least.value)
    assert least.holds and enough.holds and not below.holds
    assert "C = 1 is below" in below.because and below.value == least.value
    assert not pb.one_bit_scaling_paper(0.5, 1.0, 50, 2.0, scaling=least.value).holds


def test_the_gaussian_form_never_counts_as_a_bound():
    form = pb.gaussian_form(10, [100, 400])
    np.testing.assert_allclose(form.value, 10 * math.log(400) ** 3 / 100, rtol=1e-14)
    assert not form.holds and "form only" in form.because and "form" in form.title


def test_the_gaussian_layer_by_hand_and_refused_where_there_is_no_lower_bound():
    one = layer(norms=[2.0] * 50, samples=3)
    t = math.log(20)
    result = pb.gaussian_layer(one, math.sqrt(200.0), 5.0, 0.1, deviation=2.0)
    expected = pb.hoeffding_euclidean(one, 0.05).value ** 2 / (4 * (200 - 10 * math.sqrt(t)))
    np.testing.assert_allclose(result.value, expected, rtol=1e-13)
    assert result.holds and result.probability == 0.9
    few = pb.gaussian_layer(one, math.sqrt(200.0), 200.0, 0.1)
    assert not few.holds and "too few directions" in few.because


def test_the_range_of_gaussian_weights_is_the_range_at_their_largest_value():
    for c in (1.0, 4.0):
        one = layer(norms=[1.0, 2.0, 2.0], scaling=c)
        largest = 0.3 * math.sqrt(2 * math.log(2 * 3 / 0.05))
        np.testing.assert_allclose(
            pb.gaussian_range(one, 0.1, 0.3).value, pb.range_hoeffding(one, largest, 0.05).value, rtol=1e-13
        )


def test_bits_grow_like_half_the_double_logarithm():
    sizes = np.logspace(2, 8, 13).astype(int)
    levels = [
        pb.gaussian_range(PathLayer(10, int(n), 1.0, 1.0, Operator.quantize(0.01)), 0.01).value / 0.01 for n in sizes
    ]
    slope = np.polyfit(np.log2(np.log(4 * sizes / 0.01)), np.log2(levels), 1)[0]
    np.testing.assert_allclose(slope, 0.5, rtol=1e-6)
    assert pb.levels_needed(pb.range_hoeffding(layer(norms=[1.0]), 0.0, 0.1), 1e9) == 1
