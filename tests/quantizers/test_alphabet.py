"""The midrise alphabet: its levels, its rounding, its radius."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdqviz.error import InputError
from sdqviz.quantizers.alphabet import MAXIMUM_BITS, Midrise, nearest_index

bits = st.integers(1, 8)
steps = st.floats(1e-6, 1e6)


@given(bits=bits, step=steps)
def test_levels_are_2k_symmetric_odd_multiples_of_half_a_step(bits, step):
    levels = Midrise(bits, step).levels
    assert len(levels) == 2**bits
    np.testing.assert_array_equal(levels, -levels[::-1])
    np.testing.assert_allclose(np.diff(levels), step, rtol=1e-9)
    assert 0.0 not in levels
    assert levels[-1] == Midrise(bits, step).radius


@given(bits=bits, step=steps, value=st.floats(-2, 2))
def test_nearest_is_the_nearest_of_all_levels(bits, step, value):
    alphabet = Midrise(bits, step)
    value = value * alphabet.radius
    chosen = alphabet.nearest(value)
    assert chosen in alphabet.levels
    assert abs(chosen - value) <= np.abs(alphabet.levels - value).min() + 1e-9 * step * 2**bits


def test_a_tie_goes_up_and_overload_goes_to_the_outermost_level():
    alphabet = Midrise(bits=2, step=2.0)
    np.testing.assert_array_equal(alphabet.nearest([-2.0, 0.0, 2.0]), [-1.0, 1.0, 3.0])
    np.testing.assert_array_equal(alphabet.nearest([-9.0, 9.0]), [-3.0, 3.0])


def test_a_step_of_zero_is_read_as_a_silent_row():
    index = nearest_index(np.zeros((2, 3)), np.array([[0.0], [0.5]]), 1)
    np.testing.assert_array_equal(index, 0)


@pytest.mark.parametrize(
    ("bits", "step", "need"),
    [
        (0, 1.0, "bits must be"),
        (MAXIMUM_BITS + 1, 1.0, "bits must be"),
        (1, 0.0, "step must"),
        (1, np.nan, "step must"),
    ],
)
def test_what_is_no_alphabet_is_refused(bits, step, need):
    with pytest.raises(InputError, match=need):
        Midrise(bits, step)
