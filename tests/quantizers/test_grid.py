"""Alphabets for neurons and for blocks of their inputs: levels written out, nearest ones found by trying all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import sdqviz as sq
from sdqviz.quantizers.quantizer import ALPHABETS, Grid

LEVELS = {
    ("midrise", 2): [-1.5, -0.5, 0.5, 1.5],
    ("midtread", 2): [-1, 0, 1],
    ("twos-complement", 2): [-2, -1, 0, 1],
    ("affine", 2): [-1, 0, 1, 2],  # the zero at place 1
    ("midrise", 1): [-0.5, 0.5],
    ("midtread", 3): [-3, -2, -1, 0, 1, 2, 3],
    ("twos-complement", 3): [-4, -3, -2, -1, 0, 1, 2, 3],
    ("affine", 3): [-1, 0, 1, 2, 3, 4, 5, 6],
}


@pytest.mark.parametrize(("alphabet", "bits"), LEVELS)
def test_levels_by_hand(alphabet, bits):
    grid = Grid.finite(alphabet, bits, 0.5, zero=1)
    levels = 0.5 * np.array(LEVELS[alphabet, bits], float)
    assert grid.count == len(levels)
    values = np.linspace(-9, 9, 1001)[:, None]
    assert_array_equal(np.unique(grid.nearest(values)), levels)
    missed = np.abs(grid.nearest(values) - values)[:, 0]
    np.testing.assert_allclose(missed, np.abs(values - levels).min(axis=1), atol=1e-12)


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(ALPHABETS)),
    st.integers(2, 6),
    st.integers(1, 5),
    st.integers(1, 11),
    st.integers(0, 2**32 - 1),
)
def test_blocks_are_the_alphabets_of_their_inputs(alphabet, bits, block, inputs, seed):
    rng = np.random.default_rng(seed)
    blocks = -(-inputs // block)
    step, zero = rng.uniform(0.1, 1, (blocks, 3)), rng.integers(0, 2**bits, (blocks, 3))
    grid = Grid.finite(alphabet, bits, step, zero, block)
    values = 2.0**bits * rng.standard_normal((inputs, 3))
    found = grid.spread(inputs).nearest(values)
    for t in range(inputs):
        own = Grid.finite(alphabet, bits, step[t // block], zero[t // block])
        assert_array_equal(found[t], own.nearest(values[t]))
        assert_array_equal(grid.at(t).nearest(values[t]), own.nearest(values[t]))
    one = slice(1, 2)
    assert_array_equal(grid.part(one).spread(inputs).nearest(values[:, one]), found[:, one])


@pytest.mark.parametrize("alphabet", sorted(set(ALPHABETS) - {"midrise"}))
def test_one_bit_has_no_room_for_a_zero(alphabet):
    with pytest.raises(sq.InputError, match="use midrise"):
        Grid.finite(alphabet, 1, 1.0)
