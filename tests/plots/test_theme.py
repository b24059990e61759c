import itertools

import numpy as np
import pytest

from sdqviz.plots import scene, theme


@pytest.mark.parametrize("length", [1, 2, 1999, 2000, 2001, 12_345])
def test_decimation_keeps_extremes_and_ends_and_the_limit(length):
    values = np.random.default_rng(length).standard_normal(length)
    kept = theme.decimate(values)
    assert len(kept) <= theme.DRAWN and (np.diff(kept) > 0).all()
    assert {0, length - 1, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())
    if length <= theme.DRAWN:
        np.testing.assert_array_equal(kept, np.arange(length))


@pytest.mark.parametrize("length", [2001, 2003, 7000, 12_345])
@pytest.mark.parametrize("kind", ["smooth", "levels", "gaps", "whole"])
def test_decimation_is_that_of_a_plain_loop(length, kind):
    values = np.random.default_rng(length).standard_normal(length)
    if kind == "levels":  # many ties: the first of each stretch counts
        values = np.rint(values)
    if kind == "gaps":
        values[::97] = np.nan
        values[500:900] = np.nan
    if kind == "whole":
        values = np.rint(values).astype(int)
    edges, kept = np.linspace(0, length, (theme.DRAWN - 2) // 2 + 1).astype(int), {0, length - 1}
    for begin, end in itertools.pairwise(edges):
        kept |= {begin + int(np.argmin(values[begin:end])), begin + int(np.argmax(values[begin:end]))}
    assert theme.decimate(values).tolist() == sorted(kept)


def test_a_single_spike_survives_decimation():
    values = np.zeros(50_000)
    values[31_234] = 1.0
    assert 31_234 in theme.decimate(values)


def test_every_method_looks_different_without_colour():
    marks = [(look.symbol, look.dash) for look in theme.METHODS.values()]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("dark", [False, True])
def test_lines_can_be_told_from_the_page(dark):
    ink = theme.Ink(dark)
    for look in (theme.ORIGINAL, theme.COMPRESSED, theme.ROUNDING, theme.ERROR, theme.BOUND):
        assert theme.contrast(look.colour(ink), ink.page) >= 2.0, look


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read_on_both_pages(dark):
    ink = theme.Ink(dark)
    looks = [one for one in vars(theme).values() if isinstance(one, theme.Look)]
    for colour in (ink.text, ink.quiet, *(look.words(ink) for look in (*looks, *theme.METHODS.values()))):
        assert theme.contrast(colour, ink.page) >= 4.5, colour


def test_turning_a_scene_keeps_lengths_and_returns():
    points = np.random.default_rng(0).standard_normal((50, 3))
    np.testing.assert_allclose(scene.seen(points, 0.3), scene.seen(points, 0.3 + 2 * np.pi), atol=1e-12)
    assert (np.linalg.norm(scene.seen(points, 1.0), axis=1) <= np.linalg.norm(points, axis=1) + 1e-12).all()
    both = scene.seen(points, 0.0) ** 2 + 0
    assert not np.allclose(both, scene.seen(points, np.pi / 2) ** 2)


def test_a_figure_has_no_box_of_its_own():
    layout = theme.figure(theme.Ink(True), x="n", y="value").layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
