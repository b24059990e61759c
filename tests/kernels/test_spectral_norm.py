"""Norms and largest eigenvalues beside numpy's, on several threads, and where scipy is built in another way."""

import math
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdqviz.kernels import spectral_norm as module
from sdqviz.kernels.spectral_norm import dsyevr, largest_eigenvalue, spectral_norm
from sdqviz.kernels.threads import one_blas_thread


def symmetric(size, seed=0, exponent=0):
    square = np.random.default_rng(seed).normal(size=(size, size)) * 10.0**exponent
    return square + square.T


@pytest.fixture
def wide_whole_numbers(monkeypatch):
    dsyevr.cache_clear()
    monkeypatch.setattr(module, "WITH_WHOLE_NUMBERS_OF_32_BITS", "void (long *")
    yield
    dsyevr.cache_clear()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(-300, 150), st.integers(0, 2**32 - 1), st.booleans())
def test_it_is_the_first_singular_value(rows, columns, exponent, seed, turned):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((rows, columns)) @ np.diag(10.0 ** -rng.integers(0, 9, columns)) * 10.0**exponent
    expected = np.linalg.svd(matrix, compute_uv=False)[0]
    given = matrix.T if turned else matrix
    np.testing.assert_allclose(spectral_norm(given), expected, rtol=1e-12)
    np.testing.assert_array_equal(given, matrix.T if turned else matrix)


def test_norms_of_odd_matrices():
    assert spectral_norm(np.zeros((3, 2))) == 0
    assert spectral_norm(np.zeros((3, 0))) == 0
    assert math.isnan(spectral_norm([[1.0, math.nan]]))
    assert math.isnan(spectral_norm([[1.0, -math.inf]]))


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(-150, 150))
def test_it_is_the_last_of_all_eigenvalues(size, seed, exponent):
    matrix = symmetric(size, seed, exponent)
    all_of_them = np.linalg.eigvalsh(matrix)
    found = largest_eigenvalue(matrix.copy())
    assert abs(found - all_of_them[-1]) <= 1e-13 * size * np.abs(all_of_them).max()


def test_closed_forms():
    assert largest_eigenvalue(np.array([[-3.0]])) == -3
    assert largest_eigenvalue(np.zeros((4, 4))) == 0
    path = np.diag(np.ones(8), 1) + np.diag(np.ones(8), -1)  # a path of 9 vertices: 2 cos(πk/10)
    assert largest_eigenvalue(path) == pytest.approx(2 * np.cos(np.pi / 10), abs=1e-14)


def test_scipy_with_wide_whole_numbers_is_asked_by_its_own_function(wide_whole_numbers):
    assert dsyevr() is None
    assert largest_eigenvalue(symmetric(9)) == pytest.approx(np.linalg.eigvalsh(symmetric(9))[-1], rel=1e-13)


def share_waited():
    """The longest that another thread waits for the interpreter while an eigenvalue is found, as a share; the least."""
    return min(_share_waited(symmetric(1200)) for _ in range(3))


def _share_waited(matrix):
    done, waits = threading.Event(), [0.0]

    def watch():
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0.0005)
            waits.append((now := time.perf_counter()) - last)
            last = now

    with one_blas_thread():
        other = threading.Thread(target=watch)
        other.start()
        begun = time.perf_counter()
        largest_eigenvalue(matrix)
        whole = time.perf_counter() - begun
        done.set()
        other.join()
    return max(waits) / whole


def test_other_threads_go_on_meanwhile():
    assert dsyevr() is not None  # else this scipy keeps the lock
    assert share_waited() < 0.5


def test_scipy_keeps_the_lock_which_is_why_it_is_not_asked(wide_whole_numbers):
    assert share_waited() > 0.5
