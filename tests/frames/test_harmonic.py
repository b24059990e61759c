"""Closed forms of the two harmonic families, and their trap at N = d."""

import numpy as np
import pytest

from sdqviz.frames.half_frequency import HalfFrequency
from sdqviz.frames.harmonic import Harmonic
from sdqviz.frames.roots_of_unity import RootsOfUnity
from sdqviz.frames.walk import Walk


def sampled(frequencies, dimension, size, constant=False):
    """The frame written out entry by entry."""
    rows = []
    for n in range(size):
        row = [np.sqrt(0.5)] if constant else []
        for k in frequencies:
            row += [np.cos(2 * np.pi * k * n / size), np.sin(2 * np.pi * k * n / size)]
        rows.append(row)
    return np.sqrt(2 / dimension) * np.array(rows)


@pytest.mark.parametrize(("dimension", "size"), [(2, 3), (4, 5), (4, 100), (8, 9), (8, 31), (3, 3), (5, 12), (1, 4)])
def test_harmonic_vectors_are_sampled_sines_and_cosines(dimension, size):
    expected = sampled(range(1, dimension // 2 + 1), dimension, size, constant=dimension % 2 == 1)
    assert np.allclose(Harmonic(dimension=dimension, size=size).build().vectors, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("dimension", "size"), [(2, 2), (2, 3), (4, 4), (4, 9), (8, 8), (8, 9), (8, 10), (10, 31)])
def test_half_frequency_vectors_are_sampled_sines_and_cosines(dimension, size):
    expected = sampled(np.arange(dimension // 2) + 0.5, dimension, size)
    frame = HalfFrequency(dimension=dimension, size=size).build()
    assert np.allclose(frame.vectors, expected, rtol=0, atol=1e-13)
    x = np.random.default_rng(0).standard_normal((3, dimension))
    assert np.allclose(frame.analyze(x), x @ expected.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dimension", [2, 3, 4, 7, 8, 64, 65])
@pytest.mark.parametrize("redundancy", [1.2, 2, 7.3])
def test_harmonic_variation_as_written_has_its_closed_form(dimension, redundancy):
    size = Harmonic.admissible_size(dimension, int(redundancy * dimension))
    variation = Harmonic(dimension=dimension, size=size).build().variation()
    k = np.arange(1, dimension // 2 + 1)
    exact = (size - 1) * np.sqrt(8 / dimension * (np.sin(np.pi * k / size) ** 2).sum())
    assert variation == pytest.approx(exact, rel=1e-12)
    even = dimension % 2 == 0
    product = (dimension + 1) * (dimension + 2) if even else (dimension - 1) * (dimension + 1)
    assert variation <= 2 * np.pi * np.sqrt(product / 12) <= 2 * np.pi * (dimension + 1)


@pytest.mark.parametrize("dimension", [2, 4, 8, 64])
@pytest.mark.parametrize("redundancy", [1, 2, 7.3])
def test_half_frequency_variation_as_written_has_its_closed_form(dimension, redundancy):
    size = int(redundancy * dimension)
    variation = HalfFrequency(dimension=dimension, size=size).build().variation()
    k = np.arange(dimension // 2) + 0.5
    assert variation == pytest.approx(
        (size - 1) * np.sqrt(8 / dimension * (np.sin(np.pi * k / size) ** 2).sum()), rel=1e-12
    )
    assert variation <= 2 * np.pi * np.sqrt((dimension**2 - 1) / 12)


@pytest.mark.parametrize(("dimension", "size"), [(4, 9), (16, 100), (15, 100), (256, 1000)])
def test_spectral_norm_of_the_differences(dimension, size):
    frame = Harmonic(dimension=dimension, size=size).build()
    closed = 2 * np.sqrt(size / dimension) * np.sin(np.pi * (dimension // 2) / size)
    assert Walk.of(frame).difference_norm == pytest.approx(np.linalg.norm(np.diff(frame.vectors, axis=0), 2), rel=1e-10)
    assert Walk.of(frame).difference_norm <= closed * (1 + 1e-12)


@pytest.mark.parametrize("dimension", [2, 4, 10, 64])
def test_even_harmonic_vectors_with_as_many_as_dimensions_do_not_span(dimension):
    values = np.linalg.svd(sampled(range(1, dimension // 2 + 1), dimension, dimension), compute_uv=False)
    assert values[-1] < 1e-12  # the reason why the choice refuses N = d
    assert HalfFrequency(dimension=dimension, size=dimension).build().tightness < 1e-12


def test_roots_of_unity_are_the_complex_roots():
    for size in (3, 4, 7, 100):
        frame = RootsOfUnity(size=size).build()
        roots = np.exp(2j * np.pi * np.arange(size) / size)
        assert np.allclose(frame.vectors @ [1, 1j], roots, rtol=0, atol=1e-14)
        assert frame.variation() == pytest.approx((size - 1) * 2 * np.sin(np.pi / size), rel=1e-12)
