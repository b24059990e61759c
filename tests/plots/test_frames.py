import numpy as np
import plotly.io
import pytest

import sdqviz as sq
from sdqviz.explore import frames as explored
from sdqviz.frames.walk import wang_variation
from sdqviz.plots.frames import gram, orderings, tour
from sdqviz.plots.theme import DRAWN, Ink

HARMONIC = {"frame": "harmonic", "dimension": 6, "size": 250, "seed": 0}


def test_reduced_gram_matrix_keeps_the_largest_products():
    frame = sq.FRAMES["random"](dimension=5, size=250).build(2)
    full = np.abs(frame.vectors @ frame.vectors.T)
    gram = explored.gram_info(frame)
    block = -(-250 // explored.GRAM_CELLS)
    assert len(gram) <= explored.GRAM_CELLS
    for i, j in [(0, 0), (3, 70), (len(gram) - 1, 1)]:
        part = full[i * block : (i + 1) * block, j * block : (j + 1) * block]
        np.testing.assert_allclose(gram[i, j], part.max(), rtol=1e-12)


def test_running_sum_ends_at_the_variation():
    found = explored.build(HARMONIC)
    table = tour.draw_running(found, Ink()).table()
    np.testing.assert_allclose(table["length"][-1], found.frame.variation(), rtol=1e-12)
    assert len(table["length"]) == 250


def test_orderings_are_all_there_sorted_and_held_against_wang():
    compared = explored.compare_orderings(HARMONIC)
    assert {one.name for one in compared} == set(sq.PERMUTATIONS)
    values = [one.variation for one in compared]
    assert values == sorted(values)
    for one in compared:
        np.testing.assert_allclose(one.ratio, one.variation / wang_variation(6, 250))


def test_wang_is_not_applicable_in_the_plane():
    choices = {"frame": "roots-of-unity", "dimension": 2, "size": 12, "seed": 0}
    found = explored.build(choices)
    compared = explored.compare_orderings(choices)
    assert all(one.ratio is None for one in compared) and not found.wang.holds
    assert "not applicable" in orderings.draw_orderings(found, compared, "identity", Ink()).look


def test_growth_uses_sizes_the_family_has():
    grown = explored.growth({"frame": "hadamard", "dimension": 6, "size": 64, "seed": 0})
    assert all(size & (size - 1) == 0 for size in grown.size.tolist()) and 64 in grown.size
    harmonic = explored.growth(HARMONIC)
    exact = sq.FRAMES["harmonic"](dimension=6, size=int(harmonic.size[-1])).build().variation()
    np.testing.assert_allclose(harmonic.variation[-1], exact, rtol=1e-12)


def test_projection_keeps_low_dimensions_and_looks_at_slow_tours_from_their_best_side():
    plane = explored.build({"frame": "roots-of-unity", "dimension": 2, "size": 9, "seed": 0})
    np.testing.assert_array_equal(explored.projected(plane)[0], plane.frame.vectors)
    points, how = explored.projected(explored.build(HARMONIC))
    radius = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(radius, np.sqrt(1 / 3), rtol=1e-6)  # the lowest frequency: a circle
    assert "6 dimensions" in how


@pytest.mark.parametrize("name", sorted(set(sq.FRAMES) - {"given"}))
def test_every_family_can_be_drawn(name):
    cls = sq.FRAMES[name]
    spec = cls.specs()["dimension"]
    dimension = int(spec.minimum) if spec.minimum == spec.maximum else 4
    choices = {"frame": name, "dimension": dimension, "size": cls.admissible_size(dimension, 4), "seed": 1}
    found = explored.build(choices)
    drawn = [tour.draw_tour(found, Ink()), gram.draw_gram(found, Ink(True)), tour.draw_running(found, Ink())]
    drawn.append(orderings.draw_orderings(found, explored.compare_orderings(choices), "identity", Ink()))
    for panel in drawn:
        assert panel.alt and len(plotly.io.to_json(panel.figure)) < 100_000
    scope = {}
    exec(explored.code(choices | {"seed": 1}, found) + "\nsigma = frame.variation(order)", scope)
    np.testing.assert_allclose(scope["sigma"], found.walk.variation, rtol=1e-12)


def test_the_largest_frame_stays_within_the_limits():
    found = explored.build({"frame": "harmonic", "dimension": 3, "size": 2048, "seed": 0})
    panels = [tour.draw_tour(found, Ink()), gram.draw_gram(found, Ink()), tour.draw_running(found, Ink())]
    assert sum(len(plotly.io.to_json(panel.figure)) for panel in panels) <= 300_000
    assert all(len(trace.x) <= DRAWN for panel in panels for trace in panel.figure.data)


def test_welch_is_reached_by_the_simplex():
    frame = sq.FRAMES["simplex"](dimension=5, size=6).build()
    np.testing.assert_allclose(frame.coherence, explored.welch(5, 6), rtol=1e-12)
