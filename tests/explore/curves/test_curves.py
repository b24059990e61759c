"""Sweeps of bounds: points against naive loops, slopes against scipy, hypotheses, failures, and a contract for all."""

import dataclasses
import json
import math
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats

from sdqviz.error import InputError, Stopped
from sdqviz.explore import monte_carlo
from sdqviz.explore.curves import SUBJECTS
from sdqviz.explore.curves.curve import Curve, Sweep
from sdqviz.explore.curves.line import Fit
from sdqviz.explore.curves.point import A_POSTERIORI, A_PRIORI, Axis, Point
from sdqviz.explore.curves.vector import UnitVector
from sdqviz.explore.curves.walk import EQUAL_BITS, RANDOM_ORDER, ROUNDING
from sdqviz.frames import FRAMES

SMALL = {
    "vector": {"draws": 3, "size": 40, "dimension": 4},
    "orders": {"draws": 3, "size": 40, "dimension": 4},
    "layer": {"draws": 2, "size": 40, "dimension": 4, "columns": 3},
    "path": {"seeds": 12, "inputs": 24, "samples": 6, "neurons": 2},
    "path-network": {"seeds": 6, "inputs": 16, "samples": 2},
    "network": {"size": 300, "inputs": 8},
}
"""Choices that take no time."""

CHEAP = [(name, axis) for name in sorted(SUBJECTS) if name != "network" for axis in SUBJECTS[name].axes]


def small(name, **more):
    return SUBJECTS[name](**SMALL[name] | more)


# -- the axis and the slope --------------------------------------------------------------------------------


@pytest.mark.parametrize("parity", ["even", "odd", "any"])
def test_values_are_evenly_spaced_on_a_logarithmic_axis_with_the_parity_asked_for(parity):
    values = np.array(Axis("size", "N", 8, 64, 1, 9999, parity=True).values(100, 6400, 7, parity))
    np.testing.assert_allclose(np.diff(np.log(values)), np.log(2), atol=0.02)
    assert parity == "any" or set(values % 2) == {int(parity == "odd")}


@pytest.mark.parametrize(
    ("low", "high", "count", "sentence"),
    [
        (64, 64, 5, "the end of the range must be above its beginning 64, got 64"),
        (64, 1e6, 5, "size must be between 2 and 8192, got 64 to 1e"),
        (64, 128, 1, "points must be at least 2, got 1"),
    ],
)
def test_ranges_that_are_none_are_refused(low, high, count, sentence):
    with pytest.raises(InputError, match=sentence):
        _ = Sweep(UnitVector(), "size", low, high, count).settings


def test_an_axis_the_subject_lacks_is_refused():
    with pytest.raises(InputError, match="sweep must be one of size, step, bits, dimension, got 'colour'"):
        Sweep(UnitVector(), "colour", 1, 2).run()


@pytest.mark.parametrize("seed", range(4))
def test_slope_and_interval_are_those_of_scipy(seed):
    random = np.random.default_rng(seed)
    x = np.sort(random.uniform(1, 1000, 5 + 3 * seed))
    y = np.exp(0.7 - 1.3 * np.log(x) + random.normal(0, 0.4, len(x)))
    fit = Fit.through(x, y)
    other = stats.linregress(np.log(x), np.log(y))
    np.testing.assert_allclose(fit.slope, other.slope, rtol=1e-10)
    np.testing.assert_allclose(fit.margin, other.stderr * stats.t.ppf(0.975, len(x) - 2), rtol=1e-10)
    np.testing.assert_allclose(fit.line(x), np.exp(other.intercept + other.slope * np.log(x)), rtol=1e-10)


def test_the_interval_covers_a_known_slope_as_often_as_it_says():
    random = np.random.default_rng(0)
    x = np.geomspace(1, 100, 8)
    fits = [Fit.through(x, x**-0.5 * np.exp(random.normal(0, 0.3, 8))) for _ in range(2000)]
    covered = np.mean([abs(fit.slope + 0.5) <= fit.margin for fit in fits])
    assert abs(covered - 0.95) < 0.02


def test_only_the_points_used_count_for_the_slope():
    x, y = np.array([1.0, 2.0, 4.0, 8.0, 16.0]), np.array([1.0, 0.5, 0.25, 7.0, np.nan])
    fit = Fit.through(x, y, np.array([True, True, True, False, True]))
    assert fit.count == 3 and abs(fit.slope + 1) < 1e-12
    assert math.isnan(Fit.through(x[:2], y[:2]).slope) and Fit.through(x, y * np.nan).count == 0


# -- one point ---------------------------------------------------------------------------------------------


def naive_walk(vector, vectors, bits, step, order):
    """Follow q_n = Q(u + x_n) one vector of the frame after the other, as it is written."""
    half, state, levels = 2 ** (bits - 1), 0.0, np.zeros(len(vectors))
    for n in order:
        value = state + vectors[n] @ vector
        index = min(max(math.floor(value / step), -half), half - 1)
        levels[n] = (index + 0.5) * step
        state = value - levels[n]
    return vectors.shape[1] / len(vectors) * vectors.T @ levels


def test_a_point_of_vectors_is_what_naive_loops_give():
    subject = UnitVector(dimension=5, size=21, bits=2, draws=4)
    point = subject.measure(seed=7)
    frame = FRAMES["harmonic"](dimension=5, size=21).build()
    vectors = frame.vectors
    given = np.random.default_rng([7, 21, 5]).standard_normal((4, 5))
    given /= np.linalg.norm(given, axis=1)[:, None]
    difference = np.linalg.norm(np.diff(vectors, axis=0), 2)
    variation = np.linalg.norm(np.diff(vectors, axis=0), axis=1).sum()
    stated = {one.name: one for one in point.promises}
    for run, x in enumerate(given):
        step = np.abs(vectors @ x).max() / 1.5
        walked = naive_walk(x, vectors, 2, step, range(21))
        np.testing.assert_allclose(point.measured[run], np.linalg.norm(x - walked), rtol=1e-9)
        rounded = (np.clip(np.floor(vectors @ x / step), -2, 1) + 0.5) * step
        np.testing.assert_allclose(
            point.beside[ROUNDING][run], np.linalg.norm(x - 5 / 21 * vectors.T @ rounded), rtol=1e-9
        )
        scale = step * 5 / (2 * 21)
        np.testing.assert_allclose(stated["variation"].values[run], scale * (variation + 1), rtol=1e-9)
        np.testing.assert_allclose(stated["variation-any-start"].values[run], scale * (variation + 2), rtol=1e-9)
        np.testing.assert_allclose(stated["spectral"].values[run], scale * (np.sqrt(20) * difference + 1), rtol=1e-9)
        order = np.random.default_rng(7).permutation(21)
        other = naive_walk(x, vectors, 2, step, order)
        np.testing.assert_allclose(point.beside[RANDOM_ORDER][run], np.linalg.norm(x - other), rtol=1e-9)
        plain_step = np.abs(x).max() / (2**7 - 0.5)  # 21·2/5 leaves 8 bits for each number
        plain = (np.clip(np.floor(x / plain_step), -128, 127) + 0.5) * plain_step
        np.testing.assert_allclose(point.beside[EQUAL_BITS][run], np.linalg.norm(x - plain), rtol=1e-9)
    assert point.bits_per_weight == (21 * 2 + 32) / 5


def test_a_point_of_layers_is_their_spectral_error():
    subject = small("layer", step_rule="range-column", bits=3)
    point = subject.measure(seed=2)
    vectors = FRAMES["harmonic"](dimension=4, size=40).build().vectors
    for run, matrix in enumerate(subject.matrices(2)):
        columns = [
            naive_walk(x, vectors, 3, np.abs(vectors @ x).max() / 3.5, range(40))
            for x in np.ascontiguousarray(matrix.T)
        ]
        np.testing.assert_allclose(np.linalg.norm(matrix, 2), 1, rtol=1e-12)
        np.testing.assert_allclose(point.measured[run], np.linalg.norm(matrix.T - columns, 2), rtol=1e-9)
    np.testing.assert_allclose(point.bits_per_weight, 40 * 3 / 4 + (32 * 3 + 72) / 12)


def test_the_norm_of_a_layer_is_bounded_by_its_own_norm_and_every_bound_on_the_error():
    error, norm = (small("layer", quantity=quantity).measure(seed=2) for quantity in ("error", "norm"))
    assert small("layer").error_title == "‖W − Q‖₂ / ‖W‖₂" and small("layer", quantity="norm").rate("size", []) is None
    assert (np.abs(norm.measured - 1) <= error.measured).all() and (norm.measured != error.measured).all()
    for of_error, of_norm in zip(error.promises, norm.promises, strict=True):
        np.testing.assert_allclose(of_norm.values, 1 + of_error.values, rtol=1e-12)  # the matrices have norm 1
        np.testing.assert_array_equal(of_norm.holds, of_error.holds)
        assert of_norm.name == f"lemma-5-2-{of_error.name}" and (of_norm.values >= norm.measured).all()


def test_a_trained_layer_has_its_own_width_and_one_run():
    subject = SUBJECTS["layer"](source="network", weights="mnist-fnn-seed0", layer=3, size=20).admissible()
    point = subject.measure(seed=0)
    assert subject.draws == 1 and subject.rows == 10 and len(point.measured) == 1
    assert all(one.holds.all() and (one.values >= point.measured).all() for one in point.promises)
    with pytest.raises(InputError, match="got dimension: its width is fixed"):
        Sweep(subject, "dimension", 4, 8).run()


def test_path_following_measures_the_worst_neuron_and_states_its_probability():
    subject = small("path", failure=0.05, finite=False, norm="infinity")
    point = subject.measure(seed=1)
    data = bound_curve_layer(subject, 1)
    cloud = monte_carlo.run_layer(
        data.inputs, data.weights, subject.walk.quantizer(0.0), subject_grid(subject), seeds=12, first_seed=1
    )
    np.testing.assert_array_equal(point.measured, cloud.infinity.max(axis=1))
    rounded = np.rint(data.weights / subject.step) * subject.step
    worst = np.abs(data.inputs @ (data.weights - rounded)).max()
    np.testing.assert_allclose(point.beside["plain rounding"], worst, rtol=1e-9)
    assert {one.probability for one in point.promises} == {0.95} and len(point.promises) == 3
    assert math.isnan(point.bits_per_weight)  # the levels have no end


def bound_curve_layer(subject, seed):
    from sdqviz.explore.layer_walks.data import layer_data

    return layer_data(subject.walk, seed)


def subject_grid(subject):
    from sdqviz.quantizers.quantizer import Grid

    return Grid.infinite("midtread", np.array([subject.step]))


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"method": "gpfq"}, "is not random, so its errors need not average out"),
        ({"room": 0.4}, "the finite alphabet clipped"),
        ({"method": "unified", "operator": "one-bit", "scaling": 1.0}, "the finite alphabet clipped"),
    ],
)
def test_where_nothing_is_proved_of_path_following_the_hypothesis_is_named(choices, reason):
    point = small("path", **choices).measure(seed=0)
    assert all(not one.holds.any() and reason in one.because for one in point.promises)


# -- sweeps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "axis"), CHEAP)
def test_every_subject_along_every_axis(name, axis):
    """Whatever is swept: shapes fit, what holds is kept, the same seed gives the same, JSON loses nothing."""
    subject = small(name)
    place = subject.axes[axis]
    assert {place.field, *dict(place.fixed)} <= set(subject.specs())
    low = max(place.least, 8 if axis in ("size", "inputs") else place.low)
    curve = Sweep(subject, axis, low, low * 3 if place.whole else place.high, 3, seed=5).run()
    assert curve.measured.shape == (len(curve.x), curve.measured.shape[1]) and (np.diff(curve.x) > 0).all()
    assert curve.violations == () and curve.comparisons > 0 and curve.smallest.ratio >= 1
    assert next(iter(curve.beside)).startswith("plain rounding")
    for line in curve.bounds:
        assert line.values.shape == line.holds.shape == curve.measured.shape
        kept = line.holds & np.isfinite(line.values)
        assert line.probability < 1 or (curve.measured[kept] <= line.values[kept] * (1 + 1e-9)).all()
        assert line.applies.all() or line.reason
    for point, (_, setting) in zip(curve.points, curve.sweep.settings, strict=True):
        again = Point.from_dict(json.loads(json.dumps(point.to_dict(), allow_nan=True)))
        np.testing.assert_array_equal(again.measured, setting.measure(5).measured)
        assert [one.because for one in again.promises] == [one.because for one in point.promises]
    assert SUBJECTS.from_dict(json.loads(json.dumps(subject.to_dict()))) == subject


def test_sigma_delta_beats_its_rate_and_rounding_has_none():
    curve = Sweep(UnitVector(), "size", 64, 2048, 9).run()
    assert curve.rate.exponent == -1 and abs(curve.bound_fit.slope + 1) < 0.02
    assert curve.fit.slope + curve.fit.margin < -1.3
    assert abs(curve.fit_beside(RANDOM_ORDER).slope + 0.5) < 0.08
    assert abs(curve.fit_beside(ROUNDING).slope) < 0.1


def test_with_an_odd_size_the_last_state_slows_the_error_to_the_proved_rate():
    even, odd = (
        Sweep(UnitVector(dimension=4, draws=40), "size", 128, 4096, 7, parity).run() for parity in ("even", "odd")
    )
    assert even.fit.slope < -1.3 and abs(odd.fit.slope + 1) < 0.1


def test_a_random_order_has_no_rate_of_its_own():
    curve = Sweep(UnitVector(permutation="random", dimension=8), "size", 64, 1024, 5).run()
    assert curve.rate.exponent > -0.2 and abs(curve.bound_fit.slope) < 0.15
    assert curve.sweep.subject.rate("dimension", curve.points) is None


def test_where_the_step_is_too_small_the_hypothesis_fails_and_the_slope_leaves_these_points_out():
    curve = Sweep(UnitVector(draws=5), "step", 0.05, 6.4, 10).run()
    covered = curve.covered
    assert covered.any() and not covered.all() and covered[-1] and not covered[0]
    assert curve.fit.count == covered.sum() and abs(curve.fit.slope - 1) <= curve.fit.margin
    for line in curve.bounds:
        if line.kind == A_PRIORI:
            assert "the quantizer leaves its range" in line.reason and "(K−½)δ" in line.reason
            assert math.isfinite(line.median[0])  # drawn, dashed
    states = next(line for line in curve.bounds if line.kind == A_POSTERIORI)
    assert states.applies.all()  # needs no range


def test_points_are_kept_and_measured_once(monkeypatch):
    calls = []
    measure = UnitVector.measure
    monkeypatch.setattr(UnitVector, "measure", lambda self, *given: calls.append(self.size) or measure(self, *given))
    subject = UnitVector(dimension=3, draws=2, bits=5)
    first = Sweep(subject, "size", 16, 128, 4, seed=11)
    assert first.estimated_seconds() > 0
    curve = first.run()
    assert calls == [16, 32, 64, 128] and first.estimated_seconds() == 0
    longer = Sweep(subject, "size", 16, 256, 5, seed=11).run()
    assert calls == [16, 32, 64, 128, 256]
    np.testing.assert_array_equal(longer.measured[:4], curve.measured)


def test_sizes_the_family_lacks_move_and_count_once():
    curve = Sweep(UnitVector(frame="hadamard", dimension=4, draws=2), "size", 20, 130, 9).run()
    assert curve.values.tolist() == [32, 64, 128, 256]


def test_points_that_cannot_be_are_left_out_and_told_if_none_is_left():
    with pytest.raises(InputError, match="dimension must be at most 256, got 300"):
        Sweep(_wide(), "dimension", 300, 400, 3).run()


def _wide():
    wider = dataclasses.replace(UnitVector.axes["dimension"], most=1000)

    class WideVectors(UnitVector):
        axes: ClassVar = {"dimension": wider}

    return WideVectors(draws=1)


def test_stopping_ends_at_once_and_keeps_finished_points():
    subject = UnitVector(dimension=3, draws=2, bits=6)
    sweep = Sweep(subject, "size", 16, 128, 4, seed=12)
    told = []
    with pytest.raises(Stopped):
        sweep.run(lambda done, total, message: told.append((done, total, message)), lambda: len(told) == 2)
    assert told == [(0, 4, "size = 16"), (1, 4, "size = 32")]
    left = [one.estimated_seconds() for _, one in sweep.settings]
    assert sum(left[2:]) <= sweep.estimated_seconds() <= sum(left[1:]), "16 is known, 64 is not"


# -- failures ----------------------------------------------------------------------------------------------


def shrunk(curve, factor, name):
    """Return the curve as it would be if one bound were smaller."""
    points = [
        dataclasses.replace(
            point,
            promises=tuple(
                dataclasses.replace(one, values=one.values * factor) if one.name == name else one
                for one in point.promises
            ),
        )
        for point in curve.points
    ]
    return Curve.of(curve.sweep, points)


def test_a_bound_that_is_too_small_is_found_out_with_place_and_run():
    curve = Sweep(UnitVector(draws=6), "size", 64, 512, 4, seed=3).run()
    broken = shrunk(curve, 0.05, "spectral")
    line = next(one for one in broken.bounds if one.name == "spectral")
    expected = {
        (float(value), run)
        for place, value in enumerate(broken.values)
        for run in range(6)
        if broken.measured[place, run] > line.values[place, run]
    }
    assert expected and {(one.value, one.run) for one in broken.violations} == expected
    assert all(one.bound == "Spectral form" and one.measured > one.limit for one in broken.violations)
    assert broken.smallest.bound == "Spectral form" and broken.smallest.ratio < 1
    assert broken.comparisons == curve.comparisons == 4 * 6 * 6


def test_a_bound_whose_hypothesis_fails_is_not_compared():
    curve = Sweep(UnitVector(draws=4), "step", 0.05, 0.2, 3).run()
    assert curve.comparisons == 3 * 4  # only the one from the states
    assert shrunk(curve, 1e-6, "spectral").violations == ()


def test_bounds_that_may_fail_are_excused_as_far_as_chance_goes():
    curve = Sweep(small("path", seeds=100, failure=0.05, finite=False), "inputs", 16, 32, 3, seed=2).run()
    name = "path-euclidean-hoeffding"
    line = next(one for one in curve.bounds if one.name == name)
    ratios = np.sort((curve.measured / line.values).ravel())
    rare = shrunk(curve, ratios[-3] * 1.0001, name)  # two of 300 runs above a bound stated for 95 %
    assert len(rare.failures) == 2 and rare.consistent and rare.violations == ()
    often = shrunk(curve, float(np.median(ratios)), name)
    assert not often.consistent and len(often.violations) == len(often.failures) > 100
