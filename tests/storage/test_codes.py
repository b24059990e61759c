"""Codes of quantized neurons: exact both ways, and of the size one can count by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import sdqviz as sq
from sdqviz.quantizers.quantizer import Grid
from sdqviz.storage import codes as coding


def bits_of(coded):
    return {key: part.bit_count for key, part in coded.stored.items()}


@settings(max_examples=150)
@given(
    st.integers(0, 10**6), st.sampled_from(["midtread", "midrise"]), st.integers(1, 6), st.booleans(),
    st.floats(0, 1), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_decoding_inverts_encoding(seed, alphabet, bits, infinite, sparsity, per_layer, with_dead, with_cut):
    rng = np.random.default_rng(seed)
    if alphabet == "midtread":
        bits = max(bits, 2)
    step = rng.uniform(0.1, 1, 6).astype(np.float32).astype(float)
    step[rng.random(6) < 0.2] = 0
    if per_layer:
        step[:] = 0.5
    grid = Grid.finite(alphabet, bits, step)
    neurons = (rng.integers(grid.lowest, grid.highest + 1, (6, 9)) + grid.offset) * step[:, None]
    neurons[rng.random((6, 9)) < sparsity] = 0
    cut = 0.0
    if with_cut and alphabet == "midtread":
        cut = float(np.float32(0.7))
        neurons[(rng.random((6, 9)) < 0.2)] = cut
        neurons[(rng.random((6, 9)) < 0.2)] = -cut
    dead = rng.random((2, 9)) < 0.3 if with_dead else np.zeros((2, 9), bool)
    neurons[np.repeat(dead, 3, axis=0)] = 0
    if infinite:
        grid = Grid.infinite(alphabet, step)
    coded = coding.encode(neurons, grid, cut, dead)
    assert_array_equal(coding.decode(coded.stored, coded.parameters, 6, 9), neurons)
    for part in coded.stored.values():
        assert part.bits == 32 or part.values.max(initial=0) < 2**part.bits
        again = type(part).from_bytes(part.to_bytes(), part.values.shape, part.bits, part.runs)
        assert_array_equal(again.values, part.values)


def test_values_without_an_alphabet():
    neurons = np.array([[0.5, 0, 0, -0.25], [0, 0, 1, 0]])
    coded = coding.encode(neurons, None)
    assert bits_of(coded) == {"mask": 8, "values": 3 * 32}
    assert_array_equal(coding.decode(coded.stored, coded.parameters, 2, 4), neurons)


def test_the_shorter_code_is_taken():
    grid = Grid.finite("midtread", 4, np.ones(10))
    few, many = np.zeros((10, 20)), np.ones((10, 20))
    few[:, :5] = 3
    assert bits_of(coding.encode(few, grid)) == {"mask": 200, "levels": 50 * 4, "step": 32}
    assert bits_of(coding.encode(many, grid)) == {"levels": 200 * 4, "step": 32}
    dead = np.zeros((1, 20), bool)
    dead[0, 5:] = True
    assert bits_of(coding.encode(few, grid, dead=dead)) == {"dead": 20, "levels": 50 * 4, "step": 32}


def test_zeros_of_an_alphabet_without_zero_are_mapped():
    grid = Grid.finite("midrise", 1, np.ones(2))
    neurons = np.array([[0.5, -0.5, 0.0], [0.5, 0.5, 0.5]])
    coded = coding.encode(neurons, grid)
    assert bits_of(coded) == {"mask": 6, "levels": 5, "step": 32}
    assert coded.levels == 3


def test_the_threshold_is_a_level_of_its_own():
    grid = Grid.finite("midtread", 3, np.ones(1))
    neurons = np.array([[0, 0, 0, 0, 1.5, -1.5, 3, -3, 1, 0.0]])
    coded = coding.encode(neurons, grid, cut=1.5)
    assert bits_of(coded) == {"mask": 10, "levels": 5 * 3, "step": 32}
    assert coded.levels == 9
    assert coded.parameter_bits == 8 + 32
    assert_array_equal(coding.decode(coded.stored, coded.parameters, 1, 10), neurons)
    on_grid = coding.encode(neurons[:, 6:], grid, cut=1.0)
    assert "cut" not in on_grid.parameters and on_grid.levels == 7


def test_an_infinite_alphabet_takes_the_bits_of_its_span():
    grid = Grid.infinite("midtread", np.ones(1))
    coded = coding.encode(np.array([[-9.0, 4.0, 1.0]]), grid)
    assert coded.stored["levels"].bits == 4 and coded.levels == 14
    with pytest.raises(sq.InputError, match="infinite alphabet must span"):
        coding.encode(np.array([[1e9]]), grid)


@pytest.mark.parametrize(
    ("alphabet", "infinite", "cut"),
    [
        ("midtread", False, 0.0), ("midtread", False, 0.125), ("midtread", True, 0.0), ("midtread", True, 0.125),
        ("midrise", False, 0.0), ("midrise", True, 0.125), ("affine", False, 0.0),
    ],
)  # fmt: skip
def test_rows_coded_a_few_at_a_time_give_the_same_codes(alphabet, infinite, cut, monkeypatch):
    rng = np.random.default_rng(0)
    step = np.float32(rng.uniform(0.2, 0.4, 50)).astype(float)
    step[7] = 0.0
    if infinite:
        grid = Grid.infinite(alphabet, step)
    else:
        grid = Grid.finite(alphabet, 3, step, rng.integers(0, 8, 50) if alphabet == "affine" else 0)
    neurons = grid.nearest(rng.standard_normal((31, 50))).T
    if cut:
        neurons = np.where(rng.random(neurons.shape) < 0.2, cut, neurons) * (step[:, None] > 0)
    whole = coding.encode(neurons, grid, cut)
    monkeypatch.setattr(coding, "AT_ONCE", 100)
    pieces = coding.encode(neurons, grid, cut)
    assert pieces.parameters == whole.parameters
    for name, packed in whole.stored.items():
        assert pieces.stored[name].bits == packed.bits
        assert_array_equal(pieces.stored[name].values, packed.values)
    assert_array_equal(coding.decode(pieces.stored, pieces.parameters, 50, 31), neurons)
