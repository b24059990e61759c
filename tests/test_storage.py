import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sdqviz.error import InputError
from sdqviz.storage import Packed, step_up


@given(bits=st.integers(1, 16), data=st.data())
def test_packing_is_undone_and_takes_the_stated_bytes(bits, data):
    shape = data.draw(st.tuples(st.integers(0, 9), st.integers(1, 9)))
    values = data.draw(arrays(np.int64, shape, elements=st.integers(0, 2**bits - 1)))
    packed = Packed(values, bits)
    stored = packed.to_bytes()
    assert len(stored) == packed.byte_count == -(-values.size * bits // 8)
    np.testing.assert_array_equal(Packed.from_bytes(stored, shape, bits).values, values)


@given(arrays(np.float32, st.integers(0, 20), elements=st.floats(width=32, allow_nan=False)))
def test_floats_are_kept_exactly(values):
    packed = Packed(values, 32)
    np.testing.assert_array_equal(Packed.from_bytes(packed.to_bytes(), values.shape, 32).values, values)


@pytest.mark.parametrize("bits", [1, 3, 8, 11])
def test_packed_bits_are_the_binary_digits_in_order(bits):
    values = np.arange(20) * 7 % 2**bits
    digits = "".join(format(value, f"0{bits}b")[::-1] for value in values)
    digits += "0" * (-len(digits) % 8)
    expected = [int(digits[i : i + 8][::-1], 2) for i in range(0, len(digits), 8)]
    assert Packed(values, bits).to_bytes().tolist() == expected


def test_wrong_length_is_refused():
    with pytest.raises(InputError, match=r"packed data must be 2 bytes for shape \(3, 3\) at 1 bits, got 5"):
        Packed.from_bytes(np.zeros(5, np.uint8), (3, 3), 1)


@given(arrays(float, 10, elements=st.floats(1e-30, 1e30)))
def test_stored_step_is_never_smaller(steps):
    stored = step_up(steps)
    assert (stored >= steps).all()
    np.testing.assert_allclose(stored, steps, rtol=3e-7)
    np.testing.assert_array_equal(stored.astype(np.float32).astype(float), stored)
    assert step_up(np.zeros(3)).tolist() == [0, 0, 0]
