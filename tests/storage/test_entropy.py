"""The coder of whole numbers: exact round trips, sizes near the entropy, and streams that are not what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz.error import InputError
from sdqviz.storage.entropy import MOST_SYMBOL, decode_symbols, encode_symbols, width_index


@given(st.integers(0, 9), st.integers(0, 30), st.floats(0.01, 3000.0), st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_round_trip_is_exact(rows, count, spread, seed):
    symbols = np.rint(np.random.default_rng(seed).laplace(0, spread, (rows, count))).astype(np.int64)
    width, largest = width_index(symbols), max(1, int(np.abs(symbols).max(initial=0)))
    stream = encode_symbols(symbols, width, largest)
    assert stream.dtype == np.uint8 and len(stream) % 4 == 0
    np.testing.assert_array_equal(decode_symbols(stream, width, largest, count), symbols)


@pytest.mark.parametrize("spread", [0.3, 2.0, 50.0])
def test_size_is_near_the_entropy_of_the_numbers(spread):
    symbols = np.rint(np.random.default_rng(0).laplace(0, spread, (4, 20_000))).astype(np.int64)
    _, counts = np.unique(symbols, return_counts=True)
    share = counts / symbols.size
    entropy = -(share * np.log2(share)).sum()
    size = 8 * len(encode_symbols(symbols, width_index(symbols), int(np.abs(symbols).max()))) / symbols.size
    assert size < 1.03 * entropy + 0.01


def test_an_extreme_number_in_a_narrow_row_is_kept_not_clipped():
    symbols = np.zeros((1, 500), np.int64)
    symbols[0, 77] = -9000
    stream = encode_symbols(symbols, width_index(symbols), 9000)
    np.testing.assert_array_equal(decode_symbols(stream, width_index(symbols), 9000, 500), symbols)


def test_streams_of_another_length_are_refused():
    symbols = np.rint(np.random.default_rng(1).laplace(0, 3.0, (5, 60))).astype(np.int64)
    width, largest = width_index(symbols), 40
    stream = encode_symbols(symbols, width, largest)
    for count in (59, 61, 0):
        with pytest.raises(InputError, match="must hold"):
            decode_symbols(stream, width, largest, count)
    for wrong in (stream[:-1], stream[:-4], np.concatenate([stream, stream[:4]]), np.zeros(4, np.uint8)):
        with pytest.raises(InputError, match="must hold"):
            decode_symbols(wrong, width, largest, 60)


def test_what_the_coder_has_no_room_for_is_refused():
    symbols, width = np.array([[5]]), np.zeros(1, np.uint8)
    with pytest.raises(InputError, match="symbols must be at most 4"):
        encode_symbols(symbols, width, 4)
    for largest in (0, MOST_SYMBOL + 1):
        with pytest.raises(InputError, match="largest symbol must be between"):
            encode_symbols(symbols, width, largest)
    with pytest.raises(InputError, match="widths must be below 64"):
        encode_symbols(symbols, np.array([64], np.uint8), 5)
