import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sdqviz.error import InputError
from sdqviz.storage.bits import Packed, pack_runs, pack_steps, step_up, unpack_runs, unpack_steps
from sdqviz.tensor_file import open_tensors


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


@given(st.integers(0, 10**6), st.integers(0, 700), st.sampled_from([0.0, 0.002, 0.05, 0.5, 0.9, 0.999, 1.0]))
def test_runs_are_undone(seed, count, share):
    flags = np.random.default_rng(seed).random(count) < share
    packed = Packed(flags.astype(np.uint8), 1, runs=True)
    data = packed.to_bytes()
    assert len(data) == packed.byte_count and packed.bit_count == 8 * len(data)
    np.testing.assert_array_equal(unpack_runs(data, count), flags)
    again = Packed.from_bytes(data, flags.shape, 1, runs=True)
    np.testing.assert_array_equal(again.values, flags)
    assert Packed.flags(flags).byte_count == min(len(data), -(-count // 8))


def test_runs_written_out_by_hand():
    # set flags at 1, 4 and 12 of 16: runs of 1, 2, 7
    flags = np.zeros(16, bool)
    flags[[1, 4, 12]] = True
    written = pack_runs(flags).tolist()
    k = written[0]
    bits = {0: "1011011111110", 1: "0101110", 2: "0010", 3: "000"}[k]
    rest = "".join(format(gap % 2**k, f"0{k}b")[::-1] if k else "" for gap in (1, 2, 7))
    expected = [int(part[i : i + 8][::-1], 2) for part in (bits, rest) for i in range(0, len(part), 8)]
    assert written == [k, 3, 0, 0, 0, *expected]
    lengths = {k: len(bits) + 3 * k for k, bits in ((0, "1" * 13), (1, "1" * 7), (2, "1" * 4), (3, "1" * 3))}
    assert lengths[k] == min(lengths.values())


def test_runs_approach_the_entropy_of_sparse_maps():
    flags = np.random.default_rng(0).random(100_000) < 0.05
    share = flags.mean()
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert entropy < Packed.flags(flags).bit_count / flags.size < 1.05 * entropy


@pytest.mark.parametrize("data", [[], [0, 1, 0, 0, 0], [0, 5, 0, 0, 0, 255, 255], [40, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]])
def test_runs_that_are_none_are_refused(data):
    with pytest.raises(InputError, match="packed runs must be those of 100 flags"):
        unpack_runs(np.array(data, np.uint8), 100)


def test_bfloat16_is_read_as_torch_reads_it():
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    values = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    metadata, tensors = open_tensors(save({"a": values.bfloat16(), "b": values.half()}, {"made": "here"}))
    assert metadata == {"made": "here"} and tensors["a"].shape == (3, 5) and tensors["a"].size == 15
    np.testing.assert_array_equal(tensors["a"].array(), values.bfloat16().float().numpy())
    np.testing.assert_array_equal(tensors["b"].array(), values.half().numpy())


@pytest.mark.parametrize("bits", [16, 32])
@given(
    steps=arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1e30) | st.floats(-30, 30).map(lambda e: 10**e))
)
def test_stored_steps_are_never_smaller_and_hardly_larger(bits, steps):
    stored = step_up(steps, bits)
    assert ((stored > steps) | (steps == 0)).all() and (stored[steps == 0] == 0).all()
    usual = (steps >= 2.0**-14) & (steps < 65504)  # what a float16 has all its digits for
    unit = np.where(usual, 2.0**-10, 2.0**-7) if bits == 16 else 2.0**-22
    assert (stored - steps <= unit * steps + (2.0**-132 if bits == 16 else 2.0**-148)).all()
    packed = pack_steps(stored, bits)
    assert packed.byte_count == len(steps) * bits // 8
    again = Packed.from_bytes(packed.to_bytes(), packed.values.shape, packed.bits)
    np.testing.assert_array_equal(unpack_steps(again), stored)


def test_steps_that_are_no_steps_are_refused():
    for bits in (16, 32):
        with pytest.raises(InputError, match=f"{bits} bits must be below 3"):
            step_up(np.array([3.41e38]), bits)
    for pattern in (0x7C00, 0x7E00, 0xFF80, 0xFFC0):  # infinite and not a number, of either kind
        with pytest.raises(InputError, match="steps must be floats"):
            unpack_steps(Packed(np.array([pattern], np.uint16), 16))


def test_steps_of_before_are_read_as_they_were():
    halves = np.linspace(0, 60000, 999).astype(np.float16)
    np.testing.assert_array_equal(unpack_steps(Packed(halves.view(np.uint16), 16)), halves.astype(float))
    np.testing.assert_array_equal(pack_steps(halves.astype(float), 16).values, halves.view(np.uint16))
    assert unpack_steps(Packed(np.array([0x8000 | 0x3F80, 0x8000 | 0x0DA2], np.uint16), 16)).tolist() == [
        1,
        2.0**-100 * 1.265625,
    ]
