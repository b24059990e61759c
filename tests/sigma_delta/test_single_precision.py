"""Why transforms are in double precision: which levels coefficients of single precision change, and what one can know.

ΣΔ adds the errors of all coefficients so far to its argument. Levels change only where an argument was that near to a
threshold; but a bound on those sums is too large to tell the columns in which no argument was.
"""

import numpy as np
import pytest
from scipy import fft

import sdqviz as sq
from sdqviz.sigma_delta.recursion import walk_rows

DIMENSION = 784


def double_and_single(size, columns):
    """Return the coefficients of Gaussian columns by a transform in double precision, and by one in single."""
    weights = np.random.default_rng(0).normal(size=(columns, DIMENSION)).astype(np.float32)
    frame = sq.FRAMES["harmonic"](dimension=DIMENSION, size=size).build()
    double = frame.analyze(weights)
    single = fft.irfft(fft.rfft(double).astype(np.complex64), n=size)
    assert single.dtype == np.float32
    return double, single.astype(float)


def walked(coefficients, bits, step):
    """Return levels k and the arguments v of which they are the floor, in steps."""
    levels, state = np.empty(coefficients.shape, np.uint8), np.empty(coefficients.shape)
    overload = walk_rows(coefficients, bits, np.full(len(coefficients), step), index=levels, state=state)
    assert overload.sum() == 0
    before = np.pad(state, ((0, 0), (1, 0)))[:, :-1]
    return levels, (before + coefficients) / step


def found(size, bits, columns):
    double, single = double_and_single(size, columns)
    step = np.abs(double).max() * (1 + 1e-6) / (2 ** (bits - 1) - 0.5)
    levels, arguments = walked(double, bits, step)
    others, _ = walked(single, bits, step)
    far = np.abs(arguments - np.rint(arguments))
    far[np.abs(np.rint(arguments)) >= 2 ** (bits - 1)] = np.inf  # no threshold there
    sums = np.abs(np.cumsum(single - double, axis=1)) / step
    known = np.sqrt(size) * np.linalg.norm(single - double, axis=1) / step  # what Cauchy and Schwarz make of ‖e‖₂
    return levels != others, far, sums, known


@pytest.mark.parametrize(("size", "bits"), [(785, 3), (1568, 1), (1568, 2), (1568, 4), (7000, 2), (7000, 4)])
def test_levels_change_first_where_an_argument_is_as_near_to_a_threshold_as_the_sum_of_errors(size, bits):
    changed, far, sums, _ = found(size, bits, 64)
    near = far <= sums + 1e-9
    for column in np.flatnonzero(changed.any(axis=1)):
        assert near[column, changed[column].argmax()]
    assert not changed[~near.any(axis=1)].any()


def test_a_bound_cannot_tell_the_columns_that_keep_their_levels():
    changed, far, sums, known = found(7000, 4, 128)
    assert (sums.max(axis=1) <= known).all()
    assert changed.any(axis=1).mean() < 0.15  # though few change
    assert (far.min(axis=1) > known).mean() < 0.05  # hardly any is known not to
