"""Every order at every rate, and what signs do: against plain computations."""

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.explore.orders import BITS, RATIOS, orders
from sdqviz.explore.signs import FAILURE, neuron, spread
from sdqviz.frames.signs import random_signs
from sdqviz.plots.frames.signs import draw_signs
from sdqviz.plots.sigma_delta.orders import draw_best, draw_orders
from sdqviz.plots.theme import Ink


def test_errors_are_those_of_plain_programs():
    vector = np.random.default_rng(3).standard_normal(8)
    found = orders(vector)
    assert found.errors.shape == (5, len(BITS), len(RATIOS)) and found.bits[2, 4] == 3 * RATIOS[4]
    frame = sq.FRAMES["half-frequency"](dimension=8, size=16).build()  # N = 2d
    for order, bits in [(0, 1), (0, 3), (1, 1), (1, 4)]:
        errors = []
        for seed in range(8):
            x = random_signs(8, seed) * vector / np.linalg.norm(vector)
            y, half, u, q = frame.vectors @ x, 2 ** (bits - 1), 0.0, np.empty(16)
            step = np.abs(y).max() / (half - order / 2)
            for n in range(16):
                value = y[n] + order * u
                q[n] = (np.clip(np.floor(value / step), -half, half - 1) + 0.5) * step
                u = value - q[n]
            shaped, seen = np.cumsum(frame.vectors, axis=0), np.cumsum(q)  # D⁻¹E, D⁻¹q
            back = np.linalg.lstsq(shaped, seen, rcond=None)[0] if order else np.linalg.lstsq(frame.vectors, q)[0]
            errors.append(np.linalg.norm(x - back))
        np.testing.assert_allclose(found.errors[order, bits - 1, 2], np.mean(errors), rtol=1e-9)
    assert np.isnan(found.errors[2, 0]).all() and np.isnan(found.errors[4, 2]).all()  # r bits at least
    assert (found.errors[found.best[2, 3], 2, 3] <= np.nan_to_num(found.errors[:, 2, 3], nan=np.inf)).all()
    x = vector / np.linalg.norm(vector)
    step = np.abs(x).max() / 2
    plain = (np.clip(np.floor(x / step), -2, 1) + 0.5) * step
    assert found.plain[1] == pytest.approx(np.linalg.norm(x - plain))
    assert (found.beta <= 1.99 ** -np.arange(1.0, 25.0) * np.sqrt(8) * np.abs(x).max() + 1e-12).all()


def test_of_a_long_vector_the_first_entries_are_looked_at():
    vector = np.random.default_rng(0).standard_normal(70)
    np.testing.assert_array_equal(orders(vector).errors, orders(vector[:64]).errors)


def test_signs_spread_a_sine_below_the_line_of_the_lemma():
    frame = sq.FRAMES["half-frequency"](dimension=64, size=130).build()
    crossed = 0
    for seed in range(200):
        found = spread(frame, seed)
        crossed += found.after.max() > found.limit.value
        assert found.before.max() == pytest.approx(spread(frame, 0).before.max())
    assert crossed <= FAILURE * 200 and found.after.max() < found.before.max()
    assert found.limit.value == pytest.approx(2 * np.sqrt(np.log(2 * 130 / FAILURE) / 64), rel=1e-3)


def test_panels_tell_what_they_draw():
    found = orders(np.random.default_rng(1).standard_normal(6))
    panel, best = draw_orders(found, Ink()), draw_best(found, Ink(True))
    assert {"order 0", "order 4", "rounding (PCM)", "β-expansion"} <= {trace.name for trace in panel.figure.data}
    np.testing.assert_array_equal(best.figure.data[0].z, found.best)
    assert list(best.table()["best order"]) == found.best.ravel().tolist()
    drawn = draw_signs(spread(sq.FRAMES["harmonic"](dimension=30, size=90).build()), Ink())
    assert drawn.figure.data[2].name == "bound" and len(drawn.table()["after"]) == 90


def test_in_few_dimensions_a_real_neuron_shows_what_signs_do():
    found = spread(sq.FRAMES["harmonic"](dimension=3, size=60).build(), 5)
    frame, weights = neuron()
    assert len(weights) == 784 and found.what.startswith("d = 3 is too few")
    for values, vector in ((found.before, weights), (found.after, weights * random_signs(784, 5))):
        np.testing.assert_allclose(values, np.abs(frame.vectors @ vector) / np.linalg.norm(weights), atol=1e-12)
    assert found.after.max() < 0.8 * found.before.max()  # said of this neuron, and to be seen


def test_the_line_where_the_bounds_cross_stands_between_the_columns_it_parts():
    found = orders(np.random.default_rng(1).standard_normal(6))
    (line,) = [trace for trace in draw_best(found, Ink()).figure.data if trace.type == "scatter"]
    for bits in BITS:
        place = line.x[list(line.y).index(bits - 0.5) + (bits > 1)]
        levels = 2 ** (bits - 1)
        for column, ratio in enumerate(RATIOS):  # order 1 at its least step below order 0 at its own
            better = np.sin(np.pi / 2 / ratio) / (levels - 0.5) < 1 / (2 * levels)
            assert better == (column > place)
