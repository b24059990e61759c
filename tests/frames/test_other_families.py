"""The mathematics particular to Hadamard, simplex, Platonic, spectral tetris and random frames."""

import numpy as np
import pytest
from scipy.linalg import hadamard

from sdqviz.error import InputError
from sdqviz.frames.hadamard import Hadamard
from sdqviz.frames.platonic import Platonic
from sdqviz.frames.random import RandomTight
from sdqviz.frames.simplex import Simplex
from sdqviz.frames.spectral_tetris import SpectralTetris


@pytest.mark.parametrize(("dimension", "size"), [(1, 1), (3, 4), (8, 8), (5, 64), (100, 256)])
def test_hadamard_vectors_are_signed_distinct_columns(dimension, size):
    scaled = Hadamard(dimension=dimension, size=size).build(seed=1).vectors * np.sqrt(dimension)
    products = hadamard(size) @ scaled / size  # column j of the frame against every Hadamard column
    found = np.abs(products).argmax(axis=0)
    expected = np.zeros((size, dimension))
    expected[found, np.arange(dimension)] = np.sign(products[found, np.arange(dimension)])
    assert len(set(found)) == dimension
    assert np.allclose(products, expected, rtol=0, atol=1e-12)


def test_hadamard_signs_and_columns_both_vary():
    frame = Hadamard(dimension=64, size=256).build(seed=0)
    first = frame.vectors[0]  # row 0 of a Hadamard matrix is all ones: what is left are the signs
    assert 16 < (first > 0).sum() < 48
    other = Hadamard(dimension=64, size=256).build(seed=1)
    assert not np.array_equal(np.abs(np.diff(frame.vectors, axis=0)), np.abs(np.diff(other.vectors, axis=0)))


def test_hadamard_walk_as_written_does_not_shorten():
    ratios = [Hadamard(dimension=64, size=n).build(seed=0).variation() / n for n in (256, 1024, 4096)]
    assert all(1.2 < ratio < 1.6 for ratio in ratios)


def test_hadamard_synthesis_in_pieces_equals_synthesis_at_once(monkeypatch):
    frame = Hadamard(dimension=12, size=64).build()
    c = np.random.default_rng(0).standard_normal((50, 64))
    whole = frame.adjoint(c)
    monkeypatch.setattr("sdqviz.frames.hadamard.ITEMS_AT_ONCE", 64 * 7)
    assert np.array_equal(frame.adjoint(c), whole)


@pytest.mark.parametrize("dimension", [1, 2, 3, 10, 64])
def test_simplex_inner_products_are_all_equal(dimension):
    frame = Simplex(dimension=dimension, size=dimension + 1).build()
    gram = frame.vectors @ frame.vectors.T
    expected = (1 + 1 / dimension) * np.eye(dimension + 1) - 1 / dimension
    assert np.allclose(gram, expected, rtol=0, atol=1e-13)
    assert frame.coherence == pytest.approx(1 / dimension, rel=1e-12)
    order = np.random.default_rng(0).permutation(dimension + 1)
    assert frame.variation(order) == pytest.approx(np.sqrt(2 * dimension * (dimension + 1)), rel=1e-12)


@pytest.mark.parametrize(
    ("size", "neighbours", "cosine"),
    [(4, 3, -1 / 3), (6, 4, 0.0), (8, 3, 1 / 3), (12, 5, 1 / np.sqrt(5)), (20, 3, np.sqrt(5) / 3)],
)
def test_platonic_vertices_have_their_neighbours(size, neighbours, cosine):
    vectors = Platonic(size=size).build().vectors
    gram = vectors @ vectors.T - 2 * np.eye(size)
    assert gram.max() == pytest.approx(cosine, abs=1e-14)
    assert (np.isclose(gram, cosine, rtol=0, atol=1e-12).sum(axis=1) == neighbours).all()


@pytest.mark.parametrize(("dimension", "size"), [(1, 2), (2, 4), (2, 5), (4, 11), (5, 10), (30, 61), (256, 1000)])
def test_spectral_tetris_is_sparse(dimension, size):
    vectors = SpectralTetris(dimension=dimension, size=size).build().vectors
    entries = (vectors != 0).sum(axis=1)
    assert entries.max() <= 2
    assert (entries == 2).sum() <= 2 * (dimension - 1)  # one pair at most between two axes
    assert (np.diff(np.abs(vectors).argmax(axis=1)) >= -1).all()


def test_random_frames_of_as_many_vectors_as_dimensions_are_bases():
    vectors = RandomTight(dimension=20, size=20).build(seed=0).vectors
    assert np.allclose(vectors @ vectors.T, np.eye(20), rtol=0, atol=1e-13)


def test_random_frames_that_take_too_long_are_refused():
    with pytest.raises(InputError, match="size times dimension squared must be at most 6e\\+09"):
        RandomTight(dimension=4096, size=8192).build()


def test_random_frames_favour_no_direction():
    pooled = np.concatenate([RandomTight(dimension=3, size=50).build(seed=s).vectors for s in range(40)])
    # 2000 unit vectors of a uniform direction: the mean has norm about 1/√2000 = 0.022
    assert np.linalg.norm(pooled.mean(axis=0)) < 0.08
    assert np.abs(np.mean(pooled**4, axis=0) - 3 / 15).max() < 0.03
